"""Rows that say what another row says, and train rows that say what held-out text says. What is
wrong with one row by itself is not known here.

Two rows may have the same answer only when it is the same span and they ask different things of it:
one passage can answer an instruction of each kind.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.near_duplicates import pairs, runs_of, twins
from llmtwin_assets.features.words import EIGHT

if TYPE_CHECKING:
    import polars as pl

GIVEN_AWAY = 0.2  # share of an answer that its instruction may hold
SPAN = ("document_id", "start", "end")


def contaminated(rows: "pl.DataFrame", held_out: Sequence[str]) -> "list[str | None]":
    """For each row why it would leak held-out text, or None. A train row leaks when instruction and
    answer share eight words in a row with one of the ``held_out`` texts (``held-out words``), or
    when its answer is nearly that of a held-out row (``near held-out``)."""
    import numpy as np

    train = (rows["split"] == "train").to_list()
    held = runs_of(held_out, EIGHT)
    known = np.unique(np.concatenate(held)) if held else np.zeros(0, np.uint64)
    asked = zip(rows["instruction"], rows["answer"], strict=True)
    said = runs_of([f"{instruction} . {answer}" for instruction, answer in asked], EIGHT)
    near = _near_held_out(rows["answer"].to_list(), train)
    return [
        None
        if not trains
        else "held-out words"
        if _shared(runs, known)
        else "near held-out"
        if place in near
        else None
        for place, (trains, runs) in enumerate(zip(train, said, strict=True))
    ]


def repeated(rows: "pl.DataFrame") -> "list[tuple[str, str] | None]":
    """For each row that repeats an earlier one, (why, the id of that one): ``same instruction``,
    ``same answer`` and ``near duplicate`` of another span; None for the others."""
    ids = rows["id"].to_list()
    spans = list(rows.select(SPAN).iter_rows())
    first_of: dict[tuple[object, ...], int] = {}  # span -> its first row
    leader = [first_of.setdefault(span, place) for place, span in enumerate(spans)]
    gone = _answers_again(rows, list(first_of.values()))
    instructions: dict[str, int] = {}
    found: list[tuple[str, str] | None] = []
    for place, instruction in enumerate(rows["instruction"]):
        if leader[place] in gone:
            why, other = gone[leader[place]]
            found.append((why, ids[other]))
            continue
        other = instructions.setdefault(plain(instruction), place)
        found.append(("same instruction", ids[other]) if other != place else None)
    return found


def gives_itself_away(rows: "pl.DataFrame") -> list[bool]:
    """Whether a row's instruction holds a fifth of the runs of eight words of its own answer."""
    instructions, answers = runs_of(rows["instruction"].to_list(), EIGHT), rows["answer"].to_list()
    said = runs_of(answers, EIGHT)
    return [
        _shared(own, asked) > GIVEN_AWAY * len(own)
        for asked, own in zip(instructions, said, strict=True)
    ]


def alike(rows: "pl.DataFrame") -> int:
    """How many pairs of rows of different spans have nearly the same answer."""
    spans = list(rows.select(SPAN).iter_rows())
    found = pairs(runs_of(rows["answer"].to_list()))
    return sum(spans[a] != spans[b] for a, b, _ in found)


def plain(text: str) -> str:
    """A text without case and white space, as exact duplicates are compared."""
    return "".join(text.split()).casefold()


def _answers_again(rows: "pl.DataFrame", places: Sequence[int]) -> dict[int, tuple[str, int]]:
    """row -> (why, earlier row) of the ``places`` whose answer stands in an earlier one."""
    answers = rows["answer"].to_list()
    first: dict[str, int] = {}
    gone: dict[int, tuple[str, int]] = {}
    for place in places:
        other = first.setdefault(plain(answers[place]), place)
        if other != place:
            gone[place] = ("same answer", other)
    left = list(first.values())
    near = twins(len(left), pairs(runs_of([answers[place] for place in left])))
    return gone | {left[text]: ("near duplicate", left[other]) for text, other in near.items()}


def _near_held_out(answers: Sequence[str], train: Sequence[bool]) -> set[int]:
    found = pairs(runs_of(answers)) if not all(train) else []
    return {a if train[a] else b for a, b, _ in found if train[a] != train[b]}


def _shared(runs: Any, known: Any) -> int:
    """How many of the hashes ``runs`` are in the ascending array ``known``."""
    if len(runs) == 0 or len(known) == 0:
        return 0
    places = known.searchsorted(runs).clip(max=len(known) - 1)
    return int((known[places] == runs).sum())
