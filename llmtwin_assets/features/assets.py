"""The feature assets: cleaned documents, chunks, embeddings.

Rows that are as they were stay in their tables; only what is new or edited becomes records.
"""

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.corpus.assets import raw_articles, raw_posts, raw_repositories
from llmtwin_assets.features import chunk as chunking
from llmtwin_assets.features import clean, compared, index, split
from llmtwin_assets.features import documents as documents_
from llmtwin_assets.features.left_out import left_out_page
from llmtwin_assets.features.near_duplicates import SAME
from llmtwin_assets.features.repetition import languages, repetition
from llmtwin_assets.records import Chunk, Document, from_frame
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import Facts, Step, author_asset, read_table, save_plots, save_table
from resources.artifacts import ArtifactStore, Version
from resources.documents import DocumentStore
from resources.embedder import Embedder
from resources.people import People
from resources.vectors import VectorStore

if TYPE_CHECKING:
    import polars as pl

DOCUMENTS, CHUNKS, VECTORS = "documents.parquet", "chunks.parquet", "embeddings.parquet"
LEAST_KEPT = 0.999  # share of visible characters, in cleaning and in chunking


@author_asset(
    "features", clean.VERSION, {"polars"}, deps=[raw_articles, raw_posts, raw_repositories]
)
def cleaned_documents(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[AuthorsFile],
    documents: dg.ResourceParam[DocumentStore],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The author's own words: punctuation, case, code and line structure kept, transport artefacts
    gone; each document trains or is held out."""
    step = Step(context, artifacts)
    upstream = ("raw_articles", "raw_posts", "raw_repositories")
    content = [step.input(asset).facts["content"] for asset in upstream]
    hashes, splits = documents.hashes(step.author), documents.splits(step.author)
    author = {each.id: each for each in registry.read().authors}.get(step.author)
    wanted, own = (author.language, author.name) if author else (None, "")
    code, hide = clean.VERSION, None
    if settings.names:
        code = f"{code}, names by {settings.names} masked but {own}"
        hide = documents_.hiding(People(settings.names), own)
    before = _reusable(step.previous(), code, "kept_share")

    @cache
    def now() -> tuple[documents_.Refreshed, compared.Compared]:
        fetch = partial(documents.documents, step.author, None)
        found = documents_.refresh(hashes, fetch, _table(before, DOCUMENTS), hide)
        texts = found.documents.select("id", "text", hash="raw_hash")
        return found, compared.compare(texts, SAME, _known_pairs(before))

    if hashes.keys() - splits.keys():
        found, pairs = now()
        alike = [(a, b) for a, b, _ in pairs.found()]
        splits = documents_.decide_splits(documents, step.author, found.documents, alike)

    def build(folder: Path) -> Facts:
        found, pairs = now()
        rows = documents_.with_splits(found.documents, splits)
        pairs.save(folder)
        facts = save_table(rows, folder / DOCUMENTS)
        if rows.height:
            from llmtwin_assets.plots import histogram

            save_plots(folder, {"words": histogram(rows["words"].to_list(), "words", "Documents")})
        held = rows.filter(split="held-out")
        return facts | {
            "code": code,
            "kept_share": min(
                found.kept_share, float(before.facts["kept_share"]) if before else 1.0
            ),
            "words": rows["words"].sum(),
            "held_out": held.height,
            "language": wanted,
            "languages": languages(rows),
            **repetition(rows["text"]),
            "figures": {
                "documents": rows.height,
                "documents cleaned anew": found.cleaned,
                "words": rows["words"].sum(),
                "held out": held.height,
                "words held out": held["words"].sum(),
                "masked": rows["masked"].sum(),
                **{f"language: {code}": count for code, count in _languages(rows)},
            },
        }

    held_out = sorted(id_ for id_ in hashes if splits[id_] == "held-out")
    inputs = {"content": content, "held_out": held_out, "language": wanted, "code": code}
    return step.publish(inputs, build)


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
        documents = read_table(cleaned, DOCUMENTS)
        unchanged: set[str] = set()
        if before and before.facts["embedder"] == embedder.digest:
            unchanged = unchanged_documents(artifacts, cleaned, before.facts["made_of"])
        rows = chunking.refresh(
            step.author,
            documents,
            min(split.MATCH, embedder.max_tokens),
            embedder.count_tokens,
            unchanged,
            _table(before, CHUNKS),
        )
        texts = rows.select("id", "text", hash="text_hash")
        pairs = compared.compare(texts, chunking.NEARLY, _known_pairs(before))
        pairs.save(folder)
        rows = chunking.with_twins(rows, pairs.found())
        left_out = int((rows["twin"] != "").sum())
        if left_out:
            (folder / "report.html").write_text(left_out_page(rows), "utf-8")
        facts = save_table(rows, folder / CHUNKS)
        longest = max(rows["tokens"], default=0)
        if rows.height:
            from llmtwin_assets.plots import histogram

            save_plots(folder, {"tokens": histogram(rows["tokens"].to_list(), "tokens", "Chunks")})
        return facts | {
            "code": split.VERSION,
            "made_of": cleaned.digest,
            "embedder": embedder.digest,
            # Unchanged documents are covered as they were.
            "coverage": min(
                float(before.facts["coverage"]) if before and unchanged else 1.0,
                chunking.coverage(documents, rows, unchanged),
            ),
            "longest": longest,
            "limit": embedder.max_tokens,
            "figures": {
                "chunks": rows.height,
                "left out for a twin": left_out,
                "longest (tokens)": longest,
                "documents split anew": documents.height - len(unchanged),
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
        rows = _indexed(made_of)
        known = _table(before, VECTORS)
        if before and before.facts.get("code") != index.VERSION:
            before = None  # its vectors are good, its points are of another form
        made, new = index.refresh(rows, known, embedder, context.log.info)
        facts = save_table(made, folder / VECTORS)
        base = before.digest if before and vectors.has(step.author, before.digest) else None
        old = artifacts.version(step.author, "chunks", before.facts["made_of"]) if before else None
        change = index.difference(rows, _indexed(old) if base and old else None)
        size = made["vector"].to_numpy().shape[1] if rows.height else 0
        stored = vectors.build(
            step.author,
            step.digest(inputs),
            size,
            index.points(change.upsert, index.vectors_of(change.upsert, made)),
            change.delete,
            base if old else None,
        )
        return facts | {
            "code": index.VERSION,
            "made_of": made_of.digest,
            "embedder": embedder.digest,
            "chunks": rows.height,
            "points": stored,
            "figures": {
                "points": stored,
                "dimensions": size,
                "texts embedded": new,
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
    return from_frame(Document, read_table(version, DOCUMENTS)) if version else []


def read_chunks(version: Version | None) -> list[Chunk]:
    """The rows of a version of chunks that are indexed; none without one."""
    return from_frame(Chunk, _indexed(version)) if version else []


def unchanged_documents(artifacts: ArtifactStore, now: Version, before: str) -> set[str]:
    """Ids of the documents that are in two versions of cleaned_documents exactly alike; ``before``
    is a digest. None when that version is gone or was cleaned otherwise."""
    earlier = artifacts.version(now.author, now.asset, before)
    if earlier is None or earlier.facts["code"] != now.facts["code"]:
        return set()
    told = ["id", "raw_hash", "split"]  # what decides a row
    is_, was = (read_table(version, DOCUMENTS, told) for version in (now, earlier))
    return set(is_.join(was, on=told, how="semi")["id"])


def _table(version: Version | None, name: str) -> "pl.DataFrame | None":
    return read_table(version, name) if version else None


def _known_pairs(version: Version | None) -> compared.Compared | None:
    return compared.load(version.file) if version else None


def _indexed(version: Version) -> "pl.DataFrame":
    return read_table(version, CHUNKS).filter(twin="")


def _languages(documents: "pl.DataFrame") -> list[tuple[str, int]]:
    counts = documents["language"].fill_null("unknown").value_counts(sort=True)
    return list(counts.head(3).iter_rows())


def _reusable(version: Version | None, code: str, share: str) -> Version | None:
    """A version to take rows over from: made by the same code, and with nothing lost in it."""
    if version is None or version.facts["code"] != code or version.facts[share] < LEAST_KEPT:
        return None
    return version


assets = [cleaned_documents, chunks, embeddings]
