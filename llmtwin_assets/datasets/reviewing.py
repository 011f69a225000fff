"""An author's pairs as a reviewer reads them: in the order of the documents, with what was decided
about each; and what has to be right before a decision is stored. Who reads, and where, is not known
here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmtwin_assets.datasets import duplicates, quality, review
from llmtwin_assets.datasets.passages import prose
from llmtwin_assets.datasets.topics import labels
from llmtwin_assets.records import Document, InstructSample, from_frame, to_frame
from resources.artifacts import Version
from resources.errors import LlmTwinError

UNREVIEWED = "unreviewed"
STATUSES = (UNREVIEWED, *review.VERDICTS)
UNTITLED = "(no document of the author's)"

Made = Mapping[str, Sequence[review.Decision]]  # all decisions by pair, the one that holds last


class UnknownPairError(LlmTwinError):
    """The author has no pair of this id."""


class BadInstructionError(LlmTwinError):
    """An edited instruction that the data set would not keep."""


@dataclass(frozen=True)
class Pair:
    """A row as it was generated, the title of its document, and the words of its topic."""

    id: str
    row: InstructSample
    title: str
    topic: str


@dataclass(frozen=True)
class Pairs:
    """What there is to review of a version of an author's data set: rows that are in it, and those
    that reviewers rejected. ``held_out`` are the texts that nothing may be trained on."""

    version: str
    all: tuple[Pair, ...]
    held_out: tuple[str, ...]

    def one(self, id_: str) -> Pair:
        """The pair of an id; raises ``UnknownPairError``."""
        for pair in self.all:
            if pair.id == id_:
                return pair
        raise UnknownPairError(
            f"pair {id_}", "the author's data set has none of this id", "Read the pairs again"
        )

    def progress(self, made: Made) -> dict[str, int]:
        """status -> pairs."""
        found = Counter(status(pair, made) for pair in self.all)
        return {each: found[each] for each in STATUSES}

    def elsewhere(self, made: Made) -> int:
        """How many pairs were decided about that are not here: their text has changed or gone, or
        a rule drops them. The decisions are kept, and hold when they come back."""
        return len(made.keys() - {pair.id for pair in self.all})

    def checked(self, pair: Pair, instruction: str, made: Made) -> str:
        """An edited instruction as it is stored; raises ``BadInstructionError`` for one that breaks
        a rule of the data set, or is the instruction of another pair."""
        instruction = instruction.strip()
        row = review.edited(pair.row, instruction)
        found = quality.judged(to_frame(InstructSample, [row]), self.held_out)
        why = ""
        if found.dropped.height:
            reason, detail = found.dropped.select("reason", "detail").row(0)
            why = f"{reason} ({detail})" if detail else reason
        elif duplicates.plain(instruction) in {
            duplicates.plain(now(other, made)) for other in self.all if other.id != pair.id
        }:
            why = "same instruction"
        if why:
            raise BadInstructionError(
                "the instruction", f"the data set would drop this row: {why}", "Write another one"
            )
        return instruction


def open_pairs(data: Version, documents: Version) -> Pairs:
    """The pairs of versions of instruct_dataset and cleaned_documents; raises
    ``DamagedArtifactError``."""
    from llmtwin_assets.features.assets import read_documents
    from llmtwin_assets.steps import read_table

    dropped = read_table(data, quality.DROPPED)
    rejected = dropped.filter(dropped["reason"] == review.REASON)
    frames = (read_table(data, quality.SAMPLES), rejected)
    rows = [row for frame in frames for row in from_frame(InstructSample, frame)]
    return arranged(data.digest, rows, read_documents(documents))


def arranged(version: str, rows: Sequence[InstructSample], documents: Sequence[Document]) -> Pairs:
    """Rows of a data set in the order of the documents that they are from, others last."""
    place = {document.id: number for number, document in enumerate(documents)}
    made = sorted(
        map(review.as_generated, rows),
        key=lambda row: (place.get(row.document_id, len(place)), row.start, row.end, row.id),
    )
    learned = [prose(d.text) for d in documents if d.split == "train" and d.kind != "repository"]
    about = labels(learned, [row.answer for row in made])
    titles = {document.id: document.title for document in documents}
    return Pairs(
        version,
        tuple(
            Pair(review.id_of(row), row, titles.get(row.document_id, UNTITLED), ", ".join(topic))
            for row, topic in zip(made, about, strict=True)
        ),
        tuple(document.text for document in documents if document.split == "held-out"),
    )


def status(pair: Pair, made: Made) -> str:
    """Whether a pair is unreviewed, accepted, edited or rejected."""
    return str(made[pair.id][-1]["verdict"]) if made.get(pair.id) else UNREVIEWED


def now(pair: Pair, made: Made) -> str:
    """The instruction of a pair, as generated or as edited."""
    edited = status(pair, made) == review.EDITED
    return str(made[pair.id][-1]["instruction"]) if edited else pair.row.instruction


def selected(pairs: Pairs, made: Made, wanted: Mapping[str, Collection[str]]) -> list[Pair]:
    """The pairs whose ``kind``, ``topic`` and ``status`` are ``wanted``; what is not named, or of
    which nothing is named, may be any."""
    told: dict[str, Callable[[Pair], str]] = {
        "kind": lambda pair: pair.row.kind,
        "topic": lambda pair: pair.topic,
        "status": lambda pair: status(pair, made),
    }
    return [
        pair
        for pair in pairs.all
        if all(told[name](pair) in values for name, values in wanted.items() if values)
    ]


def shown(pair: Pair, made: Made) -> dict[str, Any]:
    """A pair as plain values, with every decision about it, the newest first."""
    row, said = pair.row, list(made.get(pair.id, ()))[::-1]
    names = ("kind", "origin", "split", "answer", "written_by", "score", "why", "document_id")
    return {
        "id": pair.id,
        "title": pair.title,
        "topic": pair.topic,
        "instruction": now(pair, made),
        "generated": row.instruction,
        "status": status(pair, made),
        **{name: getattr(row, name) for name in names},
        "decisions": [
            {name: each.get(name) for name in ("verdict", "instruction", "reason", "by", "given")}
            for each in said
        ],
    }


def decision(
    author: str, pair: Pair, verdict: str, by: str, instruction: str = "", reason: str = ""
) -> dict[str, Any]:
    """What is stored of a decision: also what was decided about, so that it can be read when the
    pair is gone. An edit that changes nothing accepts."""
    if verdict == review.EDITED and instruction == pair.row.instruction:
        verdict = review.ACCEPTED
    said = {
        "instruction": instruction if verdict == review.EDITED else "",
        "reason": reason.strip() if verdict == review.REJECTED else "",
    }
    return {
        "author": author,
        "pair": pair.id,
        "verdict": verdict,
        "by": by,
        "generated": pair.row.instruction,
        "answer": pair.row.answer,
        **{name: value for name, value in said.items() if value},
    }
