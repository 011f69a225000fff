"""What an engine answers: pieces of text as server-sent events, or what its error means.

Engines differ in how they say that a prompt is too long; ours, OpenAI's, vLLM's and llama.cpp's
ways are known here. The connection is not.
"""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

import httpx

from llmtwin_assets.serving.language_models import (
    ITEM,
    EngineBusyError,
    EngineRefusedError,
    ModelNotServedError,
    Writing,
    down,
    too_long,
)

LONGEST_ERROR = 20_000  # bytes of an error's body that are read
LONGEST_LINE = 1_000_000  # bytes
NO_CHUNK = (ValueError, TypeError, AttributeError)  # what reading another shape than ours raises
COUNTS = {
    "prompt_tokens": (
        "n_prompt_tokens",
        re.compile(
            r"(?:has|contains|resulted in|\()(?: at least)? ?(\d+) (?:input |in the m|tokens)"
        ),
    ),
    "max_model_len": ("n_ctx", re.compile(r"maximum context length (?:is|of) (\d+)")),
}


async def pieces(stream: AsyncIterable[bytes], writing: Writing) -> AsyncIterator[str]:
    """Text of server-sent events, noting the rest on ``writing``; raises ``EngineDownError`` when
    they stop before their end."""
    ended = False
    try:
        async for line in lines(stream):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            ended = ended or data == b"[DONE]"
            piece = "" if ended else _read_chunk(data, writing)
            if piece:
                yield piece
    except (httpx.TransportError, *NO_CHUNK) as error:
        raise down("its engine broke off") from error
    if not ended:
        raise down("its engine broke off")


async def lines(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Lines of a stream, by line feeds alone: JSON may hold other line separators."""
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LONGEST_LINE:
            raise ValueError("a line without an end")
    yield rest


def _read_chunk(data: bytes, writing: Writing) -> str:
    chunk = json.loads(data)
    if chunk.get("error"):
        raise ValueError("an error instead of a chunk")
    writing.version = chunk.get("system_fingerprint") or writing.version
    usage = chunk.get("usage") or {}
    for name in ("prompt_tokens", "completion_tokens"):
        if isinstance(usage.get(name), int):
            setattr(writing, name, usage[name])
    for choice in chunk.get("choices") or []:
        writing.finish_reason = choice.get("finish_reason") or writing.finish_reason
        return str((choice.get("delta") or {}).get("content") or "")
    return ""


async def whole(stream: AsyncIterable[bytes], most: int = LONGEST_LINE) -> bytes:
    """What a stream holds, up to ``most`` bytes or a little more."""
    body = b""
    async for data in stream:
        body += data
        if len(body) > most:
            break
    return body


async def raise_for(status: int, stream: AsyncIterable[bytes]) -> None:
    """Nothing for a 200; otherwise the error that the engine's answer means."""
    if status == 200:
        return
    error = await _error_of(stream)
    if status == 404:
        raise ModelNotServedError(ITEM, "its engine does not have it", "Load it into the engine")
    if status in (400, 413, 422) and _says_too_long(error):
        raise too_long(_count(error, "prompt_tokens"), _count(error, "max_model_len"))
    if status in (401, 403):
        raise EngineRefusedError(ITEM, "its engine wants another key", "Set LLMTWIN_ENGINE_KEY")
    if status in (429, 503) and error.get("code") != "model_broken":
        raise EngineBusyError(ITEM, "its engine is busy or still loading", "Try again in a moment")
    if status >= 500:
        raise down(f"its engine failed (status {status})")
    raise EngineRefusedError(
        ITEM, f"its engine refused the request (status {status})", "Look at the engine's log"
    )


async def _error_of(stream: AsyncIterable[bytes]) -> dict[str, Any]:
    try:
        found = json.loads(await whole(stream, LONGEST_ERROR))
        found = found.get("error", found)
        return found if isinstance(found, dict) else {"message": str(found)}
    except (httpx.TransportError, *NO_CHUNK):
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
