"""Ingestion into MongoDB leaves what ingestion into SQLite leaves."""

from pathlib import Path
from uuid import uuid4

import pytest

from llmtwin_assets.authors import ArchiveSource, Author
from llmtwin_assets.corpus.ingest import KINDS, ingest
from llmtwin_assets.corpus.reading import Context
from llmtwin_assets_tests.corpus.exports import linkedin, medium, substack, x_archive, zipped
from llmtwin_assets_tests.corpus.sources import MOMENT
from llmtwin_assets_tests.resources.mongo_server import SERVERS, running, there
from resources.documents import DocumentStore, open_documents


def ingested(store: DocumentStore, folder: Path) -> list[tuple[int, ...]]:
    exports = {"m": medium(), "s": substack(), "l": linkedin(), "x": x_archive()}
    sources = tuple(
        ArchiveSource(type="archive", path=str(zipped(folder / f"{name}.zip", files)))
        for name, files in exports.items()
    )
    ada = Author(id="ada", name="Ada Writer", sources=sources)
    found = [ingest(store, Context(ada, Path(), kind, clock=lambda: MOMENT)) for kind in KINDS]
    return [(f.inserted, f.updated, f.deleted, f.unchanged, f.merged) for f in found]


@pytest.mark.parametrize("server", SERVERS)
def test_every_backend_is_left_with_the_same(server: str, tmp_path: Path) -> None:
    if not there(server):
        pytest.skip(f"{server} is not installed; pip install -e '.[dev]'")
    sqlite = open_documents(f"sqlite://{tmp_path}/documents.sqlite")
    with running(server, tmp_path / "server") as url:
        mongo = open_documents(f"{url}/t{uuid4().hex}")
        for turn in range(2):
            counts = ingested(sqlite, tmp_path)
            assert ingested(mongo, tmp_path) == counts
            assert sum(sum(each[:3]) for each in counts) == (0 if turn else counts[0][0] + 9)
        assert list(mongo.documents("ada")) == list(sqlite.documents("ada"))
        assert mongo.hashes("ada") == sqlite.hashes("ada")
        assert mongo.quarantine("ada") == sqlite.quarantine("ada")
        assert mongo.lengths("ada", "post") == sqlite.lengths("ada", "post")
