"""The document store on MongoDB, or on anything that speaks its wire protocol.

One collection of items, keyed by their id; splits, quarantine and memory beside it. No transaction
is needed, so a single server will do: an item is written whole or not at all, the write of an id
that another author holds fails by the key, and every call may be repeated.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resources.documents import (
    OtherAuthorsDocumentError,
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

if TYPE_CHECKING:
    from pymongo.database import Database

DATABASE = "llmtwin"  # when the URL names none
SECONDS = 10  # to find a server
BATCH = 500  # writes in one message
DUPLICATE_KEY = 11000  # the server's code
# Fields of a row that are not the document's own.
ROW = ("_id", "deleted", "written", "work", "lead", "placed", "characters")


class MongoDocuments:
    """``DocumentStore`` in a MongoDB database; see the protocol for what each call does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: tuple[int, Database[dict[str, Any]]] | None = None

    def hashes(self, author: str, kind: str | None = None) -> dict[str, str]:
        """id -> hash of the author's works (of a kind)."""
        with self._database() as db:
            rows = db.documents.find(_works(author, kind), {"work": 1, "hash": 1})
            return {row["work"]: row["hash"] for row in rows}

    def documents(
        self, author: str, kind: str | None = None, ids: Collection[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The author's works (of a kind, with these ids), ordered by id, with their aliases."""
        others = {**_live(author, kind), "lead": False, "work": {"$ne": None}}
        names = ("work", "source", "external_id", "url")
        wanted: dict[str, Any] = {} if ids is None else {"work": {"$in": sorted(ids)}}
        with self._database() as db:
            rows = db.documents.find(others, dict.fromkeys(names, 1)).sort("_id", 1)
            aliases = group_aliases([row.get(name) for name in names] for row in rows)
            last = None
            for row in db.documents.find(_works(author, kind) | wanted).sort("work", 1):
                work = row["work"]
                if work != last:
                    yield as_work(_document(row), work, aliases.get(work, []))
                last = work

    def lengths(self, author: str, kind: str) -> list[tuple[str | None, int]]:
        """(``published``, characters of ``text``) of the author's works of a kind."""
        with self._database() as db:
            rows = db.documents.find(_works(author, kind), {"published": 1, "characters": 1})
            return [(row.get("published"), row["characters"]) for row in rows.sort("work", 1)]

    def by_origin(self, author: str, kind: str) -> dict[str, int]:
        """How many items of a kind each source gave, by its name."""
        with self._database() as db:
            rows = db.documents.find(_live(author, kind), {"origin": 1})
            return dict(sorted(Counter(row.get("origin", "") for row in rows).items()))

    def items(self, author: str, kind: str) -> list[dict[str, Any]]:
        """The author's items of a kind, ordered by id, without their text."""
        with self._database() as db:
            rows = db.documents.find(_live(author, kind), {"text": 0}).sort("_id", 1)
            return [
                {"stamp": None, "origin": ""}
                | _document(row)
                | {name: row.get(name) for name in ("work", "lead", "placed")}
                for row in rows
            ]

    def upsert(
        self, author: str, kind: str, documents: Iterable[Mapping[str, Any]]
    ) -> UpsertCounts:
        """Write items. Raises ``OtherAuthorsDocumentError``."""
        from pymongo import UpdateOne

        listed = {str(document["id"]): document for document in documents}
        with self._database() as db:
            change = changes(author, listed, _stored(db, list(listed)))
            moment = timestamp()
            # The author is part of the filter: of another author's id no second row can be made.
            writes = [
                UpdateOne(
                    {"_id": id_, "author": author},
                    {
                        "$set": {**_row(document), "kind": kind, "written": moment},
                        "$setOnInsert": {"work": None, "lead": False},
                    },
                    upsert=True,
                )
                for id_, document in change.written.items()
            ]
            writes += [
                UpdateOne({"_id": id_, "author": author}, {"$set": {"stamp": stamp}})
                for id_, stamp in change.stamps.items()
            ]
            _write(db, author, writes)
        return change.counts

    def remove(self, author: str, ids: Collection[str]) -> int:
        """Tombstone items; returns how many there were."""
        if not ids:
            return 0
        with self._database() as db:
            found = {"_id": {"$in": sorted(ids)}, "author": author, "deleted": False}
            works = [row["work"] for row in db.documents.find(found, {"work": 1})]
            siblings = {"author": author, "work": {"$in": [work for work in works if work]}}
            db.documents.update_many(siblings, {"$set": {"placed": None}})
            tombstone = {"deleted": True, "lead": False, "written": timestamp()}
            return db.documents.update_many(found, {"$set": tombstone}).modified_count

    def arrange(self, author: str, places: Mapping[str, Place]) -> None:
        """Give items their places (item id -> place). Who takes a lead does so first, so that no
        work is without one at any time; ``documents`` shows it once."""
        from pymongo import UpdateOne

        ordered = sorted(places.items(), key=lambda item: not item[1].lead)
        writes = [
            UpdateOne(
                {"_id": id_, "author": author, "deleted": False},
                {"$set": {"work": place.work, "lead": place.lead, "placed": place.hash}},
            )
            for id_, place in ordered
        ]
        with self._database() as db:
            _write(db, author, writes)

    def splits(self, author: str) -> dict[str, str]:
        """document id -> split, for every document that ever got one."""
        with self._database() as db:
            rows = db.splits.find({"author": author})
            return {row["document_id"]: row["split"] for row in rows}

    def keep_splits(self, author: str, splits: Mapping[str, str]) -> None:
        """Remember splits; one that was given before stays as it was."""
        from pymongo import UpdateOne

        writes = [
            UpdateOne(
                {"_id": _key(author, id_)},
                {"$setOnInsert": {"author": author, "document_id": id_, "split": split}},
                upsert=True,
            )
            for id_, split in splits.items()
        ]
        with self._database() as db:
            _write(db, author, writes, "splits")

    def set_quarantine(
        self, author: str, kind: str, reasons: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Replace the author's quarantined items of this kind: source -> item -> reason."""
        rows = [
            {"source": source, "item": item, "reason": reason}
            for source, items in sorted(reasons.items())
            for item, reason in sorted(items.items())
        ]
        key = {"_id": _key(author, kind)}
        with self._database() as db:
            before = db.quarantine.find_one(key)
            if rows != (before["rows"] if before else []):
                row = key | {"author": author, "kind": kind, "rows": rows, "seen": timestamp()}
                db.quarantine.replace_one(key, row, upsert=True)

    def quarantined(self, author: str, kind: str) -> dict[str, dict[str, str]]:
        """source -> item -> reason of what could not be read."""
        return group_reasons(self._quarantine(author, kind))

    def quarantine(self, author: str, kind: str | None = None) -> dict[str, str]:
        """item -> reason of what could not be read."""
        return named_reasons(self._quarantine(author, kind))

    def remember(self, author: str, key: str, value: Mapping[str, Any]) -> None:
        """Keep a small JSON object for the author under a key."""
        row = {"author": author, "value": json.dumps(dict(value), sort_keys=True)}
        with self._database() as db:
            db.memory.update_one({"_id": _key(author, key)}, {"$set": row}, upsert=True)

    def recall(self, author: str, key: str) -> dict[str, Any]:
        """What was kept under a key; empty when nothing was."""
        with self._database() as db:
            row = db.memory.find_one({"_id": _key(author, key)})
        return dict(json.loads(row["value"])) if row else {}

    def _quarantine(self, author: str, kind: str | None) -> list[tuple[str, str, str]]:
        wanted = {"author": author} | ({"kind": kind} if kind else {})
        with self._database() as db:
            rows = [row for found in db.quarantine.find(wanted) for row in found["rows"]]
        rows.sort(key=lambda row: (row["item"], row["source"]))
        return [(row["source"], row["item"], row["reason"]) for row in rows]

    @contextmanager
    def _database(self) -> Iterator["Database[dict[str, Any]]"]:
        from pymongo.errors import ConnectionFailure, InvalidURI, OperationFailure

        try:
            yield self._open()
        except (ConnectionFailure, InvalidURI, OperationFailure) as error:
            raise StoreUnavailableError(
                f"mongodb://{urlsplit(self.url).hostname}",  # the URL may hold a password
                f"the document store does not answer ({_first_words(error)})",
                "Check LLMTWIN_DOCUMENTS_URL and that the server runs",
            ) from error

    def _open(self) -> "Database[dict[str, Any]]":
        # A client must not be used across a fork.
        if self._opened is None or self._opened[0] != os.getpid():
            from pymongo import MongoClient

            options: dict[str, Any] = {"appname": "llmtwin"}
            if "serverselectiontimeoutms" not in self.url.casefold():
                options["serverSelectionTimeoutMS"] = SECONDS * 1000
            client: MongoClient[dict[str, Any]] = MongoClient(self.url, **options)
            database = client.get_default_database(DATABASE)
            database.documents.create_index([("author", 1), ("kind", 1), ("deleted", 1)])
            database.splits.create_index("author")
            database.quarantine.create_index("author")
            self._opened = (os.getpid(), database)
        return self._opened[1]


def _key(author: str, name: str) -> str:
    return f"{author}\x1f{name}"


def _live(author: str, kind: str | None) -> dict[str, Any]:
    return {"author": author, "deleted": False} | ({"kind": kind} if kind else {})


def _works(author: str, kind: str | None) -> dict[str, Any]:
    return _live(author, kind) | {"lead": True}


def _row(document: Mapping[str, Any]) -> dict[str, Any]:
    characters = len(document.get("text", ""))
    return {**document, "origin": document.get("origin", ""), "deleted": False} | {
        "characters": characters
    }


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ROW}


def _stored(db: "Database[dict[str, Any]]", ids: list[str]) -> dict[str, Stored]:
    names = ("author", "hash", "stamp", "origin", "deleted")
    rows = db.documents.find({"_id": {"$in": ids}}, dict.fromkeys(names, 1))
    return {
        row["_id"]: Stored(
            row["author"], row["hash"], row.get("stamp"), row["origin"], row["deleted"]
        )
        for row in rows
    }


def _write(
    db: "Database[dict[str, Any]]", author: str, writes: list[Any], collection: str = "documents"
) -> None:
    """Send writes; one that lost a race with another process's insert of the same id goes again."""
    from pymongo.errors import BulkWriteError

    for begin in range(0, len(writes), BATCH):
        batch = writes[begin : begin + BATCH]
        try:
            db[collection].bulk_write(batch, ordered=True)
        except BulkWriteError as error:
            failed = error.details["writeErrors"][0]
            if failed["code"] != DUPLICATE_KEY:
                raise
            _repeat(db, author, batch, collection)


def _repeat(db: "Database[dict[str, Any]]", author: str, batch: list[Any], collection: str) -> None:
    from pymongo.errors import BulkWriteError

    try:
        db[collection].bulk_write(batch, ordered=False)
    except BulkWriteError as error:
        raise OtherAuthorsDocumentError(
            f"documents of {author}",
            "the id of one of them belongs to another author",
            "Ids must be derived from the author",
        ) from error


def _first_words(error: Exception) -> str:
    return str(error).split(", Timeout:", maxsplit=1)[0][:200]
