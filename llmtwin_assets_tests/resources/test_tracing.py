import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.serving.monitor import new_id
from llmtwin_assets_tests.resources.opik_server import OpikServer, serving
from resources import tracing
from resources.errors import UnknownSchemeError
from resources.interactions import Interactions
from resources.tracing import (
    BadOpikUrlError,
    LocalTraces,
    OpikTraces,
    OpikUnavailableError,
    RefusedByOpikError,
    open_tracing,
)


def trace(author: str = "ada", **fields: Any) -> dict[str, Any]:
    spans = [
        {"name": "search", "start": 0.01, "seconds": 0.02, "attributes": {"passages": 3}},
        {
            "name": "generate",
            "start": 0.05,
            "seconds": 1.4,
            "attributes": {"model": "ada", "version": "v1", "tokens_in": 700, "tokens_out": 80},
        },
    ]
    return {
        "id": new_id(),
        "author": author,
        "variant": "twin",
        "version": "v1",
        "model": "ada",
        "started": "2026-11-22T10:00:00.500000+00:00",
        "seconds": 1.5,
        "question": "Who?",
        "answer": "I.",
        "outcome": "ok",
        "tokens_in": 700,
        "tokens_out": 80,
        "passages": [{"number": 1, "chunk_id": "c-1", "score": 0.5}],
        "spans": spans,
        "attributes": {},
        "sampled": False,
        **fields,
    }


@pytest.fixture
def opik() -> Iterator[OpikServer]:
    with serving(key="the-key") as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Interactions:
    return Interactions(tmp_path / "documents.sqlite")


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def sink(opik: OpikServer, store: Interactions, waits: list[float]) -> OpikTraces:
    return OpikTraces(store, opik.url, "the-key", "our-space", "twins", waits.append)


def test_without_opik_a_trace_stays_in_the_store(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/documents.sqlite"
    sink = open_tracing(url, {"HOME": "/root"})
    assert isinstance(sink, LocalTraces)
    sent = trace()
    sink.write(sent)
    store = Interactions(tmp_path / "documents.sqlite")
    assert store.trace("ada", sent["id"]) == sent
    assert sink.erase("ada") == 1
    assert store.traces("ada") == []


def test_with_opik_a_trace_and_its_spans_go_there(opik: OpikServer, sink: OpikTraces) -> None:
    sent = trace()
    sink.write(sent)
    (found,) = opik.traces.values()
    assert found["id"] == sent["id"]
    assert found["project_name"] == "twins"
    assert found["name"] == "twin of ada"
    assert found["start_time"] == "2026-11-22T10:00:00.500000Z"
    assert found["end_time"] == "2026-11-22T10:00:02.000000Z"
    assert found["input"] == {"question": "Who?"}
    assert found["output"] == {"answer": "I."}
    assert found["metadata"]["version"] == "v1"
    assert found["metadata"]["passages"] == sent["passages"]
    assert found["tags"] == ["ada", "twin", "ok"]
    assert "error_info" not in found
    search, generate = sorted(opik.spans.values(), key=lambda span: str(span["start_time"]))
    assert (search["name"], search["type"], search["trace_id"]) == ("search", "general", sent["id"])
    assert search["metadata"] == {"passages": 3}
    assert generate["type"] == "llm"
    assert generate["model"] == "ada"
    assert generate["start_time"] == "2026-11-22T10:00:00.550000Z"
    assert generate["end_time"] == "2026-11-22T10:00:01.950000Z"
    assert generate["usage"] == {
        "prompt_tokens": 700,
        "completion_tokens": 80,
        "total_tokens": 780,
    }
    assert {h["Comet-Workspace"] for h in opik.headers} == {"our-space"}
    assert {h["Authorization"] for h in opik.headers} == {"the-key"}


def test_feedback_works_when_traces_go_to_opik(sink: OpikTraces, store: Interactions) -> None:
    sent = trace(sampled=True)
    sink.write(sent)
    assert store.trace("ada", sent["id"]) == {**sent, "spans": []}
    store.add_feedback("ada", sent["id"], -1, "better")
    assert store.feedback("ada")[0]["chunk_ids"] == ["c-1"]
    assert [found["id"] for found in store.sampled("ada")] == [sent["id"]]


def test_a_trace_without_spans_sends_none(opik: OpikServer, sink: OpikTraces) -> None:
    sink.write(trace(spans=[], outcome="failed", attributes={"error": "EngineDownError"}))
    (found,) = opik.traces.values()
    assert found["error_info"] == {"exception_type": "EngineDownError", "traceback": ""}
    assert opik.spans == {}


def test_what_is_delivered_twice_is_there_once(opik: OpikServer, sink: OpikTraces) -> None:
    sent = trace()
    sink.write(sent)
    sink.write(sent)
    assert len(opik.traces) == 1
    assert len(opik.spans) == 2
    assert all(uuid.UUID(id_).version == 7 for id_ in opik.spans)


def test_a_busy_opik_is_asked_again_when_it_says(
    opik: OpikServer, sink: OpikTraces, waits: list[float]
) -> None:
    opik.failing = [(429, {"Retry-After": "3"}), (503, {})]
    sink.write(trace())
    assert len(opik.traces) == 1
    assert waits == [3.0, 2.0]


@pytest.mark.parametrize("name", ["Retry-After", "RateLimit-Reset"])
def test_an_opik_that_wants_minutes_is_not_waited_for(
    opik: OpikServer, sink: OpikTraces, waits: list[float], name: str
) -> None:
    opik.failing = [(429, {name: "300"})]
    with pytest.raises(OpikUnavailableError, match="answered 429"):
        sink.write(trace())
    assert waits == []


def test_an_opik_that_failed_is_left_alone_for_a_while(
    opik: OpikServer,
    sink: OpikTraces,
    store: Interactions,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opik.failing = [(500, {})] * 3
    with pytest.raises(OpikUnavailableError, match="answered 500"):
        sink.write(trace())
    assert waits == list(tracing.WAITS)
    with pytest.raises(OpikUnavailableError, match="a moment ago"):
        sink.write(trace())
    assert len(opik.requests) == 3
    assert len(store.traces("ada")) == 2
    later = time.monotonic() + tracing.REST + 1
    monkeypatch.setattr(tracing.time, "monotonic", lambda: later)
    sink.write(trace())
    assert len(opik.traces) == 1


def test_a_trace_that_opik_refuses_does_not_keep_the_next_from_it(
    opik: OpikServer, sink: OpikTraces, waits: list[float]
) -> None:
    with pytest.raises(RefusedByOpikError, match="answered 400"):
        sink.write(trace(id=str(uuid.uuid4())))
    sink.write(trace())
    assert len(opik.traces) == 1
    assert waits == []


def test_a_wrong_key_is_named_without_being_told(opik: OpikServer, store: Interactions) -> None:
    sink = OpikTraces(store, opik.url, "another-key", "default", "twins")
    with pytest.raises(OpikUnavailableError, match="OPIK_API_KEY") as refusal:
        sink.write(trace())
    assert "401" in str(refusal.value)
    assert "another-key" not in str(refusal.value)


def test_a_server_that_is_gone_is_a_clear_error(store: Interactions, waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    sink = OpikTraces(store, url, None, "default", "twins", waits.append)
    with pytest.raises(OpikUnavailableError, match=r"127\.0\.0\.1: it does not answer"):
        sink.write(trace())


def test_an_opik_that_hangs_is_asked_once_and_left_alone(
    opik: OpikServer, store: Interactions, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "TIMEOUT", 0.1)
    sink = OpikTraces(store, opik.url, "the-key", "default", "twins", waits.append)
    opik.hung.set()
    with pytest.raises(OpikUnavailableError, match="does not answer within"):
        sink.write(trace())
    with pytest.raises(OpikUnavailableError, match="a moment ago"):
        sink.write(trace())
    assert len(opik.requests) == 1
    assert waits == []
    assert len(store.traces("ada")) == 2


def test_erasing_an_author_removes_their_traces_from_opik_too(
    opik: OpikServer, sink: OpikTraces, store: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "PAGE", 3)
    for author in ["ada"] * 7 + ["bob"] * 2:
        sink.write(trace(author))
    store.add_feedback("ada", store.traces("ada")[0]["id"], 1)
    assert sink.erase("ada") == 7 + 7 + 1
    assert {found["metadata"]["author"] for found in opik.traces.values()} == {"bob"}
    assert {found["trace_id"] for found in opik.spans.values()} == set(opik.traces)
    assert store.traces("ada") == store.feedback("ada") == []
    assert len(store.traces("bob")) == 2
    assert sink.erase("ada") == 0


def test_erasing_while_opik_is_down_keeps_what_names_the_traces(
    opik: OpikServer, sink: OpikTraces, store: Interactions
) -> None:
    sink.write(trace())
    opik.failing = [(500, {})] * 3
    with pytest.raises(OpikUnavailableError):
        sink.erase("ada")
    assert len(store.traces("ada")) == 1
    assert sink.erase("ada") == 2


def test_erasing_from_a_project_that_opik_does_not_know_is_no_error(sink: OpikTraces) -> None:
    assert sink.erase("ada") == 0


def test_the_environment_says_where_traces_go(opik: OpikServer, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/documents.sqlite"
    sink = open_tracing(url, {"OPIK_URL_OVERRIDE": opik.url + "/", "OPIK_API_KEY": "the-key"})
    assert isinstance(sink, OpikTraces)
    sink.write(trace())
    (found,) = opik.traces.values()
    assert found["project_name"] == "llm-twin"
    assert isinstance(open_tracing(url, {"OPIK_API_KEY": "the-key"}), OpikTraces)
    assert isinstance(open_tracing(url, {"OPIK_API_KEY": ""}), LocalTraces)
    with pytest.raises(BadOpikUrlError, match="localhost:5173"):
        open_tracing(url, {"OPIK_URL_OVERRIDE": "localhost:5173"})
    with pytest.raises(UnknownSchemeError):
        open_tracing("oracle://db", {})
