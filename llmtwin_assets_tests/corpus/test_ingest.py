from pathlib import Path

import pytest

from llmtwin_assets.authors import Author, FolderSource
from llmtwin_assets.corpus import folder
from llmtwin_assets.corpus.ingest import (
    Ingested,
    ShrunkenSourceError,
    fingerprint,
    ingest,
    list_sources,
)
from llmtwin_assets.corpus.reading import Context, Listing, find_date
from resources.documents import SqliteDocuments


def author(*folders: Path, **options) -> Author:
    sources = [FolderSource(type="folder", path=str(folder), **options) for folder in folders]
    return Author(id="ada", name="Ada", sources=tuple(sources))


@pytest.fixture
def store(tmp_path: Path) -> SqliteDocuments:
    return SqliteDocuments(tmp_path / "documents.sqlite")


def synced(store: SqliteDocuments, ada: Author, **options) -> Ingested:
    found = ingest(store, Context(ada, Path(), "article"), **options)
    found.refuse_failures()
    return found


def counts(found: Ingested) -> tuple[int, int, int, int]:
    """Items inserted, updated, deleted, and as they were."""
    return found.inserted, found.updated, found.deleted, found.unchanged


def listed_anew(store: SqliteDocuments, ada: Author) -> Listing:
    """What a source lists that is read again after it was stored."""
    known = {item["id"]: item["stamp"] for item in store.items("ada", "article")}
    listing = Listing()
    for source in ada.sources:
        folder.read(source, Context(ada, Path(), "article", known), listing)
    return listing


def test_reading_the_same_sources_again_writes_nothing(
    store: SqliteDocuments, essays: Path
) -> None:
    ada = author(essays)
    assert counts(synced(store, ada)) == (12, 0, 0, 0)
    assert counts(synced(store, ada)) == (0, 0, 0, 12)


def test_one_edited_file_is_one_written_document(store: SqliteDocuments, essays: Path) -> None:
    ada = author(essays)
    synced(store, ada)
    path = essays / "essay-00003.md"
    path.write_text(path.read_text() + "\n\nOne more thought.")
    assert counts(synced(store, ada)) == (0, 1, 0, 11)


def test_a_file_that_is_as_it_was_is_not_read(store: SqliteDocuments, essays: Path) -> None:
    ada = author(essays)
    synced(store, ada)
    (essays / "essay-00003.md").write_text("Edited, and longer than nothing.")
    listing = listed_anew(store, ada)
    assert [d.external_id for d in listing.documents] == ["essay-00003.md"]
    assert len(listing.unread) == 11


def test_other_rules_for_a_folder_read_it_again(store: SqliteDocuments, essays: Path) -> None:
    synced(store, author(essays))
    stricter = author(essays, drop_lines=("The .*",))
    assert listed_anew(store, stricter).unread == set()


def test_a_touched_file_is_read_once_and_not_written(store: SqliteDocuments, essays: Path) -> None:
    ada = author(essays)
    synced(store, ada)
    (essays / "essay-00003.md").touch()
    assert counts(synced(store, ada)) == (0, 0, 0, 12)
    assert listed_anew(store, ada).documents == []


def test_a_deleted_article_is_deleted_but_a_vanished_archive_is_not(
    store: SqliteDocuments, essays: Path
) -> None:
    ada = author(essays)
    synced(store, ada)
    (essays / "essay-00000.md").unlink()
    assert synced(store, ada).deleted == 1
    for number in range(1, 6):
        (essays / f"essay-{number:05d}.md").unlink()
    with pytest.raises(ShrunkenSourceError, match="5 of 11 stored documents"):
        synced(store, ada)
    assert len(list(store.documents("ada"))) == 11
    assert synced(store, ada, allow_loss=True).deleted == 5


def test_an_unreadable_file_is_kept_with_its_reason(store: SqliteDocuments, essays: Path) -> None:
    (essays / "bad.md").write_bytes(b"\x00\x01")
    assert synced(store, author(essays)).inserted == 12
    assert "binary" in store.quarantine("ada")["bad.md"]
    (essays / "bad.md").unlink()
    synced(store, author(essays))
    assert store.quarantine("ada") == {}


def test_each_kind_comes_from_the_sources_that_hold_it(essays: Path) -> None:
    ada = author(essays, kind="post")
    assert len(list_sources(ada, Path(), "post").documents) == 12
    assert list_sources(ada, Path(), "article").documents == []
    assert list_sources(ada, Path(), "repository").documents == []


def test_the_fingerprint_changes_with_the_files_and_with_the_entry(essays: Path) -> None:
    first = fingerprint(author(essays), Path())
    assert fingerprint(author(essays), Path()) == first
    assert fingerprint(author(essays, licence="mine"), Path()) != first
    (essays / "new.md").write_text("New.")
    assert fingerprint(author(essays), Path()) != first


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tuesday, November 20, 1787.", "1787-11-20"),
        ("Thursday, January 10, 1788", "1788-01-10"),
        ("Mar 27, 2024", "2024-03-27"),
        ("posted 2024-3-7-title.md", "2024-03-07"),
        ("version 2024-13-45 of it", None),
        ("No date, 2024", None),
    ],
)
def test_dates_are_found_as_people_write_them(text: str, found: str | None) -> None:
    date = find_date(text)
    assert (date.isoformat() if date else None) == found
