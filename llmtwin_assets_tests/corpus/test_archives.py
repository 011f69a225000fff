"""Which archive is which, and which is read."""

import os
from pathlib import Path

import pytest

from llmtwin_assets.authors import ArchiveSource
from llmtwin_assets.corpus import archives
from llmtwin_assets.corpus.reading import SourceMissingError
from llmtwin_assets.corpus.zip_reader import open_tree
from llmtwin_assets_tests.corpus.exports import (
    Files,
    ghost,
    ghost_post,
    linkedin,
    medium,
    substack,
    unpacked,
    wp_item,
    wxr,
    x_archive,
    zipped,
)
from llmtwin_assets_tests.corpus.reading_archives import listed
from llmtwin_assets_tests.corpus.sources import author, context

EXPORTS: dict[str, Files] = {
    "medium": medium(),
    "substack": substack(),
    "linkedin": linkedin(),
    "x": x_archive(),
    "wordpress": {"site.xml": wxr(wp_item(1, "<p>Words.</p>"))},
    "ghost": {"site.ghost.json": ghost(ghost_post(1))},
    "markdown": {"_posts/2024-01-02-a.md": "Words."},
}


@pytest.mark.parametrize("platform", EXPORTS)
def test_an_archive_is_recognised_by_content_whatever_its_name(
    platform: str, tmp_path: Path
) -> None:
    shapes = [
        zipped(tmp_path / "download (3).zip.zip", EXPORTS[platform]),
        zipped(tmp_path / "no-suffix", EXPORTS[platform]),
        unpacked(tmp_path / "folder", EXPORTS[platform]),
        zipped(tmp_path / "inner.zip", {f"a/b/{n}": c for n, c in EXPORTS[platform].items()}),
        zipped(tmp_path / "mac.zip", EXPORTS[platform] | {"__MACOSX/._posts.csv": b"\x00"}),
    ]
    for path in shapes:
        with open_tree(path) as tree:
            found = archives.recognise(tree)
        assert found is not None, path
        assert platform == found[0].PLATFORM, path
        assert listed(path).documents, path


def test_of_several_downloads_the_newest_of_each_platform_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    for age, name in enumerate(("medium", "substack")):
        for version in ("new", "old"):
            files = EXPORTS[name] | {"note.txt": version}
            path = zipped(folder / f"{name}-{version}.zip", files)
            moment = 1_700_000_000 + age + (100 if version == "new" else 0)
            os.utime(path, (moment, moment))
    for part in (1, 2):
        item = wp_item(part, f"<p>Part number {part}.</p>")
        zipped(folder / f"wordpress-{part}.zip", {"part.xml": wxr(item)})
    (folder / "notes.txt").write_text("not an archive")
    documents = listed(folder).documents
    counts = [d.source for d in documents]
    assert counts.count("medium") == 2
    assert counts.count("substack") == 2
    assert counts.count("wordpress") == 2


def test_a_folder_of_anything_else_is_refused(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "x", {"a.txt": "words", "b.zip": b"PK\x05\x06" + b"\x00" * 18})
    with pytest.raises(SourceMissingError, match="no archive of Medium, Substack"):
        listed(folder)


def test_the_fingerprint_changes_with_files_entry_and_names(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", medium())

    def seen(name: str = "Ada Writer", **options: str) -> str:
        source = ArchiveSource(type="archive", path=str(path), **options)
        return archives.fingerprint(source, context(author=author("ada", name)))

    first = seen()
    assert seen() == first
    others = {seen(consent="paid"), seen(licence="mine"), seen("Ada Other")}
    zipped(path, substack())
    assert len({first, seen(), *others}) == 5
