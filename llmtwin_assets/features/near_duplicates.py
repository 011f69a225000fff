"""Which texts are nearly the same, exactly: no pair is missed, none is wrong.

Two texts are alike when they share so many of their runs of words (Jaccard). Of a text with n runs
that must share a part t with another, at least one of its n - ceil(t n) + 1 rarest runs is also
among the other's rarest; so only texts that share a rare run are compared (prefix filtering:
Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007). Runs are compared by
64-bit hashes that are the same on every machine. Everything is done on arrays of many texts.

A word is a run of letters, NFKC and case-folded; scripts that put no space between words give one
word per character. Knows no store, no author and no document.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.words import UNSPACED

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint64]]

RUN = 4  # words in a run
SAME = 0.8  # share of runs in common from which on two texts are nearly the same
BATCH = 1 << 16  # characters hashed at once: arrays that fit a processor's cache
LAST_LETTER = 0x323AF  # the highest code point that is a letter, Unicode 16
BITS = 24  # of a hash by which runs are counted, at most: a table of 128 MB
BASE = 0x9E3779B97F4A7C15  # of the polynomial whose value is a word's hash; odd, so it has an
INVERSE = pow(BASE, -1, 1 << 64)  # … inverse modulo 2**64


def runs_of(texts: Sequence[str], size: int = RUN) -> "list[Hashes]":
    """For each text the hashes of its different runs of ``size`` words, ascending. A text of fewer
    words than a run has one run, a text without words none."""
    found: list[Hashes] = []
    batch: list[str] = []
    length = 0
    for text in texts:
        plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
        if batch and length + len(plain) > BATCH:
            found += _runs(batch, size)
            batch, length = [], 0
        batch.append(plain.casefold())
        length += len(batch[-1]) + 1
    return found + _runs(batch, size)


def pairs(runs: "Sequence[Hashes]", same: float = SAME) -> list[tuple[int, int, float]]:
    """(a, b, share of runs in common) of all pairs of texts, a before b, that have at least
    ``same``; texts are given by their runs."""
    sizes = [len(each) for each in runs]
    found = []
    for a, b in _candidates(runs, sizes, same):
        share = jaccard(runs[a], runs[b])
        if share >= same:
            found.append((a, b, share))
    return found


def jaccard(a: "Hashes", b: "Hashes") -> float:
    """Share of runs in common, of two ascending arrays of different hashes; 0 of two empty ones."""
    import numpy as np

    if len(a) == 0 or len(b) == 0:
        return 0.0
    both = np.concatenate((a, b))
    both.sort()
    shared = np.count_nonzero(both[1:] == both[:-1])
    return shared / (len(both) - shared)


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
    for text in range(count):
        stays = [pair for pair in earlier.get(text, []) if pair[1] not in gone]
        if stays:
            gone[text] = min(stays)[1]
    return gone


def _runs(texts: Sequence[str], size: int) -> "list[Hashes]":
    import numpy as np

    if not texts:
        return []
    hashes, counts = _word_hashes(texts)
    last = np.cumsum(counts)
    owner = np.repeat(np.arange(len(texts)), counts)
    rolled = _rolled(hashes, size)
    within = owner[: len(rolled)] == owner[len(owner) - len(rolled) :]
    rolled, owner = rolled[within], owner[: len(within)][within]
    begins = np.searchsorted(owner, np.arange(len(texts) + 1))
    spans = list(pairwise(begins.tolist()))
    for begin, end in spans:
        rolled[begin:end].sort()
    new = np.r_[True, rolled[1:] != rolled[:-1]][: len(rolled)]
    new[begins[:-1][begins[:-1] < len(rolled)]] = True  # the first of each text
    runs, ends = rolled[new], np.r_[0, np.cumsum(new)]
    found = [runs[ends[begin] : ends[end]] for begin, end in spans]
    for text in np.flatnonzero((begins[1:] == begins[:-1]) & (counts > 0)).tolist():
        found[text] = _rolled(hashes[last[text] - counts[text] : last[text]], int(counts[text]))
    return found


def _word_hashes(texts: Sequence[str]) -> "tuple[Hashes, np.ndarray[Any, np.dtype[np.int64]]]":
    """The hashes of all words of the texts in order, and how many words each text has."""
    import numpy as np

    points = np.frombuffer("\n".join(texts).encode("utf-32-le", "replace"), np.uint32)
    kind = _kinds()[np.minimum(points, LAST_LETTER + 1)]
    alone = kind == 2
    new = alone | np.r_[True, kind[1:] != kind[:-1]]
    edges = np.flatnonzero(np.r_[new, True])
    letters = kind[edges[:-1]] > 0
    starts, ends = edges[:-1][letters], edges[1:][letters]
    powers, inverses = _powers(1 << len(points).bit_length())
    # The sum of point * BASE**place up to each place; a word's hash is its part of that sum,
    # divided by the power of the word's own place.
    upto = np.r_[np.uint64(0), np.cumsum(points * powers[: len(points)], dtype=np.uint64)]
    hashes = (upto[ends] - upto[starts]) * inverses[starts]
    hashes ^= hashes >> np.uint64(32)
    bounds = np.cumsum([len(text) + 1 for text in texts])
    return hashes, np.diff(np.searchsorted(starts, bounds), prepend=0)


def _rolled(hashes: "Hashes", size: int) -> "Hashes":
    """Hashes of every ``size`` words in a row."""
    import numpy as np

    mixed = np.zeros(max(0, len(hashes) - size + 1), np.uint64)
    for place in range(size if len(mixed) else 0):
        # Multiplying by an odd number and folding mixes the bits (as in Steele's SplitMix64).
        mixed = (mixed ^ hashes[place : place + len(mixed)]) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    return mixed


@lru_cache(maxsize=1)
def _kinds() -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Of every code point: 0 no letter, 1 a letter, 2 a word by itself."""
    import numpy as np

    characters = map(chr, range(LAST_LETTER + 1))
    kinds = [0 if not each.isalpha() else 2 if UNSPACED.match(each) else 1 for each in characters]
    return np.array([*kinds, 0], np.uint8)


@lru_cache(maxsize=2)
def _powers(size: int) -> "tuple[Hashes, Hashes]":
    """Powers of ``BASE`` and of its inverse, for so many places."""
    import numpy as np

    def powers(base: int) -> "Hashes":
        factors = np.full(size, base, np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    return powers(BASE), powers(INVERSE)


def _candidates(
    runs: "Sequence[Hashes]", sizes: Sequence[int], same: float
) -> list[tuple[int, int]]:
    """Pairs that share one of their rarest runs and are about as long, ascending."""
    import numpy as np

    if not any(sizes):
        return []
    owners = np.repeat(np.arange(len(runs)), sizes)
    hashes = np.concatenate(runs)
    # How often a run occurs, or a little more: runs whose hashes begin alike are counted together.
    # Any order does that is the same in every text.
    begin = (hashes >> np.uint64(64 - min(BITS, len(hashes).bit_length() + 2))).astype(np.int64)
    frequency = np.bincount(begin)[begin]
    length = np.asarray(sizes)
    needed = length - np.ceil(same * length - 1e-9).astype(np.int64) + 1
    # Of each text the rarest runs, in an order that is the same in every text. Those that no other
    # text has come first and are only counted.
    common = np.flatnonzero(frequency > 1)
    left = needed - np.bincount(owners[frequency == 1], minlength=len(runs))
    common = common[left[owners[common]] > 0]
    # Runs ascend within a text, so that a stable sort leaves those of one frequency in that order.
    rank = owners[common] << 32 | frequency[common]
    common = common[np.argsort(rank, kind="stable")]
    owner = owners[common]
    many = np.bincount(owner, minlength=len(runs))
    place = np.arange(len(common)) - np.repeat(np.cumsum(many) - many, many)
    shared = common[place < left[owner]]
    shared = shared[np.argsort(hashes[shared], kind="stable")]
    hash_, owner = hashes[shared], owners[shared]
    found = [np.zeros(0, np.int64)]
    for distance in range(1, len(shared)):
        first = np.flatnonzero(hash_[distance:] == hash_[:-distance])
        if len(first) == 0:
            break
        a, b = owner[first], owner[first + distance]  # texts ascend among equal hashes
        alike = np.minimum(length[a], length[b]) >= same * np.maximum(length[a], length[b])
        found.append(np.unique(a[alike] << 32 | b[alike]))
    both = np.unique(np.concatenate(found))
    return list(zip((both >> 32).tolist(), (both & 0xFFFFFFFF).tolist(), strict=True))
