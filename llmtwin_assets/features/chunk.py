"""Chunks from cleaned documents. One edited document costs one document's splitting."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from llmtwin_assets.features.clean import search_form
from llmtwin_assets.features.near_duplicates import twins
from llmtwin_assets.features.split import CountTokens, Span, WordTokens, chunk_spans
from llmtwin_assets.features.split import coverage as covered
from llmtwin_assets.records import Chunk, Document, content_id, from_frame, to_frame

if TYPE_CHECKING:
    import polars as pl

NEARLY = 0.9  # share of runs of words in common from which on a chunk adds nothing to another


def chunks_of(
    author: str, documents: Iterable[Document], limit: int, count_tokens: CountTokens
) -> list[Chunk]:
    """The chunks of documents, in order, of at most ``limit`` tokens."""
    count = WordTokens(count_tokens)
    return [chunk for document in documents for chunk in _of(author, document, limit, count)]


def _of(author: str, document: Document, limit: int, count_tokens: CountTokens) -> Iterator[Chunk]:
    spans = chunk_spans(document.text, limit, count_tokens)
    for position, span in enumerate(spans):
        text = document.text[span.start : span.end]
        text_hash = hash_text(text)
        yield Chunk(
            id=content_id(author, document.id, str(position), text_hash),
            document_id=document.id,
            position=position,
            start=span.start,
            end=span.end,
            tokens=span.tokens,
            text=text,
            text_hash=text_hash,
            kind=document.kind,
            title=document.title,
            url=document.url,
            split=document.split,
            published=document.published,
            passages=len(spans),
            headings=" › ".join(span.headings),
            code=span.code,
            language=document.language,
        )


def refresh(
    author: str,
    documents: "pl.DataFrame",
    limit: int,
    count_tokens: CountTokens,
    unchanged: Collection[str] = (),
    before: "pl.DataFrame | None" = None,
) -> "pl.DataFrame":
    """A table of the chunks of all documents, by document and position; those of ``unchanged``
    documents (ids) are taken from ``before``."""
    import polars as pl

    before = to_frame(Chunk, []) if before is None else before
    kept = before.filter(pl.col("document_id").is_in(list(unchanged)))
    fresh = documents.join(kept, left_on="id", right_on="document_id", how="anti")
    made = chunks_of(author, from_frame(Document, fresh), limit, count_tokens)
    return pl.concat([kept, to_frame(Chunk, made)]).sort("document_id", "position")


def with_twins(chunks: "pl.DataFrame", pairs: Collection[tuple[str, str, float]]) -> "pl.DataFrame":
    """The chunks, each that is nearly the same as one before it with that one as its twin.
    ``pairs`` are (id, id, share in common). Train chunks come before held-out ones, so that a
    filter by split loses nothing."""
    import polars as pl

    alike = {id_ for a, b, _ in pairs for id_ in (a, b)}
    involved = chunks.filter(pl.col("id").is_in(alike))
    ids = involved.sort(pl.col("split") != "train", maintain_order=True)["id"].to_list()
    place = {id_: n for n, id_ in enumerate(ids)}
    found = [(*_ordered(place[a], place[b]), share) for a, b, share in pairs]
    gone = twins(len(ids), found)
    named = {ids[n]: ids[twin] for n, twin in gone.items()}
    return chunks.with_columns(
        pl.col("id").replace_strict(named, default="", return_dtype=pl.String).alias("twin")
    )


def coverage(
    documents: "pl.DataFrame", chunks: "pl.DataFrame", unchanged: Collection[str]
) -> float:
    """The smallest share of a document's visible characters that its chunks cover, of those that
    are not ``unchanged``."""
    import polars as pl

    changed = documents.filter(~pl.col("id").is_in(list(unchanged)))
    new = chunks.join(changed, left_on="document_id", right_on="id", how="semi")
    spans: dict[str, list[Span]] = {}
    for id_, *span in new.select("document_id", "start", "end", "tokens").iter_rows():
        spans.setdefault(id_, []).append(Span(*span))
    return min(
        (
            covered(text, spans.get(id_, []))
            for id_, text in changed.select("id", "text").iter_rows()
        ),
        default=1.0,
    )


def _ordered(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def embedding_text(chunk: Chunk) -> str:
    """What of a chunk is embedded and searched."""
    return search_form(chunk.text)


def hash_text(text: str) -> str:
    """32 hex digits that name a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
