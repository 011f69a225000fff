"""One answer in the making: asked for by one thread or task, written by another, read as it comes.

It knows neither the model nor the queue it waits in.
"""

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from resources.errors import LlmTwinError

SHORTEST = 12  # tokens; a small model sometimes ends after its first clause
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Options:
    """How to write. Without a ``seed`` every answer is another; ``temperature`` 0 takes the
    likeliest token each time. The model may not end before ``min_tokens``."""

    max_tokens: int = 160
    temperature: float = 0.7
    top_p: float = 0.9
    seed: int | None = None
    stop: tuple[str, ...] = ()
    min_tokens: int = SHORTEST


class Generation:
    """The pieces of one answer, by ``for`` or ``async for``, by one reader.

    A piece is some text, never half a character. What goes wrong while writing is raised after the
    pieces that came before it. ``finish_reason`` is set at the end: ``stop`` when the model ended
    or a stop string came, ``length`` when there was no more room, ``cancelled``.
    """

    def __init__(self, model: str, version: str, prompt: list[int], options: Options) -> None:
        self.model = model
        self.version = version
        self.prompt = prompt
        self.options = options
        self.completion_tokens = 0
        self.finish_reason: FinishReason | None = None
        self.cancelled = False
        self._items: queue.SimpleQueue[str | LlmTwinError | None] = queue.SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        self._over = False

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt)

    def cancel(self) -> None:
        """Nobody reads any more: the writing stops before its next token."""
        self.cancelled = True

    def put(self, text: str) -> None:
        """The writer's next piece."""
        self._give(text)

    def finish(self, reason: FinishReason) -> None:
        """The writer's last word."""
        self.finish_reason = reason
        self._give(None)

    def fail(self, error: LlmTwinError) -> None:
        """What the writer cannot go on from; the reader gets it as an exception."""
        self._give(error)

    def __iter__(self) -> Iterator[str]:
        while not self._over:
            piece = self._opened(self._items.get())
            if piece is not None:
                yield piece

    async def __aiter__(self) -> AsyncIterator[str]:
        news, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = lambda: _call(loop, news.set)
        while not self._over:
            news.clear()
            with contextlib.suppress(queue.Empty):
                while not self._over:
                    piece = self._opened(self._items.get_nowait())
                    if piece is not None:
                        yield piece
            if not self._over:
                await news.wait()

    def _give(self, item: str | LlmTwinError | None) -> None:
        self._items.put(item)
        self._wake()

    def _opened(self, item: str | LlmTwinError | None) -> str | None:
        if isinstance(item, str):
            return item
        self._over = True
        if item is not None:
            raise item
        return None


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: its reader is gone
        loop.call_soon_threadsafe(function)
