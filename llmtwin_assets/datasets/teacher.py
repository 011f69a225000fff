"""Instructions that a language model writes for the author's passages: the teacher. The answer is
always the author's verbatim span; the teacher's words are only ever on the asking side.

Each passage gets instructions of several kinds, each document that is short enough one for the
whole piece. An item is one prompt: a reply that cannot be used is asked for again with the reason
shown, then left out and listed; it costs no other. Held-out text is never sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, create_model, field_validator

from llmtwin_assets.datasets import evolve
from llmtwin_assets.datasets.instruct import authored
from llmtwin_assets.datasets.passages import Span, passages, quotes
from llmtwin_assets.features.words import length
from llmtwin_assets.records import Document, InstructSample, content_id
from resources.chat_model import ChatModel, Cost, Failure, Prompt, Reply
from resources.chat_prompts import PER_TOKEN
from resources.embedder import Embed
from resources.errors import LlmTwinError

VERSION = "teacher-1"
PER_PASSAGE = 3  # kinds of instruction, in turn
LONGEST_PIECE = 900  # words of a document that is asked for as a whole
MOST_FAILING = 0.1  # share of items that may fail because the endpoint does
MAX_TOKENS = 400
FAILING = ("unreachable", "refused")
EVOLVED = ("write", "explain", "answer")  # kinds whose instruction may become another one

SYSTEM = (
    "You write the questions for a data set whose answers exist already: passages by one author. "
    "Answer with a JSON object that has one field, and nothing else. Write in the language of the "
    "passage. Do not quote the passage, and do not say that there is one."
)


@dataclass(frozen=True)
class Kind:
    """What is asked of the teacher (``task``), the most words that may come back, and the
    instruction that ``instruction`` makes of it (``text``, and the document's ``title``)."""

    task: str
    most: int
    instruction: str = "{text}"


KINDS = {
    "write": Kind(
        "Write the request of someone who wants a text about just what this passage says, as one "
        "or two sentences.",
        60,
    ),
    "explain": Kind(
        "Name the concept or the view that this passage explains, as a request to explain it, in "
        "one sentence.",
        40,
    ),
    "answer": Kind("Write the question that this passage answers, as one sentence.", 40),
    "continue": Kind(
        "Write one plain sentence that could stand before this passage and leads to it.",
        40,
        "Go on from here:\n\n{text}",
    ),
    "rewrite": Kind(
        "Say what this passage says in plain words without any style, as a hurried draft: same "
        "facts, other words and other sentences.",
        220,
        "Rewrite this draft in your own voice:\n\n{text}",
    ),
}
WHOLE = Kind(
    "Write the outline that this piece follows: three to eight short points, each on its own line "
    "that begins with a dash.",
    160,
    "Write a whole piece titled “{title}”, along these lines:\n\n{text}",
)


class TeacherFailedError(LlmTwinError):
    """Too many items failed because the endpoint did."""


@dataclass(frozen=True)
class Item:
    """A span of a document and the kind of instruction that it is to get."""

    document: Document
    span: Span
    name: str
    kind: Kind

    @property
    def answer(self) -> str:
        """The author's words."""
        return self.document.text[self.span.start : self.span.end]


@dataclass(frozen=True)
class Taught:
    """Rows, what was left out and why, and what it cost so far (over all runs)."""

    rows: list[InstructSample]
    left_out: list[str]
    cost: Cost


class Written(BaseModel):
    """What the teacher gives back."""

    text: str = Field(min_length=8, max_length=4_000)


def items(documents: Sequence[Document]) -> list[Item]:
    """What the teacher is to write instructions for: passages of train documents, ``PER_PASSAGE``
    kinds each in turn, and whole documents."""
    found: list[Item] = []
    names = list(KINDS)
    for document in documents:
        if document.split != "train" or document.kind == "repository":
            continue
        spans = list(passages(document.text))
        for number, span in enumerate(spans):
            for turn in range(PER_PASSAGE):
                name = names[(number * PER_PASSAGE + turn) % len(names)]
                found.append(Item(document, span, name, KINDS[name]))
        if len(spans) > 1 and length(document.text) <= LONGEST_PIECE:
            text = document.text
            whole = Span(len(text) - len(text.lstrip()), len(text.rstrip()))
            found.append(Item(document, whole, "whole", WHOLE))
    return found


def teach(
    model: ChatModel,
    documents: Sequence[Document],
    say: Callable[[str], None] = lambda line: None,
    ways: Sequence[str] = (),
    embed: Embed | None = None,
) -> Taught:
    """Instructions for the documents, and those that are made of them in these ``ways``
    (``settings.EVOLVE``; checked by ``embed``), within the model's budget; ``say`` is told what all
    of it may cost before the first call. Raises ``TeacherFailedError`` when the endpoint fails for
    more than a tenth of the items: what was answered is kept, and the next run pays for the rest
    only."""
    wanted = items(documents)
    prompts = [_prompt(item) for item in wanted]
    cost = model.estimate([*prompts, *_foreseen(model, wanted, prompts, ways)])
    say(f"the teacher is asked {_told(cost)} at most; {_told(model.spent())} so far")
    rows: list[InstructSample] = []
    left_out: list[str] = []
    failures: list[Failure] = []
    for item, reply in zip(wanted, model.answer(prompts), strict=True):
        if isinstance(reply, Failure):
            failures.append(reply)
            left_out.append(f"The teacher, {item.document.title}, {item.name}: {reply.because}")
        else:
            rows.append(_row(item, reply, model.model))
    _raise_if_failing(model, failures, len(wanted))
    if ways and embed:
        base = [row for row in rows if row.kind in EVOLVED]
        titles = {document.id: document.title for document in documents}
        further = evolve.evolve(model, base, titles, ways, embed)
        _raise_if_failing(model, further.failures, len(base) * len(ways))
        rows, left_out = [*rows, *further.rows], [*left_out, *further.left_out]
    return Taught(rows, left_out, model.spent())


def _raise_if_failing(model: ChatModel, failures: Sequence[Failure], asked: int) -> None:
    failing = [failure for failure in failures if failure.kind in FAILING]
    if len(failing) > MOST_FAILING * asked:
        raise TeacherFailedError(
            f"the teacher {model.model}",
            f"it failed for {len(failing)} of {asked} items ({failing[0].because})",
            "Look at its endpoint and key and run again; nothing is paid twice",
        )


def _foreseen(
    model: ChatModel, wanted: Sequence[Item], prompts: Sequence[Prompt], ways: Sequence[str]
) -> list[Prompt]:
    """What will be asked of the instructions: of those that are not written yet, the longest that
    they may be, another one for each."""
    if not ways:
        return []
    found: list[Prompt] = []
    for item, reply in zip(wanted, model.known(prompts), strict=True):
        if item.name in EVOLVED:
            text = reply.parsed.text if reply else item.name + "x" * int(MAX_TOKENS * PER_TOKEN)
            found += evolve.prompts(ways, item.document.title, item.answer, text)
    return found


def _prompt(item: Item) -> Prompt:
    asked = f"{item.kind.task}\n\nTitle: {item.document.title}\n\nPassage:\n\n{item.answer}"
    messages = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": asked})
    return Prompt(messages, _schema(item), MAX_TOKENS, 0.7)


def _schema(item: Item) -> Any:
    """``Written``, with what this item forbids: too many words, or the author's own."""

    def check(cls: type, text: str) -> str:
        count = length(text)
        if count > item.kind.most:
            raise ValueError(f"it has {count} words, and may have {item.kind.most}")
        if quotes(text, item.answer):
            raise ValueError("it quotes the passage")
        return " ".join(text.split()) if item.name != "whole" else text.strip()

    validators: Any = {"check": field_validator("text")(check)}
    return create_model("Written", __base__=Written, __validators__=validators)


def _row(item: Item, reply: Reply, model: str) -> InstructSample:
    text, document, span = reply.parsed.text, item.document, item.span
    id_ = content_id(VERSION, document.id, item.name, str(span.start), str(span.end), text)
    instruction = item.kind.instruction.format(text=text, title=document.title)
    return authored(id_, document, span, item.name, instruction, model)


def figures(taught: Taught) -> dict[str, float]:
    """What a person reads of the teacher's work."""
    return taught.cost.figures("teacher")


def _told(cost: Cost) -> str:
    tokens = f"{cost.calls:,} times, {cost.tokens_in + cost.tokens_out:,} tokens"
    return tokens if cost.money is None else f"{tokens}, {cost.money:,.2f} in money"
