"""Does a text sound like the author? Three measures that look at different things, each with an
interval, and each only where it has earned its place.

- ``function words``: distance of function-word rates (Burrows' Delta), texts counted together;
- ``verification``: mean probability, by a classifier that sees no topic, that the author wrote it;
- ``rhythm``: distance of sentence lengths, clause lengths and punctuation.

A measure is admitted for an author if it tells pieces of documents it was not fitted on from
pieces of the other writers, and from a base model's imitation. It is computed as *nearness*: more
is nearer to the author. The style gain of a system is (its nearness - the base model's) / (the
author's unseen text's - the base model's): 0 is the base model, 1 the author. Above 1 is no better
than 1: it is caricature.

Systems are compared on the same prompts, at the same lengths. Intervals are jackknives over prompts
(Efron and Stein 1981): every draw of a bootstrap repeats texts, and rates of repeated texts look
farther from everyone. Texts come in, figures go out; models and files are not known here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from llmtwin_assets.evaluation.delta import (
    AUTHOR,
    FUNCTION_WORDS,
    check_enough,
    function_words,
    language,
    same_writers,
)
from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.evaluation.pooled import Pooled, shares_of
from llmtwin_assets.evaluation.rhythm import MOST, rhythm
from llmtwin_assets.evaluation.verification import CrossFitted, spread

LEVEL = 0.9
PIECE = 400  # words, at most, of the pieces that a measure has to tell apart
PIECES = 18  # of the author, at least, if the text allows pieces of SHORTEST words
SHORTEST = 100
EACH = 6  # pieces of every other writer that are judged in a fold
ENOUGH = 20_000  # words of another writer: more would cost time and say the same
FOLDS = 3
LEAST_AUC = 0.75  # of every pair of one piece by the author and one by another, three in four
EXAMPLES = 8  # habits listed on each side


@dataclass(frozen=True)
class Score:
    """A value with its interval."""

    value: float
    low: float
    high: float

    def plain(self) -> dict[str, float]:
        """As JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Admission:
    """Whether a measure may speak of this author: how well it tells them from other writers and
    from an imitation (area under the ROC curve, 0.5 is chance; None if there was none)."""

    admitted: bool
    others: float | None
    imitation: float | None
    because: str


@dataclass(frozen=True)
class Scorer:
    """The measures fitted to an author. ``same`` are reference writers left out because they are
    the author; ``language`` is None where there is no list of its function words and the commonest
    words stand in for them."""

    measures: Mapping[str, Any]
    admissions: Mapping[str, Admission]
    same: tuple[str, ...]
    language: str | None

    @property
    def admitted(self) -> tuple[str, ...]:
        """Names of the measures that have earned their place."""
        return tuple(name for name in self.measures if self.admissions[name].admitted)

    def compare(self, systems: Mapping[str, Sequence[str]]) -> "Comparison":
        """Systems' texts for the same prompts, in the same order and cut to the same lengths."""
        prepared = {
            name: {system: measure.prepare(texts) for system, texts in systems.items()}
            for name, measure in self.measures.items()
        }
        return Comparison(self.measures, prepared, len(next(iter(systems.values()), [])))


@dataclass(frozen=True)
class Comparison:
    """What several systems wrote for the same ``prompts``, ready to be compared."""

    measures: Mapping[str, Any]
    prepared: Mapping[str, Mapping[str, Any]]
    prompts: int

    def score(self, measure: str, system: str) -> Score:
        """Nearness of a system's texts to the author."""
        return self._jackknife(lambda rows: self._nearness(measure, system, rows))

    def nearer(self, measure: str, system: str, than: str) -> Score:
        """By how much ``system`` is nearer to the author than another: nearness, paired."""
        return self._jackknife(
            lambda rows: self._nearness(measure, system, rows) - self._nearness(measure, than, rows)
        )

    def gain(self, measure: str, system: str, base: str, author: str) -> Score | None:
        """Share of the way from ``base`` to the ``author``'s own unseen text that ``system`` has
        gone; None where the base is as near as that text."""

        def share(rows: Sequence[int]) -> float:
            start = self._nearness(measure, base, rows)
            way = self._nearness(measure, author, rows) - start
            return (self._nearness(measure, system, rows) - start) / way if way else math.nan

        if self.nearer(measure, author, base).low <= 0:
            return None
        return self._jackknife(share)

    def _nearness(self, measure: str, system: str, rows: Sequence[int]) -> float:
        found: float = self.measures[measure].nearness(self.prepared[measure][system], rows)
        return found

    def _jackknife(self, figure: Callable[[Sequence[int]], float]) -> Score:
        everything = list(range(self.prompts))
        value = figure(everything)
        if self.prompts < 2:
            return Score(value, -math.inf, math.inf)
        without = [figure(everything[:row] + everything[row + 1 :]) for row in everything]
        return interval(value, without)


def interval(value: float, without: Sequence[float], level: float = LEVEL) -> Score:
    """The jackknife's interval from the figure with each prompt left out, by Student's t."""
    count = len(without)
    mean = sum(without) / count
    error = math.sqrt((count - 1) / count * sum((each - mean) ** 2 for each in without))
    reach = error * _student(count - 1, level)
    return Score(value, value - reach, value + reach)


def fit(
    author: Sequence[str],
    others: Mapping[str, Sequence[str]],
    imitations: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> Scorer:
    """The measures of the author of these documents, and whether each is admitted.

    ``others`` are documents of other writers. ``imitations`` are texts by models that were asked to
    write as the author, by model, one per prompt: what they get right by imitation alone proves
    nothing. Writers in another language are left out. Raises ``TooLittleTextError`` under 1,000
    words of the author and ``TooFewWritersError`` under three other writers.
    """
    check_enough(author, others)
    spoken = language(author)
    others = {name: texts for name, texts in others.items() if language(texts) in (spoken, None)}
    check_enough(author, others)
    same = same_writers(author, others)
    foreign = {name: _some(texts) for name, texts in others.items() if name not in same}
    imitations = imitations or {}
    measures = _fit(author, foreign, imitations, seed)
    trials = _trials(author, foreign, imitations, seed)
    return Scorer(measures, {name: _admission(*trials[name]) for name in measures}, same, spoken)


def habits(
    author: Sequence[str], others: Mapping[str, Sequence[str]], texts: Mapping[str, str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Function words and habits of rhythm that each text has too much (``over``) or too little
    (``under``) of, against the author: name -> spreads between writers, the largest first. No word
    of topic is among them."""
    vocabulary = function_words({AUTHOR: author, **others}, FUNCTION_WORDS)
    measures = (
        Pooled.fit(shares_of(vocabulary), author, others),
        Pooled.fit(rhythm, author, others, MOST),
    )
    return {name: _habits(measures, text) for name, text in texts.items()}


def _habits(measures: Sequence[Pooled], text: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {"over": {}, "under": {}}
    differences: dict[str, float] = {}
    for measure in measures:
        values = measure.differences(measure.prepare([text]), [0])
        differences |= dict(zip(measure.habits, values.tolist(), strict=True))
    for name, value in sorted(differences.items(), key=lambda item: -abs(item[1])):
        side = found["over" if value > 0 else "under"]
        if len(side) < EXAMPLES:
            side[name] = round(value, 2)
    return found


def _fit(
    author: Sequence[str],
    others: Mapping[str, Sequence[str]],
    imitations: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, Any]:
    vocabulary = function_words({AUTHOR: author, **others}, FUNCTION_WORDS)
    return {
        "function words": Pooled.fit(shares_of(vocabulary), author, others),
        "verification": CrossFitted.fit(author, others, imitations, frozenset(vocabulary), seed),
        "rhythm": Pooled.fit(rhythm, author, others, MOST),
    }


def _trials(
    author: Sequence[str],
    others: Mapping[str, Sequence[str]],
    imitations: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Measure -> nearness of pieces of the author, of others and of imitations, each scored by a
    measure that was fitted without the document, and without the writer's half, it is from."""
    size = _piece_size(author)
    folds = _folds(author, size)
    found: dict[str, tuple[list[float], list[float], list[float]]] = {}
    imitated = pieces("\n\n".join(text for texts in imitations.values() for text in texts), size)
    for number in range(len(folds)):
        inside = [text for other, fold in enumerate(folds) if other != number for text in fold]
        halves = {name: _halves(texts, number) for name, texts in others.items()}
        measures = _fit(inside, {name: half[0] for name, half in halves.items()}, {}, seed)
        judged = (
            spread(_cut(folds[number], size), PIECES),
            [piece for _, half in halves.values() for piece in spread(_cut(half, size), EACH)],
            spread(imitated, PIECES),
        )
        for name, measure in measures.items():
            each = found.setdefault(name, ([], [], []))
            for scores, texts in zip(each, judged, strict=True):
                prepared = measure.prepare(texts)
                scores += [measure.nearness(prepared, [row]) for row in range(len(texts))]
    return found


def _admission(own: list[float], others: list[float], imitation: list[float]) -> Admission:
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


def _piece_size(author: Sequence[str]) -> int:
    total = sum(len(text.split()) for text in author)
    return max(SHORTEST, min(PIECE, total // PIECES))


def _folds(author: Sequence[str], size: int) -> list[list[str]]:
    """Documents in folds; one document, or two, are cut in blocks of their own first."""
    documents = [text for text in author if text.split()]
    if len(documents) < 3:
        whole = "\n\n".join(documents)
        documents = pieces(whole, max(size, len(whole.split()) // FOLDS))
    count = min(FOLDS, len(documents))
    return [documents[start::count] for start in range(count)]


def _halves(texts: Sequence[str], number: int) -> tuple[list[str], list[str]]:
    """Every other document to fit on, the rest to judge; the sides change with ``number``. A single
    document is cut in two."""
    documents = list(texts)
    if len(documents) < 2:
        documents = pieces(documents[0], max(1, -(-len(documents[0].split()) // 2))) or documents
    return documents[number % 2 :: 2] or documents, documents[1 - number % 2 :: 2]


def _cut(texts: Sequence[str], size: int) -> list[str]:
    return [piece for text in texts for piece in pieces(text, size)]


def _some(texts: Sequence[str]) -> list[str]:
    """At most ``ENOUGH`` words of a writer, in pieces from all over the documents."""
    if sum(len(text.split()) for text in texts) <= ENOUGH:
        return list(texts)
    return spread(_cut(texts, PIECE), ENOUGH // PIECE)


def _student(freedom: int, level: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))
