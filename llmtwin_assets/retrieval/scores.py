"""How well a retriever answers questions with known answers: recall, reciprocal rank and nDCG over
the first ten, each with a confidence interval. Indexes and models are not known here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llmtwin_assets.retrieval.questions import Question

FIRST = 10  # passages that are looked at
RESAMPLES = 1_000
MEASURES: Mapping[str, Callable[[int | None], float]] = {
    "recall_at_1": lambda rank: float(rank is not None and rank <= 1),
    "recall_at_5": lambda rank: float(rank is not None and rank <= 5),
    "recall_at_10": lambda rank: float(rank is not None and rank <= FIRST),
    "mrr_at_10": lambda rank: 1 / rank if rank is not None and rank <= FIRST else 0.0,
    # One passage answers, so the best order has a gain of 1 and this is nDCG.
    "ndcg_at_10": lambda rank: (
        1 / math.log2(rank + 1) if rank is not None and rank <= FIRST else 0.0
    ),
}


@dataclass(frozen=True)
class Mean:
    """A mean over questions and its 95 % interval."""

    value: float
    low: float
    high: float


def ranks(
    asked: Sequence[Question], find: Callable[[str], list[tuple[str, str]]]
) -> list[int | None]:
    """For each question the rank (from 1) at which it was answered, or None.

    ``find`` takes a question's text and returns (document id, chunk id) pairs, best first.
    """
    return [rank(question, find(question.text)) for question in asked]


def rank(question: Question, hits: Sequence[tuple[str, str]]) -> int | None:
    """At which rank (from 1) the first of the hits answers, or None."""
    for position, (document_id, chunk_id) in enumerate(hits, start=1):
        if question.answer == (document_id if question.kind == "title" else chunk_id):
            return position
    return None


def score(found: Sequence[int | None]) -> dict[str, Mean]:
    """Every measure of these ranks; zeros without any."""
    return {name: mean([measure(rank) for rank in found]) for name, measure in MEASURES.items()}


def mean(values: Sequence[float], seed: int = 0) -> Mean:
    """The mean, and the interval that holds 95 % of the means of samples drawn from the values
    with replacement (percentile bootstrap, Efron 1979); the same for the same ``seed``."""
    import numpy as np

    if not values:
        return Mean(0.0, 0.0, 0.0)
    given = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(given), (RESAMPLES, len(given)))
    low, high = np.quantile(given[drawn].mean(axis=1), (0.025, 0.975))
    return Mean(float(given.mean()), float(low), float(high))


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds that half, 95 % and 99 % of the searches stayed below."""
    import numpy as np

    if not seconds:
        return {}
    at = np.quantile(np.asarray(seconds), (0.5, 0.95, 0.99)) * 1000
    return {name: round(float(ms), 1) for name, ms in zip(("p50", "p95", "p99"), at, strict=True)}
