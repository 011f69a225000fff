"""Which texts are nearly the same, exactly: no pair is missed, none is wrong.

Two texts are alike when they share so many of their runs of words (Jaccard). Of a text with n runs
that must share a part t with another, at least one of its n - ceil(t n) + 1 rarest runs is also
among the other's rarest; so only texts that share a rare run are compared (prefix filtering:
Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007). Runs are compared by
64-bit hashes that are the same on every machine, and all but finding the words is done on arrays.

Knows no store, no author and no document.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.words import words

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint64]]

RUN = 4  # words in a run
SAME = 0.8  # share of runs in common from which on two texts are nearly the same


def runs_of(texts: Sequence[str]) -> "list[Hashes]":
    """For each text the hashes of its different runs of words, ascending. A text of fewer words
    than a run has one run, a text without words none."""
    import numpy as np

    numbers: dict[str, int] = {}
    found: list[Hashes] = []
    for text in texts:
        each = words(text)
        for word in set(each) - numbers.keys():
            numbers[word] = _number(word)
        hashes = np.fromiter(map(numbers.__getitem__, each), np.uint64, len(each))
        found.append(np.unique(_rolled(hashes)))
    return found


def pairs(runs: "Sequence[Hashes]", same: float = SAME) -> list[tuple[int, int, float]]:
    """(a, b, share of runs in common) of all pairs of texts, a before b, that have at least
    ``same``; texts are given by their runs."""
    sizes = [len(each) for each in runs]
    found = []
    for a, b in sorted(set(_candidates(runs, sizes, same))):
        share = jaccard(runs[a], runs[b])
        if share >= same:
            found.append((a, b, share))
    return found


def jaccard(a: "Hashes", b: "Hashes") -> float:
    """Share of runs in common, of two ascending arrays of different hashes; 0 of two empty ones."""
    import numpy as np

    both = len(a) + len(b)
    shared = both - len(np.union1d(a, b))
    return shared / (both - shared) if both else 0.0


def twins(count: int, found: Sequence[tuple[int, int, float]]) -> dict[int, int]:
    """text -> the earlier text it is nearly the same as, of ``count`` texts with the pairs
    ``found``. A text that has a twin is nobody's twin: each is nearly the same as one that
    stays."""
    earlier: dict[int, list[tuple[float, int]]] = {}
    for a, b, share in found:
        earlier.setdefault(b, []).append((-share, a))
    gone: dict[int, int] = {}
    for text in range(count):
        stays = [pair for pair in earlier.get(text, []) if pair[1] not in gone]
        if stays:
            gone[text] = min(stays)[1]
    return gone


def _number(word: str) -> int:
    """A 64-bit hash of a word, the same on every machine."""
    data = word.encode()
    return zlib.crc32(data) << 32 | zlib.crc32(data, 0x9E3779B1)


def _rolled(hashes: "Hashes") -> "Hashes":
    """Hashes of the runs in a sequence of words."""
    import numpy as np

    if len(hashes) == 0:
        return hashes
    size = max(1, len(hashes) - RUN + 1)
    mixed = np.zeros(size, np.uint64)
    for place in range(min(RUN, len(hashes))):
        # A multiplication by an odd number and a shift mix the bits (after Steele's SplitMix64).
        mixed = (mixed ^ hashes[place : place + size]) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _candidates(
    runs: "Sequence[Hashes]", sizes: Sequence[int], same: float
) -> Iterator[tuple[int, int]]:
    """Pairs that share one of their rarest runs and are about as long."""
    import numpy as np

    if not any(sizes):
        return
    owners = np.repeat(np.arange(len(runs)), sizes)
    hashes = np.concatenate(runs)
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(hashes[order]) > 0])
    counts = np.diff(np.r_[starts, len(order)])
    frequency = np.empty(len(order), np.int64)
    frequency[order] = np.repeat(counts, counts)
    # Of each text the rarest runs, in the same order in every text.
    ranked = np.lexsort((hashes, frequency, owners))
    length = np.asarray(sizes)
    begin = np.cumsum(length) - length
    place = np.arange(len(ranked)) - np.repeat(begin, length)
    needed = length - np.ceil(same * length - 1e-9).astype(np.int64) + 1
    shared = ranked[(place < np.repeat(needed, length)) & (frequency[ranked] > 1)]
    shared = shared[np.argsort(hashes[shared], kind="stable")]
    bounds = np.flatnonzero(np.r_[True, np.diff(hashes[shared]) > 0, True])
    for first, last in pairwise(bounds):
        group = sorted(owners[shared[first:last]].tolist(), key=lambda text: (sizes[text], text))
        for at, a in enumerate(group):
            for b in group[at + 1 :]:
                if sizes[a] < same * sizes[b]:
                    break
                yield (a, b) if a < b else (b, a)
