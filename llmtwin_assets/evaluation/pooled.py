"""How far texts are from an author's habits, for habits that are rates: of function words (Burrows'
Delta), of punctuation and sentence lengths (rhythm). Rates of short texts are luck, so the texts of
a set are counted together.

A habit is a numerator and a denominator per text, which add up over texts; its value is turned into
a z-score over the writers, and the distance is the mean absolute difference from the author's
z-scores (Burrows 2002). What the habits are is said by the function that counts them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmtwin_assets.evaluation.languages import word_counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

Counts = Mapping[str, tuple[float, float]]  # habit -> (numerator, denominator)
Count = Callable[[str], Counts]


@dataclass(frozen=True)
class Pooled:
    """An author's habits in z-scores over writers. Arrays are ``(habits,)``; ``most`` is by how
    many spreads one habit can differ: further out, rare habits would decide alone."""

    count: Count
    habits: tuple[str, ...]
    mean: "Vector"
    spread: "Vector"
    author: "Vector"
    most: float

    @classmethod
    def fit(
        cls,
        count: Count,
        author: Sequence[str],
        others: Mapping[str, Sequence[str]],
        most: float = math.inf,
    ) -> "Pooled":
        """The author's z-scores over the ``others`` and the author; habits in which all writers are
        alike are left out."""
        import numpy as np

        habits = tuple(count(""))
        rows = [table(count, texts) for texts in [author, *others.values()]]
        rates = np.array([_rates(*(each.sum(axis=0) for each in row)) for row in rows])
        spread = rates.std(axis=0)
        used = np.flatnonzero(spread > 0)
        mean, spread = rates.mean(axis=0)[used], spread[used]
        return cls(
            count=lambda text: _chosen(count(text), habits, used.tolist()),
            habits=tuple(habits[index] for index in used),
            mean=mean,
            spread=spread,
            author=(rates[0][used] - mean) / spread,
            most=most,
        )

    def prepare(self, texts: Sequence[str]) -> tuple["Vector", "Vector"]:
        """Numerators and denominators, each ``(texts, habits)``."""
        return table(self.count, texts)

    def nearness(self, prepared: tuple["Vector", "Vector"], rows: Sequence[int]) -> float:
        """Minus the distance of the texts in ``rows``, counted together."""
        return -float(abs(self.differences(prepared, rows)).clip(max=self.most).mean())

    def differences(self, prepared: tuple["Vector", "Vector"], rows: Sequence[int]) -> "Vector":
        """By how many spreads each habit of the texts exceeds the author's: ``(habits,)``."""
        above, below = (each[list(rows)].sum(axis=0) for each in prepared)
        found: Vector = (_rates(above, below) - self.mean) / self.spread - self.author
        return found


def shares_of(vocabulary: Sequence[str]) -> Count:
    """Counts how often each of these words stands in a text, and the text's words."""

    def count(text: str) -> dict[str, tuple[float, float]]:
        found = word_counts(text)
        total = sum(found.values())
        return {word: (found.get(word, 0), total) for word in vocabulary}

    return count


def table(count: Count, texts: Sequence[str]) -> tuple["Vector", "Vector"]:
    """Numerators and denominators of every habit in every text: two of ``(texts, habits)``."""
    import numpy as np

    rows = [list(count(text).values()) for text in texts]
    both = np.array(rows, dtype=float).reshape(len(texts), len(count("")), 2)
    return both[:, :, 0], both[:, :, 1]


def _rates(above: "Vector", below: "Vector") -> "Vector":
    import numpy as np

    rates: Vector = above / np.maximum(below, 1.0)
    return rates


def _chosen(counts: Counts, habits: Sequence[str], used: Sequence[int]) -> Counts:
    return {habits[index]: counts[habits[index]] for index in used}
