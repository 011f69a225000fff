"""A language model as a judge of style, who does see the author, and who is judged itself.

A judge reads excerpts of the author and two texts for one prompt, blind, in both orders, and says
which is more like the author's. Among the pairs are planted ones whose answer is known: the
author's unseen text against the base model's, and against its own words shuffled. A judge that is
not surely better than a coin on those, that was not tried on them, or that always takes the same
side, is void, and its other answers mean nothing (L. Zheng et al. 2023, arXiv 2306.05685, on how
often judges prefer a position).

How a judge is reached, what it costs and may cost, and what other judges say is not known here.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from llmtwin_assets.agreement import share
from resources.chat_model import Failure, Prompt, Reply

EXCERPTS = 2
LONGEST = 1_200  # characters of a text that a judge reads
CHANCE = 0.5  # what a coin would get of the planted pairs; the whole interval has to be above
MOST_ONE_SIDED = 0.9  # share of all answers that name the same position
AUTHOR, SHUFFLED = "the author's own text", "the author's words, shuffled"
PLANTED = (AUTHOR, SHUFFLED)
TASK = (
    "Below are excerpts by one writer, and two texts, A and B, on one subject. Judge by style "
    "alone: choice of words, sentences, punctuation, tone. Which of the two is more like the "
    'writer\'s? Answer with a JSON object: {{"more_like": "A"}} or {{"more_like": "B"}}.\n\n'
    "Excerpts:\n\n{excerpts}\n\nSubject: {subject}\n\nText A:\n{first}\n\nText B:\n{second}"
)

Answers = Sequence[Reply | Failure]


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


@dataclass(frozen=True)
class Verdicts:
    """By pair, 1 where our side won, 0.5 where the two orders disagree, None where nothing came;
    and all positions that were named."""

    won: list[float | None]
    named: list[str]


def pairs(
    subjects: Sequence[str], systems: Mapping[str, Sequence[str]], author: Sequence[str], seed: int
) -> list[Pair]:
    """What a judge is asked: the planted pairs, first, so that a budget is spent on them first; and
    the twin against the base and against the base with examples. ``systems`` and ``author`` have
    one text per subject."""
    draw = random.Random(seed)
    planted, asked = [], []
    for row, subject in enumerate(subjects):
        planted.append(Pair(SHUFFLED, subject, author[row], shuffled(author[row], draw)))
        if "base" in systems:
            planted.append(Pair(AUTHOR, subject, author[row], systems["base"][row]))
        for name in ("base", "few_shot"):
            if name in systems and "twin" in systems:
                question = f"twin over {name.replace('_', '-')}"
                asked.append(Pair(question, subject, systems["twin"][row], systems[name][row]))
    return [*planted, *asked]


def shuffled(text: str, draw: random.Random) -> str:
    """The words of a text in another order."""
    words = text.split()
    return " ".join(draw.sample(words, len(words)))


def prompts(found: Sequence[Pair], excerpts: Sequence[str]) -> list[Prompt]:
    """Two prompts per pair, one in each order."""
    seen = "\n\n".join(text[:LONGEST] for text in excerpts[:EXCERPTS])
    return [_prompt(pair, seen, swapped) for pair in found for swapped in (False, True)]


def read(replies: Answers) -> Verdicts:
    """What was answered to ``prompts``."""
    won: list[float | None] = []
    named: list[str] = []
    for straight, swapped in zip(replies[::2], replies[1::2], strict=True):
        if isinstance(straight, Failure) or isinstance(swapped, Failure):
            won.append(None)
            continue
        sides = straight.parsed.more_like, swapped.parsed.more_like
        named += sides
        won.append(((sides[0] == "A") + (sides[1] == "B")) / 2)
    return Verdicts(won, named)


def scores(found: Sequence[Pair], won: Sequence[float | None]) -> dict[str, dict[str, float]]:
    """Share of the pairs in which our side wins, by question, with a 90 % interval."""
    by_question: dict[str, list[float]] = {}
    for pair, value in zip(found, won, strict=True):
        if value is not None:
            by_question.setdefault(pair.question, []).append(value)
    return {question: share(values) for question, values in sorted(by_question.items())}


def problems(found: Mapping[str, Mapping[str, Any]], named: Sequence[str]) -> Iterator[str]:
    """Why a judge with these scores, who named these positions, is not to be believed."""
    for question in PLANTED:
        if question not in found:
            yield f"it answered no planted pair with {question}"
        elif found[question]["low"] <= CHANCE:
            each = found[question]
            yield (
                f"it preferred {question} in {each['value']:.0%} of {each['pairs']} planted pairs, "
                f"which may be chance ({each['low']:.0%} to {each['high']:.0%})"
            )
    sided = max(named.count(side) for side in "AB") / max(len(named), 1)
    if sided > MOST_ONE_SIDED:
        yield f"it named the same position in {sided:.0%} of its answers"


def _prompt(pair: Pair, excerpts: str, swapped: bool) -> Prompt:
    first, second = (pair.theirs, pair.ours) if swapped else (pair.ours, pair.theirs)
    text = TASK.format(
        excerpts=excerpts, subject=pair.subject, first=first[:LONGEST], second=second[:LONGEST]
    )
    return Prompt(({"role": "user", "content": text},), Verdict, max_tokens=60)
