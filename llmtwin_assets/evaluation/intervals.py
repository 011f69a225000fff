"""Values with intervals: jackknives over prompts (Efron and Stein 1981), by Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.9


@dataclass(frozen=True)
class Score:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def plain(self) -> dict[str, float]:
        """As JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def interval(value: float, without: Sequence[float], level: float = LEVEL) -> Score:
    """The jackknife's interval from the figure with each prompt left out, by Student's t."""
    count = len(without)
    mean = sum(without) / count
    error = math.sqrt((count - 1) / count * sum((each - mean) ** 2 for each in without))
    reach = error * student(count - 1, level)
    return Score(value, value - reach, value + reach)


def student(freedom: int, level: float = LEVEL) -> float:
    """By how many standard errors an interval of a mean reaches to each side."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))
