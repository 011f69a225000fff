"""Marks from 1 to 4 for instruction and answer, by a language model: how well the answer does what
is asked, and whether the two belong together (UltraFeedback; Cui et al. 2023, arXiv 2310.01377). It
does not know the author, and does not judge style.

Every answer is cut to one length before it is marked, so that length earns nothing; of two answers
to one instruction both stand in one prompt, and in both orders (L. Zheng et al. 2023, arXiv
2306.05685). Planted among the rows are instructions with the answer to another one: a judge whose
marks do not put the right answer above it, surely more often than a coin would, is not believed.
Which marks are enough is said in ``quality.py``.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pydantic import BaseModel, Field

from llmtwin_assets.agreement import share
from llmtwin_assets.features.words import first_words, length
from llmtwin_assets.records import InstructSample
from resources.chat_model import ChatModel, Cost, Failure, Prompt, Reply, raise_if_silent

VERSION = "marking-1"
WORDS = 200  # of an answer that is read
PLANTED = 24  # rows of which a wrong pair is marked too
CHANCE = 0.5
LOWEST, HIGHEST = 1, 4
MAX_TOKENS = 80
SCALE = (
    "helpful: 1 it does not do what is asked; 2 it does some of it; 3 it does most of it; 4 it "
    "does all that is asked.\n"
    "fit: 1 they belong to different subjects; 2 the request asks for what is not there, or says "
    "little of what is; 3 they belong together, but for a detail; 4 the request is what "
    "somebody would ask who gets just this.\n"
    "A text may be an excerpt that ends early; do not mark it down for that, nor for its style or "
    "length.\n"
)
TASK = (
    "Mark a text that answers a request twice, from 1 to 4.\n"
    + SCALE
    + "Answer with a JSON object: "
    '{{"helpful": 3, "fit": 3}}.\n\nRequest: {instruction}\n\nText:\n{answer}'
)
TASK_OF_TWO = (
    "Two texts, A and B, answer one request. Mark each of them twice, from 1 to 4.\n"
    + SCALE
    + 'Answer with a JSON object: {{"A": {{"helpful": 3, "fit": 3}}, "B": {{"helpful": 3, "fit": '
    "3}}}}.\n\nRequest: {instruction}\n\nText A:\n{first}\n\nText B:\n{second}"
)


class Marks(BaseModel):
    """What a judge says of one answer."""

    helpful: int = Field(ge=LOWEST, le=HIGHEST)
    fit: int = Field(ge=LOWEST, le=HIGHEST)

    @property
    def mean(self) -> float:
        """Of the two."""
        return (self.helpful + self.fit) / 2


class MarksOfTwo(BaseModel):
    """What a judge says of two answers."""

    A: Marks
    B: Marks


@dataclass(frozen=True)
class Marked:
    """``marks`` (1 to 4) by row id, none where the judge is not believed; how many rows got none by
    kind of failure; ``because``, why it is not believed, if it is not; what it cost so far."""

    marks: Mapping[str, float]
    failures: Mapping[str, int]
    because: str
    cost: Cost

    def figures(self) -> dict[str, float]:
        """What a person reads of it."""
        found: dict[str, float] = {"marked": len(self.marks)}
        if self.marks:
            found["mean mark"] = round(fmean(self.marks.values()), 2)
        found |= {f"not marked: {kind}": count for kind, count in sorted(self.failures.items())}
        return found | self.cost.figures("marks")


Say = Callable[[str], None]


def mark(model: ChatModel, rows: Sequence[InstructSample], say: Say = lambda line: None) -> Marked:
    """The marks of these rows, within the model's budget; ``say`` is told what they may cost before
    the first call. A reply that cannot be read is asked for again, then counted. Raises
    ``SilentModelError`` where the endpoint answered nothing, and ``KeyNotAcceptedError``."""
    planted = _planted(rows)
    wrong = [(row.instruction, answer) for row, answer in planted]
    prompts = [_prompt(*each) for each in (*wrong, *((r.instruction, r.answer) for r in rows))]
    given = _ask(model, prompts, say)
    means = [reply.parsed.mean if isinstance(reply, Reply) else None for reply in given]
    by_id = dict(zip((row.id for row in rows), means[len(planted) :], strict=True))
    because = _doubt([by_id[row.id] for row, _ in planted], means[: len(planted)])
    say(f"marks: {because or 'the judge passed its planted questions'}")
    marks = {id_: mean for id_, mean in by_id.items() if mean is not None and not because}
    failed = [reply.kind for reply in given[len(planted) :] if isinstance(reply, Failure)]
    return Marked(marks, Counter(failed), because, model.spent())


def of_two(
    model: ChatModel, pairs: Sequence[tuple[str, str, str]], say: Say = lambda line: None
) -> list[tuple[float, float] | None]:
    """The marks of both answers of (instruction, one answer, another), the mean over both orders,
    cut to the same number of words; None where either order got no reply that can be read. Raises
    as ``mark`` does."""
    prompts = [
        _prompt_of_two(instruction, *(answers[::-1] if swapped else answers))
        for instruction, *answers in pairs
        for swapped in (False, True)
    ]
    replies = _ask(model, prompts, say)
    found: list[tuple[float, float] | None] = []
    for straight, swapped in zip(replies[::2], replies[1::2], strict=True):
        if isinstance(straight, Failure) or isinstance(swapped, Failure):
            found.append(None)
        else:
            one, other = straight.parsed, swapped.parsed
            found.append(((one.A.mean + other.B.mean) / 2, (one.B.mean + other.A.mean) / 2))
    return found


def _planted(rows: Sequence[InstructSample]) -> list[tuple[InstructSample, str]]:
    """The first rows, each with the answer of a row that is far from it."""
    far = [rows[(place + len(rows) // 2) % len(rows)].answer for place in range(len(rows))]
    return [
        pair for pair in list(zip(rows, far, strict=True))[:PLANTED] if pair[0].answer != pair[1]
    ]


def _doubt(own: Sequence[float | None], wrong: Sequence[float | None]) -> str:
    """Why marks are not believed, from those of planted rows with their own and with wrong answers;
    empty where they are."""
    won = [
        0.5 if right == bad else float(right > bad)
        for right, bad in zip(own, wrong, strict=True)
        if right is not None and bad is not None
    ]
    if not won:
        return "the judge marked no planted pair, so its marks are left out"
    found = share(won)
    if found["low"] > CHANCE:
        return ""
    return (
        f"the judge put the right answer above a wrong one in {found['value']:.0%} of {len(won)} "
        "planted pairs only, so its marks are left out; choose a stronger one"
    )


def _ask(model: ChatModel, prompts: Sequence[Prompt], say: Say) -> list[Reply | Failure]:
    say(f"marks: at most {model.estimate(prompts).told()}; {model.spent().told()} so far")
    replies = model.answer(prompts)
    failed = [reply for reply in replies if isinstance(reply, Failure)]
    raise_if_silent(f"the judge {model.model}", failed, len(prompts))
    return replies


def _prompt(instruction: str, answer: str) -> Prompt:
    text = TASK.format(instruction=instruction, answer=first_words(answer, WORDS))
    return Prompt(({"role": "user", "content": text},), Marks, MAX_TOKENS)


def _prompt_of_two(instruction: str, first: str, second: str) -> Prompt:
    words = min(length(first), length(second), WORDS)
    first, second = first_words(first, words), first_words(second, words)
    text = TASK_OF_TWO.format(instruction=instruction, first=first, second=second)
    return Prompt(({"role": "user", "content": text},), MarksOfTwo, MAX_TOKENS)
