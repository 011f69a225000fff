"""The engine over HTTP, as OpenAI's chat completions: what every client library speaks.

``create_engine`` builds the app; it knows chats and models, nothing of authors' texts. Without a
key it answers only requests that name this machine as their host.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmtwin_assets.serving.engine import (
    BrokenModelError,
    ChatRefusedError,
    ContextTooLongError,
    Engine,
    EngineClosedError,
    EngineFailedError,
    EngineFullError,
    Generation,
    Options,
    UnknownModelError,
)
from llmtwin_assets.serving.guard import host_name, is_loopback
from llmtwin_assets.serving.refusals import body as error_body
from llmtwin_assets.settings import Settings
from resources.errors import LlmTwinError

KEY = "LLMTWIN_ENGINE_KEY"
LARGEST_BODY = 1_000_000  # bytes; a window of tokens is a hundredth of it
UNFORESEEN = (500, "internal_error")
RETRY_AFTER = "2"  # seconds
log = logging.getLogger(__name__)

# status and code of each refusal
REFUSALS: dict[type[LlmTwinError], tuple[int, str]] = {
    UnknownModelError: (404, "model_not_found"),
    ContextTooLongError: (400, "context_length_exceeded"),
    ChatRefusedError: (422, "malformed"),
    EngineFullError: (503, "engine_full"),
    BrokenModelError: (503, "model_broken"),
    EngineClosedError: (503, "engine_stopped"),
    EngineFailedError: (503, "engine_failed"),
}


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a surrogate pair") from error
    return text


Text = Annotated[str, AfterValidator(_unicode)]


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]

    def plain(self) -> dict[str, str]:
        """The message as a chat template reads it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(BaseModel):
    """What a stream holds beside text."""

    include_usage: bool = False


Stop = Annotated[Text, Field(min_length=1, max_length=200)]


class ChatRequest(BaseModel):
    """The body of a request; what is not listed here is ignored, as OpenAI's clients expect."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: Annotated[Text, Field(min_length=1, max_length=200)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=200)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=8)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None

    def options(self) -> Options:
        """How to write; absent fields get the engine's defaults."""
        given = {
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ()),
        }
        return Options(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


def create_engine(settings: Settings) -> FastAPI:
    """The app that serves the twins and the base model of ``settings``."""
    from resources import base_model
    from resources.artifacts import open_artifacts

    engine = Engine(
        open_artifacts(settings.artifacts_url),
        lambda: base_model.resolve(settings.base_model, settings.models),
    )
    return app_of(engine, settings.engine_key)


def app_of(engine: Engine, key: str = "") -> FastAPI:
    """The app around an engine, which it closes when it stops. With a key every route but
    ``/healthz`` asks for it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(engine.close)

    app = FastAPI(
        title="LLM Twin engine", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.add_middleware(Door, key=key)
    _add_errors(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        found = await asyncio.to_thread(engine.models)
        return {
            "object": "list",
            "data": [
                {
                    "id": model.id,
                    "object": "model",
                    "created": model.created,
                    "owned_by": "llm-twin",
                    "version": model.version,
                    "max_model_len": model.max_model_len,
                }
                for model in found
            ],
        }

    @app.post("/v1/chat/completions")
    async def completions(body: ChatRequest, request: Request) -> Response:
        chat = [message.plain() for message in body.messages]
        generation = await asyncio.to_thread(engine.submit, body.model, chat, body.options())
        reply = Reply(generation, asyncio.create_task(_cancel_when_gone(request, generation)))
        if not body.stream:
            return JSONResponse(await reply.whole())
        pieces = aiter(generation)
        with reply.cancelled_on_error():  # an error before the first piece still has a status
            first = await anext(pieces, None)
        return StreamingResponse(
            reply.stream(first, pieces, body.with_usage),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )

    return app


class Reply:
    """A generation as OpenAI's objects. ``watch`` cancels it when the client leaves."""

    def __init__(self, generation: Generation, watch: "asyncio.Task[None]") -> None:
        self._generation, self._watch = generation, watch
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": generation.model,
            "system_fingerprint": generation.version,
        }

    async def whole(self) -> dict[str, Any]:
        """The answer in one object."""
        with self.cancelled_on_error():
            text = "".join([piece async for piece in self._generation])
        self._watch.cancel()
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": self._generation.finish_reason,
        }
        return {
            **self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()
        }  # fmt: skip

    async def stream(
        self, first: str | None, rest: AsyncIterator[str], with_usage: bool
    ) -> AsyncIterator[bytes]:
        """The answer as server-sent events, from a first piece and those after it."""
        with self.cancelled_on_error():
            try:
                yield self._chunk({"role": "assistant", "content": first or ""})
                async for piece in rest:
                    yield self._chunk({"content": piece})
                yield self._chunk({}, self._generation.finish_reason)
                if with_usage:
                    yield self._event({"choices": [], "usage": self._usage()})
            except LlmTwinError as error:
                yield _event(_told(error))
            yield b"data: [DONE]\n\n"
        self._watch.cancel()

    @contextlib.contextmanager
    def cancelled_on_error(self) -> Any:
        """Stop writing when the reading ends early, by an error or because the client left."""
        try:
            yield
        except BaseException:
            self._generation.cancel()
            self._watch.cancel()
            raise

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._event({"choices": [choice]})

    def _event(self, fields: dict[str, Any]) -> bytes:
        return _event({**self._head, "object": "chat.completion.chunk", **fields})

    def _usage(self) -> dict[str, int]:
        prompt, written = self._generation.prompt_tokens, self._generation.completion_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        }


class Door:
    """Lets in requests that bring the key, or without a key those that name this machine as their
    host; with a body of a reasonable size. Pure ASGI."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["path"], headers)
        if refusal:
            return await refusal(scope, receive, send)
        await self._app(scope, _limited(receive), send)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> Response | None:
        given = headers.get(b"authorization", b"")
        if self._key and path != "/healthz":
            if not hmac.compare_digest(given, f"Bearer {self._key}".encode()):
                return _refusal(401, "invalid_api_key", "A key is needed: Authorization: Bearer …")
        elif not self._key and not is_loopback(_host(headers)):
            return _refusal(403, "host_not_allowed", f"Ask at 127.0.0.1, or set {KEY}")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > LARGEST_BODY:
            return _too_large()
        return None


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST_BODY:
            raise HTTPException(413)
        return message

    return counted


def _host(headers: dict[bytes, bytes]) -> str:
    return host_name(headers.get(b"host", b"").decode("latin-1"))


async def _cancel_when_gone(request: Request, generation: Generation) -> None:
    """Wait for the client to leave; its body was read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    generation.cancel()


def _add_errors(app: FastAPI) -> None:
    """Every error in OpenAI's shape, with a sentence and no internals."""

    @app.exception_handler(LlmTwinError)
    async def refused(_: Request, error: LlmTwinError) -> Response:
        status, _code = REFUSALS.get(type(error), UNFORESEEN)
        headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
        return JSONResponse(_told(error), status, headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        if first["type"] == "json_invalid" or not field:
            return _refusal(422, "malformed", "the body is not a JSON object")
        return _refusal(422, "malformed", f"{field}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        if error.status_code == 413:
            return _too_large()
        if error.status_code == 400:  # FastAPI's answer to bytes that it cannot read
            return _refusal(422, "malformed", "the body is not a JSON object")
        return _refusal(error.status_code, "refused", str(error.detail))

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        log.error("unforeseen", exc_info=error)
        return _refusal(500, UNFORESEEN[1], "internal error")


def _told(error: LlmTwinError) -> dict[str, Any]:
    status, code = REFUSALS.get(type(error), UNFORESEEN)
    told = error_body(status, code, str(error) if type(error) in REFUSALS else "internal error")
    if isinstance(error, ContextTooLongError):
        told["error"]["prompt_tokens"] = error.prompt_tokens
        told["error"]["max_model_len"] = error.max_model_len
    return told


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse(error_body(status, code, message), status)


def _too_large() -> Response:
    return _refusal(413, "body_too_large", f"the body is larger than {LARGEST_BODY} bytes")


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"
