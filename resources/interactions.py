"""What was asked, what was answered, and what people thought of it: traces, readers' feedback, and
reviewers' decisions about pairs of training data.

All are mappings kept by author in the same SQLite file as the documents (write-ahead log, one
writer at a time, any number of processes). Each call is one transaction. Of an author's traces the
newest ``KEPT`` are stored; those that have feedback or were sampled for the evaluation set stay
beyond that. Decisions are only ever added. Texts are stored as they are given: masking them is the
caller's work. Overwritten and deleted rows are wiped from the file.
"""

import json
import sqlite3
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from resources.documents import StoreUnavailableError
from resources.errors import LlmTwinError, UnknownSchemeError
from resources.sqlite import SqliteFile

KEPT = 10_000  # traces per author
SUMMARY = "id variant version model started seconds question outcome tokens_in tokens_out".split()
SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (
    author TEXT NOT NULL, id TEXT NOT NULL, started TEXT NOT NULL, sampled INTEGER NOT NULL,
    kept INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (author, id));
CREATE INDEX IF NOT EXISTS traces_by_age ON traces (author, started, id);
CREATE INDEX IF NOT EXISTS traces_to_prune ON traces (author, started, id) WHERE kept=0;
CREATE INDEX IF NOT EXISTS traces_sampled ON traces (author, started, id) WHERE sampled=1;
CREATE TABLE IF NOT EXISTS feedback (
    author TEXT NOT NULL, trace_id TEXT NOT NULL, rating INTEGER NOT NULL, given TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (author, trace_id));
CREATE TABLE IF NOT EXISTS decisions (
    number INTEGER PRIMARY KEY, author TEXT NOT NULL, pair TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decisions_by_author ON decisions (author, pair, number);
"""
TABLES = ("traces", "feedback", "decisions")


class UnknownTraceError(LlmTwinError):
    """The author has no trace of this id."""


class BadRatingError(LlmTwinError):
    """A rating that is neither 1 nor -1."""


class Interactions:
    """Traces and feedback in one SQLite file, of which at most ``kept`` plain traces an author."""

    def __init__(self, path: Path, kept: int = KEPT) -> None:
        self.path = path
        self.kept = kept
        self._file = SqliteFile(path, SCHEMA, TABLES, lambda error: _unavailable(path, error))

    def add_trace(self, trace: Mapping[str, Any]) -> None:
        """Store a trace: ``id``, ``author``, ``started`` (ISO, UTC), ``sampled`` and whatever else
        it says, as JSON. A trace that is stored already stays as it was."""
        author, sampled = str(trace["author"]), int(bool(trace.get("sampled")))
        with self._file.write(safe=False) as db:
            db.execute(
                "INSERT INTO traces (author, id, started, sampled, kept, body)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (author, trace["id"], trace["started"], sampled, sampled, _json(trace)),
            )
            self._prune(db, author)

    def traces(self, author: str, limit: int = 20) -> list[dict[str, Any]]:
        """Summaries of the author's newest traces, newest first: ``SUMMARY`` and the ``rating``
        (1, -1 or ``None``)."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT traces.body, rating FROM traces LEFT JOIN feedback"
                " ON feedback.author=traces.author AND trace_id=id"
                " WHERE traces.author=? ORDER BY started DESC, id DESC LIMIT ?",
                (author, max(limit, 0)),
            ).fetchall()
        return [
            {**{name: trace.get(name) for name in SUMMARY}, "rating": rating}
            for trace, rating in ((json.loads(body), rating) for body, rating in rows)
        ]

    def trace(self, author: str, id: str) -> dict[str, Any] | None:
        """One of the author's traces as it was stored; ``None`` when there is none."""
        with self._file.read() as db:
            row = db.execute(
                "SELECT body FROM traces WHERE author=? AND id=?", (author, id)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def sampled(self, author: str) -> list[dict[str, Any]]:
        """The author's traces of the evaluation set, oldest first, with their ``rating`` and the
        ``better`` answer where a reader gave them."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT traces.body, feedback.body FROM traces LEFT JOIN feedback"
                " ON feedback.author=traces.author AND trace_id=id"
                " WHERE traces.author=? AND sampled=1 ORDER BY started, id",
                (author,),
            ).fetchall()
        opinions = [json.loads(feedback or "{}") for _, feedback in rows]
        return [
            {**json.loads(trace), "rating": said.get("rating"), "better": said.get("better")}
            for (trace, _), said in zip(rows, opinions, strict=True)
        ]

    def add_feedback(
        self, author: str, trace_id: str, rating: int, better: str | None = None
    ) -> str:
        """What a reader thought of an answer, with the answer it was: 1 or -1, and the answer they
        would have liked better. Replaces earlier feedback on the same trace. Returns its id.

        Raises ``BadRatingError``, and ``UnknownTraceError`` for a trace that is not the author's.
        """
        if rating not in (1, -1):
            raise BadRatingError(f"rating {rating}", "it is neither 1 nor -1", "Send 1 or -1")
        with self._file.write() as db:
            row = db.execute(
                "SELECT body FROM traces WHERE author=? AND id=?", (author, trace_id)
            ).fetchone()
            if row is None:
                raise UnknownTraceError(
                    f"trace {trace_id}",
                    f"{author} has none of this id",
                    "Send the trace id that came with the answer",
                )
            feedback = _feedback(json.loads(row[0]), rating, better)
            db.execute("UPDATE traces SET kept=1 WHERE author=? AND id=?", (author, trace_id))
            db.execute(
                "INSERT INTO feedback (author, trace_id, rating, given, body)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (author, trace_id) DO UPDATE SET"
                " rating=excluded.rating, given=excluded.given, body=excluded.body",
                (author, trace_id, rating, feedback["given"], _json(feedback)),
            )
        return str(feedback["id"])

    def feedback(self, author: str) -> list[dict[str, Any]]:
        """All feedback on the author's answers, oldest first: ``id``, ``trace_id``, ``rating``,
        ``better``, ``given`` (ISO, UTC), and of the answer ``question``, ``answer``,
        ``chunk_ids``, ``version``, ``variant``."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT body FROM feedback WHERE author=? ORDER BY given, trace_id", (author,)
            ).fetchall()
        return [json.loads(body) for (body,) in rows]

    def add_decision(self, decision: Mapping[str, Any]) -> dict[str, Any]:
        """Store what a reviewer decided: ``author``, ``pair`` (the id of what it is about) and
        whatever else it says, as JSON. Earlier decisions stay. Returns it with ``id`` and
        ``given`` (ISO, UTC)."""
        made = {**decision, "id": str(uuid.uuid4()), "given": _now()}
        with self._file.write() as db:
            db.execute(
                "INSERT INTO decisions (author, pair, body) VALUES (?, ?, ?)",
                (made["author"], made["pair"], _json(made)),
            )
        return made

    def decisions(self, author: str) -> dict[str, list[dict[str, Any]]]:
        """pair -> all decisions about it, the one that holds last, of one author."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT pair, body FROM decisions WHERE author=? ORDER BY pair, number", (author,)
            ).fetchall()
        found: dict[str, list[dict[str, Any]]] = {}
        for pair, body in rows:
            found.setdefault(pair, []).append(json.loads(body))
        return found

    def erase(self, author: str) -> int:
        """Remove everything of an author, from the file and its log. Returns the rows removed."""
        with self._file.write() as db:
            gone = sum(
                db.execute(f"DELETE FROM {table} WHERE author=?", (author,)).rowcount
                for table in TABLES
            )
        with self._file.read() as db:
            # The log still holds what was written to it; a reader may keep it from being emptied.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def _prune(self, db: sqlite3.Connection, author: str) -> None:
        db.execute(
            "DELETE FROM traces WHERE rowid IN (SELECT rowid FROM traces WHERE author=? AND kept=0"
            " ORDER BY started DESC, id DESC LIMIT -1 OFFSET ?)",
            (author, self.kept),
        )


def open_interactions(url: str) -> Interactions:
    """The store beside the documents: ``sqlite:///path``. Raises ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise UnknownSchemeError(url, ("sqlite:///",))
    return Interactions(Path(unquote(parts.path)))


def _feedback(trace: Mapping[str, Any], rating: int, better: str | None) -> dict[str, Any]:
    shown = {name: trace.get(name) for name in ("question", "answer", "version", "variant")}
    return {
        "id": str(uuid.uuid4()),
        "author": trace["author"],
        "trace_id": trace["id"],
        **shown,
        "chunk_ids": [passage["chunk_id"] for passage in trace.get("passages", [])],
        "rating": rating,
        "better": better,
        "given": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _unavailable(path: Path, error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(
        str(path),
        f"the store of traces, feedback and decisions cannot be used ({error})",
        "Check the path in LLMTWIN_DOCUMENTS_URL, its permissions and the room on the disk",
    )


def _json(value: Mapping[str, Any]) -> str:
    text = json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
    return text.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be stored
