"""Which items are one work: the same article from a feed, an archive and a site.

Items are one work when they have an address in common, or nearly the same text. Text is compared by
bottom-k sketches of its runs of words: the k smallest hashes of the runs. Two sketches estimate the
share of runs in common (Jaccard); for a text of fewer than k runs, such as a post, the sketch holds
all of them and the estimate is exact. Knows no store and no source.

A. Z. Broder, "On the resemblance and containment of documents" (1997), for the sketch.
"""

import base64
import re
import unicodedata
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from llmtwin_assets.corpus.canonical import canonical_url
from llmtwin_assets.records import content_id

VERSION = "merge-1"
RUN = 4  # words in a run
SIZE = 256  # hashes in a sketch: the standard error of a similarity of 0.8 is 0.025
PROBES = (
    8  # smallest hashes looked up: two texts with 0.8 in common miss each other in 1 of 390,000
)
PACKED_PROBES = 44  # letters of a packed sketch that hold them: 33 bytes
SAME = 0.8  # share of runs in common from which on two texts are one work
IDENTICAL = 1.0  # … for source code: two files that are nearly the same are two files
NEARLY_FULLEST = 0.9  # share of the longest text's size from which on a text is full
WORDS = re.compile(r"\w+")
MEDIUM_STORY = re.compile(r"(?:^|[-/])([0-9a-f]{10,12})$")
# Exports keep the author's structure, feeds most of it; pages are read through their layout.
TRUST = {"feed": 1, "warehouse": 2, "page": 2, "site": 2}


@dataclass(frozen=True)
class Item:
    """What is compared of an item. ``work`` and ``lead`` are its place so far."""

    id: str
    origin: str
    source: str
    addresses: frozenset[str]
    size: int
    runs: int
    sketch: tuple[int, ...]
    dated: bool
    work: str | None
    lead: bool


@dataclass(frozen=True)
class Key:
    """By what an item may be one work with another: its work so far, addresses, and the smallest
    hashes of its text."""

    id: str
    work: str | None
    marks: set[str | int]


@dataclass(frozen=True)
class Group:
    """Items that are one work: the leading one's id, all ids, and the work's id."""

    work: str
    lead: str
    items: tuple[str, ...]


def sketch(text: str) -> tuple[int, tuple[int, ...]]:
    """How many different runs of words a text has, and the smallest of their hashes, ascending.

    Runs are of letters and digits, NFKC and case-folded: markup and typography do not count.
    """
    words = WORDS.findall(unicodedata.normalize("NFKC", text).casefold())
    runs = {" ".join(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1))}
    # The product with an odd number is a bijection that breaks up what CRC leaves in order.
    hashes = sorted({zlib.crc32(run.encode()) * 0x9E3779B1 & 0xFFFFFFFF for run in runs})
    return len(hashes), tuple(hashes[:SIZE])


def similarity(a: Sequence[int], b: Sequence[int]) -> float:
    """The share of runs that two sketched texts have in common, estimated: of the smallest hashes
    of both together, those that both have."""
    ours, theirs = set(a), set(b)
    size = SIZE if len(a) == SIZE or len(b) == SIZE else len(ours | theirs)
    smallest = sorted(ours | theirs)[:size]
    return sum(h in ours and h in theirs for h in smallest) / len(smallest) if smallest else 0.0


def packed(hashes: Sequence[int]) -> str:
    """A sketch as text."""
    return base64.b64encode(array("I", hashes).tobytes()).decode("ascii")


def unpacked(text: str) -> tuple[int, ...]:
    """The sketch in a text made by ``packed``."""
    numbers = array("I")
    data = base64.b64decode(text)
    numbers.frombytes(data[: len(data) // 4 * 4])
    return tuple(numbers)


def addresses(*names: str) -> frozenset[str]:
    """The addresses that identify a work, of its URL and other names: canonical ones with a path,
    and the number of a Medium story, whose address may have any slug."""
    found = set()
    for name in names:
        if not name.startswith(("http://", "https://")):
            continue
        url = canonical_url(name)
        parts = urlsplit(url)
        if parts.path.strip("/") or parts.query:
            found.add(url)
        host = parts.hostname or ""
        story = MEDIUM_STORY.search(parts.path)
        if story and (host == "medium.com" or host.endswith(".medium.com")):
            found.add(f"medium:{story[1]}")
    return frozenset(found)


def probes(text: str) -> tuple[int, ...]:
    """The smallest hashes of a sketch that is packed as ``text``."""
    return unpacked(text[:PACKED_PROBES])[:PROBES]


def affected(keys: Sequence[Key], changed: Set[str]) -> set[str]:
    """Ids of the items whose work may be another one now that some have changed: these, those that
    share a mark with one of them, and whatever was one work with any."""
    marks = {mark for key in keys if key.id in changed for mark in key.marks}
    near = [key for key in keys if key.id in changed or not marks.isdisjoint(key.marks)]
    works = {key.work for key in near if key.work is not None}
    return {key.id for key in near} | {key.id for key in keys if key.work in works}


def group(items: Sequence[Item], same: float = SAME) -> list[Group]:
    """The works that items make up: with an address in common, or a share of ``same`` of the text.
    A work keeps its id as long as one of its items is there."""
    joined = _Joined(item.id for item in items)
    for a, b in _same_address(items):
        joined.join(a.id, b.id)
    for a, b in _candidates(items, same):
        if not joined.are(a.id, b.id) and similarity(a.sketch, b.sketch) >= same:
            joined.join(a.id, b.id)
    members: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        members[joined.root(item.id)].append(item)
    return _named([_ordered(group_) for group_ in members.values()])


def _ordered(items: Sequence[Item]) -> list[Item]:
    """Items of a work, the leading one first: of the fullest, the most trusted, dated, longest."""
    longest = max(item.size for item in items)

    def key(item: Item) -> tuple[bool, int, bool, int, str]:
        nearly = item.size >= NEARLY_FULLEST * longest
        return (not nearly, TRUST.get(item.source, 0), not item.dated, -item.size, item.id)

    return sorted(items, key=key)


def _named(groups: Sequence[list[Item]]) -> list[Group]:
    """Give each group an id: the one its items had, or its leading item's. Where a work has come
    apart, the part with its lead keeps the id, or else the one with the item it is named for."""
    claims: list[tuple[tuple[bool, bool], str, int]] = []
    for number, items in enumerate(groups):
        for item in items:
            if item.work is not None:
                claims.append(((not item.lead, item.work != item.id), item.work, number))
    names: dict[int, str] = {}
    taken: set[str] = set()
    for _, work, number in sorted(claims):
        if number not in names and work not in taken:
            names[number] = work
            taken.add(work)
    for number, items in enumerate(groups):
        if number not in names:
            ids = [item.id for item in items]
            free = (name for name in [*ids, content_id("work", ids[0])] if name not in taken)
            names[number] = next(free)
            taken.add(names[number])
    return [
        Group(names[number], items[0].id, tuple(item.id for item in items))
        for number, items in enumerate(groups)
    ]


def _same_address(items: Iterable[Item]) -> Iterator[tuple[Item, Item]]:
    """Pairs with an address in common. An address that one origin gives to several items (a blog's
    front page) identifies none of them."""
    by_address: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for address in item.addresses:
            by_address[address].append(item)
    for found in by_address.values():
        if max(Counter(item.origin for item in found).values()) == 1:
            yield from pairwise(found)


def _candidates(items: Iterable[Item], same: float) -> Iterator[tuple[Item, Item]]:
    """Pairs that may be nearly the same text: one of the smallest hashes in common, and about as
    many runs."""
    by_hash: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        for hash_ in item.sketch[:PROBES]:
            by_hash[hash_].append(item)
    for found in by_hash.values():
        found.sort(key=lambda item: item.runs)
        for at, item in enumerate(found):
            for other in found[at + 1 :]:
                if item.runs < same * other.runs:
                    break
                yield item, other


class _Joined:
    """Sets of ids that grow together (union-find)."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._above: dict[str, str] = {id_: id_ for id_ in ids}

    def root(self, id_: str) -> str:
        while self._above[id_] != id_:
            self._above[id_] = self._above[self._above[id_]]
            id_ = self._above[id_]
        return id_

    def are(self, a: str, b: str) -> bool:
        return self.root(a) == self.root(b)

    def join(self, a: str, b: str) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self._above[high] = low


def places(groups: Iterable[Group]) -> Mapping[str, tuple[str, bool]]:
    """item id -> (work id, whether it leads)."""
    return {id_: (group_.work, id_ == group_.lead) for group_ in groups for id_ in group_.items}
