"""The document store in one SQLite file; see ``resources.documents``."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.documents import (
    Place,
    Stored,
    StoreUnavailableError,
    UpsertCounts,
    as_work,
    changes,
    group_aliases,
    group_reasons,
    named_reasons,
    timestamp,
)
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
