"""One contract for every backend of the document store, and what is a backend's own."""

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtwin_assets_tests.resources.mongo_server import SERVERS, running, there
from resources.documents import (
    DocumentStore,
    OtherAuthorsDocumentError,
    Place,
    StoreUnavailableError,
    UpsertCounts,
    open_documents,
)
from resources.errors import UnknownSchemeError
from resources.sqlite_documents import SqliteDocuments

BACKENDS = ("sqlite", *SERVERS)
# The servers take their time over many small writes.
PATIENTLY = pytest.mark.parametrize(
    "url",
    ["sqlite", *(pytest.param(name, marks=pytest.mark.slow) for name in BACKENDS[1:])],
    indirect=True,
)


def document(number: int, text: str = "text", author: str = "ada", **more) -> dict:
    return {
        "id": f"{author}-{number:04d}",
        "author": author,
        "source": "folder",
        "external_id": f"{number}.md",
        "url": f"https://x.org/{number}",
        "published": None,
        "text": text,
        "hash": f"h-{text}",
        **more,
    }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URLs of servers that were started, stopped at the module's end."""
    urls: dict[str, str] = {}
    contexts = []
    for name in BACKENDS[1:]:
        if there(name):
            context = running(name, tmp_path_factory.mktemp(name))
            urls[name] = context.__enter__()
            contexts.append(context)
    yield urls
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of one test's own, on each backend."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/documents.sqlite"
    if not there(request.param):
        pytest.skip(f"{request.param} is not installed; pip install -e '.[dev]'")
    servers = request.getfixturevalue("servers")
    return f"{servers[request.param]}/t{abs(hash(str(tmp_path))):x}"


@pytest.fixture
def store(url: str) -> DocumentStore:
    return open_documents(url)


def shown(store: DocumentStore, documents: list[dict], kind: str = "article") -> UpsertCounts:
    """Write documents, each a work of its own."""
    author = documents[0]["author"]
    counts = store.upsert(author, kind, documents)
    store.arrange(author, {d["id"]: Place(d["id"], True) for d in documents})
    return counts


def test_a_second_upsert_of_the_same_documents_writes_nothing(store: DocumentStore) -> None:
    documents = [document(n) for n in range(100)]
    assert shown(store, documents) == UpsertCounts(inserted=100)
    for _ in range(2):
        assert store.upsert("ada", "article", documents) == UpsertCounts(unchanged=100)
    stored = list(store.documents("ada"))
    assert [{n: row[n] for n in document(0)} for row in stored] == documents
    assert store.hashes("ada") == {d["id"]: "h-text" for d in documents}


def test_an_edit_updates_and_a_removed_document_is_gone_until_it_comes_back(
    store: DocumentStore,
) -> None:
    shown(store, [document(n) for n in range(3)])
    assert store.upsert("ada", "article", [document(1, "edited")]) == UpsertCounts(updated=1)
    assert store.remove("ada", ["ada-0002", "nobody"]) == 1
    assert store.remove("ada", ["ada-0002"]) == 0
    assert store.remove("bob", ["ada-0001"]) == 0
    assert [d["text"] for d in store.documents("ada")] == ["text", "edited"]
    assert shown(store, [document(2)]) == UpsertCounts(inserted=1)
    assert len(store.hashes("ada", "article")) == 3


def test_a_new_stamp_is_kept_and_is_no_edit(store: DocumentStore) -> None:
    shown(store, [document(1, stamp="a"), document(2)])
    assert store.upsert("ada", "article", [document(1, stamp="b")]) == UpsertCounts(unchanged=1)
    assert [item["stamp"] for item in store.items("ada", "article")] == ["b", None]


def test_the_source_that_lists_a_document_is_kept(store: DocumentStore) -> None:
    shown(store, [document(1, origin="feed x")])
    counts = store.upsert("ada", "article", [document(1, origin="archive y")])
    assert counts == UpsertCounts(updated=1)
    assert [item["origin"] for item in store.items("ada", "article")] == ["archive y"]


def test_an_item_is_seen_once_it_has_a_place(store: DocumentStore) -> None:
    store.upsert("ada", "article", [document(1)])
    assert store.hashes("ada") == {}
    assert list(store.documents("ada")) == []
    (item,) = store.items("ada", "article")
    assert (item["work"], item["lead"]) == (None, False)
    assert "text" not in item


def test_items_of_one_work_are_one_document_with_aliases(store: DocumentStore) -> None:
    store.upsert("ada", "article", [document(1, "short"), document(2, "the full text")])
    store.arrange(
        "ada", {"ada-0001": Place("ada-0001", False), "ada-0002": Place("ada-0001", True)}
    )
    (work,) = store.documents("ada", "article", ["ada-0001"])
    assert (work["id"], work["text"]) == ("ada-0001", "the full text")
    assert work["aliases"] == [
        {"source": "folder", "external_id": "1.md", "url": "https://x.org/1"}
    ]
    assert store.hashes("ada") == {"ada-0001": "h-the full text"}
    assert store.lengths("ada", "article") == [(None, 13)]
    assert sum(store.by_origin("ada", "article").values()) == 2
    assert store.by_origin("bob", "article") == {}
    store.remove("ada", ["ada-0002"])
    store.arrange("ada", {"ada-0001": Place("ada-0001", True)})
    (work,) = store.documents("ada")
    assert (work["text"], work["aliases"]) == ("short", [])


def test_a_place_holds_until_the_item_or_its_work_changes(store: DocumentStore) -> None:
    def unplaced() -> list[str]:
        items = store.items("ada", "article")
        return [item["id"] for item in items if item["placed"] != item["hash"]]

    documents = [document(n) for n in range(4)]
    store.upsert("ada", "article", documents)
    assert len(unplaced()) == 4
    works = {0: 0, 1: 0, 2: 2, 3: 3}
    store.arrange(
        "ada",
        {
            f"ada-{n:04d}": Place(f"ada-{work:04d}", n == work, "h-text")
            for n, work in works.items()
        },
    )
    assert unplaced() == []
    store.upsert("ada", "article", [document(2, "edited")])
    assert unplaced() == ["ada-0002"]
    store.remove("ada", ["ada-0000"])
    assert unplaced() == ["ada-0001", "ada-0002"]


def test_kinds_and_authors_do_not_touch_each_other(store: DocumentStore) -> None:
    shown(store, [document(1)])
    shown(store, [document(2)], "post")
    shown(store, [document(1, author="bob")])
    store.remove("ada", ["ada-0001", "bob-0001"])
    assert [d["id"] for d in store.documents("ada")] == ["ada-0002"]
    assert [d["id"] for d in store.documents("bob", "article")] == ["bob-0001"]
    assert store.items("bob", "post") == []


def test_a_document_of_another_author_is_refused_and_nothing_is_written(
    store: DocumentStore,
) -> None:
    shown(store, [document(1)])
    with pytest.raises(OtherAuthorsDocumentError, match="belongs to ada"):
        store.upsert("bob", "article", [document(7, author="bob"), document(1, "stolen")])
    assert store.items("bob", "article") == []
    assert [d["text"] for d in store.documents("ada")] == ["text"]


def test_a_split_once_given_stays(store: DocumentStore) -> None:
    store.keep_splits("ada", {"a": "train", "b": "held-out"})
    store.keep_splits("ada", {"a": "held-out", "c": "train"})
    store.keep_splits("ada", {})
    assert store.splits("ada") == {"a": "train", "b": "held-out", "c": "train"}
    assert store.splits("bob") == {}


def test_quarantine_is_replaced_as_a_whole_and_kept_by_source(store: DocumentStore) -> None:
    store.set_quarantine("ada", "article", {"a": {"x.md": "binary", "y.md": "empty"}})
    store.set_quarantine("ada", "post", {"a": {"z.md": "binary"}})
    store.set_quarantine("ada", "article", {"a": {"y.md": "empty"}, "b": {"y.md": "cut"}, "c": {}})
    assert store.quarantined("ada", "article") == {"a": {"y.md": "empty"}, "b": {"y.md": "cut"}}
    assert store.quarantine("ada") == {"y.md": "empty", "b: y.md": "cut", "z.md": "binary"}
    assert store.quarantine("ada", "post") == {"z.md": "binary"}
    assert store.quarantine("bob") == {}
    store.set_quarantine("ada", "article", {})
    assert store.quarantined("ada", "article") == {}


def test_what_a_source_asked_to_remember_is_recalled(store: DocumentStore) -> None:
    value = {"https://x.org/a.b$c": {"etag": '"1"'}, "count": 3}
    store.remember("ada", "feed https://x.org", {"old": True})
    store.remember("ada", "feed https://x.org", value)
    assert store.recall("ada", "feed https://x.org") == value
    assert store.recall("bob", "feed https://x.org") == {}


def test_letters_of_every_plane_come_back_as_they_were(store: DocumentStore) -> None:
    text = "𝗕𝗼𝗹𝗱 🙂 e\u0301 \u202e \x01 ﬁn \u2028 tab\t\r\n"
    shown(store, [document(1, text)])
    assert next(store.documents("ada"))["text"] == text


def _upsert_all(url: str, barrier: "multiprocessing.Barrier") -> None:
    store = open_documents(url)
    barrier.wait()
    shown(store, [document(n) for n in range(1000)])


@PATIENTLY
def test_eight_processes_that_write_the_same_thousand_leave_a_thousand(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(8)
    workers = [context.Process(target=_upsert_all, args=(url, barrier)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store = open_documents(url)
    assert len(store.items("ada", "article")) == 1000
    assert len(list(store.documents("ada"))) == 1000
    assert store.upsert("ada", "article", [document(n) for n in range(1000)]).unchanged == 1000


@PATIENTLY
def test_a_killed_writer_leaves_every_document_whole_and_loses_none(url: str) -> None:
    store = open_documents(url)
    shown(store, [document(n, "0") for n in range(500)])
    script = textwrap.dedent(
        f"""
        from resources.documents import open_documents
        from llmtwin_assets_tests.resources.test_documents import document
        store = open_documents({url!r})
        print("writing", flush=True)
        for turn in range(1, 10_000):
            store.upsert("ada", "article", [document(n, str(turn)) for n in range(500)])
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
        found = list(store.documents("ada"))
        assert len(found) == 500
        assert all(d["hash"] == f"h-{d['text']}" for d in found)
        if url.startswith("sqlite"):
            assert len({d["text"] for d in found}) == 1
    assert store.upsert("ada", "article", [document(n, "end") for n in range(500)]).inserted == 0
    assert {d["text"] for d in store.documents("ada")} == {"end"}


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite"
    path.write_text("this is not a database, but it is long enough to look at" * 20)
    with pytest.raises(StoreUnavailableError, match="LLMTWIN_DOCUMENTS_URL"):
        SqliteDocuments(path).hashes("ada", "article")


def test_a_server_that_does_not_answer_is_a_clear_error_without_its_password() -> None:
    store = open_documents("mongodb://ada:secret@127.0.0.1:9/db?serverSelectionTimeoutMS=300")
    with pytest.raises(StoreUnavailableError, match="LLMTWIN_DOCUMENTS_URL") as refusal:
        store.hashes("ada")
    assert "secret" not in str(refusal.value)


def test_an_unknown_url_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownSchemeError, match=r"sqlite:///.*mongodb://"):
        open_documents("oracle://db")


def test_a_database_of_the_first_version_keeps_its_documents(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            CREATE TABLE documents (id TEXT PRIMARY KEY, author TEXT NOT NULL, kind TEXT NOT NULL,
                hash TEXT NOT NULL, stamp TEXT, body TEXT NOT NULL, written TEXT NOT NULL,
                deleted INTEGER NOT NULL DEFAULT 0);
            CREATE TABLE splits (author TEXT NOT NULL, document_id TEXT NOT NULL,
                split TEXT NOT NULL, PRIMARY KEY (author, document_id));
            CREATE TABLE quarantine (author TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL,
                reason TEXT NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (author, kind, item));
            INSERT INTO documents VALUES ('a', 'ada', 'article', 'h', NULL,
                '{"id": "a", "text": "kept"}', 'then', 0);
            INSERT INTO documents VALUES ('b', 'ada', 'article', 'h', NULL,
                '{"id": "b", "text": "gone"}', 'then', 1);
            INSERT INTO splits VALUES ('ada', 'a', 'held-out');
            """
        )
    store = SqliteDocuments(path)
    assert [d["text"] for d in store.documents("ada")] == ["kept"]
    assert store.splits("ada") == {"a": "held-out"}
    store.set_quarantine("ada", "article", {"s": {"x": "binary"}})
    assert store.quarantine("ada") == {"x": "binary"}
