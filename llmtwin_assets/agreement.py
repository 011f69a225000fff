"""How sure a share is, and how far several judges agree. What was judged is not known here."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

Z = 1.645  # of a two-sided 90 % interval
Distance = Callable[[float, float], float]


def share(values: Sequence[float]) -> dict[str, float]:
    """A share with Wilson's 90 % interval (E. B. Wilson 1927) and the count it rests on; ``values``
    are 0 to 1, one at least."""
    count, mean = len(values), sum(values) / len(values)
    middle = (mean + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = Z * math.sqrt(mean * (1 - mean) / count + Z * Z / (4 * count**2)) / (1 + Z * Z / count)
    return {
        "value": round(mean, 3),
        "low": round(max(middle - reach, 0.0), 3),
        "high": round(min(middle + reach, 1.0), 3),
        "pairs": count,
    }


def nominal(one: float, other: float) -> float:
    """0 for the same verdict, 1 for another."""
    return float(one != other)


def interval(one: float, other: float) -> float:
    """The squared difference of two marks."""
    return (one - other) ** 2


def agreement(
    units: Sequence[Sequence[float | None]], distance: Distance = nominal
) -> dict[str, Any] | None:
    """The share of equal verdicts over all pairs of judges, and Krippendorff's alpha (K.
    Krippendorff 2004, ch. 11): 1 is full agreement, 0 what chance would give.

    ``units`` are the things judged, each with what every judge said of it (None: nothing). Alpha is
    None where all verdicts are the same, since chance would give them too. None where no unit has
    two verdicts.
    """
    known = [[value for value in unit if value is not None] for unit in units]
    known = [unit for unit in known if len(unit) > 1]
    if not known:
        return None
    equal = [one == other for unit in known for one, other in combinations(unit, 2)]
    everything = [value for unit in known for value in unit]
    count = len(everything)
    observed = sum(2 * _spread(unit, distance) / (len(unit) - 1) for unit in known) / count
    expected = 2 * _spread(everything, distance) / (count * (count - 1))
    return {
        "units": len(known),
        "equal": round(sum(equal) / len(equal), 3),
        "alpha": round(1 - observed / expected, 3) if expected else None,
    }


def _spread(values: Sequence[float], distance: Distance) -> float:
    return sum(distance(one, other) for one, other in combinations(values, 2))
