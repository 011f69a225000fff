"""The feature assets: cleaned documents, chunks, embeddings."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.corpus.assets import raw_articles, raw_posts, raw_repositories
from llmtwin_assets.features import chunk as chunking
from llmtwin_assets.features import clean, index, split
from llmtwin_assets.features import documents as documents_
from llmtwin_assets.features.left_out import left_out_page
from llmtwin_assets.records import Chunk, Document, from_frame, to_frame
from llmtwin_assets.steps import Facts, Step, author_asset, save_plots, save_table
from resources.artifacts import ArtifactStore, Version
from resources.documents import DocumentStore
from resources.embedder import Embedder
from resources.vectors import VectorStore

CHUNKS = "chunks.parquet"
LEAST_KEPT = 0.999  # share of visible characters, in cleaning and in chunking


@author_asset(
    "features", clean.VERSION, {"polars"}, deps=[raw_articles, raw_posts, raw_repositories]
)
def cleaned_documents(
    context: dg.AssetExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The author's own words: punctuation, case, code and line structure kept, transport artefacts
    gone; each document trains or is held out."""
    step = Step(context, artifacts)
    upstream = ("raw_articles", "raw_posts", "raw_repositories")
    content = [step.input(asset).facts["content"] for asset in upstream]
    hashes, splits = documents.hashes(step.author), documents.splits(step.author)

    def refreshed() -> documents_.Refreshed:
        before = _reusable(step.previous(), clean.VERSION, "kept_share")
        fetch = partial(documents.documents, step.author, None)
        return documents_.refresh(hashes, fetch, read_documents(before))

    if hashes.keys() - splits.keys():
        splits = documents_.decide_splits(documents, step.author, refreshed().documents)

    def build(folder: Path) -> Facts:
        before = _reusable(step.previous(), clean.VERSION, "kept_share")
        now = refreshed()
        rows = documents_.with_splits(now.documents, splits)
        facts = save_table(to_frame(Document, rows), folder / "documents.parquet")
        words = {row.id: len(row.text.split()) for row in rows}
        held = [row.id for row in rows if row.split == "held-out"]
        if rows:
            from llmtwin_assets.plots import histogram

            save_plots(folder, {"words": histogram(list(words.values()), "words", "Documents")})
        return facts | {
            "code": clean.VERSION,
            "kept_share": min(now.kept_share, float(before.facts["kept_share"]) if before else 1.0),
            "words": sum(words.values()),
            "held_out": len(held),
            "figures": {
                "documents": len(rows),
                "documents cleaned anew": now.cleaned,
                "words": sum(words.values()),
                "held out": len(held),
                "words held out": sum(words[id_] for id_ in held),
                "masked": sum(row.masked for row in rows),
                **{f"language: {code}": count for code, count in _languages(rows)},
            },
        }

    held_out = sorted(id_ for id_ in hashes if splits[id_] == "held-out")
    return step.publish({"content": content, "held_out": held_out}, build)


@author_asset("features", split.VERSION, {"polars"}, deps=[cleaned_documents])
def chunks(
    context: dg.AssetExecutionContext,
    embedder: dg.ResourceParam[Embedder],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """Spans of the documents along their own structure, none longer than the embedder reads."""
    step = Step(context, artifacts)
    cleaned = step.input("cleaned_documents")
    inputs = {"documents": cleaned.digest, "embedder": embedder.digest}

    def build(folder: Path) -> Facts:
        before = _reusable(step.previous(), split.VERSION, "coverage")
        documents = read_documents(cleaned)
        unchanged: set[str] = set()
        if before and before.facts["embedder"] == embedder.digest:
            earlier = artifacts.version(step.author, "cleaned_documents", before.facts["made_of"])
            unchanged = chunking.same_documents(documents, read_documents(earlier))
        rows = chunking.refresh(
            step.author,
            documents,
            min(split.MATCH, embedder.max_tokens),
            embedder.count_tokens,
            unchanged,
            _read(Chunk, before, CHUNKS) if unchanged else (),
        )
        rows = chunking.with_twins(rows)
        left_out = sum(bool(row.twin) for row in rows)
        if left_out:
            (folder / "report.html").write_text(left_out_page(rows), "utf-8")
        facts = save_table(to_frame(Chunk, rows), folder / CHUNKS)
        tokens = [row.tokens for row in rows]
        if rows:
            from llmtwin_assets.plots import histogram

            save_plots(folder, {"tokens": histogram(tokens, "tokens", "Chunks")})
        return facts | {
            "code": split.VERSION,
            "made_of": cleaned.digest,
            "embedder": embedder.digest,
            # Unchanged documents are covered as they were.
            "coverage": min(
                float(before.facts["coverage"]) if before and unchanged else 1.0,
                _coverage([d for d in documents if d.id not in unchanged], rows),
            ),
            "longest": max(tokens, default=0),
            "limit": embedder.max_tokens,
            "figures": {
                "chunks": len(rows),
                "left out for a twin": left_out,
                "longest (tokens)": max(tokens, default=0),
                "documents split anew": len(documents) - len(unchanged),
            },
        }

    return step.publish(inputs, build)


@author_asset("features", index.VERSION, {"qdrant"}, deps=[chunks])
def embeddings(
    context: dg.AssetExecutionContext,
    embedder: dg.ResourceParam[Embedder],
    vectors: dg.ResourceParam[VectorStore],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """A vector per chunk, and the author's index for search by meaning and by words."""
    step = Step(context, artifacts)
    made_of = step.input("chunks")
    inputs = {"chunks": made_of.digest, "embedder": embedder.digest}

    def build(folder: Path) -> Facts:
        before = step.previous()
        if before and before.facts["embedder"] != embedder.digest:
            before = None
        rows = read_chunks(made_of)
        known = _read_vectors(before)
        if before and before.facts.get("code") != index.VERSION:
            before = None  # its vectors are good, its points are of another form
        made = index.embed_new(rows, known, embedder, context.log.info)
        facts = _save_vectors(made, folder / "embeddings.parquet")
        base = before.digest if before and vectors.has(step.author, before.digest) else None
        old = artifacts.version(step.author, "chunks", before.facts["made_of"]) if before else None
        change = index.difference(rows, read_chunks(old) if base and old else ())
        size = len(next(iter(made.values()), ()))
        stored = vectors.build(
            step.author,
            step.digest(inputs),
            size,
            index.points(change.upsert, made),
            change.delete,
            base if old else None,
        )
        return facts | {
            "code": index.VERSION,
            "made_of": made_of.digest,
            "embedder": embedder.digest,
            "chunks": len(rows),
            "points": stored,
            "figures": {
                "points": stored,
                "dimensions": size,
                "texts embedded": len(made.keys() - known.keys()),
                "points written": len(change.upsert),
                "points deleted": len(change.delete),
            },
        }

    # Index and cached vectors live in two stores: an index that was lost is built again.
    if not vectors.has(step.author, step.digest(inputs)):
        artifacts.forget(step.author, step.asset, step.digest(inputs))
    return step.publish(inputs, build)


def read_documents(version: Version | None) -> list[Document]:
    """The rows of a version of cleaned_documents; none without one."""
    return _read(Document, version, "documents.parquet")


def read_chunks(version: Version | None) -> list[Chunk]:
    """The rows of a version of chunks that are indexed; none without one."""
    return [row for row in _read(Chunk, version, CHUNKS) if not row.twin]


def _languages(documents: list[Document]) -> list[tuple[str, int]]:
    return Counter(document.language or "unknown" for document in documents).most_common(3)


def _read(kind: Any, version: Version | None, name: str) -> list[Any]:
    import polars as pl

    return from_frame(kind, pl.read_parquet(version.file(name))) if version else []


def _reusable(version: Version | None, code: str, share: str) -> Version | None:
    """A version to take rows over from: made by the same code, and with nothing lost in it."""
    if version is None or version.facts["code"] != code or version.facts[share] < LEAST_KEPT:
        return None
    return version


def _read_vectors(version: Version | None) -> dict[str, Any]:
    import polars as pl

    if version is None:
        return {}
    frame = pl.read_parquet(version.file("embeddings.parquet"))
    return dict(zip(frame["text_hash"], frame["vector"].to_numpy(), strict=True))


def _save_vectors(vectors: index.Vectors, path: Path) -> Facts:
    import numpy as np
    import polars as pl

    matrix = np.stack(list(vectors.values())) if vectors else np.zeros((0, 1), np.float32)
    frame = pl.DataFrame(
        {"text_hash": list(vectors), "vector": matrix},
        schema={"text_hash": pl.String, "vector": pl.Array(pl.Float32, matrix.shape[1])},
    )
    return save_table(frame, path)


def _coverage(documents: list[Document], rows: list[Chunk]) -> float:
    """The smallest share of a document's visible characters that its chunks cover."""
    spans: dict[str, list[split.Span]] = {}
    for row in rows:
        spans.setdefault(row.document_id, []).append(split.Span(row.start, row.end, row.tokens))
    shares = map(partial(_covered, spans), documents)
    return min(shares, default=1.0)


def _covered(spans: dict[str, list[split.Span]], document: Document) -> float:
    return split.coverage(document.text, spans.get(document.id, []))


assets = [cleaned_documents, chunks, embeddings]
