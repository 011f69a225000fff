"""What passes between rooms. Plain frozen records; tables of them are polars frames whose columns
are the field names. Nothing here reads, writes or computes more than an id.
"""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

Split = Literal["train", "held-out"]
NAMESPACE = UUID("6f0c2a3e-2f0f-5c59-9b43-0c6a8a0d5c11")


@dataclass(frozen=True, slots=True)
class Alias:
    """Where else the same work was found."""

    source: str
    external_id: str
    url: str


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One work as its source gave it, as Markdown; no letter of ``text`` is normalised. Days and
    times are UTC."""

    id: str
    author: str
    kind: str  # article · post · repository
    source: str  # what it came from: medium · substack · feed · site · folder · warehouse · …
    external_id: str  # its name in that source
    url: str  # where a person finds it: its canonical address, if it has one
    title: str
    text: str
    published: date | None
    importer: str  # importer and version, for example "folder-2"
    licence: str | None
    consent: str | None = None  # "paid": it is not public, and the author agreed to its use
    visibility: str = "public"  # public · unlisted · connections · members · paid
    language: str | None = None  # ISO 639 code; of source code, the programming language's name
    created: datetime | None = None
    updated: datetime | None = None
    fetched: datetime | None = None  # when this content was first read
    raw_hash: str = ""  # SHA-256 of the item's bytes in the source, 32 hex digits
    aliases: tuple[Alias, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One cleaned work. ``text`` is the author's own words, ``search`` their NFKC form; secrets and
    personal data are masked in both."""

    id: str
    kind: str
    url: str
    title: str
    published: date | None
    text: str
    search: str
    raw_hash: str
    split: Split
    language: str | None = None  # ISO 639 code; of source code, the programming language's name
    masked: int = 0  # secrets and personal data taken out of it
    words: int = 0  # runs of characters without white space, of its text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span ``[start, end)`` of a document's ``text``, in characters, small enough to embed."""

    id: str
    document_id: str
    position: int
    start: int
    end: int
    tokens: int
    text: str
    text_hash: str
    kind: str
    title: str
    url: str
    split: Split
    published: date | None = None
    passages: int = 1  # chunks that its document has
    headings: str = ""  # that it stands under, outermost first: "Part One › The Engine"
    code: bool = False  # most of it is code
    twin: str = ""  # the chunk of nearly the same text that is indexed instead of this one
    language: str | None = None  # its document's


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk with the score it was found by, and the number it is cited under."""

    number: int
    chunk_id: str
    document_id: str
    title: str
    url: str
    text: str
    start: int
    end: int
    score: float
    found: tuple[int, int] | None = None  # the span that was found, of a passage grown around it


@dataclass(frozen=True, slots=True)
class InstructSample:
    """An instruction and the author's own answer: ``answer == document.text[start:end]``."""

    id: str
    document_id: str
    split: Split
    kind: str
    instruction: str
    answer: str
    start: int
    end: int
    origin: str  # author: a verbatim span
    written_by: str  # who wrote the instruction: rules · teacher · file · a reviewer, after …
    language: str | None = None  # ISO 639 code, of the answer
    score: float = 0.0  # from 0 to 1, how well the row reads as an example to learn from
    why: str = ""  # it was kept
    generated: str = ""  # the instruction that a reviewer edited; empty when nobody did
    reviewed: str = ""  # accepted · edited · rejected; empty when nobody decided
    evolved: str = ""  # how the instruction was made of another row's: depth or breadth, of its id


@dataclass(frozen=True, slots=True)
class PreferenceSample:
    """The author's text (``chosen``, a verbatim span) against what their model wrote."""

    id: str
    sample_id: str
    document_id: str
    instruction: str
    chosen: str
    rejected: str
    start: int
    end: int
    origin: str


def content_id(*parts: str) -> str:
    """A UUID that depends on ``parts`` alone: the same work gets the same id on every machine."""
    return str(uuid5(NAMESPACE, "\x1f".join(parts)))


Record = TypeVar("Record", Document, Chunk, InstructSample, PreferenceSample)

_COLUMN_TYPES: dict[Any, str] = {
    date | None: "Date",
    int: "Int64",
    float: "Float64",
    bool: "Boolean",
}


def to_frame(kind: type[Record], rows: "Iterable[Record]") -> "pl.DataFrame":
    """A frame with one column per field, typed even when there are no rows."""
    import polars as pl

    rows = list(rows)
    columns = {
        field.name: getattr(pl, _COLUMN_TYPES.get(field.type, "String")) for field in fields(kind)
    }
    values = {name: [getattr(row, name) for row in rows] for name in columns}
    return pl.DataFrame(values, schema=columns)


def from_frame(kind: type[Record], frame: "pl.DataFrame") -> list[Record]:
    """The records of a frame made by ``to_frame``. Columns that a frame of earlier code lacks have
    their defaults."""
    names = [field.name for field in fields(kind) if field.name in frame.columns]
    return [kind(**row) for row in frame.select(names).iter_rows(named=True)]
