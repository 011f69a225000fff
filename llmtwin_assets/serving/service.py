"""What the routes share: the stores, the engine, the monitor; and one answer from beginning to end,
traced, counted and stopped when the client leaves."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from llmtwin_assets.retrieval.fitting import QuestionTooLongError
from llmtwin_assets.serving.answer import Answer, Ask, answering
from llmtwin_assets.serving.engine_client import EngineClient
from llmtwin_assets.serving.metrics import Metrics
from llmtwin_assets.serving.monitor import Monitor, Trace
from llmtwin_assets.serving.refusals import ApiError
from llmtwin_assets.serving.retriever import Retriever
from llmtwin_assets.serving.twins import Twins
from resources.interactions import Interactions

T = TypeVar("T")
REFUSED = (ApiError, QuestionTooLongError)


@dataclass(frozen=True)
class Service:
    """One API process."""

    twins: Twins
    engine: EngineClient
    retriever: Retriever
    monitor: Monitor
    interactions: Interactions
    metrics: Metrics

    @asynccontextmanager
    async def answer(self, ask: Ask, trace: Trace) -> AsyncIterator[Answer]:
        """An answer, of which the trace and the metrics hear whatever becomes of it."""
        began = time.perf_counter()
        answer: Answer | None = None
        outcome = "failed"
        try:
            async with answering(ask, self.engine, self.retriever, self._span(trace)) as answer:
                answer.on_first = lambda: self.metrics.first_token.observe(
                    time.perf_counter() - began
                )
                yield answer
            outcome = "ok"
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "left"
            raise
        except REFUSED:
            outcome = "refused"
            raise
        finally:
            self._finish(ask, trace, answer, outcome)

    def _finish(self, ask: Ask, trace: Trace, answer: Answer | None, outcome: str) -> None:
        if answer is None:
            return trace.finish("", outcome, model=ask.model)
        read, written = answer.tokens
        self.metrics.tokens.labels("in").inc(read or 0)
        self.metrics.tokens.labels("out").inc(written or 0)
        trace.finish(
            answer.text,
            outcome,
            version=answer.version,
            model=ask.model,
            tokens_in=read,
            tokens_out=written,
            passages=answer.passages,
            notes=answer.notes,
        )

    def _span(self, trace: Trace) -> Callable[[str], Any]:
        @contextmanager
        def span(name: str) -> Any:
            began = time.perf_counter()
            with trace.span(name) as attributes:
                yield attributes
            if name == "retrieval":
                self.metrics.retrieval.observe(time.perf_counter() - began)

        return span


async def beside(function: Callable[..., T], *arguments: Any) -> T:
    """Call something that reads files, beside the event loop."""
    return await asyncio.to_thread(function, *arguments)


async def while_connected(receive: Callable[[], Awaitable[Any]], work: Awaitable[T]) -> T | None:
    """What ``work`` comes to; when the client leaves first it is cancelled, and None."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        leaving.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _left(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
