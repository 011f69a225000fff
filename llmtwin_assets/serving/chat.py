"""The routes that answer: OpenAI's chat completions, and ``/rag``."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from llmtwin_assets.serving.answer import Answer, Ask
from llmtwin_assets.serving.completions import DONE, Completion, event
from llmtwin_assets.serving.guard import extra_headers
from llmtwin_assets.serving.monitor import Trace
from llmtwin_assets.serving.refusals import as_reply
from llmtwin_assets.serving.service import Service, beside, while_connected
from llmtwin_assets.serving.sources import source_lines
from llmtwin_assets.serving.wire import ChatRequest, RagRequest, check_question, split_model

EVENTS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
Work = Callable[[Send], Awaitable[Response | None]]


class Worked(Response):
    """A reply that is made by a coroutine, which is cancelled when the client leaves: it sends the
    reply itself, or returns it."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do the work and send what it makes."""
        response = await while_connected(receive, self._work(send))
        if response is not None:
            await response(scope, receive, send)


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
            return Worked(lambda _: _whole(service, ask, trace, reply, body))
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

        return Worked(lambda _: _at_once(service, ask, trace, shown))


async def _whole(
    service: Service, ask: Ask, trace: Trace, reply: Completion, body: ChatRequest
) -> Response:
    def shown(answer: Answer) -> dict[str, Any]:
        listed = source_lines(answer.passages) if body.sources_in_text else ""
        return reply.whole(answer, answer.text + listed)

    return await _at_once(service, ask, trace, shown)


async def _at_once(
    service: Service, ask: Ask, trace: Trace, shown: Callable[[Answer], dict[str, Any]]
) -> Response:
    try:
        async with service.answer(ask, trace) as answer:
            async for _ in answer:
                pass
    except Exception as error:
        return refusal(error, trace.id)
    return JSONResponse(shown(answer))


async def _streamed(
    service: Service, ask: Ask, trace: Trace, reply: Completion, body: ChatRequest, send: Send
) -> Response | None:
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
            return refusal(error, trace.id)
        _, told = as_reply(error, trace.id)
        await pass_on(event(told), more=False)
    return None


def refusal(error: Exception, trace_id: str | None = None) -> JSONResponse:
    """The reply that tells a stranger about an error."""
    status, told = as_reply(error, trace_id)
    return JSONResponse(told, status_code=status, headers=extra_headers(error))
