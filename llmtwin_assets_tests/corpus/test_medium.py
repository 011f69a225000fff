from datetime import date
from pathlib import Path

import pytest

from llmtwin_assets.authors import ArchiveSource
from llmtwin_assets.corpus import archives
from llmtwin_assets.corpus.reading import Listing
from llmtwin_assets_tests.corpus.exports import (
    FIRST,
    FORBIDDEN,
    SECOND,
    medium,
    medium_story,
    unpacked,
    zipped,
)
from llmtwin_assets_tests.corpus.reading_archives import listed, texts
from llmtwin_assets_tests.corpus.sources import author, context


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return zipped(tmp_path / "medium-export-1.zip", medium())


def test_stories_come_with_what_identifies_them(archive: Path) -> None:
    copper, tin = sorted(listed(archive).documents, key=lambda d: d.title)
    assert (copper.external_id, copper.source, copper.importer) == (FIRST, "medium", "medium-1")
    assert copper.title == "On Copper"
    assert copper.published == date(2019, 3, 4)
    assert copper.url == f"https://medium.com/@ada/on-copper-{FIRST}"
    assert (tin.external_id, tin.url) == (SECOND, "https://ada.org/tin")
    assert len(copper.raw_hash) == 32
    assert copper.raw_hash != tin.raw_hash


def test_the_body_keeps_its_structure_and_loses_its_second_title(archive: Path) -> None:
    assert texts(listed(archive))[FIRST] == (
        "#### A subtitle\n\n"
        "Copper is **soft**, and *I like it*; see [tin](https://ada.org/tin).\n\n"
        "```\nfirst\n  second\n\nthird\n```\n\n"
        "> Quoted by me.\n\n"
        "A caption.\n\n"
        "1. one\n2. two"
    )


def test_drafts_and_answers_to_others_stay_out_and_are_counted(archive: Path) -> None:
    listing = listed(archive)
    assert set(texts(listing)) == {FIRST, SECOND}
    assert listing.left_out == {"drafts": 1, "replies to others": 1}
    assert listing.quarantined == {}


def test_answers_come_in_as_posts_when_the_entry_says_so(archive: Path) -> None:
    answers = [d for d in listed(archive, replies=True).documents if d.kind == "post"]
    assert [d.text for d in answers] == ["Thank you for this, I had not thought of it."]
    assert [d.kind for d in listed(archive, "article", replies=True).documents] == ["article"] * 2


def test_a_draft_is_known_without_its_name_too(tmp_path: Path) -> None:
    files = {
        f"posts/2019-01-01_x-{FIRST}.html": medium_story("X", "<p>x</p>", FIRST, published=None)
    }
    listing = listed(zipped(tmp_path / "m.zip", files))
    assert listing.documents == []
    assert listing.left_out == {"drafts": 1}


def test_only_stories_are_opened(archive: Path, opened: list[str]) -> None:
    listing = listed(archive)
    assert {name.split("/")[0] for name in opened} == {"posts"}
    assert FORBIDDEN not in "".join(d.text for d in listing.documents)


def test_a_folder_gives_what_the_zip_gives(tmp_path: Path, archive: Path) -> None:
    folder = unpacked(tmp_path / "export", {f"inner/{n}": c for n, c in medium().items()})
    assert texts(listed(folder)) == texts(listed(archive))
    assert {d.id for d in listed(folder).documents} == {d.id for d in listed(archive).documents}


def test_a_story_without_a_body_is_quarantined_and_loses_no_other(tmp_path: Path) -> None:
    files = medium() | {"posts/2019-01-01_broken-aabbccddeeff.html": "<html>cut"}
    listing = listed(zipped(tmp_path / "m.zip", files))
    assert len(listing.documents) == 2
    assert "no body section" in listing.quarantined["posts/2019-01-01_broken-aabbccddeeff.html"]


def test_a_story_nested_a_hundred_thousand_deep_is_quarantined(tmp_path: Path) -> None:
    deep = medium_story("Deep", "<div>" * 100_000 + "x", "aabbccddeeff")
    files = medium() | {"posts/2019-01-01_deep-aabbccddeeff.html": deep}
    listing = listed(zipped(tmp_path / "m.zip", files))
    assert len(listing.documents) == 2
    assert "nested too deep" in listing.quarantined["posts/2019-01-01_deep-aabbccddeeff.html"]


def test_an_archive_that_is_as_it_was_is_not_read_again(
    archive: Path,
    opened: list[str],
) -> None:
    first = listed(archive)
    opened.clear()
    again = listed(archive, memory=first.memory)
    assert again.unchanged
    assert opened == []


def test_a_newer_export_costs_only_the_stories_that_are_new(
    tmp_path: Path,
    archive: Path,
    opened: list[str],
) -> None:
    stamps: dict[str, str] = {}
    listing = Listing(lambda document, stamp: stamps.update({document.id: stamp or ""}))
    source = ArchiveSource(type="archive", path=str(archive))
    archives.read(source, context(author=author()), listing)
    new = medium_story("On Zinc", "<p>Zinc.</p>", "556677889900")
    zipped(archive, medium() | {"posts/2021-01-01_On-Zinc-556677889900.html": new})
    again = listed(archive, known=stamps)
    assert [d.title for d in again.documents] == ["On Zinc"]
    assert again.unread == set(stamps)
