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

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from resources.errors import LlmTwinError, UnknownSchemeError
from resources.sqlite import use_write_ahead_log

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, author TEXT NOT NULL, kind TEXT NOT NULL, hash TEXT NOT NULL,
    stamp TEXT, body TEXT NOT NULL, written TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    origin TEXT NOT NULL DEFAULT '', work TEXT, lead INTEGER NOT NULL DEFAULT 0, placed TEXT);
CREATE INDEX IF NOT EXISTS documents_by_work ON documents (author, work);
CREATE INDEX IF NOT EXISTS documents_by_author ON documents (author, kind, deleted);
CREATE TABLE IF NOT EXISTS splits (
    author TEXT NOT NULL, document_id TEXT NOT NULL, split TEXT NOT NULL,
    PRIMARY KEY (author, document_id));
CREATE TABLE IF NOT EXISTS quarantine (
    author TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, item TEXT NOT NULL,
    reason TEXT NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (author, kind, source, item));
CREATE TABLE IF NOT EXISTS memory (
    author TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (author, key));
"""
# A file of the first version: every document was a work of its own, quarantine had no source.
MIGRATION = """
ALTER TABLE documents ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN work TEXT;
ALTER TABLE documents ADD COLUMN lead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN placed TEXT;
UPDATE documents SET work = id, lead = 1 - deleted;
DROP TABLE quarantine;
"""


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


class SqliteDocuments:
    """``DocumentStore`` in one SQLite file (write-ahead log, one writer at a time). Every call that
    writes is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def hashes(self, author: str, kind: str | None = None) -> dict[str, str]:
        """id -> hash of the author's works (of a kind)."""
        with self._read() as db:
            return dict(
                db.execute(
                    "SELECT work, hash FROM documents WHERE author=? AND lead=1"
                    " AND (? IS NULL OR kind=?)",
                    (author, kind, kind),
                ).fetchall()
            )

    def documents(
        self, author: str, kind: str | None = None, ids: Collection[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The author's works (of a kind, with these ids), ordered by id, with their aliases."""
        wanted = None if ids is None else json.dumps(sorted(ids))
        with self._read() as db:
            others = db.execute(
                "SELECT work, json_extract(body, '$.source', '$.external_id', '$.url')"
                " FROM documents WHERE author=? AND lead=0 AND deleted=0 AND work IS NOT NULL"
                " AND (? IS NULL OR kind=?) ORDER BY id",
                (author, kind, kind),
            ).fetchall()
            aliases = group_aliases((work, *json.loads(fields)) for work, fields in others)
            rows = db.execute(
                "SELECT work, body FROM documents WHERE author=? AND lead=1"
                " AND (? IS NULL OR kind=?)"
                " AND (? IS NULL OR work IN (SELECT value FROM json_each(?))) ORDER BY work",
                (author, kind, kind, wanted, wanted),
            )
            for work, body in rows:
                yield as_work(json.loads(body), work, aliases.get(work, []))

    def lengths(self, author: str, kind: str) -> list[tuple[str | None, int]]:
        """(``published``, characters of ``text``) of the author's works of a kind."""
        with self._read() as db:
            return db.execute(
                "SELECT json_extract(body, '$.published'), length(json_extract(body, '$.text'))"
                " FROM documents WHERE author=? AND kind=? AND lead=1 ORDER BY work",
                (author, kind),
            ).fetchall()

    def by_origin(self, author: str, kind: str) -> dict[str, int]:
        """How many items of a kind each source gave, by its name."""
        with self._read() as db:
            rows = db.execute(
                "SELECT origin, count(*) FROM documents"
                " WHERE author=? AND kind=? AND deleted=0 GROUP BY origin ORDER BY origin",
                (author, kind),
            )
            return dict(rows.fetchall())

    def items(self, author: str, kind: str) -> list[dict[str, Any]]:
        """The author's items of a kind, ordered by id, without their text; see the protocol."""
        with self._read() as db:
            rows = db.execute(
                "SELECT json_remove(body, '$.text'), stamp, origin, work, lead, placed"
                " FROM documents"
                " WHERE author=? AND kind=? AND deleted=0 ORDER BY id",
                (author, kind),
            ).fetchall()
        names = ("stamp", "origin", "work", "lead", "placed")
        return [
            json.loads(body) | dict(zip(names, values, strict=True)) | {"lead": bool(values[3])}
            for body, *values in rows
        ]

    def upsert(
        self, author: str, kind: str, documents: Iterable[Mapping[str, Any]]
    ) -> UpsertCounts:
        """Write items; see the protocol."""
        listed = {str(document["id"]): document for document in documents}
        moment = timestamp()
        with self._write() as db:
            stored = {
                row[0]: Stored(*row[1:])
                for row in db.execute(
                    "SELECT id, author, hash, stamp, origin, deleted FROM documents"
                    " WHERE id IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(listed)),),
                )
            }
            change = changes(author, listed, stored)
            db.executemany(
                "INSERT INTO documents (id, author, kind, hash, stamp, body, written, origin)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " kind=excluded.kind, hash=excluded.hash, stamp=excluded.stamp,"
                " body=excluded.body, written=excluded.written, origin=excluded.origin, deleted=0",
                [
                    (
                        id_,
                        author,
                        kind,
                        document["hash"],
                        document.get("stamp"),
                        _json(document),
                        moment,
                        document.get("origin", ""),
                    )
                    for id_, document in change.written.items()
                ],
            )
            db.executemany(
                "UPDATE documents SET stamp=? WHERE id=?",
                [(stamp, id_) for id_, stamp in change.stamps.items()],
            )
        return change.counts

    def remove(self, author: str, ids: Collection[str]) -> int:
        """Tombstone items; returns how many there were."""
        if not ids:
            return 0
        named = json.dumps(sorted(ids))
        with self._write() as db:
            db.execute(
                "UPDATE documents SET placed=NULL WHERE author=? AND work IN (SELECT work FROM"
                " documents WHERE author=? AND id IN (SELECT value FROM json_each(?)))",
                (author, author, named),
            )
            return db.execute(
                "UPDATE documents SET deleted=1, lead=0, written=? WHERE author=? AND deleted=0"
                " AND id IN (SELECT value FROM json_each(?))",
                (timestamp(), author, named),
            ).rowcount

    def arrange(self, author: str, places: Mapping[str, Place]) -> None:
        """Give items their places (item id -> place)."""
        if not places:
            return
        with self._write() as db:
            db.executemany(
                "UPDATE documents SET work=?, lead=?, placed=? WHERE id=? AND author=?"
                " AND deleted=0",
                [(p.work, p.lead, p.hash, id_, author) for id_, p in places.items()],
            )

    def splits(self, author: str) -> dict[str, str]:
        """document id -> split, for every document that ever got one."""
        with self._read() as db:
            return dict(
                db.execute(
                    "SELECT document_id, split FROM splits WHERE author=?", (author,)
                ).fetchall()
            )

    def keep_splits(self, author: str, splits: Mapping[str, str]) -> None:
        """Remember splits; one that was given before stays as it was."""
        if not splits:
            return
        with self._write() as db:
            db.executemany(
                "INSERT OR IGNORE INTO splits (author, document_id, split) VALUES (?, ?, ?)",
                [(author, id_, split) for id_, split in splits.items()],
            )

    def set_quarantine(
        self, author: str, kind: str, reasons: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Replace the author's quarantined items of this kind: source -> item -> reason."""
        if _filled(reasons) == self.quarantined(author, kind):
            return
        rows = [
            (author, kind, source, item, reason, timestamp())
            for source, items in reasons.items()
            for item, reason in items.items()
        ]
        with self._write() as db:
            db.execute("DELETE FROM quarantine WHERE author=? AND kind=?", (author, kind))
            db.executemany("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?)", rows)

    def quarantined(self, author: str, kind: str) -> dict[str, dict[str, str]]:
        """source -> item -> reason of what could not be read."""
        return group_reasons(self._quarantine(author, kind))

    def quarantine(self, author: str, kind: str | None = None) -> dict[str, str]:
        """item -> reason of what could not be read; see the protocol."""
        return named_reasons(self._quarantine(author, kind))

    def remember(self, author: str, key: str, value: Mapping[str, Any]) -> None:
        """Keep a small JSON object for the author under a key."""
        with self._write() as db:
            db.execute(
                "INSERT INTO memory VALUES (?, ?, ?)"
                " ON CONFLICT (author, key) DO UPDATE SET value=excluded.value",
                (author, key, _json(value)),
            )

    def recall(self, author: str, key: str) -> dict[str, Any]:
        """What was kept under a key; empty when nothing was."""
        with self._read() as db:
            row = db.execute(
                "SELECT value FROM memory WHERE author=? AND key=?", (author, key)
            ).fetchone()
        return dict(json.loads(row[0])) if row else {}

    def _quarantine(self, author: str, kind: str | None) -> list[tuple[str, str, str]]:
        with self._read() as db:
            return db.execute(
                "SELECT source, item, reason FROM quarantine WHERE author=?"
                " AND (? IS NULL OR kind=?) ORDER BY item, source",
                (author, kind, kind),
            ).fetchall()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        db = self._connect()
        try:
            yield db
        finally:
            db.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._read() as db, _transaction(db):
            yield db

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            if _version(db) != SCHEMA_VERSION:
                use_write_ahead_log(db)
                with _transaction(db):
                    _prepare(db)
            return db
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreUnavailableError(
                str(self.path),
                f"the document store cannot be opened ({error})",
                "Check the path in LLMTWIN_DOCUMENTS_URL and its permissions",
            ) from error


def open_documents(url: str) -> DocumentStore:
    """The store a URL names: ``sqlite:///path`` or ``mongodb://host/database``. Raises
    ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme in ("mongodb", "mongodb+srv"):
        from resources.mongo_documents import MongoDocuments

        return MongoDocuments(url)
    if parts.scheme != "sqlite":
        raise UnknownSchemeError(url, ("sqlite:///", "mongodb://"))
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


def _filled(reasons: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {source: dict(items) for source, items in reasons.items() if items}


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE takes the write lock before reading, so that what was read still holds.
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _prepare(db: sqlite3.Connection) -> None:
    """Create or migrate the tables; another process may have done so a moment ago."""
    if _version(db) == SCHEMA_VERSION:
        return
    first = db.execute("SELECT name FROM sqlite_master WHERE name='documents'").fetchone()
    for statement in ((MIGRATION if first else "") + SCHEMA).split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
