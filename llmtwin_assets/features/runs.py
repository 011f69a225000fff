"""Runs of words as 64-bit hashes, of many texts at once.

A word is a run of letters, NFKC and case-folded; scripts that put no space between words give one
word per character. Its hash is made of its UTF-8 bytes, eight at a time, and that of a run of its
words'; both are the same on every machine. Everything is done on arrays of many texts.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.words import UNSPACED

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[Any, np.dtype[np.uint64]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

RUN = 4  # words in a run
BATCH = 1 << 16  # bytes hashed at once: arrays that fit a processor's cache
LAST_LETTER = 0x323AF  # the highest code point that is a letter, Unicode 16
EIGHT = 8  # bytes of a word that are read at once


def runs_of(texts: Sequence[str], size: int = RUN) -> "list[Hashes]":
    """For each text the hashes of its different runs of ``size`` words, ascending. A text of fewer
    words than a run has one run, a text without words none."""
    found: list[Hashes] = []
    batch: list[bytes] = []
    length = 0
    for text in texts:
        plain = _plain(text)
        if batch and length + len(plain) > BATCH:
            found += _runs(batch, size)
            batch, length = [], 0
        batch.append(plain)
        length += len(plain) + 1
    return found + _runs(batch, size)


def _plain(text: str) -> bytes:
    """UTF-8 in which words are runs of letters, lower-case but for those of ASCII. What cannot be
    encoded is no letter."""
    if text.isascii():
        return text.encode()
    folded = unicodedata.normalize("NFKC", text).casefold()
    return UNSPACED.sub(r" \g<0> ", folded).encode("utf-8", "replace")


def _runs(texts: Sequence[bytes], size: int) -> "list[Hashes]":
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
    runs, ends = rolled[new], np.r_[0, np.cumsum(new)][begins].tolist()
    found = [runs[begin:end] for begin, end in pairwise(ends)]
    for text in np.flatnonzero((begins[1:] == begins[:-1]) & (counts > 0)).tolist():
        found[text] = _rolled(hashes[last[text] - counts[text] : last[text]], int(counts[text]))
    return found


def _word_hashes(texts: Sequence[bytes]) -> "tuple[Hashes, Places]":
    """The hashes of all words of the texts in order, and how many words each text has."""
    import numpy as np

    data = b"\n".join([b"", *texts, bytes(EIGHT)])  # no word at either end, room to read eight
    points = np.frombuffer(data, np.uint8)
    letters = (points | 32) - ord("a") < 26
    folded = points | letters.view(np.uint8) << 5
    if not data.isascii():
        letters = letters | _other_letters(data, points)
    edges = np.flatnonzero(letters[1:] != letters[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    eights = np.ndarray((len(points) - EIGHT + 1,), "<u8", folded, strides=(1,))
    masks = np.array([(1 << 8 * many) - 1 for many in range(EIGHT + 1)], np.uint64)
    rest = ends - starts
    hashes = eights[starts] & masks.take(np.minimum(rest, EIGHT))
    long = np.flatnonzero(rest > EIGHT)
    for place in range(EIGHT, int(rest.max(initial=0)), EIGHT):
        long = long[rest[long] > place]
        more = eights[starts[long] + place]
        more &= masks.take(np.minimum(rest[long] - place, EIGHT))
        hashes[long] = _mixed(hashes[long]) ^ more
    bounds = np.cumsum([len(text) + 1 for text in texts]) + 1
    return hashes, np.diff(np.searchsorted(starts, bounds), prepend=0)


def _other_letters(data: bytes, points: "np.ndarray[Any, np.dtype[np.uint8]]") -> Any:
    """Whether each byte is part of a letter that is not ASCII."""
    import numpy as np

    characters = np.frombuffer(data.decode().encode("utf-32-le"), np.uint32)
    others = characters[characters > 127]
    at = np.flatnonzero(points >= 0xC0)[_letters().take(np.minimum(others, LAST_LETTER + 1))]
    found = np.zeros(len(points), bool)
    while len(at):
        found[at] = True
        at = at + 1
        at = at[points[at] & 0xC0 == 0x80]  # bytes that continue a character
    return found


def _rolled(hashes: "Hashes", size: int) -> "Hashes":
    """Hashes of every ``size`` words in a row."""
    import numpy as np

    mixed = np.zeros(max(0, len(hashes) - size + 1), np.uint64)
    for place in range(size if len(mixed) else 0):
        mixed ^= hashes[place : place + len(mixed)]
        mixed = _mixed(mixed)
    return mixed


def _mixed(hashes: "Hashes") -> "Hashes":
    """Multiplied by an odd number and folded, which mixes the bits (as in Steele's SplitMix64)."""
    import numpy as np

    product = hashes * np.uint64(0xBF58476D1CE4E5B9)
    return product ^ product >> np.uint64(29)


@lru_cache(maxsize=1)
def _letters() -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Whether each code point is a letter."""
    import numpy as np

    return np.array([*(chr(point).isalpha() for point in range(LAST_LETTER + 1)), False], bool)
