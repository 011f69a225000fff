"""The document store: what authors wrote, as mappings, one row per work.

Speaks plain mappings and knows nothing of what their fields mean beyond those it keys on: ``id``,
``author``, ``kind``, ``hash`` (of the content) and ``stamp`` (by which a source tells, without
reading it, that an item is as it was; optional, and no part of the content), and ``published`` and
``text`` of ``lengths``. Every write is one transaction, so a killed writer leaves the store as it
was before or after the whole call. Many processes may write at once.
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

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, author TEXT NOT NULL, kind TEXT NOT NULL, hash TEXT NOT NULL,
    stamp TEXT, body TEXT NOT NULL, written TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS documents_by_author ON documents (author, kind, deleted);
CREATE TABLE IF NOT EXISTS splits (
    author TEXT NOT NULL, document_id TEXT NOT NULL, split TEXT NOT NULL,
    PRIMARY KEY (author, document_id));
CREATE TABLE IF NOT EXISTS quarantine (
    author TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, reason TEXT NOT NULL,
    seen TEXT NOT NULL, PRIMARY KEY (author, kind, item));
"""


class StoreUnavailableError(LlmTwinError):
    """The store's file cannot be opened, or is not a database."""


class OtherAuthorsDocumentError(LlmTwinError):
    """A document id that another author's document holds already."""


@dataclass(frozen=True)
class SyncCounts:
    """What one ``sync`` wrote: rows inserted, updated and tombstoned, and rows it left alone."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int


class DocumentStore(Protocol):
    """What every backend does. ``author`` is required in every call that reads or writes."""

    def hashes(self, author: str, kind: str | None = None) -> dict[str, str]:
        """id -> hash of the author's live documents (of a kind)."""

    def stamps(self, author: str, kind: str) -> dict[str, str]:
        """id -> stamp of the author's live documents of a kind, where they have one."""

    def documents(
        self, author: str, kind: str | None = None, ids: Collection[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The author's live documents (of a kind, with these ids), ordered by id."""

    def lengths(self, author: str, kind: str) -> list[tuple[str | None, int]]:
        """(``published``, characters of ``text``) of the author's live documents of a kind."""

    def sync(
        self,
        author: str,
        kind: str,
        documents: Iterable[Mapping[str, Any]],
        unread: Collection[str] = (),
    ) -> SyncCounts:
        """Make the live documents of this author and kind exactly ``documents`` and those stored
        ones whose ids are in ``unread``. Unchanged hashes are not written; documents no longer
        listed are tombstoned."""

    def splits(self, author: str) -> dict[str, str]:
        """document id -> split, for every document that ever got one."""

    def keep_splits(self, author: str, splits: Mapping[str, str]) -> None:
        """Remember splits; one that was given before stays as it was."""

    def set_quarantine(self, author: str, kind: str, reasons: Mapping[str, str]) -> None:
        """Replace the author's quarantined items (item -> reason) of this kind."""

    def quarantine(self, author: str, kind: str | None = None) -> dict[str, str]:
        """item -> reason of what could not be read."""


class SqliteDocuments:
    """``DocumentStore`` in one SQLite file (write-ahead log, one writer at a time)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def hashes(self, author: str, kind: str | None = None) -> dict[str, str]:
        """id -> hash of the author's live documents (of a kind)."""
        with self._read() as db:
            return dict(
                db.execute(
                    "SELECT id, hash FROM documents WHERE author=? AND deleted=0"
                    " AND (? IS NULL OR kind=?)",
                    (author, kind, kind),
                ).fetchall()
            )

    def stamps(self, author: str, kind: str) -> dict[str, str]:
        """id -> stamp of the author's live documents of a kind, where they have one."""
        with self._read() as db:
            return dict(
                db.execute(
                    "SELECT id, stamp FROM documents WHERE author=? AND kind=? AND deleted=0"
                    " AND stamp IS NOT NULL",
                    (author, kind),
                ).fetchall()
            )

    def documents(
        self, author: str, kind: str | None = None, ids: Collection[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The author's live documents (of a kind, with these ids), ordered by id."""
        wanted = None if ids is None else json.dumps(sorted(ids))
        with self._read() as db:
            rows = db.execute(
                "SELECT body FROM documents WHERE author=? AND deleted=0"
                " AND (? IS NULL OR kind=?)"
                " AND (? IS NULL OR id IN (SELECT value FROM json_each(?))) ORDER BY id",
                (author, kind, kind, wanted, wanted),
            )
            for (body,) in rows:
                yield json.loads(body)

    def lengths(self, author: str, kind: str) -> list[tuple[str | None, int]]:
        """(``published``, characters of ``text``) of the author's live documents of a kind."""
        with self._read() as db:
            return db.execute(
                "SELECT json_extract(body, '$.published'), length(json_extract(body, '$.text'))"
                " FROM documents WHERE author=? AND kind=? AND deleted=0 ORDER BY id",
                (author, kind),
            ).fetchall()

    def sync(
        self,
        author: str,
        kind: str,
        documents: Iterable[Mapping[str, Any]],
        unread: Collection[str] = (),
    ) -> SyncCounts:
        """Make the live documents exactly these; see the protocol.

        Raises ``OtherAuthorsDocumentError`` when an id belongs to another author.
        """
        listed = {str(document["id"]): document for document in documents}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._write() as db:
            stored = {
                row[0]: row[1:]
                for row in db.execute(
                    "SELECT id, hash, stamp, deleted FROM documents WHERE author=? AND kind=?",
                    (author, kind),
                )
            }
            live = {id_ for id_, (_, _, deleted) in stored.items() if not deleted}
            changed, touched = _changes(listed, stored)
            self._refuse_foreign_ids(db, author, list(changed))
            db.executemany(
                "INSERT INTO documents (id, author, kind, hash, stamp, body, written)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET kind=excluded.kind,"
                " hash=excluded.hash, stamp=excluded.stamp, body=excluded.body,"
                " written=excluded.written, deleted=0",
                [
                    (id_, author, kind, doc["hash"], doc.get("stamp"), _json(doc), now)
                    for id_, doc in changed.items()
                ],
            )
            db.executemany(
                "UPDATE documents SET stamp=? WHERE id=?",
                [(stamp, id_) for id_, stamp in touched.items()],
            )
            gone = live - listed.keys() - set(unread)
            db.executemany(
                "UPDATE documents SET deleted=1, written=? WHERE id=?",
                [(now, id_) for id_ in gone],
            )
        updated = len(changed.keys() & live)
        return SyncCounts(
            inserted=len(changed) - updated,
            updated=updated,
            deleted=len(gone),
            unchanged=len(listed.keys() | (live & set(unread))) - len(changed),
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

    def set_quarantine(self, author: str, kind: str, reasons: Mapping[str, str]) -> None:
        """Replace the author's quarantined items (item -> reason) of this kind."""
        if dict(reasons) == self.quarantine(author, kind):
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._write() as db:
            db.execute("DELETE FROM quarantine WHERE author=? AND kind=?", (author, kind))
            db.executemany(
                "INSERT INTO quarantine (author, kind, item, reason, seen) VALUES (?, ?, ?, ?, ?)",
                [(author, kind, item, reason, now) for item, reason in reasons.items()],
            )

    def quarantine(self, author: str, kind: str | None = None) -> dict[str, str]:
        """item -> reason of what could not be read."""
        with self._read() as db:
            return dict(
                db.execute(
                    "SELECT item, reason FROM quarantine WHERE author=?"
                    " AND (? IS NULL OR kind=?) ORDER BY item",
                    (author, kind, kind),
                ).fetchall()
            )

    def _refuse_foreign_ids(self, db: sqlite3.Connection, author: str, ids: list[str]) -> None:
        for id_ in ids:
            row = db.execute("SELECT author FROM documents WHERE id=?", (id_,)).fetchone()
            if row and row[0] != author:
                raise OtherAuthorsDocumentError(
                    f"document {id_}",
                    f"it belongs to {row[0]}, not to {author}",
                    "Ids must be derived from the author; nothing was written",
                )

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        db = self._connect()
        try:
            yield db
        finally:
            db.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._read() as db:
            # IMMEDIATE takes the write lock before reading, so that what was read still holds.
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            if not db.execute("SELECT name FROM sqlite_master WHERE name='quarantine'").fetchone():
                db.execute("PRAGMA journal_mode=WAL")
                db.executescript(SCHEMA)
            return db
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreUnavailableError(
                str(self.path),
                f"the document store cannot be opened ({error})",
                "Check the path in LLMTWIN_DOCUMENTS_URL and its permissions",
            ) from error


def open_documents(url: str) -> DocumentStore:
    """The store a URL names: ``sqlite:///path``. Raises ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise UnknownSchemeError(url, ("sqlite:///",))
    return SqliteDocuments(Path(unquote(parts.path)))


def _changes(
    listed: Mapping[str, Mapping[str, Any]], stored: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Documents whose content is new, and new stamps of those whose content is not."""
    changed: dict[str, Mapping[str, Any]] = {}
    touched: dict[str, str] = {}
    for id_, document in listed.items():
        content, stamp, deleted = stored.get(id_, (None, None, 0))
        if deleted or content != document["hash"]:
            changed[id_] = document
        elif document.get("stamp") not in (None, stamp):
            touched[id_] = document["stamp"]
    return changed, touched


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(dict(document), ensure_ascii=False, sort_keys=True)
