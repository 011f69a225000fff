"""What happened in each request: one trace, with spans, handed to a sink in the background.

Whoever answers a question calls ``begin``, ``span`` and ``finish``; none of them waits or raises.
One daemon thread masks the traces and gives them to the sink. When the sink fails, hangs or is
too slow, traces are dropped and counted, and answers never notice.
"""

import hashlib
import logging
import math
import numbers
import os
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from llmtwin_assets import masking
from resources.errors import LlmTwinError
from resources.tracing import TraceSink

ROOM = 1_000  # traces that wait for the sink before new ones are dropped
QUIET = 60.0  # seconds between two warnings
PATIENCE = 5.0  # seconds that closing waits for the sink
FIELDS = ("version", "model", "tokens_in", "tokens_out")
OURS = {"id", "author", "variant", "started", "version", "outcome", "passages"}  # never masked

log = logging.getLogger(__name__)


class Monitor:
    """Traces on their way to a sink; one per process. ``sample`` is the share, from 0 to 1, of the
    twins' answers that is flagged for the evaluation set. ``dropped`` counts what was lost."""

    def __init__(self, sink: TraceSink, sample: float = 0.0, room: int = ROOM) -> None:
        self.dropped = 0
        self._sink = sink
        self._sample = sample
        self._secrets = masking.secrets_in(os.environ)
        self._lock = threading.Lock()
        self._warned = float("-inf")
        self._closed = False
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(maxsize=room)
        self._writer = threading.Thread(target=self._write, name="traces", daemon=True)
        self._writer.start()

    def begin(self, author: str, variant: str, question: str) -> "Trace":
        """The trace of a request that starts now; ``variant`` is ``twin`` or ``base``."""
        return Trace(self._take, author, variant, question)

    def masked(self, value: Any) -> Any:
        """A text, or whatever holds texts, as it may be stored: without secrets and personal
        data."""
        return masking.mask_all(value, self._secrets)

    def close(self, patience: float = PATIENCE) -> None:
        """Hand over what is waiting, for at most ``patience`` seconds; what is left is dropped.
        Traces that finish later are dropped too."""
        until = time.monotonic() + patience
        with self._lock:
            self._closed = True
        try:
            self._queue.put(None, timeout=patience)
        except queue.Full:
            pass
        else:
            self._writer.join(max(until - time.monotonic(), 0.0))
        if self._writer.is_alive():
            left = sum(trace is not None for trace in self._emptied())
            self._drop(left, "the sink did not take them in time")

    def _take(self, trace: dict[str, Any]) -> None:
        why = ""
        with self._lock:
            if self._closed:
                why = "the monitor is closed"
            else:
                try:
                    self._queue.put_nowait(trace)
                except queue.Full:
                    why = "the sink is too slow"
        if why:
            self._drop(1, why)

    def _emptied(self) -> Iterator[dict[str, Any] | None]:
        """What was waiting; the writer is told to end after what it is at."""
        try:
            while True:
                yield self._queue.get_nowait()
        except queue.Empty:
            self._queue.put_nowait(None)

    def _write(self) -> None:
        while (trace := self._queue.get()) is not None:
            try:
                self._sink.write(self._shown(trace))
            except LlmTwinError as error:
                self._drop(1, str(error))
            except Exception as error:
                self._drop(1, type(error).__name__)

    def _shown(self, trace: dict[str, Any]) -> dict[str, Any]:
        """The trace as it may be stored: plain values, masked texts."""
        wanted = trace["variant"] == "twin" and trace["outcome"] == "ok"
        plain = _plain({**trace, "passages": _passages(trace["passages"])})
        shown = {
            name: value if name in OURS else self.masked(value) for name, value in plain.items()
        }
        return {**shown, "sampled": wanted and is_sampled(trace["id"], self._sample)}

    def _drop(self, count: int, why: str) -> None:
        with self._lock:
            self.dropped += count
            now = time.monotonic()
            silent = count == 0 or now - self._warned < QUIET
            self._warned = self._warned if silent else now
        if not silent:
            log.warning("Traces are lost, %d so far: %s", self.dropped, why)


class Trace:
    """One request. Attributes are counts, names and versions, never a passage's text."""

    def __init__(
        self, take: Callable[[dict[str, Any]], None], author: str, variant: str, question: str
    ) -> None:
        self.id = new_id()
        self._take = take
        self._began = time.perf_counter()
        self._head = {
            "id": self.id,
            "author": author,
            "variant": variant,
            "started": datetime.now(UTC).isoformat(timespec="microseconds"),
            "question": question,
        }
        self._spans: list[dict[str, Any]] = []
        self._finished = False

    @contextmanager
    def span(self, name: str) -> Iterator[dict[str, Any]]:
        """Time one step; what is put into the mapping is kept as the step's attributes."""
        attributes: dict[str, Any] = {}
        start = time.perf_counter()
        try:
            yield attributes
        except BaseException as error:
            attributes["error"] = type(error).__name__
            raise
        finally:
            self._spans.append(
                {
                    "name": name,
                    "start": round(start - self._began, 6),
                    "seconds": round(time.perf_counter() - start, 6),
                    "attributes": attributes,
                }
            )

    def finish(self, answer: str, outcome: str, **attributes: Any) -> None:
        """Hand the trace over; ``outcome`` is ``ok``, ``refused``, ``failed`` or ``left``.

        ``version``, ``model``, ``tokens_in``, ``tokens_out`` and ``passages`` (records or mappings
        with ``number``, ``chunk_id`` and ``score``) have their own places, the rest is kept as
        ``attributes``. Only the first call counts.
        """
        if self._finished:
            return
        self._finished = True
        passages = attributes.pop("passages", ())
        self._take(
            {
                **self._head,
                **{name: attributes.pop(name, None) for name in FIELDS},
                "seconds": round(time.perf_counter() - self._began, 6),
                "answer": answer,
                "outcome": outcome,
                "passages": passages,
                "spans": list(self._spans),
                "attributes": attributes,
            }
        )


def is_sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is in an evaluation set that takes this share of all: by its id alone."""
    digest = hashlib.sha256(trace_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def new_id() -> str:
    """A UUID of version 7: ordered by time, the form that Opik wants (RFC 9562)."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def _passages(passages: Iterable[Any]) -> list[dict[str, Any]]:
    """Of records or mappings, what is no text."""
    return [
        {
            name: item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
            for name in ("number", "chunk_id", "score")
        }
        for item in passages
    ]


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it: numbers of other libraries as ours, no number where there is
    none, and what is neither number nor text nor collection as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return str(value).encode("utf-8", "replace").decode("utf-8")  # half a character is none
