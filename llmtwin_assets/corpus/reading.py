"""What every source shares: what a reader is given, the listing it fills, text decoding, dates.
Knows no source.

A source is read by a module with two functions:

- ``read(source, context, listing)`` tells the listing, item by item, what the source holds now;
- ``fingerprint(source, context)`` is a text that changes when the source does, got cheaply.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import Author
from llmtwin_assets.records import RawDocument
from resources.errors import LlmTwinError

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"),
            ("february", "feb"),
            ("march", "mar"),
            ("april", "apr"),
            ("may",),
            ("june", "jun"),
            ("july", "jul"),
            ("august", "aug"),
            ("september", "sep", "sept"),
            ("october", "oct"),
            ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}
WRITTEN_DATE = re.compile(r"\b([A-Z][a-z]{2,8})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})\b")
AND_MORE = re.compile(r"and (\d+) more")
ISO_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")


class SourceMissingError(LlmTwinError):
    """A source's folder or file is not there, or holds nothing that can be read."""


class UnreadableItemError(LlmTwinError):
    """One item of a source that cannot be read; it is quarantined, the others go on."""


def and_more(count: int) -> str:
    """The item that stands in a quarantine for so many that are not named one by one."""
    return f"and {count} more"


def how_many(quarantined: Iterable[str]) -> int:
    """How many items a quarantine has, those that are not named one by one counted too."""
    found = (AND_MORE.fullmatch(item) for item in quarantined)
    return sum(int(match[1]) if match else 1 for match in found)


def now() -> datetime:
    """The time, UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Context:
    """What a reader is given beside its entry of the registry."""

    author: Author
    base: Path  # the folder that relative paths are relative to
    kind: str | None = None  # the one kind of document that is wanted; every kind without
    # id -> stamp of stored documents: an item whose stamp is the same need not be read.
    known: Mapping[str, str] = field(default_factory=dict)
    # What the source asked to be remembered when it was last read: validators, fingerprints.
    memory: Mapping[str, Any] = field(default_factory=dict)
    web: Any = None  # the guarded client, for sources on the network
    cache: Path | None = None  # a folder of the author's for what may be lost: pages, clones
    clock: Callable[[], datetime] = now

    def wants(self, kind: str) -> bool:
        """Whether documents of this kind are asked for."""
        return self.kind in (None, kind)


class Listing:
    """What a source holds now. Documents go to ``write`` as they come, so that a source may be
    larger than memory; without ``write`` they are kept in ``documents``."""

    def __init__(self, write: Callable[[RawDocument, str | None], None] | None = None) -> None:
        self.documents: list[RawDocument] = []
        self._write = write or (lambda document, _: self.documents.append(document))
        self.listed: set[str] = set()  # ids of what was read
        self.unread: set[str] = set()  # ids of stored documents that are there, and as they were
        self.quarantined: dict[str, str] = {}  # item -> why it could not be read
        self.left_out: Counter[str] = Counter()  # why items are not the author's works -> how many
        # False: what is not listed may be there all the same (a feed shows its newest entries).
        self.complete = True
        # True: nothing changed since the last read, and nothing was listed.
        self.unchanged = False
        # What to remember for the next read, once everything here is stored; None: as before.
        self.memory: Mapping[str, Any] | None = None

    def add(self, document: RawDocument, stamp: str | None = None) -> None:
        """List a document. By its ``stamp`` the source tells, without reading it, that an item is
        as it was."""
        self.listed.add(document.id)
        self._write(document, stamp)

    def take(
        self,
        item: str,
        read: Callable[[], RawDocument | None],
        stamp: str | None = None,
        id_: str | None = None,
    ) -> None:
        """List what ``read`` returns; an ``UnreadableItemError`` quarantines the item instead, and
        what is stored under ``id_``, from when it could be read, stays."""
        try:
            document = read()
        except UnreadableItemError as error:
            self.quarantined[item] = str(error)
            if id_ is not None:
                self.unread.add(id_)
            return
        if document is not None:
            self.add(document, stamp)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count items that are no works of the author: drafts, comments, pieces without
        consent."""
        self.left_out[reason] += count


def raw_hash(data: bytes | str) -> str:
    """The hash of an item as its source holds it: 32 hex digits of SHA-256."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return hashlib.sha256(raw).hexdigest()[:32]


def decode(data: bytes, item: str) -> str:
    """UTF-8 text (a byte-order mark removed) with every kind of line end as one newline.

    CR CR LF, which some tools write, is one line end and not an empty line. Raises
    ``UnreadableItemError`` for binary or otherwise undecodable data.
    """
    if b"\x00" in data:
        raise UnreadableItemError(item, "it is a binary file", "Remove it from the source")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableItemError(
            item, f"it is not UTF-8 text (byte {error.start})", "Convert the file to UTF-8"
        ) from error
    return re.sub(r"\r*\n|\r", "\n", text)


def moment(value: object) -> datetime | None:
    """A point in time, UTC: from a date, a datetime, or a text such as ``2024-03-05T10:00:00Z``,
    ``2024-03-05 10:00:00 UTC`` or ``Tue, 05 Mar 2024 10:00:00 +0000``. What has no zone is UTC."""
    if isinstance(value, str):
        value = _parsed(value.strip())
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime) or value.year < 1:
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return None


def _parsed(text: str) -> datetime | None:
    if not text or text.startswith("0000"):
        return None
    try:
        return datetime.fromisoformat(re.sub(r" (UTC|GMT|Z)$", "+00:00", text))
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        found = find_date(text)
        return datetime(found.year, found.month, found.day) if found else None


def find_date(text: str) -> date | None:
    """The first date in a text: ``2024-03-27``, ``March 27, 2024`` or ``Mar 27, 2024``."""
    for match in ISO_DATE.finditer(text):
        found = _date(int(match[1]), int(match[2]), int(match[3]))
        if found:
            return found
    for match in WRITTEN_DATE.finditer(text):
        month = MONTHS.get(match[1].lower())
        found = _date(int(match[3]), month, int(match[2])) if month else None
        if found:
            return found
    return None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
