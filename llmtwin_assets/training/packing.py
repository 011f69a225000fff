"""Whole rows side by side in sequences of one length, so that no step is spent on padding.

Rows of a sequence do not see each other: their positions start again at 0, and attention stays
inside a run of positions. A row is never cut or split. What a row says is not known here.
"""

import bisect
from collections.abc import Sequence


def pack(rows: Sequence[int], lengths: Sequence[int], room: int) -> list[list[int]]:
    """Row numbers in sequences of at most ``room`` tokens: best fit, the longest rows first.

    ``lengths`` gives tokens by row number; a row of more than ``room`` gets a sequence of its own.
    """
    packs: list[list[int]] = []
    spaces: list[tuple[int, int]] = []  # (tokens left, number of the pack), sorted
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        place = bisect.bisect_left(spaces, (lengths[row], -1))
        if place < len(spaces):
            left, number = spaces.pop(place)
            packs[number].append(row)
        else:
            left, number = room, len(packs)
            packs.append([row])
        bisect.insort(spaces, (left - lengths[row], number))
    return packs


def join(rows: Sequence[dict[str, list[int]]]) -> dict[str, list[int]]:
    """Rows of ``input_ids`` and ``labels`` as one, with the length of each in ``seq_lengths``.

    The collator that reads it makes positions of the lengths, and no label of a row's first token:
    what that would be predicted from is another row.
    """
    return {
        "input_ids": [token for row in rows for token in row["input_ids"]],
        "labels": [label for row in rows for label in row["labels"]],
        "seq_lengths": [len(row["input_ids"]) for row in rows],
    }
