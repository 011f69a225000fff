import os
from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets.authors import FolderSource
from llmtwin_assets.corpus import folder as reader
from llmtwin_assets.corpus.reading import Listing, SourceMissingError
from llmtwin_assets_tests.corpus.sources import context

FRAMED = (
    "On Bridges\n\n(A Continued Subject)\n\nFrom the Morning Paper.\n\n"
    "Tuesday, November 20, 1787.\n\nADA\n\n\nTo the Readers:\n\n"
    "The author speaks\nhere and here.\n\nSIGNED.\n"
)


def source(folder: Path, **options) -> FolderSource:
    return FolderSource(type="folder", path=str(folder), **options)


def write(folder: Path, name: str, data: bytes | str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))


def listed(folder: Path, author: str = "ada", **options) -> Listing:
    listing = Listing()
    reader.read(source(folder, **options), context(author), listing)
    return listing


def fingerprint(folder: Path) -> str:
    return reader.fingerprint(source(folder), context())


def test_front_matter_gives_title_and_date(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "---\ntitle: Copper\ndate: 2024-03-05 10:00:00\n---\n# Head\n\nText.")
    (document,) = listed(tmp_path).documents
    assert (document.title, document.published) == ("Copper", date(2024, 3, 5))
    assert document.text == "# Head\n\nText."


def test_without_front_matter_the_heading_or_the_file_name_is_the_title(tmp_path: Path) -> None:
    write(tmp_path, "2023-07-09-first.md", "# The Heading\n\nText.")
    write(tmp_path, "second_thoughts.txt", "Text.")
    first, second = listed(tmp_path).documents
    assert (first.title, first.published) == ("The Heading", date(2023, 7, 9))
    assert (second.title, second.published) == ("second thoughts", None)


def test_drafts_stay_out(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "---\ndraft: true\n---\nNot yet.")
    write(tmp_path, "b.md", "---\npublished: false\n---\nNot yet.")
    write(tmp_path, "c.md", "Out.")
    assert [d.external_id for d in listed(tmp_path).documents] == ["c.md"]


def test_an_editors_frame_gives_title_and_date_and_is_no_part_of_the_text(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", FRAMED)
    (document,) = listed(
        tmp_path, header_ends="^To the Readers", drop_lines=(r"SIGNED\.",)
    ).documents
    assert document.title == "On Bridges (A Continued Subject)"
    assert document.published == date(1787, 11, 20)
    assert document.text == "The author speaks\nhere and here."


def test_line_ends_of_every_kind_are_one_line_end(tmp_path: Path) -> None:
    for name, end in {"a.txt": "\r\r\n", "b.txt": "\r\n", "c.txt": "\r", "d.txt": "\n"}.items():
        write(tmp_path, name, f"one{end}two{end}{end}three")
    assert {d.text for d in listed(tmp_path).documents} == {"one\ntwo\n\nthree"}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("binary.txt", b"abc\x00def", "binary"),
        ("latin.txt", "Grüße".encode("latin-1"), "not UTF-8"),
        ("empty.md", b"  \n\n", "no text"),
        ("front.md", b"---\n- a list\n---\ntext", "not a mapping"),
        ("yaml.md", b"---\n: [\n---\ntext", "not YAML"),
    ],
)
def test_an_unreadable_file_is_named_and_loses_no_other(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    write(tmp_path, name, data)
    write(tmp_path, "good.md", "Good text.")
    listing = listed(tmp_path)
    assert [d.external_id for d in listing.documents] == ["good.md"]
    assert list(listing.quarantined) == [name]
    assert reason in listing.quarantined[name]


def test_a_file_without_the_frame_it_should_have_is_quarantined(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "No salutation here.")
    assert "header_ends" in listed(tmp_path, header_ends="^Dear").quarantined["a.txt"]


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match=r"nowhere.*authors\.yaml"):
        listed(tmp_path / "nowhere")
    with pytest.raises(SourceMissingError, match="no file in ada's folder matches"):
        listed(tmp_path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "secret.txt", "not yours")
    write(tmp_path, "essays/a.txt", "Mine.")
    os.symlink(tmp_path / "secret.txt", tmp_path / "essays" / "link.txt")
    assert [d.text for d in listed(tmp_path / "essays").documents] == ["Mine."]


def test_ids_depend_on_author_and_file_and_not_on_the_text(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "First.")
    (first,) = listed(tmp_path).documents
    write(tmp_path, "a.md", "Edited.")
    (edited,) = listed(tmp_path).documents
    assert first.id == edited.id
    assert listed(tmp_path, "bob").documents[0].id != first.id


def test_the_fingerprint_sees_edits_and_new_files(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "First.")
    first = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == first
    write(tmp_path, "a.md", "First, edited.")
    second = fingerprint(tmp_path)
    write(tmp_path, "b.md", "Second.")
    assert len({first, second, fingerprint(tmp_path)}) == 3
