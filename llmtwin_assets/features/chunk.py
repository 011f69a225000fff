"""Chunks from cleaned documents. One edited document costs one document's splitting."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from llmtwin_assets.features.clean import search_form
from llmtwin_assets.features.near_duplicates import pairs, runs_of, twins
from llmtwin_assets.features.split import CountTokens, WordTokens, chunk_spans
from llmtwin_assets.records import Chunk, Document, content_id

NEARLY = 0.9  # share of runs of words in common from which on a chunk adds nothing to another


def chunks_of(
    author: str, document: Document, limit: int, count_tokens: CountTokens
) -> Iterator[Chunk]:
    """The document's chunks in order."""
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
    documents: Iterable[Document],
    limit: int,
    count_tokens: CountTokens,
    unchanged: Iterable[str] = (),
    before: Iterable[Chunk] = (),
) -> list[Chunk]:
    """The chunks of all documents; those of ``unchanged`` documents (ids) are taken from
    ``before``."""
    kept = set(unchanged)
    old: dict[str, list[Chunk]] = {}
    for chunk in before:
        old.setdefault(chunk.document_id, []).append(chunk)
    chunks: list[Chunk] = []
    count = WordTokens(count_tokens)
    for document in documents:
        if document.id in kept and document.id in old:
            chunks += old[document.id]
        else:
            chunks += chunks_of(author, document, limit, count)
    return chunks


def with_twins(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks, each that is nearly the same as one before it with that one as its twin. Train
    chunks come before held-out ones, so that a filter by split loses nothing."""
    order = sorted(range(len(chunks)), key=lambda n: (chunks[n].split != "train", n))
    found = pairs(runs_of([chunks[n].text for n in order]), NEARLY)
    gone = {order[n]: chunks[order[twin]].id for n, twin in twins(len(order), found).items()}
    return [
        chunk if chunk.twin == gone.get(n, "") else replace(chunk, twin=gone.get(n, ""))
        for n, chunk in enumerate(chunks)
    ]


def same_documents(now: Sequence[Document], before: Sequence[Document]) -> set[str]:
    """Ids of the documents that are exactly as they were."""
    known = {document.id: document for document in before}
    return {document.id for document in now if known.get(document.id) == document}


def embedding_text(chunk: Chunk) -> str:
    """What of a chunk is embedded and searched."""
    return search_form(chunk.text)


def hash_text(text: str) -> str:
    """32 hex digits that name a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
