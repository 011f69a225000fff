import random
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from llmtwin_assets.authors import ArchiveSource, Author, FolderSource, name_of
from llmtwin_assets.corpus import folder
from llmtwin_assets.corpus import medium as medium_importer
from llmtwin_assets.corpus.ingest import (
    Ingested,
    ShrunkenSourceError,
    SourcesFailedError,
    fingerprint,
    ingest,
    list_sources,
)
from llmtwin_assets.corpus.overview import overview
from llmtwin_assets.corpus.reading import Context, Listing, SourceMissingError, find_date
from llmtwin_assets_tests.corpus.exports import medium, zipped
from llmtwin_assets_tests.writing import essay
from resources.sqlite_documents import SqliteDocuments


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


def two_sources(essays: Path, other: Path, count: int = 5) -> Author:
    """An author with two folders."""
    write_essays_from(other, 100, count)
    return author(essays, other)


def write_essays_from(folder: Path, first: int, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        (folder / f"essay-{number}.md").write_text(essay(number))


def test_a_source_that_fails_keeps_what_it_gave_and_the_others_are_written(
    store: SqliteDocuments, essays: Path, tmp_path: Path
) -> None:
    ada = two_sources(essays, tmp_path / "other")
    synced(store, ada)
    shutil.rmtree(tmp_path / "other")
    write_essays_from(essays, 50, 1)
    found = ingest(store, Context(ada, Path(), "article"))
    assert (found.inserted, found.deleted) == (1, 0)
    assert len(store.hashes("ada")) == 18
    with pytest.raises(SourceMissingError, match="is not there"):
        found.refuse_failures()


def test_a_source_that_shrank_keeps_what_it_gave_though_the_author_lost_little(
    store: SqliteDocuments, essays: Path, tmp_path: Path
) -> None:
    ada = two_sources(essays, tmp_path / "other")
    synced(store, ada)
    for number in (100, 101, 102):
        (tmp_path / "other" / f"essay-{number}.md").unlink()
    with pytest.raises(ShrunkenSourceError, match=r"folder .*other: 3 of 5 stored documents"):
        synced(store, ada)
    assert len(store.hashes("ada")) == 17
    assert synced(store, ada, allow_loss=True).deleted == 3


def test_several_failures_are_told_together(
    store: SqliteDocuments, essays: Path, tmp_path: Path
) -> None:
    ada = author(essays, tmp_path / "a", tmp_path / "b")
    found = ingest(store, Context(ada, Path(), "article"))
    assert found.inserted == 12
    with pytest.raises(SourcesFailedError, match=r"2 sources: .*/a: .*/b: "):
        found.refuse_failures()


def test_a_source_taken_out_of_the_file_is_a_loss_that_must_be_meant(
    store: SqliteDocuments, essays: Path, tmp_path: Path
) -> None:
    synced(store, two_sources(essays, tmp_path / "other", 8))
    with pytest.raises(ShrunkenSourceError, match="articles of ada: 8 of 20"):
        synced(store, author(essays))
    assert synced(store, author(essays), allow_loss=True).deleted == 8


def test_a_document_that_cannot_be_read_any_more_stays_as_it_was(
    store: SqliteDocuments, essays: Path
) -> None:
    synced(store, author(essays))
    before = store.hashes("ada")
    (essays / "essay-00003.md").write_bytes(b"\x00\x01")
    found = synced(store, author(essays))
    assert found.unreadable == {name_of(author(essays).sources[0]): 1}
    assert store.hashes("ada") == before


def test_unreadable_items_are_counted_by_source(
    store: SqliteDocuments, essays: Path, tmp_path: Path
) -> None:
    ada = two_sources(essays, tmp_path / "other")
    (essays / "bad.md").write_bytes(b"\x00")
    (tmp_path / "other" / "bad.md").write_bytes(b"\x00")
    (tmp_path / "other" / "worse.md").write_bytes(b"\xff")
    found = synced(store, ada)
    assert sorted(found.unreadable.values()) == [1, 2]
    given = store.by_origin("ada", "article")
    figures, _ = overview(store.lengths("ada", "article"), given, found)
    assert figures["unreadable"] == 3
    assert (
        figures["figures"][f"from folder {tmp_path / 'other'}"]
        == given[f"folder {tmp_path / 'other'}"]
        > 0
    )
    assert sorted(source["unreadable"] for source in figures["sources"].values()) == [1, 2]
    assert figures["figures"][f"unreadable in folder {tmp_path / 'other'}"] == 2


def test_an_unread_archive_keeps_its_quarantine_and_a_new_importer_reads_it_again(
    store: SqliteDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"posts/2019-01-01_broken-aabbccddeeff.html": "<html class=h-entry>cut"}
    path = zipped(tmp_path / "medium.zip", medium() | bad)
    source = ArchiveSource(type="archive", path=str(path))
    ada = Author(id="ada", name="Ada Writer", sources=(source,))
    first = synced(store, ada)
    again = synced(store, ada)
    assert first.unreadable == again.unreadable == {name_of(source): 1}
    assert first.left_out == again.left_out
    assert counts(again) == (0, 0, 0, 2)
    reads: list[str] = []
    monkeypatch.setattr(medium_importer, "IMPORTER", "medium-2")
    monkeypatch.setattr(medium_importer, "_story", lambda export, name, id_: reads.append(name))
    found = ingest(store, Context(ada, Path(), "article"))
    assert len(reads) == 4
    assert found.failures  # for this reader finds nothing; what was stored stays
    assert len(store.hashes("ada")) == 2


def test_a_sync_with_nothing_new_writes_nothing(
    store: SqliteDocuments, essays: Path, tmp_path: Path
) -> None:
    archive = ArchiveSource(type="archive", path=str(zipped(tmp_path / "m.zip", medium())))
    ada = Author(id="ada", name="Ada Writer", sources=(*author(essays).sources, archive))
    synced(store, ada)
    files = [store.path, store.path.with_name(store.path.name + "-wal")]
    before = [file.read_bytes() if file.exists() else b"" for file in files]
    for _ in range(2):
        assert counts(synced(store, ada)) == (0, 0, 0, 14)
    assert [file.read_bytes() if file.exists() else b"" for file in files] == before


@pytest.mark.slow
def test_an_ingestion_killed_anywhere_ends_like_one_that_was_not(
    store: SqliteDocuments, tmp_path: Path
) -> None:
    write_essays_from(tmp_path / "one", 0, 400)
    write_essays_from(tmp_path / "two", 300, 400)
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from llmtwin_assets.corpus.ingest import ingest
        from llmtwin_assets.corpus.reading import Context
        from llmtwin_assets_tests.corpus.test_ingest import author
        from resources.sqlite_documents import SqliteDocuments
        import sys
        ada = author(Path({str(tmp_path / "one")!r}), Path({str(tmp_path / "two")!r}))
        print("reading", flush=True)
        ingest(SqliteDocuments(Path(sys.argv[1])), Context(ada, Path(), "article"))
        """
    )
    rng = random.Random(5)
    whole, killed = tmp_path / "whole.sqlite", tmp_path / "killed.sqlite"
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(killed)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.6))
        child.kill()
        child.wait()
        child.stdout.close()
    for path in (whole, killed):
        subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True)
    ends = []
    for path in (whole, killed):
        documents = list(SqliteDocuments(path).documents("ada"))
        assert len(documents) == 700
        ends.append([{k: v for k, v in d.items() if k != "fetched"} for d in documents])
    assert ends[0] == ends[1]
