"""Cleaned documents from raw ones. One edited document costs one document's cleaning."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from llmtwin_assets.features.clean import clean, search_form, visible
from llmtwin_assets.features.holdout import Candidate, assign
from llmtwin_assets.features.language import language_of
from llmtwin_assets.masking import mask, masks
from llmtwin_assets.records import Document, Split
from resources.documents import DocumentStore

Fetch = Callable[[Collection[str]], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Refreshed:
    """All documents, ordered by id; how many of them were cleaned now; and the smallest share of
    its visible characters that one of those kept."""

    documents: list[Document]
    cleaned: int
    kept_share: float


def cleaned(raw: Mapping[str, Any], split: Split = "train") -> Document:
    """A raw document's cleaned form, with secrets and personal data masked."""
    whole, title = clean(raw["text"]), clean(raw["title"])
    text = masked(whole)
    language = raw.get("language")
    return Document(
        id=raw["id"],
        kind=raw["kind"],
        url=raw["url"],
        title=mask(title),
        published=date.fromisoformat(raw["published"]) if raw["published"] else None,
        text=text,
        search=search_form(text),
        raw_hash=raw["hash"],
        split=split,
        language=language if raw["kind"] == "repository" else language_of(text) or language,
        masked=masks(text) - masks(whole),
    )


def masked(text: str) -> str:
    """The text with secrets and personal data masked, those in letters of other shapes, too: a line
    whose NFKC form has some is replaced by that form, masked."""
    text = mask(text)
    if text.isascii():
        return text
    lines = []
    for line in text.split("\n"):
        plain = search_form(line)
        hidden = mask(plain)
        lines.append(line if hidden == plain else hidden)
    return "\n".join(lines)


def refresh(hashes: Mapping[str, str], fetch: Fetch, before: Iterable[Document]) -> Refreshed:
    """The cleaned form of the documents in ``hashes`` (id -> raw hash). Those whose hash is as
    ``before`` are taken over; the raw form of the others is fetched by id."""
    known = {d.id: d for d in before if hashes.get(d.id) == d.raw_hash}
    raw = list(fetch(hashes.keys() - known.keys()))
    shares = []
    for row in raw:
        known[row["id"]] = cleaned(row)
        shares.append(kept_share(row["text"], clean(row["text"])))
    documents = [known[id_] for id_ in sorted(known)]
    return Refreshed(documents, len(raw), min(shares, default=1.0))


def decide_splits(
    store: DocumentStore, author: str, documents: Sequence[Document]
) -> dict[str, str]:
    """id -> split of every document that ever had one; new ones are decided and remembered."""
    known = store.splits(author)
    candidates = [Candidate(d.id, d.published, d.text) for d in documents]
    store.keep_splits(author, assign(candidates, known))
    return store.splits(author)


def with_splits(documents: Iterable[Document], splits: Mapping[str, str]) -> list[Document]:
    """The same documents, each with its own split."""
    return [
        document
        if document.split == splits[document.id]
        else replace(document, split="held-out" if document.split == "train" else "train")
        for document in documents
    ]


def kept_share(raw: str, text: str) -> float:
    """Share of a raw text's visible characters that its cleaned text still has."""
    before = len(visible(raw))
    return len(visible(text)) / before if before else 1.0
