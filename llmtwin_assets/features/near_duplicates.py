"""Which texts are nearly the same, exactly: no pair is missed, none is wrong.

Two texts are alike when they share so many of their runs of words (Jaccard). Of a text with n runs
that must share a part t with another, at least one of its n - ceil(t n) + 1 rarest runs is also
among the other's rarest; so only texts that share a rare run are compared (prefix filtering:
Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007). Everything is done on
arrays of many texts. Knows no store, no author and no document.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from llmtwin_assets.features.runs import Hashes, Places

SAME = 0.8  # share of runs in common from which on two texts are nearly the same
BITS = 24  # of a hash by which runs are counted, at most: a table of 128 MB
RARE = (3, 15, 255)  # up to so many occurrences runs are equally rare
BLOCK = 1 << 15  # runs looked at at once: arrays that fit a processor's cache
COMPARED = 1 << 10  # pairs of texts compared at once


def pairs(runs: "Sequence[Hashes]", same: float = SAME) -> list[tuple[int, int, float]]:
    """(a, b, share of runs in common) of all pairs of texts, a before b, that have at least
    ``same``; texts are given by their runs."""
    a, b = _candidates(runs, same)
    found: list[tuple[int, int, float]] = []
    for begin in range(0, len(a), COMPARED):
        some, others = (each[begin : begin + COMPARED].tolist() for each in (a, b))
        shares = _shares([runs[text] for text in some], [runs[text] for text in others])
        found += [
            pair for pair in zip(some, others, shares.tolist(), strict=True) if pair[2] >= same
        ]
    return found


def shared_at_least(size: int, same: float) -> int:
    """How many of its ``size`` runs a text has in common with one that is nearly the same."""
    return ceil(same * size - 1e-9)


def twins(count: int, found: Sequence[tuple[int, int, float]]) -> dict[int, int]:
    """text -> the earlier text it is nearly the same as, of ``count`` texts with the pairs
    ``found``. What goes is nobody's twin: each is nearly the same as a text that stays."""
    earlier: dict[int, list[tuple[float, int]]] = {}
    for a, b, share in found:
        earlier.setdefault(b, []).append((-share, a))
    gone: dict[int, int] = {}
    for text in sorted(earlier):
        stays = [pair for pair in earlier[text] if pair[1] not in gone]
        if stays:
            gone[text] = min(stays)[1]
    return gone


def _shares(some: "Sequence[Hashes]", others: "Sequence[Hashes]") -> Any:
    """Share of runs in common of each text with the other of the same place; none is empty."""
    import numpy as np

    runs = np.concatenate([part for pair in zip(some, others, strict=True) for part in pair])
    sizes = np.array([len(a) + len(b) for a, b in zip(some, others, strict=True)])
    ends = np.cumsum(sizes)
    for begin, end in pairwise([0, *ends.tolist()]):
        runs[begin:end].sort(kind="stable")  # which merges what is in order
    twice = np.r_[runs[1:] == runs[:-1], False]
    twice[ends - 1] = False  # the last of a pair and the first of the next
    shared = np.add.reduceat(twice, ends - sizes, dtype=np.int64)
    return shared / (sizes - shared)


def _candidates(runs: "Sequence[Hashes]", same: float) -> "tuple[Places, Places]":
    """Pairs that share one of their rarest runs and are about as long, ascending."""
    import numpy as np

    length = np.array([len(each) for each in runs], np.int64)
    if not length.any():
        return length[:0], length[:0]
    # Hash and text in one number: runs whose hashes begin alike are taken for the same.
    bits = np.uint64(len(runs).bit_length())
    keys = np.concatenate(list(_rarest(runs, length, same, bits)))
    keys.sort()
    hash_, owner = keys >> bits, (keys & (np.uint64(1) << bits) - np.uint64(1)).astype(np.int64)
    found = [np.zeros(0, np.int64)]
    first = np.arange(len(keys))
    for distance in range(1, len(keys)):
        first = first[: np.searchsorted(first, len(keys) - distance)]
        first = first[hash_[first + distance] == hash_[first]]
        if len(first) == 0:
            break
        a, b = owner[first], owner[first + distance]  # texts ascend among equal hashes
        alike = np.minimum(length[a], length[b]) >= same * np.maximum(length[a], length[b])
        found.append(np.unique((a << 32 | b)[alike & (a < b)]))
    both = np.unique(np.concatenate(found))
    return both >> 32, both & 0xFFFFFFFF


def _rarest(
    runs: "Sequence[Hashes]", length: "Places", same: float, bits: "np.uint64"
) -> "Iterator[Hashes]":
    """Of each text the rarest runs, of which two texts that are nearly the same share one, as the
    hash with the number of the text in its last ``bits``. Runs that no other text has come first
    and are only counted."""
    import numpy as np

    # How often a run occurs, or a little more: runs whose hashes begin alike are counted together.
    # Any order does that is the same in every text: of equally rare runs the smaller hash.
    hashes = np.concatenate(runs)
    cut = np.uint64(64 - min(BITS, len(hashes).bit_length() + 2))
    occurs = np.bincount((hashes >> cut).view(np.int64))
    needed = length - np.ceil(same * length - 1e-9).astype(np.int64) + 1
    ends = np.cumsum(length)
    last = 0
    while last < len(runs):
        first, before = last, int(ends[last] - length[last])
        last = max(first + 1, int(np.searchsorted(ends, before + BLOCK)))
        block = hashes[before : ends[last - 1]]
        owners = np.repeat(np.arange(last - first), length[first:last])
        frequency = occurs[(block >> cut).view(np.int64)]
        left = needed[first:last] - np.bincount(owners[frequency == 1], minlength=last - first)
        places = np.flatnonzero(frequency > 1)
        for most in (*RARE, len(hashes)):
            places = places[left[owners[places]] > 0]
            rare = frequency[places] <= most
            some, places = places[rare], places[~rare]
            owner = owners[some]
            count = np.bincount(owner, minlength=last - first)
            nth = np.arange(len(some)) - np.repeat(np.cumsum(count) - count, count)
            some = some[nth < left[owner]]
            yield block[some] >> bits << bits | (owners[some] + first).astype(np.uint64)
            left = left - count
