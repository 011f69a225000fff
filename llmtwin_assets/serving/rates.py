"""How many requests a caller may make: token buckets. It knows callers by a name only."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

CALLERS = 10_000  # that are counted at a time


@dataclass(frozen=True)
class Rate:
    """How many requests a caller has: so many a minute, and so many at once after a rest."""

    per_minute: float = 60.0
    burst: int = 30


class Buckets:
    """A token bucket per caller; the callers not seen for longest are forgotten first."""

    def __init__(
        self, rate: Rate, clock: Callable[[], float] = time.monotonic, most: int = CALLERS
    ) -> None:
        self._rate, self._clock, self._most = rate, clock, most
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def __len__(self) -> int:
        return len(self._held)

    def take(self, caller: str) -> float:
        """Take one token: 0.0 when there was one, otherwise the seconds until there will be."""
        now, refill = self._clock(), self._rate.per_minute / 60
        tokens, then = self._held.pop(caller, (float(self._rate.burst), now))
        tokens = min(self._rate.burst, tokens + (now - then) * refill)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / refill
        self._held[caller] = (tokens if wait else tokens - 1, now)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return wait
