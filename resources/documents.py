"""The document store: what authors wrote, as mappings, one item per place where a work was found.

The same work may come from a feed, an archive and a site: three items. ``arrange`` says which items
are one work and which of them leads; whatever reads documents sees works, each as its leading item
with the others as ``aliases``, under an id that stays when another item takes the lead.

Speaks plain mappings and knows nothing of what their fields mean beyond those it keys on: ``id``,
``author``, ``kind``, ``hash`` (of the content), ``origin`` (which source listed it), ``stamp`` (by
which a source tells, without reading it, that an item is as it was; no part of the content),
``published`` and ``text`` of ``lengths``, and the three fields of an alias. Many processes may
write at once. A write that is interrupted is whole or absent, per item; calling again finishes it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from resources.errors import LlmTwinError, UnknownSchemeError


class StoreUnavailableError(LlmTwinError):
    """The store cannot be reached or opened, or is not a database."""


class OtherAuthorsDocumentError(LlmTwinError):
    """A document id that another author's document holds already."""


@dataclass(frozen=True)
class UpsertCounts:
    """What one ``upsert`` did: items inserted, updated, and left alone."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: "UpsertCounts") -> "UpsertCounts":
        return UpsertCounts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )


@dataclass(frozen=True)
class Place:
    """The work an item belongs to, whether the item is what readers see of it, and the hash of the
    content by which that was decided."""

    work: str
    lead: bool
    hash: str = ""


class DocumentStore(Protocol):
    """What every backend does. ``author`` is required in every call that reads or writes."""

    def hashes(self, author: str, kind: str | None = None) -> dict[str, str]:
        """id -> hash of the author's works (of a kind)."""

    def documents(
        self, author: str, kind: str | None = None, ids: Collection[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The author's works (of a kind, with these ids), ordered by id, with their aliases."""

    def lengths(self, author: str, kind: str) -> list[tuple[str | None, int]]:
        """(``published``, characters of ``text``) of the author's works of a kind."""

    def by_origin(self, author: str, kind: str) -> dict[str, int]:
        """How many items of a kind each source gave, by its name."""

    def items(self, author: str, kind: str) -> list[dict[str, Any]]:
        """The author's items of a kind, ordered by id, without their text; with ``work`` (None
        before ``arrange``), ``lead``, and ``placed``: the hash of their place, None when an item of
        their work was removed since."""

    def upsert(
        self, author: str, kind: str, documents: Iterable[Mapping[str, Any]]
    ) -> UpsertCounts:
        """Write items. What has its stored hash and origin is not written, but for a new stamp.
        Raises ``OtherAuthorsDocumentError``, before anything is written, when an id belongs to
        another author."""

    def remove(self, author: str, ids: Collection[str]) -> int:
        """Tombstone items; returns how many there were."""

    def arrange(self, author: str, places: Mapping[str, Place]) -> None:
        """Give items their places (item id -> place)."""

    def splits(self, author: str) -> dict[str, str]:
        """document id -> split, for every document that ever got one."""

    def keep_splits(self, author: str, splits: Mapping[str, str]) -> None:
        """Remember splits; one that was given before stays as it was."""

    def set_quarantine(
        self, author: str, kind: str, reasons: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Replace the author's quarantined items of this kind: source -> item -> reason."""

    def quarantined(self, author: str, kind: str) -> dict[str, dict[str, str]]:
        """source -> item -> reason of what could not be read."""

    def quarantine(self, author: str, kind: str | None = None) -> dict[str, str]:
        """item -> reason of what could not be read. Of items with the same name in several
        sources, the later ones are named with their source."""

    def remember(self, author: str, key: str, value: Mapping[str, Any]) -> None:
        """Keep a small JSON object for the author under a key."""

    def recall(self, author: str, key: str) -> dict[str, Any]:
        """What was kept under a key; empty when nothing was."""


def open_documents(url: str) -> DocumentStore:
    """The store a URL names: ``sqlite:///path`` or ``mongodb://host/database``. Raises
    ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme in ("mongodb", "mongodb+srv"):
        from resources.mongo_documents import MongoDocuments

        return MongoDocuments(url)
    if parts.scheme != "sqlite":
        raise UnknownSchemeError(url, ("sqlite:///", "mongodb://"))
    from resources.sqlite_documents import SqliteDocuments

    return SqliteDocuments(Path(unquote(parts.path)))


@dataclass(frozen=True)
class Stored:
    """What an upsert looks at of an item that is there."""

    author: str
    hash: str
    stamp: str | None
    origin: str
    deleted: bool


@dataclass(frozen=True)
class Changes:
    """What an upsert has to write: items, and stamps of items whose content is as it was."""

    written: dict[str, Mapping[str, Any]]
    stamps: dict[str, str]
    counts: UpsertCounts


def changes(
    author: str, listed: Mapping[str, Mapping[str, Any]], stored: Mapping[str, Stored]
) -> Changes:
    """What differs from what is stored; raises ``OtherAuthorsDocumentError``."""
    written: dict[str, Mapping[str, Any]] = {}
    stamps: dict[str, str] = {}
    for id_, document in listed.items():
        before = stored.get(id_)
        if before and before.author != author:
            raise OtherAuthorsDocumentError(
                f"document {id_}",
                f"it belongs to {before.author}, not to {author}",
                "Ids must be derived from the author; nothing was written",
            )
        content = (document["hash"], document.get("origin", ""))
        if not before or before.deleted or (before.hash, before.origin) != content:
            written[id_] = document
        elif document.get("stamp") not in (None, before.stamp):
            stamps[id_] = document["stamp"]
    updated = sum(id_ in stored and not stored[id_].deleted for id_ in written)
    counts = UpsertCounts(len(written) - updated, updated, len(listed) - len(written))
    return Changes(written, stamps, counts)


def group_aliases(rows: Iterable[Sequence[Any]]) -> dict[str, list[dict[str, Any]]]:
    """work -> aliases, from rows of work, source, external id and URL."""
    aliases: dict[str, list[dict[str, Any]]] = {}
    for work, source, external_id, url in rows:
        alias = {"source": source, "external_id": external_id, "url": url}
        aliases.setdefault(work, []).append(alias)
    return aliases


def as_work(
    document: Mapping[str, Any], work: str, aliases: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """A leading item as the work it is: its id, and the aliases it had with those of its items."""
    known = list(document.get("aliases") or ())
    return {**document, "id": work, "aliases": known + [a for a in aliases if a not in known]}


def group_reasons(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """source -> item -> reason, from rows of these three."""
    reasons: dict[str, dict[str, str]] = {}
    for source, item, reason in rows:
        reasons.setdefault(source, {})[item] = reason
    return reasons


def named_reasons(rows: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """item -> reason, from rows of source, item and reason."""
    named: dict[str, str] = {}
    for source, item, reason in rows:
        named[f"{source}: {item}" if item in named else item] = reason
    return named


def timestamp() -> str:
    """Now, as rows keep it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
