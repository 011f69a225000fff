import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from llmtwin_assets.serving.engine_client import (
    EngineBusyError,
    EngineClient,
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
