"""Language models as judges of style, who do see the author, and who are judged themselves.

A judge reads excerpts of the author and two texts for one prompt, blind, in both orders, and says
which is more like the author's. Among the pairs are planted ones whose answer is known: the
author's unseen text against the base model's, and against its own words shuffled. A judge that
fails those, or always takes the same side, is void, and its other answers mean nothing (L. Zheng et
al. 2023, arXiv 2306.05685, on how often judges prefer a position).

How a judge is reached, what it costs and may cost, is its ``ask``'s business.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from resources.chat_model import Failure, Prompt, Reply

EXCERPTS = 2
LONGEST = 1_200  # characters of a text that a judge reads
LEAST_RIGHT = 0.75  # share of the planted pairs
MOST_ONE_SIDED = 0.9  # share of all answers that name the same position
AUTHOR, SHUFFLED = "the author's own text", "the author's words, shuffled"
TASK = (
    "Below are excerpts by one writer, and two texts, A and B, on one subject. Judge by style "
    "alone: choice of words, sentences, punctuation, tone. Which of the two is more like the "
    'writer\'s? Answer with a JSON object: {{"more_like": "A"}} or {{"more_like": "B"}}.\n\n'
    "Excerpts:\n\n{excerpts}\n\nSubject: {subject}\n\nText A:\n{first}\n\nText B:\n{second}"
)

Ask = Callable[[Sequence[Prompt]], list[Reply | Failure]]


class Verdict(BaseModel):
    """What a judge answers."""

    more_like: Literal["A", "B"]


@dataclass(frozen=True)
class Pair:
    """Two texts for a subject; ``question`` says what is asked by comparing them."""

    question: str
    subject: str
    ours: str
    theirs: str


def pairs(
    subjects: Sequence[str], systems: Mapping[str, Sequence[str]], author: Sequence[str], seed: int
) -> list[Pair]:
    """What a judge is asked: the twin against the base and against the base with examples, and the
    planted pairs. ``systems`` and ``author`` have one text per subject."""
    shuffle = random.Random(seed)
    found = []
    for row, subject in enumerate(subjects):
        for name in ("base", "few_shot"):
            if name in systems and "twin" in systems:
                question = f"twin over {name.replace('_', '-')}"
                found.append(Pair(question, subject, systems["twin"][row], systems[name][row]))
        words = author[row].split()
        shuffled = " ".join(shuffle.sample(words, len(words)))
        found.append(Pair(SHUFFLED, subject, author[row], shuffled))
        if "base" in systems:
            found.append(Pair(AUTHOR, subject, author[row], systems["base"][row]))
    return found


def judge(found: Sequence[Pair], excerpts: Sequence[str], ask: Ask) -> dict[str, Any]:
    """Share of the pairs in which our side wins, by question, with a 90 % interval; a pair whose
    two orders disagree counts half. ``void`` says that the judge cannot be believed, and
    ``because`` why. Replies that never came are counted as ``unanswered``."""
    shown = "\n\n".join(text[:LONGEST] for text in excerpts[:EXCERPTS])
    prompts = [_prompt(pair, shown, swapped) for pair in found for swapped in (False, True)]
    replies = ask(prompts)
    won: dict[str, list[float]] = {}
    named: list[str] = []
    disagreed = unanswered = 0
    for pair, (straight, swapped) in zip(found, _by_two(replies), strict=True):
        if isinstance(straight, Failure) or isinstance(swapped, Failure):
            unanswered += 1
            continue
        sides = straight.parsed.more_like, swapped.parsed.more_like
        named += sides
        disagreed += sides[0] == sides[1]
        won.setdefault(pair.question, []).append(((sides[0] == "A") + (sides[1] == "B")) / 2)
    scores = {question: _share(values) for question, values in sorted(won.items())}
    problems = _problems(scores, named)
    return {
        "void": bool(problems),
        "because": "; ".join(problems) or _sound(scores, disagreed, len(found)),
        "scores": scores,
        "disagreed": disagreed,
        "unanswered": unanswered,
    }


def _problems(scores: Mapping[str, Mapping[str, float]], named: Sequence[str]) -> list[str]:
    if not named:
        return ["the judge answered nothing; look at its endpoint and budget"]
    problems = [
        f"it preferred {question} in {scores[question]['value']:.0%} of the planted pairs only"
        for question in (AUTHOR, SHUFFLED)
        if question in scores and scores[question]["value"] < LEAST_RIGHT
    ]
    sided = max(named.count(side) for side in "AB") / len(named)
    if sided > MOST_ONE_SIDED:
        problems.append(f"it named the same position in {sided:.0%} of its answers")
    return [f"the judge is void: {problem}; choose a stronger one" for problem in problems]


def _sound(scores: Mapping[str, Mapping[str, float]], disagreed: int, count: int) -> str:
    planted = [scores[q]["value"] for q in (AUTHOR, SHUFFLED) if q in scores]
    return (
        f"it was right on {min(planted, default=0.0):.0%} or more of the planted pairs; its two "
        f"orders disagreed on {disagreed} of {count}"
    )


def _prompt(pair: Pair, excerpts: str, swapped: bool) -> Prompt:
    first, second = (pair.theirs, pair.ours) if swapped else (pair.ours, pair.theirs)
    text = TASK.format(
        excerpts=excerpts, subject=pair.subject, first=first[:LONGEST], second=second[:LONGEST]
    )
    return Prompt(({"role": "user", "content": text},), Verdict, max_tokens=60)


def _by_two(replies: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(replies[::2], replies[1::2], strict=True))


def _share(values: Sequence[float]) -> dict[str, float]:
    """A share with Wilson's 90 % interval (E. B. Wilson 1927)."""
    count, share, z = len(values), sum(values) / len(values), 1.645
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = (
        z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    )
    return {
        "value": round(share, 3),
        "low": round(max(middle - reach, 0.0), 3),
        "high": round(min(middle + reach, 1.0), 3),
        "pairs": count,
    }
