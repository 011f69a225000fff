"""Does an answer say what its passages say? Sentence by sentence, without a judge.

A small classifier looks at two things: how near in meaning the sentence is to the nearest sentence
of the passages, and how many of its words of topic stand in them. It is fitted on planted examples,
where the truth is known: sentences of the passages with some words taken out are supported,
sentences of the author's documents that none of the passages is from are not. How well it tells
unseen ones apart is reported beside every figure. Where texts come from is not known here.
"""

import random
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from llmtwin_assets.evaluation.intervals import interval
from llmtwin_assets.evaluation.rhythm import sentences
from llmtwin_assets.features.words import words
from resources.embedder import Embed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Example = tuple[str, Sequence[str], int]  # a sentence, passages, 1 if they support it, else 0

LEAST_WORDS = 5  # of a sentence that says something
TOPIC = 4  # letters of a word of topic, at least
TAKEN_OUT = 0.3  # share of the words that a planted example loses
PLANTED = 200  # examples of each kind, at most
LEAST_EXAMPLES = 20  # of both kinds together
LEAST_SOUND = 0.75  # area under the ROC curve on planted examples it was not fitted on


def support(
    answers: Sequence[str],
    passages: Sequence[Sequence[str]],
    written: Sequence[str],
    embed: Embed,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Share of the sentences of ``answers`` that their passages support, with a 90 % interval over
    answers, and ``separates``, how well planted sentences were told apart.

    ``written`` are documents by the same author; passages may be from them. None where there is not
    enough to fit or to measure.
    """
    rows = [(a, p) for a, p in zip(answers, passages, strict=True) if p and sentences_of([a])]
    examples = planted([p for _, p in rows], written, seed)
    if len(rows) < 2 or not enough(examples):
        return None
    model, separates = fitted(examples, embed)
    shares = []
    for answer, near in rows:
        said = features([(sentence, near) for sentence in sentences_of([answer])], embed)
        shares.append(float(model.predict(said).mean()))
    without = [fmean(shares[:row] + shares[row + 1 :]) for row in range(len(shares))]
    found = interval(fmean(shares), without)
    return {
        "supported": {
            "value": found.value,
            "low": max(found.low, 0.0),
            "high": min(found.high, 1.0),
        },
        "answers": len(rows),
        "separates": separates,
        "sound": separates >= LEAST_SOUND,
    }


def sentences_of(texts: Sequence[str]) -> list[str]:
    """The sentences that say something."""
    found = [sentence.strip() for text in texts for sentence in sentences(text)]
    return [sentence for sentence in found if len(sentence.split()) >= LEAST_WORDS]


def planted(passages: Sequence[Sequence[str]], written: Sequence[str], seed: int) -> list[Example]:
    """Sentences of the passages, with words taken out, and sentences that the author wrote where
    none of the passages beside them is from, in turn."""
    draw = random.Random(seed)
    own = [(_shortened(s, draw), near) for near in passages for s in sentences_of(near)]
    elsewhere = [
        (sentence, apart)
        for text in written
        if (apart := [near for near in passages if not any(each in text for each in near)])
        for sentence in sentences_of([text])
    ]
    count = min(len(own), len(elsewhere), PLANTED)
    strange = [(s, draw.choice(apart)) for s, apart in draw.sample(elsewhere, count)]
    return [
        (sentence, near, label)
        for pair in zip(draw.sample(own, count), strange, strict=True)
        for (sentence, near), label in zip(pair, (1, 0), strict=True)
    ]


def _shortened(sentence: str, draw: random.Random) -> str:
    kept = [word for word in sentence.split() if draw.random() >= TAKEN_OUT]
    return " ".join(kept) or sentence


def features(pairs: Sequence[tuple[str, Sequence[str]]], embed: Embed) -> "NDArray[np.float64]":
    """Of texts, each beside passages: nearness in meaning and share of topic words, ``(pairs, 2)``.
    Every text is embedded once."""
    import numpy as np

    parts = {id(near): sentences_of(near) or list(near) for _, near in pairs}
    texts = list(dict.fromkeys([s for s, _ in pairs] + [t for p in parts.values() for t in p]))
    place = {text: row for row, text in enumerate(texts)}
    vectors = embed(texts)
    rows = []
    for sentence, near in pairs:
        rivals = vectors[[place[text] for text in parts[id(near)] if text != sentence]]
        cosine = float((rivals @ vectors[place[sentence]]).max()) if len(rivals) else 0.0
        known = {word for text in near for word in words(text)}
        topic = [word for word in words(sentence) if len(word) >= TOPIC]
        rows.append((cosine, sum(word in known for word in topic) / max(len(topic), 1)))
    return np.array(rows, dtype=float).reshape(-1, 2)


def enough(examples: Sequence[Example]) -> bool:
    """Whether a classifier can be fitted on these, and tried."""
    return len(examples) >= LEAST_EXAMPLES and len({label for _, _, label in examples}) == 2


def fitted(examples: Sequence[Example], embed: Embed) -> tuple[Any, float]:
    """A classifier of ``features``, and the area under the ROC curve that one fitted on the first
    half of the examples has on the second."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    half = len(examples) // 2
    known = features([(text, near) for text, near, _ in examples], embed)
    labels = [label for _, _, label in examples]
    model = LogisticRegression().fit(known[:half], labels[:half])
    separates = float(roc_auc_score(labels[half:], model.decision_function(known[half:])))
    return LogisticRegression().fit(known, labels), separates
