import asyncio
import json
import logging
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmtwin_assets.records import Passage
from llmtwin_assets.serving import monitor as monitor_module
from llmtwin_assets.serving.monitor import Monitor, is_sampled, new_id
from llmtwin_assets_tests.resources.opik_server import serving
from resources.interactions import Interactions
from resources.tracing import open_tracing


class Kept:
    """A sink that keeps what it is given, after doing something else first."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.traces: list[Mapping[str, Any]] = []
        self.first = first

    def write(self, trace: Mapping[str, Any]) -> None:
        self.first()
        self.traces.append(trace)

    def erase(self, author: str) -> int:
        return 0


def passage(number: int) -> Passage:
    return Passage(number, f"c-{number}", "d", "Title", "url", "text of it", 0, 10, 0.5 / number)


def answered(monitor: Monitor, variant: str = "twin", outcome: str = "ok") -> str:
    trace = monitor.begin("ada", variant, "Who?")
    trace.finish("I.", outcome)
    return trace.id


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
def monitor(sink: Kept) -> Iterator[Monitor]:
    monitor = Monitor(sink)
    yield monitor
    monitor.close()


def test_a_request_becomes_one_trace_with_its_steps(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/documents.sqlite"
    monitor = Monitor(open_tracing(url, {}))
    trace = monitor.begin("ada", "twin", "Who are you?")
    with trace.span("search") as attributes:
        attributes["found"] = 2
        time.sleep(0.02)
    with trace.span("generate") as attributes:
        attributes |= {"model": "ada", "version": "v1", "tokens_in": 9, "tokens_out": 2}
    trace.finish(
        "I am.",
        "ok",
        version="v1",
        model="ada",
        tokens_in=9,
        tokens_out=2,
        passages=[passage(1), {"number": 2, "chunk_id": "c-2", "score": 0.25, "text": "of it"}],
        shortened=1,
    )
    monitor.close()
    assert monitor.dropped == 0
    found = Interactions(tmp_path / "documents.sqlite").trace("ada", trace.id)
    assert found is not None
    search, generate = found.pop("spans")
    seconds, started = found.pop("seconds"), found.pop("started")
    assert found == {
        "id": trace.id,
        "author": "ada",
        "variant": "twin",
        "version": "v1",
        "model": "ada",
        "question": "Who are you?",
        "answer": "I am.",
        "outcome": "ok",
        "tokens_in": 9,
        "tokens_out": 2,
        "passages": [
            {"number": 1, "chunk_id": "c-1", "score": 0.5},
            {"number": 2, "chunk_id": "c-2", "score": 0.25},
        ],
        "attributes": {"shortened": 1},
        "sampled": False,
    }
    assert started.endswith("+00:00")
    assert (search["name"], search["attributes"]) == ("search", {"found": 2})
    assert 0.02 <= search["seconds"] <= seconds
    assert search["start"] + search["seconds"] <= generate["start"] <= seconds


def test_a_step_that_fails_is_named_and_its_error_goes_on(sink: Kept, monitor: Monitor) -> None:
    trace = monitor.begin("ada", "twin", "Who?")
    with pytest.raises(KeyError), trace.span("search"):
        raise KeyError("secret text")
    trace.finish("", "failed", error="KeyError")
    monitor.close()
    (found,) = sink.traces
    assert found["spans"][0]["attributes"] == {"error": "KeyError"}
    assert found["attributes"] == {"error": "KeyError"}
    assert "secret text" not in json.dumps(found)


def test_steps_of_coroutines_are_timed_apart(sink: Kept, monitor: Monitor) -> None:
    async def ask(question: str, pause: float) -> None:
        trace = monitor.begin("ada", "twin", question)
        with trace.span("generate"):
            await asyncio.sleep(pause)
        trace.finish("I.", "ok")

    async def both() -> None:
        await asyncio.gather(ask("long", 0.1), ask("short", 0.01))

    asyncio.run(both())
    monitor.close()
    seconds = {found["question"]: found["spans"][0]["seconds"] for found in sink.traces}
    assert seconds["short"] < 0.1 <= seconds["long"]


def test_only_the_first_end_of_a_request_counts(sink: Kept, monitor: Monitor) -> None:
    trace = monitor.begin("ada", "twin", "Who?")
    trace.finish("I.", "ok")
    trace.finish("", "left")
    monitor.close()
    assert [found["outcome"] for found in sink.traces] == ["ok"]


def test_personal_data_and_secrets_never_reach_the_sink(
    sink: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary-in-the-environment")
    monitor = Monitor(sink)
    trace = monitor.begin("ada", "twin", "I am bob@example.com, 4111 1111 1111 1111")
    with trace.span("search") as attributes:
        attributes["from"] = {"client": ["10.1.2.3"], "phone": "+44 20 7946 0958"}
    trace.finish(
        "DE89 3704 0044 0532 0130 00 and canary-in-the-environment",
        "ok",
        model="https://user:password@host/v1",
        note="lt_Zk3vQ8xW2mN5pR7tY9uB1cD4eF6gH0jK",
    )
    monitor.close()
    (found,) = sink.traces
    assert found["question"] == "I am [e-mail], [card]"
    assert found["answer"] == "[IBAN] and [secret]"
    assert found["spans"][0]["attributes"]["from"] == {
        "client": ["[IP address]"],
        "phone": "[phone]",
    }
    assert found["model"] == "https://[secret]@host/v1"
    assert found["attributes"] == {"note": "[secret]"}


def test_values_that_json_does_not_know_are_made_plain(sink: Kept, monitor: Monitor) -> None:
    trace = monitor.begin("ada", "twin", "half \ud800 a character")
    trace.finish(
        "I.",
        "ok",
        tokens_out=np.int64(7),
        passages=[{"number": 1, "chunk_id": "c", "score": np.float32(0.5)}, {"number": 2}],
        odd={"nan": float("nan"), "path": Path("/x"), "set": {1}, "flag": True, 3: None},
    )
    monitor.close()
    (found,) = sink.traces
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["question"] == "half ? a character"
    assert found["tokens_out"] == 7
    assert [item["score"] for item in found["passages"]] == [0.5, None]
    assert found["attributes"]["odd"] == {
        "nan": None,
        "path": "/x",
        "set": [1],
        "flag": True,
        "3": None,
    }


def test_a_share_of_the_twins_good_answers_is_sampled_by_id_alone(sink: Kept) -> None:
    monitor = Monitor(sink, sample=0.2)
    for number in range(500):
        answered(monitor, *[("twin", "ok"), ("base", "ok"), ("twin", "failed")][number % 3])
    monitor.close()
    assert len(sink.traces) == 500
    sampled = [found for found in sink.traces if found["sampled"]]
    assert 15 <= len(sampled) <= 55  # of 167, a fifth is 33
    for found in sink.traces:
        good = (found["variant"], found["outcome"]) == ("twin", "ok")
        assert found["sampled"] == (good and is_sampled(found["id"], 0.2))


def test_the_ends_of_the_share_are_none_and_all() -> None:
    ids = [new_id() for _ in range(200)]
    assert not any(is_sampled(id_, 0.0) for id_ in ids)
    assert all(is_sampled(id_, 1.0) for id_ in ids)
    assert {id_ for id_ in ids if is_sampled(id_, 0.1)} <= {
        id_ for id_ in ids if is_sampled(id_, 0.5)
    }


def test_ids_are_of_version_7_and_follow_time() -> None:
    first = new_id()
    time.sleep(0.003)
    second = new_id()
    assert first < second
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert abs(int(first.replace("-", "")[:12], 16) / 1000 - time.time()) < 60


def test_a_sink_that_raises_costs_its_traces_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = iter([True, False, True, True, False])

    def first() -> None:
        if next(fails):
            raise RuntimeError("the author's words")

    sink = Kept(first)
    monitor = Monitor(sink)
    with caplog.at_level(logging.WARNING):
        kept = [answered(monitor) for _ in range(5)]
        monitor.close()
    assert [found["id"] for found in sink.traces] == [kept[1], kept[4]]
    assert monitor.dropped == 3
    (warning,) = caplog.messages  # one in a minute
    assert "RuntimeError" in warning
    assert "author's words" not in caplog.text


def test_a_warning_comes_again_after_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "QUIET", 0.0)
    monitor = Monitor(Kept(lambda: 1 // 0))  # type: ignore[arg-type,return-value]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            answered(monitor)
        monitor.close()
    assert [message.split(":")[0] for message in caplog.messages] == [
        "Traces are lost, 1 so far",
        "Traces are lost, 2 so far",
    ]


def test_a_sink_that_hangs_holds_up_no_answer() -> None:
    hang = threading.Event()
    sink = Kept(lambda: hang.wait() and None)
    monitor = Monitor(sink, room=10)
    slowest = 0.0
    for _ in range(200):
        start = time.perf_counter()
        trace = monitor.begin("ada", "twin", "Who?")
        with trace.span("generate"):
            pass
        trace.finish("I." * 1000, "ok")
        slowest = max(slowest, time.perf_counter() - start)
    assert slowest < 0.5
    assert monitor.dropped in (189, 190)  # one is with the sink, ten wait
    start = time.perf_counter()
    monitor.close(patience=0.2)
    assert 0.1 < time.perf_counter() - start < 2.0
    assert monitor.dropped in (199, 200)
    answered(monitor)
    assert monitor.dropped in (200, 201)
    hang.set()


def test_closing_hands_over_what_waits_and_later_traces_are_dropped() -> None:
    sink = Kept(lambda: time.sleep(0.005))
    monitor = Monitor(sink)
    for _ in range(50):
        answered(monitor)
    monitor.close()
    monitor.close()
    assert len(sink.traces) == 50
    answered(monitor)
    assert monitor.dropped == 1


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    monitor = Monitor(open_tracing(f"sqlite://{tmp_path}/documents.sqlite", {}))
    threads = [
        threading.Thread(target=lambda: [answered(monitor) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monitor.close(patience=60)
    assert monitor.dropped == 0
    assert len(Interactions(tmp_path / "documents.sqlite").traces("ada", 1000)) == 400


def test_a_full_disk_loses_traces_and_keeps_answers_and_what_was_stored(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import resource
        from llmtwin_assets.serving.monitor import Monitor
        from resources.interactions import open_interactions
        from resources.tracing import open_tracing
        url = "sqlite://{tmp_path}/documents.sqlite"
        monitor = Monitor(open_tracing(url, {{}}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for number in range(100):
            trace = monitor.begin("ada", "twin", "Who?")
            with trace.span("generate"):
                pass
            trace.finish("words " * 3_000, "ok")
        monitor.close(patience=60)
        kept = len(open_interactions(url).traces("ada", 1000))
        print(kept, monitor.dropped)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    kept, dropped = map(int, done.stdout.split())
    assert 0 < kept < 100
    assert kept + dropped == 100
    assert done.stderr.count("Traces are lost") == 1
    assert "words" not in done.stderr
    assert len(Interactions(tmp_path / "documents.sqlite").traces("ada", 1000)) == kept


def test_a_disk_that_cannot_be_written_loses_traces_and_keeps_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = Monitor(open_tracing("sqlite:///proc/llm-twin/documents.sqlite", {}))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            answered(monitor)
        monitor.close()
    assert monitor.dropped == 3
    assert "LLMTWIN_DOCUMENTS_URL" in caplog.messages[0]


def test_an_opik_that_hangs_holds_up_no_answer(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/documents.sqlite"
    with serving() as opik:
        opik.hung.set()
        monitor = Monitor(open_tracing(url, {"OPIK_URL_OVERRIDE": opik.url}))
        start = time.perf_counter()
        for _ in range(50):
            answered(monitor)
        assert time.perf_counter() - start < 2.0
        monitor.close(patience=0.2)
        assert monitor.dropped in (49, 50)  # one may be on its way
