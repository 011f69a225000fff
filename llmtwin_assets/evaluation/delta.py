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
from typing import TYPE_CHECKING

from llmtwin_assets.evaluation.languages import FUNCTION_WORDS, commonest, count_of
from llmtwin_assets.evaluation.writers import AUTHOR, Writers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


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

    @classmethod
    def fit(cls, writers: Writers, n: int = FUNCTION_WORDS) -> "Delta":
        """Profiles of the author and of the others over their ``n`` commonest function words."""
        counts = {AUTHOR: count_of(writers.author)}
        counts |= {name: count_of(writers.others[name]) for name in sorted(writers.others)}
        common = commonest(list(counts.values()), writers.language, n)
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
        )

    def distance(self, text: str) -> dict[str, float]:
        """Delta of ``text`` to every writer, the nearest first. An empty text is far from all."""
        scores = self._scores(_shares([count_of([text])], self.words)[0])
        pairs = zip(self.names, abs(self.profiles - scores).mean(axis=1).tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: (pair[1], pair[0])))

    def plane(self, texts: Mapping[str, str]) -> dict[str, tuple[float, float]]:
        """Where writers and ``texts`` lie on the two main axes of the writers' z-scores (principal
        components), each coordinate divided by the root of the number of words. Distances on the
        plane are a shadow of Delta, not Delta."""
        import numpy as np

        axes = np.linalg.svd(self.profiles, full_matrices=False)[2][:2]
        axes *= np.sign(axes.sum(axis=1, keepdims=True)) + (axes.sum(axis=1, keepdims=True) == 0)
        placed = dict(zip(self.names, self.profiles, strict=True))
        shares = _shares([count_of([text]) for text in texts.values()], self.words)
        placed |= dict(zip(texts, self._scores(shares), strict=True))
        size = len(self.words) ** 0.5
        return {
            name: (float(axes[0] @ row / size), float(axes[1] @ row / size))
            for name, row in placed.items()
        }

    def _scores(self, shares: "Vector") -> "Vector":
        scores: Vector = (shares - self.mean) / self.spread
        return scores


def _shares(counts: Sequence[Counter[str]], common: Sequence[str]) -> "Vector":
    """Each text's share of each word: (texts, words)."""
    import numpy as np

    rows = [[count[word] / max(count.total(), 1) for word in common] for count in counts]
    return np.array(rows, dtype=float).reshape(len(counts), len(common))
