import json
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llmtwin_assets.serving.engine import Engine
from llmtwin_assets.serving.engine_api import LARGEST_BODY, app_of, create_engine
from llmtwin_assets.settings import from_environment
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.serving.test_engine import serve, spoil, until
from llmtwin_assets_tests.serving.world import serving
from resources.artifacts import ArtifactStore

CHAT: list[Any] = [{"role": "user", "content": "Write about liberty."}]
ASK = {"model": "ada", "messages": CHAT, "max_tokens": 20, "temperature": 0}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    model = tiny_model.build(folder / "model")
    store = ArtifactStore(folder / "artifacts")
    for author in ("ada", "broken"):
        serve(store, author, f"{author}-1", model)
    spoil(store.root / "broken" / "endpoint" / "broken-1" / "model")
    engine = Engine(store, lambda: model, waiting=4)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    with serving(app_of(engine)) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def ask(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json={**ASK, **fields})


def running(engine: Engine) -> int:
    return sum(len(batch._written) + len(batch._unread) for batch in engine._loaded.values())


def events(response: httpx.Response) -> list[Any]:
    lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def test_openais_own_client_reads_answers_and_streams(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    assert [model.id for model in client.models.list()][:1] == ["ada"]
    whole = client.chat.completions.create(
        model="ada", messages=CHAT, max_tokens=20, temperature=0, seed=1
    )
    stream = client.chat.completions.create(
        model="ada", messages=CHAT, max_tokens=20, temperature=0, seed=1, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "length"
    assert whole.system_fingerprint == chunks[0].system_fingerprint == "ada-1"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"


def test_models_are_listed_with_version_and_window(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["ada", "broken", "base"]
    assert listed["data"][0]["version"] == "ada-1"
    assert listed["data"][0]["max_model_len"] == 1024


def test_absent_and_null_fields_mean_the_defaults(http: httpx.Client) -> None:
    nothing = dict.fromkeys(("max_tokens", "temperature", "top_p", "seed", "stop", "stream", "n"))
    usage = ask(http, **nothing).json()["usage"]
    assert 12 <= usage["completion_tokens"] <= 160


def test_what_openai_knows_beyond_this_is_ignored(http: httpx.Client) -> None:
    reply = ask(http, presence_penalty=0, user="me", max_completion_tokens=13)
    assert reply.json()["usage"]["completion_tokens"] == 13


def test_messages_in_parts_are_read(http: httpx.Client) -> None:
    parts = [{"type": "text", "text": "Write about "}, {"type": "text", "text": "liberty."}]
    whole, split = ask(http), ask(http, messages=[{"role": "user", "content": parts}])
    assert split.json()["choices"] == whole.json()["choices"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a"] * 9}, "stop"),
        ({"n": 2}, "n"),
        ({"stream": "perhaps"}, "stream"),
    ],
)
def test_a_malformed_request_is_told_which_field(
    http: httpx.Client, fields: dict[str, Any], named: str
) -> None:
    reply = ask(http, **fields)
    assert reply.status_code == 422
    assert named in reply.json()["error"]["message"]
    assert reply.json()["error"]["code"] == "malformed"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(http: httpx.Client, body: bytes) -> None:
    reply = http.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert reply.status_code == 422
    assert reply.json()["error"]["code"] == "malformed"


def test_text_that_is_no_unicode_is_refused(http: httpx.Client) -> None:
    for field in ({"messages": [{"role": "user", "content": "\ud800"}]}, {"stop": "\ud800"}):
        reply = http.post(
            "/v1/chat/completions",
            content=json.dumps({**ASK, **field}),
            headers={"content-type": "application/json"},
        )
        assert (reply.status_code, reply.json()["error"]["code"]) == (422, "malformed")


def test_infinite_numbers_are_refused(http: httpx.Client) -> None:
    for number in ("NaN", "Infinity", "1e999"):
        body = json.dumps(ASK).replace('"temperature": 0', f'"temperature": {number}')
        reply = http.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
        assert reply.status_code == 422, number


def test_a_seed_of_any_size_is_taken(http: httpx.Client) -> None:
    for seed in (-1, 2**63, 10**30):
        first, second = (ask(http, temperature=1, seed=seed).json()["choices"] for _ in range(2))
        assert first == second


@pytest.mark.parametrize("stream", [False, True])
def test_refusals_have_a_status_a_code_and_no_internals(http: httpx.Client, stream: bool) -> None:
    unknown = ask(http, model="nobody", stream=stream)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    long = ask(http, messages=[{"role": "user", "content": "liberty " * 3000}], stream=stream)
    error = long.json()["error"]
    assert (long.status_code, error["code"]) == (400, "context_length_exceeded")
    assert error["prompt_tokens"] > error["max_model_len"] == 1024
    broken = ask(http, model="broken", stream=stream)
    assert (broken.status_code, broken.json()["error"]["code"]) == (503, "model_broken")
    assert "/" not in broken.json()["error"]["message"]
    assert "retry-after" in broken.headers
    assert ask(http, stream=stream).status_code == 200


def test_unknown_paths_and_methods_are_refused_in_the_same_shape(http: httpx.Client) -> None:
    for reply, status in ((http.get("/nothing"), 404), (http.get("/v1/chat/completions"), 405)):
        assert reply.status_code == status
        assert set(reply.json()["error"]) >= {"message", "type", "code"}


def test_a_full_engine_asks_to_try_again(http: httpx.Client, url: str, engine: Engine) -> None:
    def one(_: int) -> httpx.Response:
        return httpx.post(f"{url}/v1/chat/completions", json={**ASK, "max_tokens": 900}, timeout=60)

    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(one, range(40)))
    refused = [reply for reply in replies if reply.status_code == 503]
    assert refused
    assert all(reply.headers["retry-after"] for reply in refused)
    assert all(reply.json()["error"]["code"] == "engine_full" for reply in refused)
    assert {reply.status_code for reply in replies} == {200, 503}
    assert ask(http).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_the_writing_stops_when_the_client_leaves(
    http: httpx.Client, url: str, engine: Engine, stream: bool
) -> None:
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({**ASK, "max_tokens": 1000, "stream": stream, "temperature": 1, "seed": 5})
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\n"
            + f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        until(lambda: running(engine) == 1)
        if stream:
            assert b"200 OK" in connection.recv(100)
        [writing] = [one for batch in engine._loaded.values() for one in batch._written] or [None]
    left = time.monotonic()
    until(lambda: running(engine) == 0)
    assert time.monotonic() - left < 1.0
    if writing:
        assert writing.generation.finish_reason == "cancelled"
        assert writing.generation.completion_tokens < 900


def test_other_requests_are_answered_at_once_while_it_writes(
    http: httpx.Client, url: str, engine: Engine
) -> None:
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json={**ASK, "max_tokens": 1000, "stream": True}
    ) as reply:
        next(reply.iter_lines())
        waits = []
        for _ in range(10):
            began = time.monotonic()
            assert http.get("/healthz").json() == {"status": "ok"}
            waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 0.5
    until(lambda: running(engine) == 0)


def test_events_end_with_the_reason_and_done(http: httpx.Client) -> None:
    with http.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        chunks = events(reply)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert not any("usage" in chunk for chunk in chunks)


def test_a_large_body_is_refused_announced_or_not(http: httpx.Client) -> None:
    large = json.dumps({**ASK, "user": "x" * LARGEST_BODY}).encode()
    headers = {"content-type": "application/json"}
    announced = http.post("/v1/chat/completions", content=large, headers=headers)
    parts = (large[n : n + 65536] for n in range(0, len(large), 65536))
    unannounced = http.post("/v1/chat/completions", content=parts, headers=headers)
    assert (announced.status_code, unannounced.status_code) == (413, 413)
    assert unannounced.json()["error"]["code"] == "body_too_large"


def test_without_a_key_only_this_machine_may_be_the_host(http: httpx.Client) -> None:
    assert http.get("/healthz", headers={"host": "evil.example"}).status_code == 403
    assert http.get("/v1/models", headers={"host": "localhost:1234"}).status_code == 200


def test_with_a_key_every_route_but_the_probe_asks_for_it(engine: Engine, tmp_path: Path) -> None:
    settings = from_environment(
        {"LLMTWIN_HOME": str(tmp_path), "LLMTWIN_ENGINE_KEY": "Ünlocked", "LLMTWIN_BASE_MODEL": "/"}
    )
    with serving(create_engine(settings)) as url, httpx.Client(base_url=url) as http:
        for key in (None, "", "Bearer", "Bearer wrong", "Basic x", "Bearer Ünlocked extra"):
            headers = {"authorization": key.encode()} if key is not None else {}
            assert http.get("/v1/models", headers=headers).status_code == 401
            assert http.post("/v1/chat/completions", json=ASK, headers=headers).status_code == 401
            assert http.get("/nothing", headers=headers).status_code == 401
        right = {"authorization": "Bearer Ünlocked".encode()}
        assert http.get("/v1/models", headers=right).json() == {"object": "list", "data": []}
        assert http.get("/healthz", headers={"host": "twin.example"}).status_code == 200


def test_settings_without_a_key_serve_this_machine(tmp_path: Path) -> None:
    settings = replace(from_environment({"LLMTWIN_HOME": str(tmp_path)}), base_model="/nowhere")
    with serving(create_engine(settings)) as url:
        assert httpx.get(f"{url}/v1/models").json()["data"] == []
