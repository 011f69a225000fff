"""Instructions made of instructions, by the teacher: Evol-Instruct (Xu et al. 2023, "WizardLM",
arXiv 2304.12244) in depth, which asks for more, and in breadth, which asks for something else. Only
the asking side evolves; the answer stays the author's passage, so an instruction that the passage
does not answer is worth nothing.

Three things are asked of each: it is new and does not quote the passage; the teacher names the
sentence of the passage that answers it, verbatim; and by embeddings not too many of the author's
other passages are nearer to it (``NEARER``). Where the base instruction comes from is not known
here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field, create_model, model_validator

from llmtwin_assets.datasets.duplicates import plain
from llmtwin_assets.datasets.passages import quotes
from llmtwin_assets.features.words import length
from llmtwin_assets.records import InstructSample, content_id
from llmtwin_assets.settings import BREADTH, DEPTH
from resources.chat_model import ChatModel, Failure, Prompt, Reply
from resources.embedder import Embed

# Share of the author's other passages that may be nearer to an instruction than its own. Of those
# that rules wrote for their passage, 87 to 99 % hold this (three writers, MiniLM); of those that
# were written for another passage, as many as the share itself.
NEARER = 0.2
MOST = 80  # words of an instruction
FEWEST_QUOTED = 4  # words of the sentence that answers
MAX_TOKENS = 400

SYSTEM = (
    "You write the questions for a data set whose answers exist already: passages by one author. "
    'Answer with a JSON object that has two fields: "text", the new request, and "answered_by", '
    "the sentence of the passage that answers it, copied letter by letter. Write the request in "
    "the language of the passage. It does not quote the passage, or say that there is one."
)
WAYS: Mapping[str, str] = {
    DEPTH: "Make this request harder: add a condition, ask one step deeper, or put the concrete in "
    "place of the general. The passage has to answer all of it: ask for nothing it does not say.",
    BREADTH: "Write another request in the same field, rarer than this one and of another kind, as "
    "another person would ask it. The passage has to answer all of it.",
}


@dataclass(frozen=True)
class Evolved:
    """New rows, what was left out and why, and the failures among it."""

    rows: list[InstructSample]
    left_out: list[str]
    failures: list[Failure]


class Rewritten(BaseModel):
    """What the teacher gives back."""

    text: str = Field(min_length=8, max_length=2_000)
    answered_by: str = Field(min_length=8, max_length=2_000)


def prompts(ways: Sequence[str], title: str, passage: str, instruction: str) -> list[Prompt]:
    """What is asked of one instruction, a prompt for each way."""
    return [_prompt(way, title, passage, instruction) for way in ways]


def evolve(
    model: ChatModel,
    base: Sequence[InstructSample],
    titles: Mapping[str, str],
    ways: Sequence[str],
    embed: Embed,
) -> Evolved:
    """Each row of ``base`` evolved in these ways, within the model's budget; ``titles`` are by
    document id. A row that comes of it says in ``evolved`` how, and of which."""
    asked = [(row, way) for row in base for way in ways]
    replies = model.answer(
        [_prompt(way, titles[row.document_id], row.answer, row.instruction) for row, way in asked]
    )
    made, left_out, failures = [], [], []
    for (row, way), reply in zip(asked, replies, strict=True):
        if isinstance(reply, Failure):
            failures.append(reply)
            left_out.append(_told(titles, row, way, reply.because))
        else:
            made.append((way, _row(row, way, reply, model.model)))
    strays = astray([row for _, row in made], embed)
    for (way, row), stray in zip(made, strays, strict=True):
        if stray:
            left_out.append(_told(titles, row, way, "other passages answer it better than its own"))
    kept = [row for (_, row), stray in zip(made, strays, strict=True) if not stray]
    return Evolved(kept, left_out, failures)


def astray(rows: Sequence[InstructSample], embed: Embed) -> list[bool]:
    """For each row whether more than ``NEARER`` of the other rows' passages, and more than one, are
    nearer to its instruction than its own."""
    if not rows:
        return []
    passages = list(dict.fromkeys(row.answer for row in rows))
    own = {text: place for place, text in enumerate(passages)}
    cosines = embed([row.instruction for row in rows]) @ embed(passages).T
    most = max(1, int(NEARER * (len(passages) - 1)))
    return [
        int((cosine > cosine[own[row.answer]]).sum()) > most
        for row, cosine in zip(rows, cosines, strict=True)
    ]


def _prompt(way: str, title: str, passage: str, instruction: str) -> Prompt:
    asked = f"{WAYS[way]}\n\nRequest: {instruction}\n\nTitle: {title}\n\nPassage:\n\n{passage}"
    messages = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": asked})
    return Prompt(messages, _schema(instruction, passage), MAX_TOKENS, 0.7)


def _schema(instruction: str, passage: str) -> Any:
    """``Rewritten``, with what this instruction and this passage forbid."""

    def check(self: Rewritten) -> Rewritten:
        if length(self.text) > MOST:
            raise ValueError(f"text has {length(self.text)} words, and may have {MOST}")
        if plain(self.text) == plain(instruction):
            raise ValueError("text is the request as it was")
        if quotes(self.text, passage):
            raise ValueError("text quotes the passage")
        if length(self.answered_by) < FEWEST_QUOTED or plain(self.answered_by) not in plain(
            passage
        ):
            raise ValueError("answered_by is no sentence of the passage")
        return self

    validators: Any = {"check": model_validator(mode="after")(check)}
    return create_model("Rewritten", __base__=Rewritten, __validators__=validators)


def _row(row: InstructSample, way: str, reply: Reply, model: str) -> InstructSample:
    text = " ".join(reply.parsed.text.split())
    id_ = content_id(row.id, way, text)
    return replace(row, id=id_, instruction=text, written_by=model, evolved=f"{way} of {row.id}")


def _told(titles: Mapping[str, str], row: InstructSample, way: str, because: str) -> str:
    return f"The teacher, {titles[row.document_id]}, {row.kind} in {way}: {because}"
