"""Language models behind an OpenAI-compatible URL: our own engine, vLLM, a llama.cpp server, or a
cloud.

It sends chats and reads what is written, piece by piece; what a chat is about it does not know.
What only some engines tell (the window's size, the version that answered) is used where it is told.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from llmtwin_assets.serving.engine_replies import NO_CHUNK, pieces, raise_for, whole
from llmtwin_assets.serving.language_models import (
    ITEM,
    EngineRefusedError,
    Options,
    Writing,
    down,
)
from resources.errors import LlmTwinError

CONNECT, BETWEEN_PIECES = 5.0, 300.0  # seconds; a busy engine lets a request wait its turn
CONNECTIONS = 512
MODELS_KEPT = 30.0  # seconds that a list of models is believed


@dataclass
class _Known:
    """The engine's list of models, when it was asked for, and who is asking again."""

    models: dict[str, Any] = field(default_factory=dict)
    at: float = float("-inf")
    refresh: "asyncio.Task[Any] | None" = None


class EngineClient:
    """``LanguageModels`` behind a URL such as ``http://127.0.0.1:8001/v1``. One per event loop."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._base = httpx.URL(url.rstrip("/"))
        self._headers = {
            "host": self._base.netloc.decode("ascii"),
            "accept-encoding": "identity",
            "content-type": "application/json",
            **_credentials(self._base, key),
        }
        # The transport alone: a client's redirects, cookies and hooks double what a request costs.
        self._http = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=32),
            trust_env=False,
        )
        self._known = _Known()

    async def close(self) -> None:
        """Close every connection."""
        if self._known.refresh:
            self._known.refresh.cancel()
        await self._http.aclose()

    async def models(self) -> dict[str, Any]:
        """id -> what the engine says about a model, asked now; raises ``EngineDownError`` and
        ``EngineRefusedError``."""
        async with self._reply("GET", "/models", None, CONNECT) as stream:
            try:
                listed = json.loads(await whole(stream))["data"]
                self._known.models = {str(model["id"]): model for model in listed}
            except httpx.TransportError as error:
                raise down() from error
            except (KeyError, *NO_CHUNK) as error:
                raise EngineRefusedError(
                    ITEM, "its engine lists no models", "Look at LLMTWIN_ENGINE_URL"
                ) from error
        self._known.at = time.monotonic()
        return self._known.models

    async def window(self, model: str) -> int | None:
        """Tokens that fit ``model``, or None when the engine does not say. What was said before is
        used at once and asked for again beside the request."""
        if time.monotonic() - self._known.at > MODELS_KEPT:
            if not self._known.models:
                await self._look()
            elif self._known.refresh is None or self._known.refresh.done():
                self._known.refresh = asyncio.create_task(self._look())
        size = self._known.models.get(model, {}).get("max_model_len")
        return size if isinstance(size, int) and size > 0 else None

    async def _look(self) -> None:
        try:
            await self.models()
        except LlmTwinError:
            # Some engines list nothing; whether it is down shows when it is asked to write.
            self._known.at = time.monotonic() - MODELS_KEPT + 1

    @asynccontextmanager
    async def write(
        self, model: str, chat: Sequence[Mapping[str, str]], options: Options
    ) -> AsyncIterator[Writing]:
        """Let a model answer a chat. Leaving the context closes the connection, which stops the
        engine. Raises ``EngineDownError``, ``EngineBusyError``, ``ModelNotServedError``,
        ``PromptTooLongError`` and ``EngineRefusedError`` before the first piece; the pieces may
        raise ``EngineDownError``."""
        body = {"model": model, "messages": list(chat), **options.chosen(), "stream": True}
        body["stream_options"] = {"include_usage": True}
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        async with self._reply("POST", "/chat/completions", content, BETWEEN_PIECES) as stream:
            writing = Writing(pieces=_nothing())
            writing.pieces = pieces(stream, writing)
            yield writing

    @asynccontextmanager
    async def _reply(
        self, method: str, path: str, content: bytes | None, patience: float
    ) -> AsyncIterator[AsyncIterable[bytes]]:
        """The body of a reply with status 200; leaving the context closes the connection unless it
        was read to its end."""
        url = self._base.copy_with(path=self._base.path.rstrip("/") + path)
        waits = {"connect": CONNECT, "pool": CONNECT, "read": patience, "write": patience}

        async def send() -> httpx.Response:
            request = httpx.Request(
                method, url, headers=self._headers, content=content, extensions={"timeout": waits}
            )
            return await self._http.handle_async_request(request)

        try:
            response = await self._sent_twice(send)
        except httpx.TransportError as error:
            raise down() from error
        stream = cast("httpx.AsyncByteStream", response.stream)
        try:
            await raise_for(response.status_code, stream)
            yield stream
        finally:
            await stream.aclose()

    async def _sent_twice(self, send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """The reply; tried again when a kept connection turns out to be closed, for example because
        the engine was restarted."""
        try:
            return await send()
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await send()


def _credentials(url: httpx.URL, key: str | None) -> dict[str, str]:
    """The header that opens the engine: a key, or the name and password of its URL."""
    if key:
        return {"authorization": f"Bearer {key}"}
    if url.userinfo:
        both = f"{url.username}:{url.password}".encode()
        return {"authorization": "Basic " + base64.b64encode(both).decode("ascii")}
    return {}


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""
