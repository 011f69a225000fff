"""Both processes as they are: the API, our own engine with a small model, the official client."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llmtwin_assets.serving.api import create_api
from llmtwin_assets.serving.engine_api import create_engine
from llmtwin_assets.serving.in_process import ask_here
from llmtwin_assets.serving.keys import create_key
from llmtwin_assets.settings import Settings
from llmtwin_assets_tests.serving.conftest import UNLIMITED
from llmtwin_assets_tests.serving.world import free_port, serving

QUESTION = "What would you say of the lantern and the harbour?"


@pytest.fixture(scope="module")
def url(world: Settings) -> Iterator[str]:
    settings = replace(world, engine_key="an-engine-key")
    with (
        serving(create_engine(settings)) as engine,
        serving(create_api(world, f"{engine}/v1", "an-engine-key", rate=UNLIMITED)) as api,
    ):
        yield api


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def asked(text: str = QUESTION) -> Any:
    return [{"role": "user", "content": text}]


def test_the_service_gets_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while httpx.get(f"{url}/readyz", timeout=60).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_stream_and_a_whole_answer_of_one_seed_are_the_same(client: openai.OpenAI) -> None:
    how: Any = {"model": "ada", "messages": asked(), "seed": 5, "max_tokens": 30}
    whole: Any = client.chat.completions.create(**how)
    chunks: list[Any] = list(
        client.chat.completions.create(**how, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert "\n\nSources:\n[1] Essay" in text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 30
    assert whole.choices[0].finish_reason == "length"
    assert whole.system_fingerprint == "ada-v1"
    assert [c["number"] for c in whole.citations] == [1, 2, 3]


def test_the_base_model_answers_the_same_prompt(client: openai.OpenAI) -> None:
    replies: list[Any] = [
        client.chat.completions.create(model=m, messages=asked(), seed=5, max_tokens=20)
        for m in ("ada", "ada:base")
    ]
    # In this world the twins are copies of the base model.
    texts = [reply.choices[0].message.content for reply in replies]
    assert texts[0] == texts[1]
    assert replies[1].system_fingerprint not in (None, "ada-v1")


def test_a_long_prompt_is_fitted_to_the_engine_s_window(client: openai.OpenAI) -> None:
    history = [{"role": r, "content": "la " * 50} for _ in range(20) for r in ("user", "assistant")]
    reply: Any = client.chat.completions.create(
        model="ada", messages=[*history, *asked()], max_tokens=30
    )
    assert any("oldest turns were left out" in note for note in reply.notes)
    assert reply.usage.prompt_tokens + 30 <= 1024
    dense = "4 7 1 9 ? ! " * 40  # more tokens than one would think
    reply = client.chat.completions.create(
        model="ada", messages=[*history, *asked(dense)], max_tokens=30
    )
    assert reply.usage.prompt_tokens + 30 <= 1024
    with pytest.raises(openai.APIStatusError, match=r"Ask in at most [\d,]+ characters") as refused:
        client.chat.completions.create(model="ada", messages=asked("why so? " * 900))
    assert refused.value.status_code == 413


def test_errors_come_through(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="zoe", messages=asked())
    with pytest.raises(openai.InternalServerError, match="make twin AUTHOR=nobody-yet"):
        client.chat.completions.create(model="nobody-yet", messages=asked())


def test_a_client_that_leaves_frees_the_engine(client: openai.OpenAI) -> None:
    how: Any = {"model": "ada", "messages": asked(), "max_tokens": 400, "stream": True}
    for _ in range(20):
        with client.chat.completions.create(**how) as stream:
            next(iter(stream))
    began = time.monotonic()
    client.chat.completions.create(model="ada", messages=asked(), max_tokens=5)
    assert time.monotonic() - began < 20  # 20 answers of 400 tokens would take minutes


def test_a_key_of_the_service_is_the_client_s_key(world: Settings, tmp_path: Path) -> None:
    settings = replace(world, home=tmp_path)
    token, _ = create_key(settings.keys_file, "byron", "b")
    with (
        serving(create_engine(world)) as engine,
        serving(create_api(settings, f"{engine}/v1", rate=UNLIMITED)) as api,
        openai.OpenAI(base_url=f"{api}/v1", api_key=token, max_retries=0) as client,
        openai.OpenAI(base_url=f"{api}/v1", api_key="lt_no", max_retries=0) as stranger,
    ):
        assert [m.id for m in client.models.list()] == ["byron", "byron:base"]
        assert client.chat.completions.create(model="byron", messages=asked(), max_tokens=3)
        with pytest.raises(openai.PermissionDeniedError, match="for another author"):
            client.chat.completions.create(model="ada", messages=asked())
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()


def test_the_command_line_gets_the_same_answer_without_a_server(world: Settings) -> None:
    pieces: list[str] = []
    answer = ask_here(world, "ada", QUESTION, pieces.append)
    assert "".join(pieces) == answer.text
    assert (answer.version, len(answer.passages)) == ("ada-v1", 3)
    assert [c["number"] for c in answer.citations] == [1, 2, 3]


@pytest.mark.slow
def test_a_program_starts_the_service_asks_and_ends_it(world: Settings) -> None:
    command = [sys.executable, "-m", "llmtwin_assets.cli", "serve", "--json", "--port"]
    environment = {
        **os.environ,
        "LLMTWIN_HOME": str(world.home),
        "LLMTWIN_AUTHORS": str(world.authors_file),
        "LLMTWIN_BASE_MODEL": world.base_model,
    }
    with subprocess.Popen(
        [*command, str(free_port())], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=120) as client:
            reply: Any = client.chat.completions.create(model="ada", messages=asked(), max_tokens=9)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert reply.citations
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/healthz")
