"""The API over loopback with an engine that is not ours behind it: what it does with any engine."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llmtwin_assets.serving.api import create_api
from llmtwin_assets.serving.rates import Rate
from llmtwin_assets_tests.serving.conftest import UNLIMITED, Running
from llmtwin_assets_tests.serving.world import AUTHORS, OtherEngine, serving
from resources.embedder import Embedder
from resources.interactions import open_interactions
from resources.vectors import open_vectors

ASKED = [{"role": "user", "content": "What of the lantern?"}]


@pytest.fixture
def client(service: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=service.url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def events(reply: httpx.Response) -> list[Any]:
    lines = [line[6:] for line in reply.text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_the_official_client_gets_an_answer_with_its_sources(
    client: openai.OpenAI, service: Running
) -> None:
    service.engine.usage = True
    reply: Any = client.chat.completions.create(model="ada", messages=ASKED)
    answer, sources = reply.choices[0].message.content.split("\n\nSources:\n")
    assert answer == "The answer is here. "
    assert [line[:4] for line in sources.split("\n")] == ["[1] ", "[2] ", "[3] "]
    assert [c["number"] for c in reply.citations] == [1, 2, 3]
    assert {c["url"] for c in reply.citations} <= {f"https://ada.example/{n}" for n in range(8)}
    assert reply.usage.total_tokens == 10
    assert reply.choices[0].finish_reason == "stop"
    assert reply.system_fingerprint == "ada-v1"
    assert reply.notes == []
    assert reply.trace_id


def test_a_stream_joins_to_the_same_answer(client: openai.OpenAI, service: Running) -> None:
    first = service.ask(retrieval=True).json()["citations"][0]["text"].split(". ")[0]
    service.engine.pieces = [*(f"{first}. But no. Done [2] now [9]. ")]
    whole: Any = client.chat.completions.create(model="ada", messages=ASKED)
    stream = client.chat.completions.create(
        model="ada", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks: list[Any] = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert text.startswith(f"{first}. [1] But no. Done [2] now. ")
    last = [chunk for chunk in chunks if chunk.choices][-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.citations == whole.citations
    assert [c["cited"] for c in last.citations] == [True, True, False]
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_list_of_models_is_openai_s(client: openai.OpenAI) -> None:
    listed: list[Any] = list(client.models.list())
    assert [m.id for m in listed][:4] == ["ada", "ada:base", "byron", "byron:base"]
    assert (listed[0].name, listed[0].version) == ("Ada Writer", "ada-v1")
    again = list(client.models.list())
    assert [m.created for m in again] == [m.created for m in listed]


def test_errors_are_the_official_client_s(client: openai.OpenAI, service: Running) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="there is none of this id"):
        create(model="zoe", messages=ASKED)
    with pytest.raises(openai.UnprocessableEntityError, match="messages"):
        create(model="ada", messages=[])
    with pytest.raises(openai.APIStatusError) as refused:
        create(model="ada", messages=[{"role": "user", "content": "x" * 8001}])
    assert (refused.value.status_code, refused.value.code) == (413, "question_too_long")
    service.engine.fails = 500
    with pytest.raises(openai.InternalServerError, match="its engine failed") as failed:
        create(model="ada", messages=ASKED)
    assert "SECRET" not in str(failed.value)
    with pytest.raises(openai.InternalServerError):
        create(model="ada", messages=ASKED, stream=True)


def test_an_engine_that_breaks_off_is_an_error_in_the_stream(
    client: openai.OpenAI, service: Running
) -> None:
    service.engine.breaks = True
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.chat.completions.create(model="ada", messages=ASKED, stream=True))
    with pytest.raises(openai.InternalServerError, match="broke off"):
        client.chat.completions.create(model="ada", messages=ASKED)


def test_author_and_base_get_the_same_prompt(service: Running) -> None:
    service.ask(seed=3, temperature=0.5, max_tokens=20)
    service.ask(model="ada:base", seed=3, temperature=0.5, max_tokens=20)
    twin, base = service.engine.asked
    assert (twin.pop("model"), base.pop("model")) == ("ada", "base")
    assert twin == base
    assert (twin["seed"], twin["temperature"], twin["max_tokens"]) == (3, 0.5, 20)
    assert twin["messages"][0]["content"] == "You are Ada Writer. Write in your own voice."
    assert "[1] Essay" in twin["messages"][1]["content"]
    assert service.engine.keys == ["Bearer engine-key"] * 2


def test_a_conversation_is_kept_without_the_old_sources(service: Running) -> None:
    earlier = service.ask().json()["choices"][0]["message"]["content"]
    messages = [
        {"role": "system", "content": "Answer in one line."},
        {"role": "user", "content": [{"type": "text", "text": "What of it?"}]},
        {"role": "assistant", "content": earlier.replace("here.", "here. [1]")},
        {"role": "user", "content": "And the harbour?"},
    ]
    service.ask(messages=messages)
    sent = service.engine.asked[-1]["messages"]
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "user"]
    assert sent[1]["content"] == "What of it?"
    assert sent[2]["content"] == "The answer is here."
    assert sent[3]["content"].endswith("\n\nAnswer in one line.\n\nAnd the harbour?")


def test_a_request_may_do_without_passages(service: Running) -> None:
    reply = service.ask("Write about rivers.", retrieval=False).json()
    assert reply["citations"] == []
    assert "Sources" not in reply["choices"][0]["message"]["content"]
    assert service.engine.asked[-1]["messages"][1]["content"] == "Write about rivers."


def test_sources_may_stay_out_of_the_text(service: Running) -> None:
    reply = service.ask(sources_in_text=False).json()
    assert reply["choices"][0]["message"]["content"] == "The answer is here. "
    assert len(reply["citations"]) == 3


def test_a_prompt_that_the_engine_finds_too_long_is_cut_and_sent_once_more(
    service: Running,
) -> None:
    service.engine.longest = 2000  # characters, of which it says that they are so many tokens
    reply = service.ask().json()
    assert len(service.engine.asked) == 2
    assert len(reply["notes"]) == 1
    assert reply["notes"][0].endswith("shortened to fit.")
    service.engine.longest = 20
    refused = service.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "question_too_long")


def test_a_prompt_that_is_still_too_long_is_refused(service: Running) -> None:
    service.engine.longest, service.engine.counts = 20, False
    refused = service.ask()
    assert len(service.engine.asked) == 2
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"


def test_rag_answers_in_its_own_shape(service: Running) -> None:
    reply = service.http.post("/rag", json={"query": "What of it?", "author": "ada"})
    assert reply.json().keys() == {"answer", "citations", "trace_id", "version", "notes"}
    assert reply.json()["version"] == "ada-v1"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_engine(service: Running, stream: bool) -> None:
    service.engine.stalls = True
    body = {"model": "ada", "messages": ASKED, "stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=1.0)
    deadline = time.monotonic() + 10
    while service.engine.writing and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (service.engine.writing, service.engine.left) == (0, 1)
    newest = service.http.get("/v1/authors/ada/traces?limit=1").json()["traces"][0]
    assert newest["outcome"] == "left"


def test_what_was_asked_can_be_read_and_rated(service: Running) -> None:
    asked = service.ask("What of the copper kettle?").json()
    of = "/v1/authors/ada"
    rated = service.http.post(
        f"{of}/feedback", json={"trace_id": asked["trace_id"], "rating": 1, "better": "Yes."}
    )
    assert rated.status_code == 201
    trace = service.http.get(f"{of}/traces/{asked['trace_id']}").json()
    assert trace["question"] == "What of the copper kettle?"
    assert [span["name"] for span in trace["spans"]] == ["retrieval", "prompt", "generation"]
    newest = service.http.get(f"{of}/traces").json()["traces"][0]
    assert (newest["id"], newest["rating"]) == (asked["trace_id"], 1)
    for other in ("byron", "ada"):
        wrong = asked["trace_id"] if other == "byron" else "no-such"
        reply = service.http.post(
            f"/v1/authors/{other}/feedback", json={"trace_id": wrong, "rating": 1}
        )
        assert reply.status_code == 404
        assert service.http.get(f"/v1/authors/{other}/traces/{wrong}").status_code == 404


def test_a_better_answer_is_kept_without_personal_data(service: Running) -> None:
    asked = service.ask("What of the copper kettle?").json()
    better = "Ask Byron, byron@example.com, who has it."
    body = {"trace_id": asked["trace_id"], "rating": -1, "better": better}
    assert service.http.post("/v1/authors/ada/feedback", json=body).status_code == 201
    kept = open_interactions(service.settings.interactions_url).feedback("ada")[-1]
    assert (kept["trace_id"], kept["rating"]) == (asked["trace_id"], -1)
    assert kept["better"].startswith("Ask Byron, [")
    assert "example.com" not in kept["better"]


@pytest.mark.parametrize("file", ["current.json", "ada-v1/manifest.json"])
@pytest.mark.parametrize(
    "content", ["{", "[]", '{"digest": "ada-v1"}', '{"facts": {}, "files": {}}']
)
def test_a_damaged_record_is_told_and_loses_no_other_author(
    service: Running, file: str, content: str
) -> None:
    record = service.settings.home / "artifacts" / "ada" / "endpoint" / file
    whole = record.read_bytes()
    record.write_text(content)
    try:
        listed = {model["id"] for model in service.http.get("/v1/models").json()["data"]}
        assert "byron" in listed
        assert "ada" not in listed
        reply = service.ask()
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "damaged_record")
        assert str(service.settings.home) not in reply.text
        assert service.ask(model="byron").status_code == 200
    finally:
        record.write_bytes(whole)


def test_an_author_s_card_report_and_documents(service: Running) -> None:
    card = service.http.get("/v1/authors/ada").json()
    assert (card["name"], card["version"], card["documents"]) == ("Ada Writer", "ada-v1", 8)
    assert card["report"] == {"style gain (Delta)": 0.5}
    report = service.http.get("/v1/authors/ada/report")
    assert report.text == "<h1>The twin of ada</h1>"
    assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    passage = service.ask().json()["citations"][0]
    document = service.http.get(f"/v1/authors/ada/documents/{passage['document_id']}").json()
    assert document["text"][passage["start"] : passage["end"]] == passage["text"]
    assert service.http.get("/v1/authors/ada/documents/byron-1").status_code == 404


def test_the_model_reads_the_passage_around_what_was_found(service: Running) -> None:
    citations = service.ask().json()["citations"]
    prompt = "\n".join(turn["content"] for turn in service.engine.asked[-1]["messages"])
    (hits,) = open_vectors(service.settings.vectors_url).search("ada", ["the lantern"], 100)
    indexed = {hit.id: hit.payload["text"] for hit in hits}
    for citation in citations:
        document = service.http.get(f"/v1/authors/ada/documents/{citation['document_id']}").json()
        assert document["text"][citation["start"] : citation["end"]] == citation["text"]
        assert indexed[citation["chunk_id"]] in citation["text"]
        assert citation["text"] in prompt
    assert any(len(each["text"]) > len(indexed[each["chunk_id"]]) for each in citations)


MALFORMED: list[tuple[Any, str]] = [
    ({"model": "ada"}, "messages"),
    ({"model": "ada", "messages": [{"role": "tool", "content": "x"}]}, "role"),
    ({"model": "ada", "messages": [{"role": "system", "content": "x"}]}, "no message of role"),
    ({"model": "ada", "messages": [{"role": "user", "content": 7}]}, "content"),
    ({"model": "ada", "messages": [{"role": "user", "content": [{"type": "image"}]}]}, "content"),
    ({"model": "ada", "messages": ASKED, "temperature": 9}, "temperature"),
    ({"model": "ada", "messages": ASKED, "max_tokens": 0}, "max_tokens"),
    ({"model": "ada", "messages": ASKED, "n": 2}, "n"),
    ({"model": "ada", "messages": ASKED, "tools": [{}]}, "'tools' is not offered"),
    ({"model": "ada", "messages": ASKED, "seed": 2**70}, "seed"),
    ({"model": "ada", "messages": ASKED, "stop": ["a"] * 5}, "stop"),
    ({"model": "", "messages": ASKED}, "model"),
    ({"model": "ada", "messages": [{"role": "user", "content": "  "}]}, "it is empty"),
    ({"model": "ada", "messages": ASKED, "temperature": float("nan")}, "temperature"),
    ([], "dictionary"),
]


@pytest.mark.parametrize(("body", "says"), MALFORMED)
def test_a_malformed_request_is_told_which_field(service: Running, body: Any, says: str) -> None:
    reply = service.http.post(
        "/v1/chat/completions",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert reply.status_code == 422
    assert says in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "text",
    ['{"a":', "[" * 100_000, '"\\ud800"', "", '{"model": "\\ud800", "messages": []}', "\xff"],
)
def test_what_is_no_json_is_refused(service: Running, text: str) -> None:
    reply = service.http.post(
        "/v1/chat/completions", content=text.encode("latin-1"),
        headers={"content-type": "application/json"},
    )  # fmt: skip
    assert reply.status_code == 422
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_half_a_character_is_refused(service: Running) -> None:
    content = '{"model": "ada", "messages": [{"role": "user", "content": "\\ud800"}]}'
    reply = service.http.post(
        "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
    )
    assert reply.status_code == 422
    assert "half of a character" in reply.json()["error"]["message"]


def test_wrong_addresses_and_methods(service: Running) -> None:
    assert service.http.get("/v1/nothing").status_code == 404
    assert service.http.get("/assets/../api.py").status_code == 404
    assert service.http.get("/assets/%2e%2e%2fapi.py").status_code == 404
    assert service.http.get("/v1/authors/ada/traces?limit=0").status_code == 422
    reply = service.http.delete("/v1/models")
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")


def test_an_author_without_a_twin_says_what_to_do(service: Running) -> None:
    for reply in (service.ask(model="nobody-yet"), service.http.get("/v1/authors/nobody-yet")):
        assert reply.status_code == 503
        assert "make twin AUTHOR=nobody-yet" in reply.json()["error"]["message"]


def test_an_unknown_author_is_not_found_and_creates_nothing(service: Running) -> None:
    def everything(home: Path) -> dict[str, int]:
        return {
            str(path): path.stat().st_mtime_ns
            for path in home.rglob("*")
            if not path.name.startswith("documents.sqlite")
        }

    before = everything(service.settings.home)
    for author in (
        "zoe",
        "..",
        "../ada",
        "ada/../byron",
        "Ada",
        "x" * 90,
        "ada\x00",
        "%2e%2e",
        "ä",
    ):
        assert service.ask(model=author).status_code == 404
        assert service.ask(model=f"{author}:base").status_code == 404
        reply = service.http.post("/rag", json={"query": "x", "author": author})
        assert reply.status_code == 404
    for author in ("zoe", "%2e%2e", "..%2fada", "Ada", "x" * 90, "ada%00"):
        for path in ("", "/report", "/traces", "/traces/x", "/documents/x"):
            assert service.http.get(f"/v1/authors/{author}{path}").status_code == 404
        reply = service.http.post(
            f"/v1/authors/{author}/feedback", json={"trace_id": "x", "rating": 1}
        )
        assert reply.status_code == 404
    assert everything(service.settings.home) == before


def test_the_service_says_whether_it_can_answer(service: Running) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok"}
    deadline = time.monotonic() + 60
    while service.http.get("/readyz").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert service.http.get("/readyz").json() == {"ready": True, "engine": "ok", "twins": 3}


def test_without_an_engine_it_says_so(service: Running) -> None:
    app = create_api(service.settings, "http://127.0.0.1:9/v1", rate=UNLIMITED)
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        reply = http.post("/v1/chat/completions", json={"model": "ada", "messages": ASKED})
        assert reply.status_code == 503
        assert "its engine does not answer" in reply.json()["error"]["message"]
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["engine"]) == (503, "down")


def test_an_author_whose_index_is_missing_is_told_apart(service: Running, tmp_path: Path) -> None:
    settings = replace(service.settings, vectors_url=f"qdrant-edge://{tmp_path}/vectors")
    engine = OtherEngine()
    with (
        serving(engine.app()) as engine_url,
        serving(create_api(settings, engine_url + "/v1", rate=UNLIMITED)) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        reply = http.post("/v1/chat/completions", json={"model": "ada", "messages": ASKED})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "no_index")
        body = {"model": "ada", "messages": ASKED, "retrieval": False}
        assert http.post("/v1/chat/completions", json=body).status_code == 200


def test_too_many_requests_are_told_when_to_come_back(service: Running) -> None:
    app = create_api(service.settings, "http://127.0.0.1:9/v1", rate=Rate(per_minute=6, burst=2))
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        assert [http.get("/v1/models").status_code for _ in range(3)] == [200, 200, 429]
        reply = http.get("/v1/models")
        assert 1 <= int(reply.headers["retry-after"]) <= 10
        assert reply.json()["error"]["type"] == "rate_limit_error"
        assert http.get("/healthz").status_code == 200


def test_metrics_count_without_naming_authors(service: Running) -> None:
    service.engine.usage = True
    service.ask()
    service.http.get("/v1/authors/ada")
    text = service.http.get("/metrics").text
    assert 'llmtwin_requests_total{route="/v1/chat/completions",status="200"}' in text
    assert 'llmtwin_tokens_total{direction="out"}' in text
    assert "llmtwin_first_token_seconds_count" in text
    assert "llmtwin_retrieval_seconds_count" in text
    assert "llmtwin_requests_in_flight 1.0" in text
    for author in ("ada", "byron", "cleo"):
        assert author not in text


class Slow:
    """An embedding model that waits until it may go on."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.started, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def embed(self, texts: list[str]) -> Any:
        self.started.set()
        assert self.go_on.wait(60)
        return self._embedder.embed(texts)


def test_others_are_answered_while_a_search_takes_long(service: Running) -> None:
    engine = OtherEngine()
    with serving(engine.app()) as engine_url:
        app = create_api(service.settings, engine_url + "/v1", rate=UNLIMITED)
        slow = Slow(Embedder(service.settings.embedder))
        app.state.service.retriever._embedder = slow
        with serving(app) as url, ThreadPoolExecutor(1) as pool:
            assert slow.started.wait(60)
            slow.go_on.clear()
            slow.started.clear()
            body = {"model": "ada", "messages": ASKED}
            asked = pool.submit(httpx.post, f"{url}/v1/chat/completions", json=body, timeout=60)
            assert slow.started.wait(60)
            assert httpx.get(f"{url}/healthz").status_code == 200
            assert httpx.get(f"{url}/v1/models").status_code == 200
            assert httpx.post(
                f"{url}/v1/chat/completions", json={**body, "retrieval": False}, timeout=60
            ).is_success
            assert not asked.done()
            slow.go_on.set()
            assert asked.result().is_success


def test_fifty_people_are_answered_at_once(service: Running) -> None:
    def ask(number: int) -> str:
        body = {"model": AUTHORS[number % 3], "messages": ASKED, "retrieval": number % 2 == 0}
        reply = httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=60)
        return str(reply.json()["choices"][0]["message"]["content"]).split("\n")[0]

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(ask, range(50))) == {"The answer is here. "}
    assert len(service.engine.asked) == 50
    assert service.engine.writing == 0
