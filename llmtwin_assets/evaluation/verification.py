"""Did the author write this? A classifier that sees no topic.

Words that are not among the commonest of all writers are masked, letter by letter, before anything
is counted (E. Stamatatos, "Authorship attribution using text distortion", EACL 2017): what is left
is function words, endings' lengths, punctuation. On that, runs of 2 to 4 characters and single
function words, weighted by tf-idf, feed a logistic regression of the author against the other
writers, both sides weighing the same. Its probabilities are calibrated on documents that it was not
fitted on (Platt 1999).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtwin_assets.evaluation.pieces import pieces
from llmtwin_assets.features.words import OTHER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

PIECE = 120  # words that are judged at once
PER_WRITER = 20  # pieces of each other writer, at least: no one of them stands for all
FOREIGN = 240  # pieces of all of them together, where they are few
MOST_AUTHOR = 120  # pieces of the author
FEATURES = 4_000
FOLDS = 3
WORD = re.compile(rf"[{OTHER}]|[^\W\d_{OTHER}]+(?:['’][^\W\d_{OTHER}]+)*|\d")


@dataclass(frozen=True)
class Verifier:
    """A fitted classifier: ``known`` are the words that are not masked, ``slope`` and ``offset``
    turn its decision into a probability."""

    known: frozenset[str]
    vectoriser: Any
    model: Any
    slope: float
    offset: float

    @classmethod
    def fit(
        cls,
        author: Sequence[str],
        others: Mapping[str, Sequence[str]],
        known: frozenset[str],
        seed: int = 0,
    ) -> "Verifier":
        """``author`` and ``others`` are documents; ``known`` are case-folded function words."""
        import numpy as np

        own = [
            (piece, number) for number, text in enumerate(author) for piece in pieces(text, PIECE)
        ]
        own = spread(own, MOST_AUTHOR)
        each = max(PER_WRITER, FOREIGN // max(len(others), 1))
        foreign = [
            piece
            for texts in others.values()
            for piece in spread([p for text in texts for p in pieces(text, PIECE)], each)
        ]
        texts = [mask(text, known) for text in [*(piece for piece, _ in own), *foreign]]
        labels = np.array([1] * len(own) + [0] * len(foreign))
        documents = np.array([number for _, number in own] + [-1] * len(foreign))
        vectoriser = _vectoriser()
        table = vectoriser.fit_transform(texts)
        slope, offset = _platt(table, labels, documents, seed)
        return cls(known, vectoriser, _regression(seed).fit(table, labels), slope, offset)

    def probabilities(self, texts: Sequence[str]) -> list[float]:
        """p(author) of each text: the mean over its pieces. An empty text has 0."""
        import numpy as np

        cut = [pieces(text, PIECE, keep_short=True) for text in texts]
        masked = [mask(piece, self.known) for each in cut for piece in each]
        if not masked:
            return [0.0] * len(texts)
        decisions = self.model.decision_function(self.vectoriser.transform(masked))
        found = iter((1 / (1 + np.exp(-(self.slope * decisions + self.offset)))).tolist())
        return [sum(next(found) for _ in each) / max(len(each), 1) for each in cut]


@dataclass(frozen=True)
class CrossFitted:
    """Verifiers that also know how models imitate the author: the text for prompt ``i`` is judged
    by a verifier that saw imitations for other prompts only."""

    verifiers: Sequence[Verifier]

    @classmethod
    def fit(
        cls,
        author: Sequence[str],
        others: Mapping[str, Sequence[str]],
        imitations: Mapping[str, Sequence[str]],
        known: frozenset[str],
        seed: int = 0,
    ) -> "CrossFitted":
        """``imitations`` are by model, one text per prompt, all in the same order."""
        if not imitations:
            return cls([Verifier.fit(author, others, known, seed)])
        found = []
        for fold in range(FOLDS):
            seen = {
                f"imitation by {name}": [t for row, t in enumerate(texts) if row % FOLDS != fold]
                for name, texts in imitations.items()
            }
            found.append(Verifier.fit(author, {**others, **seen}, known, seed))
        return cls(found)

    def prepare(self, texts: Sequence[str]) -> "Vector":
        """p(author) of the text for each prompt, ``(prompts,)``."""
        import numpy as np

        found = np.zeros(len(texts))
        count = len(self.verifiers)
        for fold, verifier in enumerate(self.verifiers):
            found[fold::count] = verifier.probabilities(texts[fold::count])
        return found

    def nearness(self, prepared: "Vector", rows: Sequence[int]) -> float:
        """Mean p(author) of the texts in ``rows``."""
        return float(prepared[list(rows)].mean())


def mask(text: str, known: frozenset[str]) -> str:
    """``text`` with every word that is not ``known`` replaced by as many asterisks as it has
    letters, and every digit by ``#``."""

    def replaced(match: re.Match[str]) -> str:
        word = match[0]
        if word.isdigit():
            return "#"
        return word if word.casefold().replace("’", "'") in known else "*" * len(word)

    return WORD.sub(replaced, text)


def _vectoriser() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    characters = TfidfVectorizer(
        analyzer="char",
        ngram_range=(2, 4),
        min_df=3,
        max_features=FEATURES,
        sublinear_tf=True,
        lowercase=False,
    )
    single = TfidfVectorizer(token_pattern=r"[^\W\d_]+", use_idf=False, norm="l2")
    return FeatureUnion([("characters", characters), ("words", single)])


def _regression(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, class_weight="balanced", max_iter=2_000, random_state=seed)


def _platt(table: Any, labels: "Vector", documents: "Vector", seed: int) -> tuple[float, float]:
    """Slope and offset from decisions on pieces of documents that were left out."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    count = int(documents.max()) + 1
    folds = min(FOLDS, count)
    if folds < 2:
        return 1.0, 0.0
    fold = np.where(documents >= 0, documents % folds, np.arange(len(documents)) % folds)
    decisions = np.zeros(len(labels))
    for each in range(folds):
        inside, outside = fold != each, fold == each
        if len(set(labels[inside])) < 2 or not outside.any():
            continue
        model = _regression(seed).fit(table[inside], labels[inside])
        decisions[outside] = model.decision_function(table[outside])
    scale = LogisticRegression(class_weight="balanced").fit(decisions[:, None], labels)
    return float(scale.coef_[0, 0]), float(scale.intercept_[0])


def spread(items: list[Any], most: int) -> list[Any]:
    """At most ``most`` of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[index * len(items) // most] for index in range(most)]
