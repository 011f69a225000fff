import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from llmtwin_assets.serving.engine_client import EngineClient
from llmtwin_assets.serving.engine_replies import pieces
from llmtwin_assets.serving.language_models import (
    EngineBusyError,
    EngineDownError,
    EngineRefusedError,
    ModelNotServedError,
    Options,
    PromptTooLongError,
    Writing,
)
from llmtwin_assets_tests.serving.world import OtherEngine, serving

CHAT = [{"role": "user", "content": "What of the lantern?"}]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[OtherEngine, str]]:
    engine = OtherEngine()
    with serving(engine.app()) as url:
        yield engine, url + "/v1"


@pytest.fixture
def engine(address: tuple[OtherEngine, str]) -> OtherEngine:
    address[0].__init__()  # type: ignore[misc]
    return address[0]


async def written(url: str, options: Options | None = None) -> tuple[str, Writing]:
    client = EngineClient(url, "a-key")
    try:
        async with client.write("ada", CHAT, options or Options()) as writing:
            return "".join([piece async for piece in writing.pieces]), writing
    finally:
        await client.close()


def test_any_engine_answers(engine: OtherEngine, address: tuple[OtherEngine, str]) -> None:
    engine.usage = True
    text, writing = asyncio.run(written(address[1], Options(max_tokens=9, stop=("x",))))
    assert text == "The answer is here. "
    assert (writing.finish_reason, writing.version) == ("stop", None)
    assert (writing.prompt_tokens, writing.completion_tokens) == (7, 3)
    assert engine.asked == [
        {
            "model": "ada", "messages": CHAT, "max_tokens": 9, "stop": ["x"], "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]  # fmt: skip
    assert engine.keys == ["Bearer a-key"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, EngineDownError),
        (404, ModelNotServedError),
        (429, EngineBusyError),
        (503, EngineBusyError),
        (401, EngineRefusedError),
        (418, EngineRefusedError),
    ],
)
def test_its_errors_are_told_apart_and_not_repeated_to_others(
    engine: OtherEngine, address: tuple[OtherEngine, str], status: int, error: type[Exception]
) -> None:
    engine.fails = status
    with pytest.raises(error) as refused:
        asyncio.run(written(address[1]))
    assert "SECRET" not in str(refused.value)


def test_how_much_too_long_a_prompt_is_is_read_from_the_message(
    engine: OtherEngine, address: tuple[OtherEngine, str]
) -> None:
    engine.longest = 3
    with pytest.raises(PromptTooLongError) as refused:
        asyncio.run(written(address[1]))
    assert (refused.value.prompt_tokens, refused.value.window) == (len(CHAT[0]["content"]), 3)


def test_a_stream_that_breaks_off_is_no_answer(
    engine: OtherEngine, address: tuple[OtherEngine, str]
) -> None:
    engine.breaks = True
    with pytest.raises(EngineDownError, match="broke off"):
        asyncio.run(written(address[1]))


def test_nobody_listening_is_an_engine_that_is_down() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://someone:hidden@127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(EngineDownError) as refused:
        asyncio.run(written(url))
    assert "hidden" not in str(refused.value)


def test_leaving_stops_the_engine(engine: OtherEngine, address: tuple[OtherEngine, str]) -> None:
    engine.stalls = True

    async def leave() -> str:
        client = EngineClient(address[1])
        async with client.write("ada", CHAT, Options()) as writing:
            first = await anext(aiter(writing.pieces))
        await client.close()
        return first

    assert asyncio.run(leave()) == "The "
    deadline = time.monotonic() + 5
    while engine.writing and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (engine.writing, engine.left) == (0, 1)


def test_connections_are_used_again_and_one_that_was_closed_is_replaced() -> None:
    opened = 0
    reply = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 76\r\n\r\n"
        b'data: {"choices": [{"index": 0, "delta": {"content": "Yes"}}]}\n\n'
    )
    reply = reply.replace(b"76", b"%d" % (len(reply.split(b"\r\n\r\n")[1]) + 14))
    reply += b"data: [DONE]\n\n"

    def serve(listener: socket.socket) -> None:
        nonlocal opened
        for answers in (2, 1):  # the first connection is closed after two
            connection, _ = listener.accept()
            opened += 1
            with connection:
                for _ in range(answers):
                    head = b""
                    while b"\r\n\r\n" not in head or not head.endswith(b"}"):
                        head += connection.recv(65536)
                    connection.sendall(reply)

    async def thrice(url: str) -> list[str]:
        client, texts = EngineClient(url), []
        for _ in range(3):
            async with client.write("ada", CHAT, Options()) as writing:
                texts.append("".join([piece async for piece in writing.pieces]))
            await asyncio.sleep(0.05)
        await client.close()
        return texts

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        assert asyncio.run(thrice(url)) == ["Yes"] * 3
        thread.join(5)
    assert opened == 2


def test_the_window_is_asked_for_once_and_unknown_when_the_engine_does_not_say(
    engine: OtherEngine, address: tuple[OtherEngine, str]
) -> None:
    async def windows() -> list[int | None]:
        client = EngineClient(address[1])
        found = [await client.window("ada") for _ in range(3)]
        await client.close()
        return found

    assert asyncio.run(windows()) == [None] * 3


async def read(*data: bytes) -> tuple[str, Writing]:
    async def stream() -> AsyncIterator[bytes]:
        for part in data:
            yield part

    writing = Writing(pieces=stream())  # type: ignore[arg-type]
    return "".join([piece async for piece in pieces(stream(), writing)]), writing


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def said(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}}])


DONE = b"data: [DONE]\n\n"


def test_a_stream_may_be_cut_anywhere_and_hold_any_character() -> None:
    text = "one\u2028two\x85three — four\n\nfive\x0b"
    data = b": a comment\n\nevent: x\r\n" + said(text).replace(b"\n\n", b"\r\n\r\n") + DONE
    for size in (1, 2, 7, 1000):
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        assert asyncio.run(read(*parts))[0] == text


@pytest.mark.parametrize(
    "wrong",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: 7\n\n",
        event(error={"message": "SECRET"}),
        event(choices=7),
        event(choices=[7]),
        event(choices=[{"delta": 7}]),
        event(usage=[1]),
        b"data: " + b"x" * 1_100_000,
    ],
)
def test_what_is_no_answer_is_an_engine_that_broke_off(wrong: bytes) -> None:
    with pytest.raises(EngineDownError, match="broke off"):
        asyncio.run(read(said("Yes"), wrong, DONE))


def test_an_answer_without_its_end_is_none() -> None:
    with pytest.raises(EngineDownError, match="broke off"):
        asyncio.run(read(said("Yes")))


def test_counts_and_versions_are_taken_where_they_are_told() -> None:
    _, writing = asyncio.run(
        read(
            event(choices=[], system_fingerprint="v7", usage={"prompt_tokens": "many"}),
            event(choices=[{"finish_reason": "length", "delta": {}}], usage=None),
            event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 6}),
            DONE,
        )
    )
    assert (writing.version, writing.finish_reason) == ("v7", "length")
    assert (writing.prompt_tokens, writing.completion_tokens) == (5, 6)


def test_a_name_and_a_password_in_the_url_open_the_engine(
    engine: OtherEngine, address: tuple[OtherEngine, str]
) -> None:
    async def ask(url: str) -> None:
        client = EngineClient(url)
        async with client.write("ada", CHAT, Options()) as writing:
            assert [piece async for piece in writing.pieces]
        await client.close()

    asyncio.run(ask(address[1].replace("//", "//someone:secret@")))
    assert engine.keys == ["Basic " + base64.b64encode(b"someone:secret").decode()]
