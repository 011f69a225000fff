"""The measures of style, and whether each may speak of an author: it is tried on pieces of
documents it was not fitted on, against other writers' pieces and a base model's imitation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from llmtwin_assets.evaluation.intervals import LEVEL
from llmtwin_assets.evaluation.languages import function_words
from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.evaluation.pooled import Pooled, shares_of
from llmtwin_assets.evaluation.rhythm import MOST, rhythm
from llmtwin_assets.evaluation.verification import CrossFitted, spread
from llmtwin_assets.evaluation.writers import AUTHOR, Texts, Writers
from llmtwin_assets.features.words import length

PIECE = 400  # words, at most, of the pieces that a measure has to tell apart
PIECES = 18  # of the author, at least, if the text allows pieces of SHORTEST words
SHORTEST = 100
EACH = 6  # pieces of every other writer that are judged in a fold
FOLDS = 3
LEAST_AUC = 0.75  # of every pair of one piece by the author and one by another, three in four

Trial = tuple[list[float], list[float], list[float]]  # nearness of own, others', imitations' pieces


@dataclass(frozen=True)
class Admission:
    """Whether a measure may speak of this author: how well it tells them from other writers and
    from an imitation (area under the ROC curve, 0.5 is chance; None if there was none)."""

    admitted: bool
    others: float | None
    imitation: float | None
    because: str


def measures(writers: Writers, imitations: Texts, seed: int) -> dict[str, Any]:
    """The measures fitted to an author, by name."""
    author, others = writers.author, writers.others
    vocabulary = function_words({AUTHOR: author, **others}, writers.language)
    return {
        "function words": Pooled.fit(shares_of(vocabulary), author, others),
        "verification": CrossFitted.fit(author, others, imitations, frozenset(vocabulary), seed),
        "rhythm": Pooled.fit(rhythm, author, others, MOST),
    }


def admissions(writers: Writers, imitations: Texts, seed: int) -> dict[str, Admission]:
    """Measure -> whether it is admitted. Each piece is scored by a measure that was fitted without
    the document, and without the writer's half, it is from."""
    size = max(SHORTEST, min(PIECE, sum(map(length, writers.author)) // PIECES))
    folds = _folds(writers.author, size)
    imitated = pieces("\n\n".join(text for texts in imitations.values() for text in texts), size)
    found: dict[str, Trial] = {}
    for number, outside in enumerate(folds):
        inside = [text for other, fold in enumerate(folds) if other != number for text in fold]
        halves = {name: _halves(texts, number) for name, texts in writers.others.items()}
        known = Writers(
            inside, {name: half[0] for name, half in halves.items()}, (), writers.language
        )
        judged = (
            spread(_cut(outside, size), PIECES),
            [piece for _, half in halves.values() for piece in spread(_cut(half, size), EACH)],
            spread(imitated, PIECES),
        )
        for name, measure in measures(known, {}, seed).items():
            for scores, texts in zip(found.setdefault(name, ([], [], [])), judged, strict=True):
                prepared = measure.prepare(texts)
                scores += [measure.nearness(prepared, [row]) for row in range(len(texts))]
    return {name: admission(*trial) for name, trial in found.items()}


def admission(own: list[float], others: list[float], imitation: list[float]) -> Admission:
    """Whether a measure is admitted by what it said of these pieces."""
    against = {"other writers": others, "the base model's imitation": imitation}
    areas = {name: _area(own, scores) for name, scores in against.items() if scores}
    weak = [
        f"{name} ({area:.2f})"
        for name, (area, low) in areas.items()
        if area < LEAST_AUC or low <= 0.5
    ]
    return Admission(
        admitted=not weak and bool(areas),
        others=areas.get("other writers", (None,))[0],
        imitation=areas.get("the base model's imitation", (None,))[0],
        because=f"it does not tell the author from {' and '.join(weak)}" if weak else "",
    )


def _area(own: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Area under the ROC curve and the lower end of its interval (Hanley and McNeil 1982)."""
    wins = sum((a > b) + (a == b) / 2 for a in own for b in others)
    m, n = len(own), len(others)
    if not m or not n:
        return 0.5, 0.0
    area = wins / (m * n)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(max(variance, 0.0) / (m * n))
    return area, area - reach


def _folds(author: Sequence[str], size: int) -> list[list[str]]:
    """Documents in folds; one document, or two, are cut in blocks of their own first."""
    documents = [text for text in author if text.strip()]
    if len(documents) < 3:
        whole = "\n\n".join(documents)
        documents = pieces(whole, max(size, length(whole) // FOLDS))
    count = min(FOLDS, len(documents))
    return [documents[start::count] for start in range(count)]


def _halves(texts: Sequence[str], number: int) -> tuple[list[str], list[str]]:
    """Every other document to fit on, the rest to judge; the sides change with ``number``. A single
    document is cut in two."""
    documents = list(texts)
    if len(documents) < 2:
        documents = pieces(documents[0], max(1, -(-length(documents[0]) // 2))) or documents
    return documents[number % 2 :: 2] or documents, documents[1 - number % 2 :: 2]


def _cut(texts: Sequence[str], size: int) -> list[str]:
    return [piece for text in texts for piece in pieces(text, size)]
