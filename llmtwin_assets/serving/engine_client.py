"""Language models behind an OpenAI-compatible URL: our own engine, vLLM, a llama.cpp server, or a
cloud.

It sends chats and reads what is written, piece by piece; what a chat is about it does not know.
What only some engines tell (the window's size, the version that answered) is used where it is told.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import httpx

from resources.errors import LlmTwinError

CONNECT, BETWEEN_PIECES = 5.0, 300.0  # seconds; a busy engine lets a request wait its turn
CONNECTIONS = 512
MODELS_KEPT = 30.0  # seconds that a list of models is believed
LONGEST_ERROR = 20_000  # bytes of an error's body that are read
ITEM = "the language model"
COUNTS = {
    "prompt_tokens": (
        "n_prompt_tokens",
        re.compile(
            r"(?:has|contains|resulted in|\()(?: at least)? ?(\d+) (?:input |in the m|tokens)"
        ),
    ),
    "max_model_len": ("n_ctx", re.compile(r"maximum context length (?:is|of) (\d+)")),
}


class EngineDownError(LlmTwinError):
    """The engine cannot be reached, or broke off."""


class EngineRefusedError(LlmTwinError):
    """The engine answered with an error that another try would not change."""


class ModelNotServedError(EngineRefusedError):
    """The engine runs but has no model of this name."""


class EngineBusyError(LlmTwinError):
    """The engine takes no more requests at the moment."""


class PromptTooLongError(LlmTwinError):
    """The engine counted more tokens than its window has. ``prompt_tokens`` and ``window`` are None
    where it does not say."""

    prompt_tokens: int | None = None
    window: int | None = None


@dataclass(frozen=True)
class Options:
    """How to write. None leaves the choice to the engine."""

    max_tokens: int = 160
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def chosen(self) -> dict[str, Any]:
        """The options by name, without those left to the engine."""
        chosen = asdict(self) | {"stop": self.stop or None}
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass
class Writing:
    """What a model writes. The text comes by ``pieces``; the rest is complete when that ends.

    ``version`` is what the engine calls the weights that answered; token counts are None where the
    engine does not count.
    """

    pieces: AsyncIterator[str]
    version: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class LanguageModels(Protocol):
    """What the answers need of an engine, near or far."""

    async def window(self, model: str) -> int | None:
        """Tokens that a model reads and writes at most, or None when that is not known."""

    def write(
        self, model: str, chat: Sequence[Mapping[str, str]], options: Options
    ) -> AbstractAsyncContextManager[Writing]:
        """Let a model answer a chat; leaving the context stops it."""


@dataclass
class _Known:
    """The engine's list of models, when it was asked for, and who is asking again."""

    models: dict[str, Any] = field(default_factory=dict)
    at: float = float("-inf")
    refresh: "asyncio.Task[Any] | None" = None


class EngineClient:
    """``LanguageModels`` behind a URL such as ``http://127.0.0.1:8001/v1``. One per event loop."""

    def __init__(self, url: str, key: str | None = None) -> None:
        # Its own log line names the URL, which may hold a password.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(BETWEEN_PIECES, connect=CONNECT, pool=CONNECT),
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
        request = self._http.build_request("GET", "models", timeout=CONNECT)
        response = await self._send(request)
        try:
            await _raise_for(response)
            listed = json.loads(await response.aread())["data"]
            self._known.models = {str(model["id"]): model for model in listed}
        except httpx.TransportError as error:
            raise _down() from error
        except (ValueError, KeyError, TypeError) as error:
            raise EngineRefusedError(
                ITEM, "its engine lists no models", "Look at LLMTWIN_ENGINE_URL"
            ) from error
        finally:
            await response.aclose()
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
        request = self._http.build_request("POST", "chat/completions", json=body)
        response = await self._send(request)
        try:
            await _raise_for(response)
            writing = Writing(pieces=_nothing())
            writing.pieces = _pieces(response, writing)
            yield writing
        finally:
            await response.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request, stream=True)
        except httpx.RemoteProtocolError:
            pass  # a kept connection that the engine closed, for example when it was restarted
        except httpx.TransportError as error:
            raise _down() from error
        try:
            return await self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise _down() from error


async def _nothing() -> AsyncIterator[str]:
    return
    yield ""


async def _pieces(response: httpx.Response, writing: Writing) -> AsyncIterator[str]:
    """Text of the server-sent events, noting the rest on ``writing``."""
    ended = False
    try:
        async for line in response.aiter_lines():
            if not line.startswith("data:"):
                continue
            data = line[5:].strip()
            ended = ended or data == "[DONE]"
            piece = "" if ended else _read_chunk(data, writing)
            if piece:
                yield piece
    except (httpx.TransportError, ValueError) as error:
        raise _down("its engine broke off") from error
    if not ended:
        raise _down("its engine broke off")


def _read_chunk(data: str, writing: Writing) -> str:
    chunk = json.loads(data)
    if not isinstance(chunk, dict) or chunk.get("error"):
        raise ValueError("not a chunk")
    writing.version = chunk.get("system_fingerprint") or writing.version
    usage = chunk.get("usage") or {}
    for name in ("prompt_tokens", "completion_tokens"):
        if isinstance(usage.get(name), int):
            setattr(writing, name, usage[name])
    for choice in chunk.get("choices") or []:
        writing.finish_reason = choice.get("finish_reason") or writing.finish_reason
        return (choice.get("delta") or {}).get("content") or ""
    return ""


async def _raise_for(response: httpx.Response) -> None:
    """Nothing for a 200; otherwise the error that the engine's answer means."""
    status = response.status_code
    if status == 200:
        return
    error = await _error_of(response)
    if status == 404:
        raise ModelNotServedError(ITEM, "its engine does not have it", "Load it into the engine")
    if status in (400, 413, 422) and _says_too_long(error):
        raise too_long(_count(error, "prompt_tokens"), _count(error, "max_model_len"))
    if status in (401, 403):
        raise EngineRefusedError(ITEM, "its engine wants another key", "Set LLMTWIN_ENGINE_KEY")
    if status in (429, 503) and error.get("code") != "model_broken":
        raise EngineBusyError(ITEM, "its engine is busy or still loading", "Try again in a moment")
    if status >= 500:
        raise _down(f"its engine failed (status {status})")
    raise EngineRefusedError(
        ITEM, f"its engine refused the request (status {status})", "Look at the engine's log"
    )


async def _error_of(response: httpx.Response) -> dict[str, Any]:
    body = b""
    try:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > LONGEST_ERROR:
                break
        found = json.loads(body)
        found = found.get("error", found)
        return found if isinstance(found, dict) else {"message": str(found)}
    except (httpx.TransportError, ValueError, AttributeError):
        return {}


def _says_too_long(error: Mapping[str, Any]) -> bool:
    """OpenAI's and our code; llama.cpp's type; vLLM says it only in the message."""
    kinds = (error.get("code"), error.get("type"))
    message = str(error.get("message", "")).lower()
    return (
        "context_length_exceeded" in kinds
        or "exceed_context_size_error" in kinds
        or "context length" in message
        or "context size" in message
    )


def _count(error: Mapping[str, Any], name: str) -> int | None:
    """A count of an error: ours are fields, llama.cpp's are fields of other names, and vLLM and
    OpenAI write them into the message."""
    other, sentence = COUNTS[name]
    value = error.get(name, error.get(other))
    if isinstance(value, int):
        return value
    found = sentence.search(str(error.get("message", "")))
    return int(found[1]) if found else None


def _down(problem: str = "its engine does not answer") -> EngineDownError:
    return EngineDownError(ITEM, problem, "See that the engine runs, then try again")


def too_long(prompt_tokens: int | None, window: int | None) -> PromptTooLongError:
    """A prompt of so many tokens where so many fit."""
    error = PromptTooLongError(
        "the prompt", "it is longer than the model reads", "Ask a shorter question"
    )
    error.prompt_tokens, error.window = prompt_tokens, window
    return error
