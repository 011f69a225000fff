"""The share of good answers from a few that people labelled and many that only a model judged.

The mean of the labels is unbiased and rough, the mean of a model's predictions is smooth and may be
wrong everywhere. Prediction-powered inference corrects the second by what the first shows of its
error, and leans on the model only as far as it deserves (A. N. Angelopoulos, J. C. Duchi and T.
Zrnic 2023, PPI++, arXiv 2311.01453, for a mean): a model that is worth nothing costs next to
nothing. What was labelled, and by whom, is not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmtwin_assets.evaluation.intervals import student

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
LEAST_LABELLED = 10  # below that no interval means anything


@dataclass(frozen=True)
class Estimate:
    """A share with its interval; ``weight`` is how far the model was leaned on, 0 to 1."""

    value: float
    low: float
    high: float
    weight: float


def prediction_powered(
    labels: Sequence[float],
    predicted: Sequence[float],
    unlabelled: Sequence[float],
    level: float = LEVEL,
) -> Estimate:
    """The mean label in the population that both samples were drawn from.

    ``labels`` are 0 or 1, ``predicted`` what a model thinks of the same answers (0 to 1),
    ``unlabelled`` what it thinks of others. Labels are few and shares often near 0 or 1, so the
    interval is the paper's with Student's t and with two more good and two more bad labels, of
    which the model knew nothing (as A. Agresti and B. Coull 1998 do for a plain share). Raises
    ``ValueError`` under two labels.
    """
    import numpy as np

    known, guessed = np.asarray(labels, float), np.asarray(predicted, float)
    others = np.asarray(unlabelled, float)
    weight = _weight(known, guessed, others)
    rest = known - weight * guessed
    doubts = np.array([1.0, 1.0, 0.0, 0.0]) - weight * guessed.mean()
    doubted = np.concatenate([rest, doubts])
    base = weight * others.mean() if weight else 0.0
    smooth = weight**2 * others.var(ddof=1) / len(others) if weight else 0.0
    error = float(np.sqrt(smooth + doubted.var(ddof=1) / len(doubted)))
    reach = student(len(known) - 1, level) * error
    value, middle = float(base + rest.mean()), float(base + doubted.mean())
    low, high = max(min(middle - reach, value), 0.0), min(max(middle + reach, value), 1.0)
    return Estimate(min(max(value, 0.0), 1.0), low, high, weight)


def classical(labels: Sequence[float], level: float = LEVEL) -> Estimate:
    """The same from the labels alone."""
    return prediction_powered(labels, [0.0] * len(labels), [], level)


def _weight(
    known: "NDArray[np.float64]", guessed: "NDArray[np.float64]", others: "NDArray[np.float64]"
) -> float:
    """What makes the interval shortest (equation 8 of the paper), between 0 and 1."""
    import numpy as np

    if len(known) < 2:
        raise ValueError("one label has no spread")
    if len(others) < 2:
        return 0.0
    spread = np.concatenate([guessed, others]).var(ddof=1)
    if not spread:
        return 0.0
    together = np.cov(known, guessed)[0, 1]
    return float(np.clip(together / ((1 + len(known) / len(others)) * spread), 0.0, 1.0))
