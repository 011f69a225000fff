"""From an author's sources to the document store: list everything, write what is new as it comes,
refuse a suspicious loss, find out what is one work. Knows the sources by type; each is read in a
module of its own.

A source that fails, or lacks too much of what it had, leaves what it gave before as it is; the
other sources are written, and then the failure is raised.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from llmtwin_assets.authors import Author, FeedSource, FolderSource, PageSource, Source, name_of
from llmtwin_assets.corpus import merge
from llmtwin_assets.corpus.reading import Context, Listing, how_many
from llmtwin_assets.records import RawDocument
from resources.documents import DocumentStore, Place, UpsertCounts
from resources.errors import LlmTwinError

LOSS_ALLOWED = 0.3  # share of documents, of a source or of an author, that may vanish at once
BATCH = 200  # documents in one write
BATCH_CHARACTERS = 8_000_000  # of text in one write
READERS = {
    "archive": "archives",
    "feed": "feeds",
    "folder": "folder",
    "page": "sites",
    "repository": "repositories",
    "site": "sites",
    "url": "crawl",
    "warehouse": "warehouse",
}
KINDS = ("article", "post", "repository")
LOCAL = ("archive", "folder", "warehouse")  # types of sources on this machine
HELD = {"archive": ("article", "post"), "repository": ("article", "repository")}
# What says nothing of the content, and so must not make a document new.
PROVENANCE = ("id", "author", "importer", "fetched", "raw_hash", "aliases")


class ShrunkenSourceError(LlmTwinError):
    """A listing that lacks too many documents it had before to be believed."""


class SourcesFailedError(LlmTwinError):
    """Several sources of an author that failed."""


@dataclass
class Ingested:
    """What one ingestion did to the author's items of a kind, and what it found; counts by source
    name."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    merged: int = 0  # items that are one work with another
    unreadable: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[LlmTwinError] = field(default_factory=list)

    def refuse_failures(self) -> None:
        """Raise what failed, if anything did."""
        if len(self.failures) == 1:
            raise self.failures[0]
        if self.failures:
            raise SourcesFailedError(
                f"{len(self.failures)} sources",
                " ".join(str(failure) for failure in self.failures).removesuffix("."),
                "What they gave before is kept; mend them and materialise again",
            )


def kinds(source: Source) -> tuple[str, ...]:
    """The kinds of document a source can hold."""
    if isinstance(source, FolderSource | FeedSource | PageSource):
        return (source.kind,)
    if source.type == "site":
        return ("article",)
    return HELD.get(source.type, KINDS)


def list_sources(author: Author, base: Path, kind: str | None = None) -> Listing:
    """Everything the author's sources on this machine hold now, in memory; writes nothing. Raises
    what the first source that fails raises."""
    whole = Listing()
    for source in author.sources:
        if kind is None or kind in kinds(source):
            reader(source).read(source, Context(author, base, kind), whole)
    return whole


def ingest(
    store: DocumentStore,
    context: Context,
    allow_loss: bool = False,
) -> Ingested:
    """Make the store hold what the author's sources hold of ``context.kind``. Failures of single
    sources are in the result; raises ``ShrunkenSourceError`` when more than 30 % of all the
    author's documents of the kind would go, unless ``allow_loss``."""
    author, kind = context.author, context.kind or KINDS[0]
    stored = store.items(author.id, kind)
    known = {item["id"]: item["stamp"] for item in stored if item["stamp"]}
    result = Ingested()
    sync = _Sync(store, author.id, kind, stored)
    for source in author.sources:
        if kind in kinds(source):
            sync.read(source, replace(context, known=known), result)
    gone = sync.gone(allow_loss, result)
    _refuse_loss(f"{kind}s of {author.id}", gone, len(stored), allow_loss)
    result.deleted = store.remove(author.id, gone)
    result.inserted, result.updated = sync.counts.inserted, sync.counts.updated
    result.unchanged = len(stored) - result.deleted - result.updated
    arrange(store, author.id, kind)
    sync.remember(result)
    items = result.unchanged + result.updated + result.inserted
    result.merged = items - len(store.hashes(author.id, kind))
    return result


def arrange(store: DocumentStore, author: str, kind: str) -> None:
    """Decide which items are one work. Only what is new, edited, or has lost an item of its work
    since it was placed is compared, with what it may be one work with."""
    items, memory = store.items(author, kind), f"{kind}/merge"
    same_rules = store.recall(author, memory).get("version") == merge.VERSION
    changed = {item["id"] for item in items if item["placed"] != item["hash"]}
    if not same_rules:
        changed = {item["id"] for item in items}
    if not changed:
        return
    affected = merge.affected([_key(item) for item in items], changed)
    hashes = {item["id"]: item["hash"] for item in items if item["id"] in affected}
    groups = merge.group(
        [_compared(item) for item in items if item["id"] in affected],
        merge.IDENTICAL if kind == "repository" else merge.SAME,
    )
    places = merge.places(groups)
    store.arrange(author, {id_: Place(*at, hashes[id_]) for id_, at in places.items()})
    if not same_rules:
        store.remember(author, memory, {"version": merge.VERSION})


class _Sync:
    """The sources of one author being read into the store, and what they said."""

    def __init__(
        self, store: DocumentStore, author: str, kind: str, stored: list[dict[str, Any]]
    ) -> None:
        self.store, self.author, self.kind = store, author, kind
        self.counts = UpsertCounts()
        self.origins: dict[str, set[str]] = {}
        for item in stored:
            self.origins.setdefault(item["origin"], set()).add(item["id"])
        self.there: set[str] = set()  # ids that some source listed
        self.listings: dict[str, Listing] = {}
        self.failed: set[str] = set()  # names of sources whose listing is not to be believed

    def read(self, source: Source, context: Context, result: Ingested) -> None:
        """List a source into the store; a failure goes to ``result``."""
        name = name_of(source)
        batch = _Batch(self.store, self.author, self.kind, name)

        def add(document: RawDocument, stamp: str | None) -> None:
            # A document that an earlier source listed stays that source's.
            if document.id not in self.there:
                batch.add(document, stamp)

        listing = Listing(add)
        memory = self.store.recall(self.author, f"{self.kind}/{name}")
        context = replace(context, memory=memory.get("source") or {})
        try:
            reader(source).read(source, context, listing)
        except LlmTwinError as failure:
            self.failed.add(name)
            result.failures.append(failure)
        finally:
            batch.flush()
            self.counts += batch.counts
        self.listings[name] = listing
        self.there |= listing.listed | listing.unread
        if name in self.failed or listing.unchanged or not listing.complete:
            self.there |= self.origins.get(name, set())

    def gone(self, allow_loss: bool, result: Ingested) -> set[str]:
        """Ids of stored items that no source holds any more, but for those of sources that lost
        too many to be believed."""
        gone: set[str] = set()
        for name, ids in self.origins.items():
            listing = self.listings.get(name)
            missing = ids - self.there
            try:
                if listing:
                    _refuse_loss(name, missing, len(ids), allow_loss)
            except ShrunkenSourceError as failure:
                self.failed.add(name)
                result.failures.append(failure)
            else:
                gone |= missing
        return gone

    def remember(self, result: Ingested) -> None:
        """Keep what the sources asked to be remembered, and what could not be read."""
        before = self.store.quarantined(self.author, self.kind)
        reasons: dict[str, Mapping[str, str]] = {}
        for name, listing in self.listings.items():
            stale = name in self.failed or listing.unchanged
            reasons[name] = before.get(name, {}) if stale else listing.quarantined
            result.unreadable |= {name: how_many(reasons[name])} if reasons[name] else {}
            kept = self.store.recall(self.author, f"{self.kind}/{name}")
            now = dict(kept)
            if not stale:
                now["left_out"] = dict(sorted(listing.left_out.items()))
                if listing.memory is not None:
                    now["source"] = dict(listing.memory)
            if now != kept and (kept or any(now.values())):
                self.store.remember(self.author, f"{self.kind}/{name}", now)
            if now.get("left_out"):
                result.left_out[name] = now["left_out"]
        self.store.set_quarantine(self.author, self.kind, reasons)


class _Batch:
    """Documents on their way to the store, written some at a time."""

    def __init__(self, store: DocumentStore, author: str, kind: str, origin: str) -> None:
        self.store, self.author, self.kind, self.origin = store, author, kind, origin
        self.counts = UpsertCounts()
        self._rows: dict[str, dict[str, Any]] = {}
        self._characters = 0

    def add(self, document: RawDocument, stamp: str | None) -> None:
        """Take a document; of another kind than the one wanted, leave it."""
        if document.kind != self.kind:
            return
        self._rows[document.id] = to_mapping(document, stamp, self.origin)
        self._characters += len(document.text)
        if len(self._rows) >= BATCH or self._characters >= BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write what was taken."""
        if self._rows:
            self.counts += self.store.upsert(self.author, self.kind, self._rows.values())
        self._rows, self._characters = {}, 0


def to_mapping(document: RawDocument, stamp: str | None = None, origin: str = "") -> dict[str, Any]:
    """A document as the store keeps it: JSON values, the hash of its content, its stamp, the source
    that listed it, and a sketch of its text to compare it by."""
    fields = asdict(document)
    for name in ("published", "created", "updated", "fetched"):
        fields[name] = fields[name].isoformat() if fields[name] else None
    content = {name: value for name, value in fields.items() if name not in PROVENANCE}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    hash_ = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    runs, sketch = merge.sketch(document.text)
    compared = {
        "size": sum(map(len, document.text.split())),
        "runs": runs,
        "sketch": merge.packed(sketch),
        "addresses": sorted(merge.addresses(document.url, document.external_id)),
    }
    return {**fields, **compared, "hash": hash_, "stamp": stamp, "origin": origin}


def digest_of(hashes: Iterable[str]) -> str:
    """One digest for a set of documents, whatever their order: 16 hex digits."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()[:16]


def fingerprint(author: Author, base: Path, web: Any = None, cache: Path | None = None) -> str:
    """Changes when one of the author's sources changes, its entry, or its importer; reads no
    document.

    Without ``web`` and ``cache``, sources on the network are taken to be as they were.
    """
    context = Context(author, base, web=web, cache=cache)
    parts = [author.model_dump_json()]
    for source in author.sources:
        if web is not None or source.type in LOCAL:
            parts.append(reader(source).fingerprint(source, context))
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:16]


def reader(source: Source) -> ModuleType:
    """The module that reads a source, loaded when the first of its type is read."""
    return import_module(f"llmtwin_assets.corpus.{READERS[source.type]}")


def _key(item: Mapping[str, Any]) -> merge.Key:
    probes = merge.probes(item.get("sketch", ""))
    return merge.Key(item["id"], item["work"], {*item.get("addresses", ()), *probes})


def _compared(item: Mapping[str, Any]) -> merge.Item:
    return merge.Item(
        id=item["id"],
        origin=item["origin"],
        source=item["source"],
        addresses=frozenset(item.get("addresses", ())),
        size=item.get("size", 0),
        runs=item.get("runs", 0),
        sketch=merge.unpacked(item.get("sketch", "")),
        dated=item["published"] is not None,
        work=item["work"],
        lead=item["lead"],
    )


def _refuse_loss(whose: str, gone: set[str], stored: int, allow_loss: bool) -> None:
    if stored and len(gone) > LOSS_ALLOWED * stored and not allow_loss:
        raise ShrunkenSourceError(
            whose,
            f"{len(gone)} of {stored} stored documents are no longer listed",
            "Check the sources; if they are meant to be gone, materialise with allow_loss: true",
        )
