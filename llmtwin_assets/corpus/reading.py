"""What every source shares: the result of a listing, text decoding, dates. Knows no source."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

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
ISO_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")


class SourceMissingError(LlmTwinError):
    """A source's folder or file is not there, or holds nothing that can be read."""


class UnreadableItemError(LlmTwinError):
    """One item of a source that cannot be read; it is quarantined, the others go on."""


@dataclass
class Listing:
    """What a source holds now: the documents that were read, with a stamp where the source can tell
    by it that an item is as it was; ids of stored documents that are as they were and were not
    read; and what could not be read (item -> reason)."""

    documents: list[RawDocument] = field(default_factory=list)
    stamps: dict[str, str] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    quarantined: dict[str, str] = field(default_factory=dict)

    def take(self, item: str, read: Callable[[], RawDocument | None]) -> None:
        """Add what ``read`` returns; an ``UnreadableItemError`` quarantines the item instead."""
        try:
            document = read()
        except UnreadableItemError as error:
            self.quarantined[item] = str(error)
            return
        if document is not None:
            self.documents.append(document)


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
