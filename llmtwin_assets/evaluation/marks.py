"""Marks from 1 to 3 for accuracy and for style, as the LLM Engineer's Handbook gives them.

A judge reads a question and one answer, and does not know the author: its mark for style says
whether the text is good prose, not whose. Two kinds of bad answers are planted, the author's words
shuffled and the author's answer to another question; a judge whose marks do not put the author's
own answer above them, surely more often than a coin would, has no marks worth reading. One that
always gives the top mark is such a judge.

How a judge is reached, and what other judges say, is not known here.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import BaseModel, Field

from llmtwin_assets.agreement import share
from llmtwin_assets.evaluation.figures import BASE, FEW_SHOT, HELD_OUT, SFT, TWIN
from llmtwin_assets.evaluation.intervals import interval
from llmtwin_assets.evaluation.judge import CHANCE, LONGEST, Answers, shuffled
from resources.chat_model import Failure, Prompt

SYSTEMS = (HELD_OUT, BASE, FEW_SHOT, SFT, TWIN)
SHUFFLED, ELSEWHERE = "shuffled", "elsewhere"  # planted: bad prose, and no answer to the question
KINDS = ("accuracy", "style")
LOWEST, HIGHEST = 1, 3
TASK = (
    "Mark an answer twice, from 1 to 3.\n"
    "accuracy: 1 it is wrong or does not answer the question; 2 it answers in part, or with "
    "mistakes; 3 it answers the question and is right as far as you can tell.\n"
    "style: 1 it is broken, or stiff or gushing throughout; 2 it reads well in places; 3 it is "
    "clear, natural prose from beginning to end. An answer may be an excerpt that ends early; do "
    "not mark it down for that.\n"
    'Answer with a JSON object: {{"accuracy": 2, "style": 2}}.\n\n'
    "Question: {question}\n\nAnswer:\n{answer}"
)


class Marks(BaseModel):
    """What a judge answers."""

    accuracy: int = Field(ge=LOWEST, le=HIGHEST)
    style: int = Field(ge=LOWEST, le=HIGHEST)


@dataclass(frozen=True)
class Item:
    """One answer to be marked: whose, to which question, by number."""

    system: str
    row: int
    question: str
    answer: str


Given = Sequence[Mapping[str, float] | None]  # by item, its marks by kind; None: nothing came


def items(
    subjects: Sequence[str], systems: Mapping[str, Sequence[str]], author: Sequence[str], seed: int
) -> list[Item]:
    """The answers to be marked, the planted ones first. ``systems`` and ``author`` have one text
    per subject."""
    draw = random.Random(seed)
    texts = {
        SHUFFLED: [shuffled(text, draw) for text in author],
        ELSEWHERE: [*author[1:], author[0]] if len(author) > 1 else [],
        HELD_OUT: author,
        **{name: systems[name] for name in SYSTEMS if name in systems},
    }
    return [
        Item(system, row, subjects[row], text)
        for system, written in texts.items()
        for row, text in enumerate(written)
    ]


def prompts(found: Sequence[Item]) -> list[Prompt]:
    """One prompt per item."""
    texts = [TASK.format(question=each.question, answer=each.answer[:LONGEST]) for each in found]
    return [Prompt(({"role": "user", "content": text},), Marks, max_tokens=60) for text in texts]


def read(replies: Answers) -> list[dict[str, float] | None]:
    """The marks by kind, for each item; None where nothing came."""
    return [None if isinstance(reply, Failure) else reply.parsed.model_dump() for reply in replies]


def means(found: Sequence[Item], given: Given) -> dict[str, dict[str, Any]]:
    """System -> kind -> mean mark with a 90 % interval over questions, and ``answers``, how many.
    The planted ones are left out."""
    table: dict[str, dict[str, Any]] = {}
    for system in SYSTEMS:
        marked = [
            marks
            for each, marks in zip(found, given, strict=True)
            if each.system == system and marks
        ]
        if marked:
            kinds = {kind: _mean([marks[kind] for marks in marked]) for kind in KINDS}
            table[system] = {**kinds, "answers": len(marked)}
    return table


def problems(found: Sequence[Item], given: Given) -> Iterator[str]:
    """Why marks like these mean nothing."""
    table = {
        (each.system, each.row): marks for each, marks in zip(found, given, strict=True) if marks
    }
    for kind, planted, said in (
        ("style", SHUFFLED, "its words shuffled"),
        ("accuracy", ELSEWHERE, "an answer to another question"),
    ):
        won = [
            _better(marks[kind], bad[kind])
            for (system, row), marks in table.items()
            if system == HELD_OUT and (bad := table.get((planted, row)))
        ]
        if not won:
            yield f"it marked no planted answer for {kind}"
        elif (found_share := share(won))["low"] <= CHANCE:
            yield (
                f"its marks for {kind} put the author's answer above {said} in "
                f"{found_share['value']:.0%} of {len(won)} planted pairs only, a tie counting half"
            )


def _better(good: float, bad: float) -> float:
    return 0.5 if good == bad else float(good > bad)


def _mean(values: Sequence[float]) -> dict[str, float]:
    mean, count = fmean(values), len(values)
    if count < 2:
        return {"value": mean, "low": float(LOWEST), "high": float(HIGHEST)}
    found = interval(mean, [(mean * count - value) / (count - 1) for value in values])
    return {
        "value": round(mean, 3),
        "low": round(max(found.low, LOWEST), 3),
        "high": round(min(found.high, HIGHEST), 3),
    }
