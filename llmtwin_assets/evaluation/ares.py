"""How many answers are good, from a few that people labelled and a small judge for the others.

The judges are local classifiers, fitted on planted examples: sentences that their passages support
and sentences that they do not; the author's answers to a question, and answers to another one. They
are cheap and often wrong, which does not matter: labels correct them (``prediction_powered.py``),
and without labels nothing is said (J. Saad-Falcon et al. 2023, ARES, arXiv 2311.09476). Where
labels come from is not known here.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmtwin_assets.evaluation.knowledge import (
    PLANTED,
    enough,
    features,
    fitted,
    planted,
    sentences_of,
)
from llmtwin_assets.evaluation.labels import GOOD, KINDS, RELEVANT, SUPPORTED, Case, Labelled
from llmtwin_assets.evaluation.prediction_powered import (
    LEAST_LABELLED,
    Estimate,
    classical,
    prediction_powered,
)
from resources.embedder import Embed

UNLABELLED = (
    "No answer was labelled, so no share is given; name a file in LLMTWIN_LABELS, or let readers "
    "say whether answers are good"
)

Judge = Callable[[Sequence[Case]], list[float]]  # how probably each is good, 0 to 1


def judges(
    passages: Sequence[Sequence[str]],
    written: Sequence[str],
    answered: Sequence[tuple[str, str]],
    embed: Embed,
    seed: int = 0,
) -> dict[str, Judge]:
    """A judge for each kind of label that there are enough texts to fit one for. ``passages`` and
    ``written`` are as in ``knowledge.support``; ``answered`` are questions with the author's
    answers."""
    found: dict[str, Judge] = {}
    support = planted(passages, written, seed)
    if enough(support):
        supports = fitted(support, embed)[0]
        found[SUPPORTED] = lambda cases: [_supported(supports, case, embed) for case in cases]
    relevance = _questions(answered, seed)
    if enough(relevance):
        relates = fitted(relevance, embed)[0]
        found[RELEVANT] = lambda cases: _relevant(relates, cases, embed)
    if {SUPPORTED, RELEVANT} <= found.keys():
        found[GOOD] = _both(found[SUPPORTED], found[RELEVANT])
    return found


def figures(
    labelled: Sequence[Labelled], unlabelled: Sequence[Case], known: Mapping[str, Judge]
) -> dict[str, Any]:
    """By kind of label, the share of good answers with a 95 % interval, the interval that labels
    alone give, how many of both there are, and how far the judge was leaned on; or ``because``, why
    nothing is said."""
    found: dict[str, Any] = {
        kind: _share(kind, rows, unlabelled, known.get(kind))
        for kind in KINDS
        if (rows := [each for each in labelled if kind in each.labels])
    }
    return found or {"because": UNLABELLED}


def _share(
    kind: str, rows: Sequence[Labelled], unlabelled: Sequence[Case], judge: Judge | None
) -> dict[str, Any]:
    if len(rows) < LEAST_LABELLED:
        problem = f"{len(rows)} labelled answers are too few; label {LEAST_LABELLED} or more"
        return {"labelled": len(rows), "because": problem}
    labels = [float(each.labels[kind]) for each in rows]
    alone = classical(labels)
    estimate = alone
    if judge is not None and unlabelled:
        estimate = prediction_powered(
            labels, judge([each.case for each in rows]), judge(unlabelled)
        )
    return {
        **_plain(estimate),
        "classical": _plain(alone),
        "labelled": len(rows),
        "unlabelled": len(unlabelled) if judge is not None else 0,
    }


def _plain(found: Estimate) -> dict[str, float]:
    return {name: round(value, 3) for name, value in vars(found).items()}


def _both(one: Judge, other: Judge) -> Judge:
    return lambda cases: [a * b for a, b in zip(one(cases), other(cases), strict=True)]


def _supported(model: Any, case: Case, embed: Embed) -> float:
    """The mean over the answer's sentences; nothing said is nothing unsupported, and nothing
    known."""
    said = sentences_of([case.answer])
    if not said or not case.passages:
        return 0.0
    return float(
        model.predict_proba(features([(s, case.passages) for s in said], embed))[:, 1].mean()
    )


def _relevant(model: Any, cases: Sequence[Case], embed: Embed) -> list[float]:
    known = features([(case.question, [case.answer]) for case in cases], embed)
    return [float(each) for each in model.predict_proba(known)[:, 1]]


def _questions(
    answered: Sequence[tuple[str, str]], seed: int
) -> list[tuple[str, Sequence[str], int]]:
    """Each question beside the answer to it, and beside the answer to another one, in turn."""
    draw = random.Random(seed)
    chosen = draw.sample(list(answered), min(len(answered), PLANTED))
    found: list[tuple[str, Sequence[str], int]] = []
    for row, (question, answer) in enumerate(chosen):
        found += [(question, [answer], 1), (question, [chosen[row - 1][1]], 0)]
    return found if len(chosen) > 1 else []
