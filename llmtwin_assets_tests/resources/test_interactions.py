import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from resources.documents import Place, StoreUnavailableError
from resources.errors import UnknownSchemeError
from resources.interactions import (
    BadRatingError,
    Interactions,
    UnknownTraceError,
    open_interactions,
)
from resources.sqlite_documents import SqliteDocuments


def trace(number: int, author: str = "ada", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"trace-{number:05d}",
        "author": author,
        "variant": "twin",
        "version": "v1",
        "model": f"{author}",
        "started": f"2026-11-22T10:00:00.{number:06d}+00:00",
        "seconds": 1.5,
        "question": f"question {number}",
        "answer": f"answer {number}",
        "outcome": "ok",
        "tokens_in": 700,
        "tokens_out": 80,
        "passages": [{"number": 1, "chunk_id": f"chunk-{number}", "score": 0.5}],
        "spans": [{"name": "embed", "start": 0.0, "seconds": 0.1, "attributes": {}}],
        "attributes": {},
        "sampled": False,
        **fields,
    }


@pytest.fixture
def store(tmp_path: Path) -> Interactions:
    return Interactions(tmp_path / "documents.sqlite")


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in found]


def test_a_trace_is_read_back_as_it_was_stored(store: Interactions) -> None:
    store.add_trace(trace(1))
    assert store.trace("ada", "trace-00001") == trace(1)
    assert store.trace("ada", "trace-00002") is None


def test_the_newest_traces_are_listed_first_with_their_rating(store: Interactions) -> None:
    for number in (2, 1, 3):
        store.add_trace(trace(number))
    store.add_feedback("ada", "trace-00002", -1)
    found = store.traces("ada", limit=2)
    assert ids(found) == ["trace-00003", "trace-00002"]
    assert [row["rating"] for row in found] == [None, -1]
    assert found[0]["question"] == "question 3"
    assert "answer" not in found[0]
    assert "spans" not in found[0]
    assert store.traces("ada", limit=-1) == []


def test_authors_do_not_see_each_others_traces_even_under_one_id(store: Interactions) -> None:
    store.add_trace(trace(1))
    store.add_trace(trace(1, "bob", answer="bob's"))
    store.add_trace(trace(2, "bob"))
    assert ids(store.traces("ada")) == ["trace-00001"]
    assert store.trace("ada", "trace-00002") is None
    assert (store.trace("bob", "trace-00001") or {})["answer"] == "bob's"
    with pytest.raises(UnknownTraceError, match="ada has none"):
        store.add_feedback("ada", "trace-00002", 1)
    assert store.feedback("ada") == store.feedback("bob") == []


def test_a_trace_that_is_delivered_twice_stays_as_it_was(store: Interactions) -> None:
    store.add_trace(trace(1))
    store.add_feedback("ada", "trace-00001", 1)
    store.add_trace(trace(1, answer="another"))
    assert (store.trace("ada", "trace-00001") or {})["answer"] == "answer 1"
    assert store.traces("ada")[0]["rating"] == 1


def test_feedback_says_what_was_rated(store: Interactions) -> None:
    store.add_trace(trace(1))
    given = store.add_feedback("ada", "trace-00001", -1, "a better answer")
    (found,) = store.feedback("ada")
    assert found.pop("given").startswith("20")
    assert found == {
        "id": given,
        "author": "ada",
        "trace_id": "trace-00001",
        "question": "question 1",
        "answer": "answer 1",
        "chunk_ids": ["chunk-1"],
        "version": "v1",
        "variant": "twin",
        "rating": -1,
        "better": "a better answer",
    }


def test_later_feedback_on_an_answer_replaces_the_earlier(store: Interactions) -> None:
    store.add_trace(trace(1))
    first = store.add_feedback("ada", "trace-00001", -1, "a better answer")
    second = store.add_feedback("ada", "trace-00001", 1)
    assert first != second
    assert [(f["id"], f["rating"], f["better"]) for f in store.feedback("ada")] == [
        (second, 1, None)
    ]


@pytest.mark.parametrize("rating", [0, 2, -5])
def test_a_rating_is_for_or_against(store: Interactions, rating: int) -> None:
    store.add_trace(trace(1))
    with pytest.raises(BadRatingError, match="neither 1 nor -1"):
        store.add_feedback("ada", "trace-00001", rating)
    assert store.feedback("ada") == []


def test_the_newest_traces_stay_and_so_do_rated_and_sampled_ones(tmp_path: Path) -> None:
    store = Interactions(tmp_path / "documents.sqlite", kept=20)
    store.add_trace(trace(0, "bob"))
    for number in range(60):
        store.add_trace(trace(number, sampled=number in (3, 5)))
        if number == 10:
            store.add_feedback("ada", "trace-00007", 1)
    expected = [*range(59, 39, -1), 7, 5, 3]
    assert ids(store.traces("ada", 100)) == [f"trace-{number:05d}" for number in expected]
    assert ids(store.sampled("ada")) == ["trace-00003", "trace-00005"]
    assert store.sampled("ada")[0] == {**trace(3, sampled=True), "rating": None, "better": None}
    assert ids(store.traces("bob")) == ["trace-00000"]


def test_every_decision_about_a_pair_is_kept_and_the_last_one_holds(store: Interactions) -> None:
    said = {"author": "ada", "pair": "p1", "verdict": "accepted", "by": "k1"}
    first = store.add_decision(said)
    second = store.add_decision({**said, "verdict": "rejected", "by": "k2", "reason": "dull"})
    store.add_decision({**said, "author": "bob"})
    store.add_decision({**said, "pair": "p0"})
    found = store.decisions("ada")
    assert list(found) == ["p0", "p1"]
    assert found["p1"] == [first, second]
    assert first["id"] != second["id"]
    assert first["given"] < second["given"]
    assert [len(made) for made in store.decisions("bob").values()] == [1]
    assert store.decisions("cleo") == {}


def test_a_file_of_earlier_code_gets_what_it_lacks(store: Interactions) -> None:
    store.add_trace(trace(1))
    with sqlite3.connect(store.path) as db:
        db.execute("DROP TABLE decisions")
    db.close()
    again = Interactions(store.path)
    again.add_decision({"author": "ada", "pair": "p", "verdict": "accepted"})
    assert ids(again.traces("ada")) == ["trace-00001"]


def written_files(store: Interactions) -> bytes:
    return b"".join(path.read_bytes() for path in store.path.parent.iterdir())


def test_erasing_an_author_leaves_no_byte_of_them_and_all_of_the_others(tmp_path: Path) -> None:
    store = Interactions(tmp_path / "documents.sqlite", kept=40)
    documents = SqliteDocuments(store.path)
    documents.upsert("bob", "post", [{"id": "b", "author": "bob", "text": "mine", "hash": "h"}])
    documents.arrange("bob", {"b": Place("b", True)})
    rng = random.Random(5)
    for number in range(120):
        for author in ("ada", "bob"):
            text = f"canary-of-{author} " * rng.randrange(1, 400)
            store.add_trace(trace(number, author, answer=text, sampled=number % 50 == 0))
            if number % 7 == 0:
                store.add_feedback(author, f"trace-{number:05d}", 1, f"first canary-of-{author}")
                store.add_feedback(author, f"trace-{number:05d}", -1, f"better-canary-of-{author}")
                said = {"author": author, "pair": f"p{number % 3}", "verdict": "rejected"}
                store.add_decision({**said, "reason": f"for-canary-of-{author}"})
    assert b"canary-of-ada" in written_files(store)
    bobs = store.traces("bob", 1000), store.feedback("bob"), store.sampled("bob")
    decided = store.decisions("bob")
    rows = len(store.traces("ada", 1000)) + 2 * len(store.feedback("ada"))
    assert store.erase("ada") == rows
    assert b"canary-of-ada" not in written_files(store)
    assert store.traces("ada") == store.feedback("ada") == store.sampled("ada") == []
    assert (store.decisions("ada"), store.decisions("bob")) == ({}, decided)
    assert (store.traces("bob", 1000), store.feedback("bob"), store.sampled("bob")) == bobs
    assert [d["text"] for d in documents.documents("bob")] == ["mine"]
    assert store.erase("ada") == 0


def _add_share(path: str, worker: int) -> None:
    store = Interactions(Path(path))

    def add(thread: int) -> None:
        for number in range(50):
            name = worker * 1000 + thread * 100 + number
            store.add_trace(trace(name))
            if number % 10 == 0:
                store.add_feedback("ada", f"trace-{name:05d}", 1)
                store.add_decision({"author": "ada", "pair": "p", "verdict": "accepted"})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_four_processes_of_three_threads_lose_nothing(store: Interactions) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_add_share, args=(str(store.path), number)) for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(store.traces("ada", 10_000)) == 600
    assert len(store.feedback("ada")) == 60
    assert len(store.decisions("ada")["p"]) == 60


def test_a_killed_writer_leaves_whole_feedback_or_none(store: Interactions) -> None:
    for number in range(20):
        store.add_trace(trace(number))
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from resources.interactions import Interactions
        store = Interactions(Path({str(store.path)!r}))
        print("writing", flush=True)
        for turn in range(1, 100_000):
            rating = 1 if turn % 2 else -1
            store.add_feedback("ada", f"trace-{{turn % 20:05d}}", rating, f"better {{rating}}")
        """
    )
    rng = random.Random(7)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        time.sleep(rng.uniform(0.05, 0.3))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert len(store.traces("ada", 100)) == 20
        given = store.feedback("ada")
        assert given
        assert all(found["better"] == f"better {found['rating']}" for found in given)


def test_a_store_whose_file_was_replaced_is_opened_anew(store: Interactions) -> None:
    store.add_trace(trace(1))
    shutil.rmtree(store.path.parent)
    assert store.traces("ada") == []
    store.add_trace(trace(2))
    assert ids(Interactions(store.path).traces("ada")) == ["trace-00002"]


def test_half_a_character_is_stored_as_a_question_mark(store: Interactions) -> None:
    store.add_trace(trace(1))
    store.add_feedback("ada", "trace-00001", 1, "half \ud800 of one")
    assert store.feedback("ada")[0]["better"] == "half ? of one"


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "documents.sqlite"
    path.write_text("this is not a database, but it is long enough to look at" * 20)
    with pytest.raises(StoreUnavailableError, match="LLMTWIN_DOCUMENTS_URL"):
        Interactions(path).traces("ada")


def test_a_disk_that_cannot_be_written_is_a_clear_error() -> None:
    with pytest.raises(StoreUnavailableError, match="permissions"):
        open_interactions("sqlite:///proc/llm-twin/documents.sqlite").add_trace(trace(1))


def test_a_url_names_the_same_file_as_for_documents(tmp_path: Path) -> None:
    store = open_interactions(f"sqlite://{tmp_path}/with%20space/documents.sqlite")
    store.add_trace(trace(1))
    assert (tmp_path / "with space" / "documents.sqlite").exists()
    with pytest.raises(UnknownSchemeError, match="sqlite:///"):
        open_interactions("oracle://db")
