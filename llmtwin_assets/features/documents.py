"""Cleaned documents from raw ones. One edited document costs one document's cleaning."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.clean import clean, search_form, visible
from llmtwin_assets.features.holdout import Candidate, assign
from llmtwin_assets.features.language import language_of
from llmtwin_assets.features.words import length
from llmtwin_assets.masking import mask, mask_names, masks
from llmtwin_assets.records import Document, Split, to_frame
from resources.documents import DocumentStore
from resources.people import People

if TYPE_CHECKING:
    import polars as pl

Hide = Callable[[str], str]  # a text without what else must not be in it
Fetch = Callable[[Collection[str]], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Refreshed:
    """A table of all documents, ordered by id; how many of them were cleaned now; and the smallest
    share of its visible characters that one of those kept."""

    documents: "pl.DataFrame"
    cleaned: int
    kept_share: float


def cleaned(raw: Mapping[str, Any], split: Split = "train", hide: Hide | None = None) -> Document:
    """A raw document's cleaned form, with secrets and personal data masked, and in prose what
    ``hide`` takes out."""
    whole, title = clean(raw["text"]), clean(raw["title"])
    text, shown = masked(whole), mask(title)
    if hide is not None and raw["kind"] != "repository":
        text, shown = hide(text), hide(shown)
    language = raw.get("language")
    return Document(
        id=raw["id"],
        kind=raw["kind"],
        url=raw["url"],
        title=shown,
        published=date.fromisoformat(raw["published"]) if raw["published"] else None,
        text=text,
        search=search_form(text),
        raw_hash=raw["hash"],
        split=split,
        language=language if raw["kind"] == "repository" else language_of(text) or language,
        masked=masks(text) - masks(whole),
        words=length(text),
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


def hiding(people: People, own: str) -> Hide:
    """Masks the names that ``people`` finds, but for the author's ``own``."""
    return lambda text: mask_names(text, people.find(text), own)


def refresh(
    hashes: Mapping[str, str],
    fetch: Fetch,
    before: "pl.DataFrame | None" = None,
    hide: Hide | None = None,
) -> Refreshed:
    """The cleaned form of the documents in ``hashes`` (id -> raw hash). Those whose hash is as
    ``before`` are taken over; the raw form of the others is fetched by id."""
    import polars as pl

    before = to_frame(Document, []) if before is None else before
    kept = before.join(_table(hashes, "raw_hash"), on=["id", "raw_hash"], how="semi")
    rows, shares = [], []
    for raw in fetch(hashes.keys() - set(kept["id"])):
        rows.append(cleaned(raw, hide=hide))
        shares.append(kept_share(raw["text"], clean(raw["text"])))
    documents = pl.concat([kept, to_frame(Document, rows)]).sort("id")
    return Refreshed(documents, len(rows), min(shares, default=1.0))


def decide_splits(
    store: DocumentStore,
    author: str,
    documents: "pl.DataFrame",
    alike: Iterable[tuple[str, str]],
) -> dict[str, str]:
    """id -> split of every document that ever had one; new ones are decided and remembered.
    ``alike`` are pairs of documents (ids) of nearly the same text."""
    known = store.splits(author)
    candidates = [Candidate(*row) for row in documents.select("id", "published").iter_rows()]
    store.keep_splits(author, assign(candidates, known, alike))
    return store.splits(author)


def with_splits(documents: "pl.DataFrame", splits: Mapping[str, str]) -> "pl.DataFrame":
    """The same documents, each with its own split."""
    given = documents.drop("split").join(
        _table(splits, "split"), on="id", how="left", maintain_order="left"
    )
    return given.select(documents.columns)


def _table(values: Mapping[str, str], name: str) -> "pl.DataFrame":
    import polars as pl

    columns = {"id": list(values), name: list(values.values())}
    return pl.DataFrame(columns, schema={"id": pl.String, name: pl.String})


def kept_share(raw: str, text: str) -> float:
    """Share of a raw text's visible characters that its cleaned text still has."""
    before = len(visible(raw))
    return len(visible(text)) / before if before else 1.0
