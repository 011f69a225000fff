"""Rows that say what another row says, and train rows that say what held-out text says. What is
wrong with one row by itself is not known here.

Two rows may have the same answer only when it is the same span and they ask different things of it:
one passage can answer an instruction of each kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.near_duplicates import pairs, twins
from llmtwin_assets.features.runs import runs_of
from llmtwin_assets.features.words import EIGHT

if TYPE_CHECKING:
    import polars as pl

GIVEN_AWAY = 0.2  # share of an answer that its instruction may hold
SPAN = ("document_id", "start", "end")
BLANKS = bytes(point for point in range(128) if chr(point).isspace())  # of ASCII
LOWER = bytes(range(256)).lower()


@dataclass(frozen=True)
class Likeness:
    """Which answers are the same but for case and white space (they have one ``key``, by row id),
    and which keys' texts are nearly the same (a, b, share), a having come first."""

    key: dict[str, int]
    near: list[tuple[int, int, float]]

    def among(self, rows: "pl.DataFrame") -> list[tuple[int, int, float]]:
        """The near pairs of which both texts are in these rows."""
        there = {self.key[id_] for id_ in rows["id"]}
        return [pair for pair in self.near if pair[0] in there and pair[1] in there]


def likeness(rows: "pl.DataFrame") -> Likeness:
    """How alike the rows' answers are. Every text is compared once, however often it stands."""
    first: dict[str, int] = {}
    texts: list[str] = []
    keys: dict[str, int] = {}
    for id_, answer in rows.select("id", "answer").iter_rows():
        key = keys[id_] = first.setdefault(plain(answer), len(first))
        if key == len(texts):
            texts.append(answer)
    return Likeness(keys, pairs(runs_of(texts)))


def contaminated(
    rows: "pl.DataFrame", held_out: Sequence[str], like: Likeness
) -> "list[str | None]":
    """For each row why it would leak held-out text, or None. A train row leaks when instruction and
    answer share eight words in a row with one of the ``held_out`` texts (``held-out words``), or
    when its answer is nearly that of a held-out row (``near held-out``)."""
    import numpy as np

    held = runs_of(held_out, EIGHT)
    known = np.unique(np.concatenate(held)) if held else np.zeros(0, np.uint64)
    asked = zip(rows["instruction"], rows["answer"], strict=True)
    said = runs_of([f"{instruction} . {answer}" for instruction, answer in asked], EIGHT)
    apart = {like.key[id_] for id_ in rows.filter(rows["split"] != "train")["id"]}
    close = apart | {a if b in apart else b for a, b, _ in like.near if a in apart or b in apart}
    found: list[str | None] = []
    for id_, split, runs in zip(rows["id"], rows["split"], said, strict=True):
        leaks = "held-out words" if _shared(runs, known) else None
        near = "near held-out" if like.key[id_] in close else None
        found.append(leaks or near if split == "train" else None)
    return found


def repeated(rows: "pl.DataFrame", like: Likeness) -> "list[tuple[str, str] | None]":
    """For each row that repeats an earlier one, (why, the id of that one): ``same instruction``,
    ``same answer`` and ``near duplicate`` of another span; None for the others."""
    near = twins(len(like.key), like.among(rows))
    leader: dict[int, tuple[str, Any]] = {}  # key -> id and span of its first row
    for id_, *span in rows.select("id", *SPAN).iter_rows():
        leader.setdefault(like.key[id_], (id_, span))
    instructions: dict[str, str] = {}
    found: list[tuple[str, str] | None] = []
    for id_, instruction, *span in rows.select("id", "instruction", *SPAN).iter_rows():
        key = like.key[id_]
        first, its_span = leader[key]
        if key in near:
            found.append(("near duplicate", leader[near[key]][0]))
        elif its_span != span:
            found.append(("same answer", first))
        else:
            other = instructions.setdefault(plain(instruction), id_)
            found.append(("same instruction", other) if other != id_ else None)
    return found


def gives_itself_away(rows: "pl.DataFrame") -> list[bool]:
    """Whether a row's instruction holds a fifth of the runs of eight words of its own answer."""
    instructions, answers = runs_of(rows["instruction"].to_list(), EIGHT), rows["answer"].to_list()
    said = runs_of(answers, EIGHT)
    return [
        _shared(own, asked) > GIVEN_AWAY * len(own)
        for asked, own in zip(instructions, said, strict=True)
    ]


def plain(text: str) -> str:
    """A text without case and white space, as exact duplicates are compared."""
    if text.isascii():
        return text.encode().translate(LOWER, BLANKS).decode()
    return "".join(text.split()).casefold()


def _shared(runs: Any, known: Any) -> int:
    """How many of the hashes ``runs`` are in the ascending array ``known``."""
    if len(runs) == 0 or len(known) == 0:
        return 0
    places = known.searchsorted(runs).clip(max=len(known) - 1)
    return int((known[places] == runs).sum())
