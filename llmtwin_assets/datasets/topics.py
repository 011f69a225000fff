"""What an author writes about, as a few topics, and how well the training data covers them.

Pieces of the documents are clustered by their words (spherical k-means over tf-idf; Dhillon and
Modha, "Concept decompositions for large sparse text data using clustering", 2001), the same way on
every machine: the first centres are the pieces that are furthest from each other. No model is read.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.words import words

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float32]]

PIECE = 200  # words
MOST_PIECES = 2_000  # evenly spaced; more would not show more topics
MOST_TOPICS = 12
VOCABULARY = 2_000  # words
COMMON = 0.5  # share of pieces from which on a word tells no topics apart
SHORTEST = 4  # letters of a word that names a topic
TURNS = 12


@dataclass(frozen=True)
class Topic:
    """``words`` that mark it; how many pieces of the author's text, and rows, are about it; and
    whether any of those pieces stands in a text that rows are from."""

    words: tuple[str, ...]
    pieces: int
    rows: int
    covered: bool


@dataclass(frozen=True)
class _Clusters:
    """Centres (rows of length 1) over the words of ``index`` with their ``weights``; the words that
    mark each; and for every piece its centre and the place of its text."""

    index: dict[str, int]
    weights: "Matrix"
    centres: "Matrix"
    names: list[tuple[str, ...]]
    pieces: list[tuple[int, int]]

    def nearest(self, texts: Sequence[str]) -> list[int]:
        """The centre that each text is about."""
        if not texts:
            return []
        rows = _vectors([words(text) for text in texts], self.index, self.weights)[0]
        found: list[int] = (rows @ self.centres.T).argmax(1).tolist()
        return found


def topics(texts: Sequence[str], answers: Sequence[str], used: Collection[int] = ()) -> list[Topic]:
    """The topics of ``texts``, the largest first, and how many of ``answers`` are about each (both
    counted over at most ``MOST_PIECES``); ``used`` are the places of the texts that rows are from.
    None for texts too short to tell topics apart."""
    found = _clusters(texts)
    if found is None:
        return []
    about = Counter(found.nearest(_evenly(answers)))
    size = Counter(topic for topic, _ in found.pieces)
    covered = {topic for topic, place in found.pieces if place in used}
    made = [
        Topic(name, size[k], about[k], k in covered)
        for k, name in enumerate(found.names)
        if size[k]
    ]
    return sorted(made, key=lambda topic: (-topic.pieces, topic.words))


def labels(texts: Sequence[str], answers: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of the topic, of those of ``texts``, that each of ``answers`` is about; no words
    where there are no topics."""
    found = _clusters(texts)
    if found is None:
        return [()] * len(answers)
    parts = (answers[at : at + MOST_PIECES] for at in range(0, len(answers), MOST_PIECES))
    return [found.names[k] for part in parts for k in found.nearest(part)]


def _clusters(texts: Sequence[str]) -> _Clusters | None:
    """None for texts too short to tell topics apart."""
    cut = _evenly([(place, piece) for place, text in enumerate(texts) for piece in _cut(text)])
    pieces = [piece for _, piece in cut]
    index = _vocabulary(pieces)
    if len(pieces) < 4 or len(index) < 4:
        return None
    matrix, weights = _vectors(pieces, index)
    centres = _centres(matrix, min(MOST_TOPICS, max(2, round(math.sqrt(len(pieces) / 2)))))
    words_of = list(index)
    names = [tuple(words_of[n] for n in centre.argsort()[::-1][:3]) for centre in centres]
    nearest = (matrix @ centres.T).argmax(1).tolist()
    places = [place for place, _ in cut]
    return _Clusters(index, weights, centres, names, list(zip(nearest, places, strict=True)))


def coverage(found: Sequence[Topic]) -> float:
    """The share of the author's pieces whose topic is covered; 1 without topics."""
    whole = sum(topic.pieces for topic in found)
    return sum(topic.pieces for topic in found if topic.covered) / whole if whole else 1.0


def _cut(text: str) -> list[list[str]]:
    found = words(text)
    return [found[begin : begin + PIECE] for begin in range(0, len(found), PIECE)]


def _evenly(items: Sequence[Any]) -> list[Any]:
    count = min(len(items), MOST_PIECES)
    return [items[n * len(items) // count] for n in range(count)]


def _vocabulary(pieces: Sequence[Sequence[str]]) -> dict[str, int]:
    """word -> column, of the words that stand in more than one piece and in few of them."""
    frequency = Counter(word for piece in pieces for word in set(piece) if len(word) >= SHORTEST)
    most = max(2, COMMON * len(pieces))
    telling = [word for word, count in frequency.items() if 2 <= count <= most]
    telling.sort(key=lambda word: (-frequency[word], word))
    return {word: column for column, word in enumerate(telling[:VOCABULARY])}


def _vectors(
    pieces: Sequence[Sequence[str]], index: dict[str, int], weights: Any = None
) -> "tuple[Matrix, Matrix]":
    """The pieces' tf-idf vectors of length 1 (rows), and the words' weights."""
    import numpy as np

    counts = np.zeros((len(pieces), len(index)), np.float32)
    for row, piece in enumerate(pieces):
        for word, count in Counter(piece).items():
            if word in index:
                counts[row, index[word]] = 1 + math.log(count)
    if weights is None:
        weights = np.log(len(pieces) / (counts > 0).sum(0)).astype(np.float32)
    return _unit(counts * weights), weights


def _unit(matrix: "Matrix") -> "Matrix":
    import numpy as np

    unit: Matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    return unit


def _centres(matrix: "Matrix", count: int) -> "Matrix":
    import numpy as np

    chosen = [int(matrix.sum(1).argmax())]
    while len(chosen) < count:
        chosen.append(int((matrix @ matrix[chosen].T).max(1).argmin()))
    centres = matrix[chosen]
    for _ in range(TURNS):
        nearest = (matrix @ centres.T).argmax(1)
        sums = np.stack([matrix[nearest == k].sum(0) for k in range(count)])
        empty = ~sums.any(1)
        sums[empty] = centres[empty]
        centres = _unit(sums)
    return centres
