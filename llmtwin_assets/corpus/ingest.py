"""From an author's sources to the document store: list everything, refuse a suspicious loss, write
the difference. Knows the sources by type; each is read in a module of its own.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import Author, FolderSource, Source, resolve_path
from llmtwin_assets.corpus import folder, warehouse
from llmtwin_assets.corpus.reading import Listing
from llmtwin_assets.records import RawDocument
from resources.documents import DocumentStore, SyncCounts
from resources.errors import LlmTwinError

LOSS_ALLOWED = 0.3  # share of an author's documents that may vanish at once


class ShrunkenSourceError(LlmTwinError):
    """A listing that lacks too many documents it had before to be believed."""


def list_sources(
    author: Author, base: Path, kind: str | None = None, known: Mapping[str, str] | None = None
) -> Listing:
    """Everything the author's sources hold now, of one kind if given; one document per id.

    ``known`` is id -> stamp of stored documents, which need not be read when they are as they were.
    """
    whole = Listing()
    for source in author.sources:
        if kind is not None and kind not in kinds(source):
            continue
        listing = _list(author, source, base, known)
        whole.documents += [d for d in listing.documents if kind is None or d.kind == kind]
        whole.quarantined.update(listing.quarantined)
        whole.stamps.update(listing.stamps)
        whole.unread |= listing.unread
    whole.documents = list({document.id: document for document in whole.documents}.values())
    return whole


def kinds(source: Source) -> tuple[str, ...]:
    """The kinds of document a source can hold."""
    return (source.kind,) if isinstance(source, FolderSource) else tuple(warehouse.FILES)


def sync(
    store: DocumentStore, author: str, kind: str, listing: Listing, allow_loss: bool = False
) -> SyncCounts:
    """Write a listing; raises ``ShrunkenSourceError``, before anything is written, when more than
    30 % of the stored documents of this kind are gone and ``allow_loss`` is not set."""
    stored = store.hashes(author, kind)
    listed = {document.id for document in listing.documents} | listing.unread
    gone = len(stored.keys() - listed)
    if stored and gone > LOSS_ALLOWED * len(stored) and not allow_loss:
        raise ShrunkenSourceError(
            f"{kind}s of {author}",
            f"{gone} of {len(stored)} stored documents are no longer listed",
            "Check the sources; if they are meant to be gone, materialise with allow_loss: true",
        )
    read = [to_mapping(d, listing.stamps.get(d.id)) for d in listing.documents]
    counts = store.sync(author, kind, read, listing.unread)
    store.set_quarantine(author, kind, listing.quarantined)
    return counts


def to_mapping(document: RawDocument, stamp: str | None = None) -> dict[str, Any]:
    """A document as the store keeps it: JSON values, the hash of all its fields, its stamp."""
    fields = asdict(document)
    fields["published"] = document.published.isoformat() if document.published else None
    text = json.dumps(fields, ensure_ascii=False, sort_keys=True)
    content = hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
    return {**fields, "hash": content, "stamp": stamp}


def digest_of(hashes: Iterable[str]) -> str:
    """One digest for a set of documents, whatever their order: 16 hex digits."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()[:16]


def fingerprint(author: Author, base: Path) -> str:
    """Changes when one of the author's sources changes, or its entry does; reads no document."""
    parts = [author.model_dump_json()]
    for source in author.sources:
        root = resolve_path(source.path, base)
        if isinstance(source, FolderSource):
            parts.append(folder.fingerprint(source, root))
        else:
            parts.append(warehouse.fingerprint(root))
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:16]


def _list(author: Author, source: Source, base: Path, known: Mapping[str, str] | None) -> Listing:
    root = resolve_path(source.path, base)
    if isinstance(source, FolderSource):
        return folder.list_folder(author.id, source, root, known)
    return warehouse.list_warehouse(author.id, author.name, source, root)
