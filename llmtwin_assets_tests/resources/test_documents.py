import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from resources.documents import (
    OtherAuthorsDocumentError,
    SqliteDocuments,
    StoreUnavailableError,
    SyncCounts,
    open_documents,
)
from resources.errors import UnknownSchemeError


def document(number: int, text: str = "text", author: str = "ada") -> dict[str, str]:
    return {"id": f"{author}-{number}", "author": author, "text": text, "hash": f"h-{text}"}


@pytest.fixture
def store(tmp_path: Path) -> SqliteDocuments:
    return SqliteDocuments(tmp_path / "documents.sqlite")


def test_a_second_sync_of_the_same_documents_writes_nothing(store: SqliteDocuments) -> None:
    documents = [document(n) for n in range(100)]
    assert store.sync("ada", "article", documents) == SyncCounts(100, 0, 0, 0)
    before = store.path.stat().st_mtime_ns
    for _ in range(2):
        assert store.sync("ada", "article", documents) == SyncCounts(0, 0, 0, 100)
    assert list(store.documents("ada")) == sorted(documents, key=lambda d: d["id"])
    assert store.path.stat().st_mtime_ns == before


def test_an_edit_updates_and_a_missing_document_is_tombstoned(store: SqliteDocuments) -> None:
    store.sync("ada", "article", [document(n) for n in range(3)])
    counts = store.sync("ada", "article", [document(0), document(1, "edited")])
    assert counts == SyncCounts(inserted=0, updated=1, deleted=1, unchanged=1)
    assert [d["text"] for d in store.documents("ada")] == ["text", "edited"]
    assert store.sync("ada", "article", [document(n) for n in range(3)]).inserted == 1


def test_kinds_and_authors_do_not_touch_each_other(store: SqliteDocuments) -> None:
    store.sync("ada", "article", [document(1)])
    store.sync("ada", "post", [document(2)])
    store.sync("bob", "article", [document(1, author="bob")])
    store.sync("ada", "article", [])
    assert [d["id"] for d in store.documents("ada")] == ["ada-2"]
    assert [d["id"] for d in store.documents("bob", "article")] == ["bob-1"]


def test_a_document_of_another_author_is_refused_and_nothing_is_written(
    store: SqliteDocuments,
) -> None:
    store.sync("ada", "article", [document(1)])
    with pytest.raises(OtherAuthorsDocumentError, match="belongs to ada"):
        store.sync("bob", "article", [document(7, author="bob"), document(1, "stolen")])
    assert list(store.documents("bob")) == []
    assert [d["text"] for d in store.documents("ada")] == ["text"]


def test_a_split_once_given_stays(store: SqliteDocuments) -> None:
    store.keep_splits("ada", {"a": "train", "b": "held-out"})
    store.keep_splits("ada", {"a": "held-out", "c": "train"})
    assert store.splits("ada") == {"a": "train", "b": "held-out", "c": "train"}
    assert store.splits("bob") == {}


def test_quarantine_is_replaced_as_a_whole(store: SqliteDocuments) -> None:
    store.set_quarantine("ada", "article", {"x.md": "binary", "y.md": "empty"})
    store.set_quarantine("ada", "post", {"z.md": "binary"})
    store.set_quarantine("ada", "article", {"y.md": "empty"})
    assert store.quarantine("ada") == {"y.md": "empty", "z.md": "binary"}


def _write_share(path: str, worker: int) -> None:
    store = SqliteDocuments(Path(path))
    author = f"author-{worker}"
    for size in range(10, 260, 10):
        store.sync(author, "article", [document(n, author=author) for n in range(size)])


def test_four_writing_processes_lose_nothing(store: SqliteDocuments) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_write_share, args=(str(store.path), number)) for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    for number in range(4):
        assert len(list(store.documents(f"author-{number}"))) == 250


def test_a_killed_writer_leaves_a_whole_sync_or_none(store: SqliteDocuments) -> None:
    store.sync("ada", "article", [document(n, "0") for n in range(500)])
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from resources.documents import SqliteDocuments
        from llmtwin_assets_tests.resources.test_documents import document
        store = SqliteDocuments(Path({str(store.path)!r}))
        print("writing", flush=True)
        for turn in range(1, 10_000):
            store.sync("ada", "article", [document(n, str(turn)) for n in range(500)])
        """
    )
    rng = random.Random(7)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        time.sleep(rng.uniform(0.05, 0.4))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        texts = [d["text"] for d in store.documents("ada")]
        assert len(texts) == 500
        assert len(set(texts)) == 1


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite"
    path.write_text("this is not a database, but it is long enough to look at" * 20)
    with pytest.raises(StoreUnavailableError, match="LLMTWIN_DOCUMENTS_URL"):
        SqliteDocuments(path).hashes("ada", "article")


def test_an_unknown_url_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownSchemeError, match="sqlite:///"):
        open_documents("oracle://db")
