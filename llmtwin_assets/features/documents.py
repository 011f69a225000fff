"""Cleaned documents from raw ones. One edited document costs one document's cleaning."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from llmtwin_assets.features.clean import clean, search_form, visible
from llmtwin_assets.features.holdout import Candidate, assign
from llmtwin_assets.records import Document, Split
from resources.documents import DocumentStore


def cleaned(raw: Mapping[str, Any], split: Split) -> Document:
    """A raw document's cleaned form."""
    text = clean(raw["text"])
    return Document(
        id=raw["id"],
        kind=raw["kind"],
        url=raw["url"],
        title=clean(raw["title"]),
        published=date.fromisoformat(raw["published"]) if raw["published"] else None,
        text=text,
        search=search_form(text),
        raw_hash=raw["hash"],
        split=split,
    )


def refresh(
    raw: Iterable[Mapping[str, Any]], splits: Mapping[str, Split], before: Iterable[Document]
) -> list[Document]:
    """The cleaned form of every raw document, ordered by id; those whose raw hash and split are
    as ``before`` are taken over."""
    known = {document.id: document for document in before}
    documents = []
    for row in raw:
        old = known.get(row["id"])
        split = splits[row["id"]]
        unchanged = old is not None and (old.raw_hash, old.split) == (row["hash"], split)
        documents.append(old if old is not None and unchanged else cleaned(row, split))
    return sorted(documents, key=lambda document: document.id)


def decide_splits(
    store: DocumentStore, author: str, raw: Iterable[Mapping[str, Any]]
) -> dict[str, Split]:
    """The split of each raw document; new ones are decided and remembered."""
    rows = list(raw)
    known = store.splits(author)
    if any(row["id"] not in known for row in rows):
        candidates = [
            Candidate(
                row["id"],
                date.fromisoformat(row["published"]) if row["published"] else None,
                row["text"],
            )
            for row in rows
        ]
        store.keep_splits(author, assign(candidates, known))
        known = store.splits(author)
    return {row["id"]: "held-out" if known[row["id"]] == "held-out" else "train" for row in rows}


def kept_share(raw: Iterable[Mapping[str, Any]], documents: Iterable[Document]) -> float:
    """Share of the raw texts' visible characters that their cleaned texts still have."""
    before = sum(len(visible(row["text"])) for row in raw)
    after = sum(len(visible(document.text)) for document in documents)
    return after / before if before else 1.0
