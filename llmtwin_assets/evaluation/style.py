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
from typing import Any

from llmtwin_assets.evaluation.admission import PIECE, Admission, admissions, measures
from llmtwin_assets.evaluation.intervals import Score, interval
from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.evaluation.verification import spread
from llmtwin_assets.evaluation.writers import StyleNotMeasurableError, Texts, Writers
from llmtwin_assets.features.words import length

ENOUGH = 20_000  # words of another writer: more would cost time and say the same
FEWEST_PROMPTS = 2  # of one, nobody knows how far another would have been from it


class TooFewPromptsError(StyleNotMeasurableError):
    """Systems answered too few prompts for their figures to have intervals."""


@dataclass(frozen=True)
class Scorer:
    """The measures fitted to an author, and whether each is admitted."""

    measures: Mapping[str, Any]
    admissions: Mapping[str, Admission]

    @property
    def admitted(self) -> tuple[str, ...]:
        """Names of the measures that have earned their place."""
        return tuple(name for name in self.measures if self.admissions[name].admitted)

    def compare(self, systems: Mapping[str, Sequence[str]]) -> "Comparison":
        """Systems' texts for the same prompts, in the same order and cut to the same lengths.
        Raises ``TooFewPromptsError``."""
        prompts = len(next(iter(systems.values()), []))
        check_prompts(prompts)
        prepared = {
            name: {system: measure.prepare(texts) for system, texts in systems.items()}
            for name, measure in self.measures.items()
        }
        return Comparison(self.measures, prepared, prompts)


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
        found = self._jackknife(share)
        return found if math.isfinite(found.low) else None

    def _nearness(self, measure: str, system: str, rows: Sequence[int]) -> float:
        found: float = self.measures[measure].nearness(self.prepared[measure][system], rows)
        return found

    def _jackknife(self, figure: Callable[[Sequence[int]], float]) -> Score:
        everything = list(range(self.prompts))
        without = [figure(everything[:row] + everything[row + 1 :]) for row in everything]
        return interval(figure(everything), without)


def fit(writers: Writers, imitations: Texts | None = None, seed: int = 0) -> Scorer:
    """The measures of an author among ``writers``, and whether each is admitted. ``imitations`` are
    texts by models that were asked to write as the author, by model, one per prompt: what they get
    right by imitation alone proves nothing."""
    some = {name: _some(texts) for name, texts in writers.others.items()}
    writers = Writers(writers.author, some, writers.same, writers.language)
    imitations = imitations or {}
    return Scorer(measures(writers, imitations, seed), admissions(writers, imitations, seed))


def check_prompts(prompts: int) -> None:
    """Raises ``TooFewPromptsError`` where systems answered fewer than two."""
    if prompts < FEWEST_PROMPTS:
        raise TooFewPromptsError(
            "held-out prompts",
            f"there are {prompts}, of which nobody can tell how sure a figure is",
            f"Add writing until at least {FEWEST_PROMPTS} passages are held out, or choose a "
            "recipe that asks more prompts",
        )


def _some(texts: Sequence[str]) -> Sequence[str]:
    """At most ``ENOUGH`` words of a writer, in pieces from all over the documents."""
    if sum(map(length, texts)) <= ENOUGH:
        return texts
    return spread([piece for text in texts for piece in pieces(text, PIECE)], ENOUGH // PIECE)
