"""The routes that answer: OpenAI's chat completions, and ``/rag``."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from llmtwin_assets.serving.answer import Answer, Ask
from llmtwin_assets.serving.citations import source_lines
from llmtwin_assets.serving.guard import extra_headers
from llmtwin_assets.serving.monitor import Trace
from llmtwin_assets.serving.refusals import as_reply
from llmtwin_assets.serving.service import Service, beside, while_connected
from llmtwin_assets.serving.wire import (
    DONE,
    ChatRequest,
    Completion,
    RagRequest,
    check_question,
    event,
    split_model,
)

EVENTS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
Work = Callable[[Send], Awaitable[None]]


class Worked(Response):
    """A reply that is written by a coroutine, which is cancelled when the client leaves."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do the work and send what it makes."""
        await while_connected(receive, self._work(send))


def add_chat_routes(app: FastAPI, service: Service) -> None:
    """``POST /v1/chat/completions`` and ``POST /rag``."""

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        """Answer as an author, or as the base model with the same prompt."""
        author, variant = split_model(body.model)
        _, endpoint = await beside(service.twins.open_serving, request.state.caller, author)
        check_question(body.question)
        ask = Ask(
            author=author,
            name=endpoint.name,
            question=body.question,
            history=body.history,
            instruction=check_question(body.instruction),
            variant=variant,
            version=endpoint.version if variant == "twin" else None,
            retrieval=body.retrieval,
            options=body.options(),
        )
        trace = service.monitor.begin(author, variant, ask.question)
        reply = Completion(body.model, trace.id)
        if not body.stream:
            return Worked(lambda send: _whole(service, ask, trace, reply, body, send))
        return Worked(lambda send: _streamed(service, ask, trace, reply, body, send))

    @app.post("/rag")
    async def rag(request: Request, body: RagRequest) -> Response:
        """One question, one answer with its passages."""
        author, variant = split_model(body.author)
        _, endpoint = await beside(service.twins.open_serving, request.state.caller, author)
        question = check_question(body.query)
        version = endpoint.version if variant == "twin" else None
        ask = Ask(author, endpoint.name, question, variant=variant, version=version)
        trace = service.monitor.begin(author, variant, question)

        def shown(answer: Answer) -> dict[str, Any]:
            return {
                "answer": answer.text,
                "citations": answer.citations,
                "trace_id": trace.id,
                "version": answer.version,
                "notes": answer.notes,
            }

        return Worked(lambda send: _at_once(service, ask, trace, shown, send))


async def _whole(
    service: Service, ask: Ask, trace: Trace, reply: Completion, body: ChatRequest, send: Send
) -> None:
    def shown(answer: Answer) -> dict[str, Any]:
        listed = source_lines(answer.passages) if body.sources_in_text else ""
        return reply.whole(answer, answer.text + listed)

    await _at_once(service, ask, trace, shown, send)


async def _at_once(
    service: Service,
    ask: Ask,
    trace: Trace,
    shown: Callable[[Answer], dict[str, Any]],
    send: Send,
) -> None:
    try:
        async with service.answer(ask, trace) as answer:
            async for _ in answer:
                pass
        response = JSONResponse(shown(answer))
    except Exception as error:
        response = refusal(error, trace.id)
    await response(_NO_SCOPE, _receive_nothing, send)


async def _streamed(
    service: Service, ask: Ask, trace: Trace, reply: Completion, body: ChatRequest, send: Send
) -> None:
    """The answer as server-sent events. A refusal before the first piece is an ordinary reply;
    after it, an event, which OpenAI's clients raise."""
    begun = False

    async def pass_on(data: bytes, more: bool = True) -> None:
        nonlocal begun
        if not begun:
            begun = True
            headers = [(name.encode(), value.encode()) for name, value in EVENTS.items()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data, "more_body": more})

    try:
        async with service.answer(ask, trace) as answer:
            await pass_on(reply.chunk(answer, {"role": "assistant", "content": ""}))
            async for piece in answer:
                await pass_on(reply.chunk(answer, {"content": piece}))
        listed = source_lines(answer.passages) if body.sources_in_text else ""
        if listed:
            await pass_on(reply.chunk(answer, {"content": listed}))
        await pass_on(reply.last(answer))
        if body.stream_options and body.stream_options.include_usage:
            await pass_on(reply.usage(answer))
        await pass_on(DONE, more=False)
    except Exception as error:
        if not begun:
            return await refusal(error, trace.id)(_NO_SCOPE, _receive_nothing, send)
        _, told = as_reply(error, trace.id)
        await pass_on(event(told), more=False)


def refusal(error: Exception, trace_id: str | None = None) -> JSONResponse:
    """The reply that tells a stranger about an error."""
    status, told = as_reply(error, trace_id)
    return JSONResponse(told, status_code=status, headers=extra_headers(error))


_NO_SCOPE: Scope = {"type": "http"}


async def _receive_nothing() -> Any:
    raise RuntimeError("there is nothing to receive")
