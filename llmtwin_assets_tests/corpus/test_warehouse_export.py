import json
from pathlib import Path

from llmtwin_assets.authors import ArchiveSource, Author, WarehouseSource
from llmtwin_assets.corpus.ingest import KINDS, Ingested, ingest
from llmtwin_assets.corpus.reading import Context
from llmtwin_assets.corpus.warehouse_export import export_warehouse
from llmtwin_assets_tests.corpus.exports import linkedin, medium, substack, zipped
from resources.sqlite_documents import SqliteDocuments


def filled(store: SqliteDocuments, *sources, author_id: str = "ada") -> list[Ingested]:
    ada = Author(id=author_id, name="Ada Writer", sources=sources)
    found = [ingest(store, Context(ada, Path(), kind)) for kind in KINDS]
    for each in found:
        each.refuse_failures()
    return found


def archives(tmp_path: Path) -> list[ArchiveSource]:
    files = {"m": medium(), "s": substack(), "l": linkedin()}
    return [
        ArchiveSource(
            type="archive", path=str(zipped(tmp_path / f"{n}.zip", content)), consent="paid"
        )
        for n, content in files.items()
    ]


def exported(store: SqliteDocuments, folder: Path) -> dict[str, bytes]:
    ada = Author(
        id="ada", name="Ada Writer", sources=(WarehouseSource(type="warehouse", path="x"),)
    )
    export_warehouse(store, ada, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_import_of_an_export_gives_the_same_documents_and_files(tmp_path: Path) -> None:
    first, second = (SqliteDocuments(tmp_path / f"{n}.sqlite") for n in "ab")
    filled(first, *archives(tmp_path))
    files = exported(first, tmp_path / "out")
    source = WarehouseSource(type="warehouse", path=str(tmp_path / "out"))
    filled(second, source)
    assert second.hashes("ada") == first.hashes("ada")
    assert exported(second, tmp_path / "again") == files
    assert [f.inserted + f.updated + f.deleted for f in filled(second, source)] == [0, 0, 0]


def test_exporting_again_writes_nothing(tmp_path: Path) -> None:
    store = SqliteDocuments(tmp_path / "a.sqlite")
    filled(store, *archives(tmp_path))
    exported(store, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    exported(store, tmp_path / "out")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before


def test_an_export_beside_its_own_sources_changes_nothing(tmp_path: Path) -> None:
    store = SqliteDocuments(tmp_path / "a.sqlite")
    sources = archives(tmp_path)
    filled(store, *sources)
    before = store.hashes("ada")
    exported(store, tmp_path / "out")
    both = [*sources, WarehouseSource(type="warehouse", path=str(tmp_path / "out"))]
    for _ in range(2):
        found = filled(store, *both)
        assert [(f.inserted, f.updated, f.deleted) for f in found] == [(0, 0, 0)] * 3
    assert store.hashes("ada") == before


def test_another_author_who_takes_an_export_over_has_ids_of_their_own(tmp_path: Path) -> None:
    store = SqliteDocuments(tmp_path / "a.sqlite")
    filled(store, *archives(tmp_path))
    exported(store, tmp_path / "out")
    filled(store, WarehouseSource(type="warehouse", path=str(tmp_path / "out")), author_id="eve")
    assert len(store.hashes("eve")) == len(store.hashes("ada"))
    assert not store.hashes("eve").keys() & store.hashes("ada").keys()


def test_the_layout_is_the_warehouses(tmp_path: Path) -> None:
    store = SqliteDocuments(tmp_path / "a.sqlite")
    filled(store, *archives(tmp_path))
    files = exported(store, tmp_path / "out")
    assert set(files) == {
        "ArticleDocument.json",
        "PostDocument.json",
        "RepositoryDocument.json",
        "UserDocument.json",
    }
    records = json.loads(files["ArticleDocument.json"])
    (user,) = json.loads(files["UserDocument.json"])
    assert (user["first_name"], user["last_name"]) == ("Ada", "Writer")
    for record in records:
        assert {"_id", "author_id", "author_full_name", "platform", "link", "content"} <= set(
            record
        )
        assert record["author_id"] == user["_id"]
        assert {"Title", "Subtitle", "Content", "language"} == set(record["content"])
    assert json.loads(files["RepositoryDocument.json"]) == []
