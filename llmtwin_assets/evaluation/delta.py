"""How far a text's style is from each of several writers: Burrows' Delta.

J. Burrows, "Delta: a measure of stylistic difference and a guide to likely authorship", Literary
and Linguistic Computing 17 (2002) 267-287. The frequencies of the commonest words (mostly function
words, which nobody chooses by topic) are turned into z-scores over the writers; Delta is the mean
absolute difference of two texts' z-scores; 0 is the same profile. With 11 essays of Madison to fit
and the bundled writers, his unseen 8,000 words are at .65, Hamilton's at .81, the others' at 1.0 to
1.6. Short texts look farther from everyone (900 words of Madison: 1.3), so compare texts of like
length only.

Texts come in as strings and figures go out; where either is kept is not known here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, pstdev
from typing import TYPE_CHECKING

from llmtwin_assets.evaluation.languages import language_of, lists
from llmtwin_assets.features.words import EIGHT, ngrams, words
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

AUTHOR = "author"  # the author's name among the writers
FUNCTION_WORDS = 150  # Burrows' own number
ENOUGH_WORDS = 1_000  # of the author: with fewer, rare function words are counted by luck
ENOUGH_WRITERS = 3  # besides the author: z-scores over fewer say nothing
SAME_WRITER = 0.2  # share of common 8-grams from which two names are one person's texts


class TooLittleTextError(LlmTwinError):
    """The author's text is too short to have a measurable style."""


class TooFewWritersError(LlmTwinError):
    """There are too few other writers for z-scores."""


@dataclass(frozen=True)
class Delta:
    """Writers' profiles over the same words, in z-scores, and the scale to put a text on it.

    ``names`` are the writers, ``AUTHOR`` first; ``profiles`` is (writers, words); ``mean`` and
    ``spread`` are (words,), in shares of running text.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    mean: "Vector"
    spread: "Vector"
    profiles: "Vector"
    same: tuple[str, ...]  # reference writers left out because they are the author

    @classmethod
    def fit(
        cls,
        author_texts: Sequence[str],
        others: Mapping[str, Sequence[str]],
        n: int = FUNCTION_WORDS,
    ) -> "Delta":
        """Profiles of the author and of the ``others``, less those who are the author.

        Raises ``TooLittleTextError`` under 1,000 words of the author and ``TooFewWritersError``
        under three other writers.
        """
        check_enough(author_texts, others)
        counts = {AUTHOR: _count(author_texts)}
        same = same_writers(author_texts, others)
        counts |= {name: _count(others[name]) for name in sorted(others) if name not in same}
        _check_writers(len(counts) - 1)
        common = _common(counts, n)
        shares = _shares(list(counts.values()), common)
        mean, spread = shares.mean(axis=0), shares.std(axis=0)
        used = [index for index, width in enumerate(spread) if width > 0]
        mean, spread, shares = mean[used], spread[used], shares[:, used]
        return cls(
            names=tuple(counts),
            words=tuple(common[index] for index in used),
            mean=mean,
            spread=spread,
            profiles=(shares - mean) / spread,
            same=same,
        )

    def distance(self, text: str) -> dict[str, float]:
        """Delta of ``text`` to every writer, the nearest first. An empty text is far from all."""
        scores = self._scores(_shares([_count([text])], self.words)[0])
        pairs = zip(self.names, abs(self.profiles - scores).mean(axis=1).tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: (pair[1], pair[0])))

    def interval(
        self, texts: Sequence[str], seed: int, rounds: int = 500, level: float = 0.9
    ) -> tuple[float, float]:
        """Interval (low, high) around the Delta to the author of all ``texts`` together.

        The value plus and minus the normal quantile times the bootstrap standard error (Efron
        1979, ``rounds`` draws of as many texts with replacement). Percentiles would not do: a draw
        repeats texts, which alone makes it look farther from everyone. The interval errs on the
        wide side: on 900 words of Madison by 1.4.
        """
        import numpy as np

        counted = [_count([text]) for text in texts] or [Counter()]
        table = np.array([[count[word] for word in self.words] for count in counted], dtype=float)
        lengths = np.array([count.total() for count in counted], dtype=float)
        draws = np.random.default_rng(seed).integers(0, len(counted), (rounds, len(counted)))
        draws = np.vstack([np.arange(len(counted)), draws])
        totals = np.maximum(lengths[draws].sum(axis=1), 1)
        scores = self._scores(table[draws].sum(axis=1) / totals[:, None])
        value, *drawn = abs(scores - self.profiles[0]).mean(axis=1).tolist()
        reach = NormalDist().inv_cdf((1 + level) / 2) * pstdev(drawn)
        return max(value - reach, 0.0), value + reach

    def plane(self, texts: Mapping[str, str]) -> dict[str, tuple[float, float]]:
        """Where writers and ``texts`` lie on the two main axes of the writers' z-scores (principal
        components), each coordinate divided by the root of the number of words. Distances on the
        plane are a shadow of Delta, not Delta."""
        import numpy as np

        axes = np.linalg.svd(self.profiles, full_matrices=False)[2][:2]
        axes *= np.sign(axes.sum(axis=1, keepdims=True)) + (axes.sum(axis=1, keepdims=True) == 0)
        placed = dict(zip(self.names, self.profiles, strict=True))
        shares = _shares([_count([text]) for text in texts.values()], self.words)
        placed |= dict(zip(texts, self._scores(shares), strict=True))
        size = len(self.words) ** 0.5
        return {
            name: (float(axes[0] @ row / size), float(axes[1] @ row / size))
            for name, row in placed.items()
        }

    def _scores(self, shares: "Vector") -> "Vector":
        scores: Vector = (shares - self.mean) / self.spread
        return scores


def function_words(
    texts_by_writer: Mapping[str, Sequence[str]], n: int = FUNCTION_WORDS
) -> tuple[str, ...]:
    """The ``n`` commonest function words by their mean share over writers, so that no writer counts
    for more by having written more; ties in alphabetical order. Words of topic, however common, are
    left out by the list of the texts' language; in a language without one, the commonest words that
    most of the writers use stand in."""
    return _common({name: _count(texts) for name, texts in texts_by_writer.items()}, n)


def language(texts: Sequence[str]) -> str | None:
    """The language (ISO 639-1) most of the texts are in; None if there is no list of its words."""
    return language_of(_count(texts))


def same_writers(
    author_texts: Sequence[str], others: Mapping[str, Sequence[str]], share: float = SAME_WRITER
) -> tuple[str, ...]:
    """Names in ``others`` whose texts are the author's: a fifth or more of the 8-grams of the one
    who wrote less stand in the other's. Quotations between two people stay far below that."""
    own = _copies(author_texts)
    return tuple(name for name in sorted(others) if _overlap(own, _copies(others[name])) >= share)


def _copies(texts: Sequence[str]) -> set[int]:
    return {hash(gram) for text in texts for gram in ngrams(words(text), EIGHT)}


def _overlap(one: set[int], other: set[int]) -> float:
    return len(one & other) / max(min(len(one), len(other)), 1)


def _count(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in words(text))


def _common(counts: Mapping[str, Counter[str]], n: int) -> tuple[str, ...]:
    share: dict[str, float] = {}
    for count in counts.values():
        total = max(count.total(), 1)
        for word, times in count.items():
            share[word] = share.get(word, 0.0) + times / total
    listed = lists().get(language_of(share) or "") or _of_most(counts)
    used = [word for word in share if word in listed]
    return tuple(sorted(used, key=lambda word: (-share[word], word))[:n])


def _of_most(counts: Mapping[str, Counter[str]]) -> set[str]:
    """Words that more than half of the writers use: what one alone writes of is left out."""
    users = Counter(word for count in counts.values() for word in count)
    return {word for word, number in users.items() if 2 * number > len(counts)}


def _shares(counts: Sequence[Counter[str]], common: Sequence[str]) -> "Vector":
    """Each text's share of each word: (texts, words)."""
    import numpy as np

    rows = [[count[word] / max(count.total(), 1) for word in common] for count in counts]
    return np.array(rows, dtype=float).reshape(len(counts), len(common))


def check_enough(author_texts: Sequence[str], others: Mapping[str, Sequence[str]]) -> None:
    """Raises ``TooLittleTextError`` under 1,000 words of the author and ``TooFewWritersError``
    under three writers besides."""
    found = sum(len(words(text)) for text in author_texts)
    _check_writers(len(others))
    if found < ENOUGH_WORDS:
        raise TooLittleTextError(
            "the author's text",
            f"{found} words are too few to measure a style by",
            f"Add sources until there are {ENOUGH_WORDS:,} words to train on",
        )


def _check_writers(found: int) -> None:
    if found < ENOUGH_WRITERS:
        raise TooFewWritersError(
            "reference writers",
            f"{found} besides the author are too few to compare with",
            f"Give texts of at least {ENOUGH_WRITERS} other writers of the same language",
        )
