"""Embeddings of chunks, reused by text, and the vector index made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmtwin_assets.features.chunk import embedding_text
from llmtwin_assets.records import Chunk, from_frame
from resources.embedder import Embedder
from resources.vectors import Point

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# text hash -> unit vector, float32
Vectors = Mapping[str, "np.ndarray[Any, np.dtype[np.float32]]"]

VERSION = "index-3"
PAYLOAD = (
    "document_id", "position", "passages", "title", "url", "text", "start", "end", "kind", "split",
    "headings", "code", "language",
)  # fmt: skip
PLATFORMS = {
    "medium.com": "medium", "substack.com": "substack", "linkedin.com": "linkedin",
    "github.com": "github", "x.com": "x", "twitter.com": "x",
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """What turns one index into the next: chunks to add or replace, ids to delete."""

    upsert: list[Chunk]
    delete: list[str]


def embed(
    chunks: Sequence[Chunk], embedder: Embedder, progress: Callable[[str], None]
) -> "dict[str, np.ndarray[Any, np.dtype[np.float32]]]":
    """A vector for every chunk's text hash."""
    texts = {chunk.text_hash: embedding_text(chunk) for chunk in chunks}
    if not texts:
        return {}
    total = len(texts)
    made = embedder.embed(
        list(texts.values()), lambda done: progress(f"{done} of {total} chunks embedded")
    )
    return dict(zip(texts, made, strict=True))


def refresh(
    chunks: "pl.DataFrame",
    before: "pl.DataFrame | None",
    embedder: Embedder,
    progress: Callable[[str], None],
) -> "tuple[pl.DataFrame, int]":
    """A table (text_hash, vector) with every chunk's text, and how many of them had no vector
    ``before`` and were embedded."""
    import numpy as np
    import polars as pl

    if before is not None:
        before = before.join(chunks, on="text_hash", how="semi")
        chunks = chunks.join(before, on="text_hash", how="anti")
    made = embed(from_frame(Chunk, chunks), embedder, progress)
    if not made and before is not None:
        return before, 0
    matrix = np.stack(list(made.values())) if made else np.zeros((0, 1), np.float32)
    fresh = pl.DataFrame(
        {"text_hash": list(made), "vector": matrix},
        schema={"text_hash": pl.String, "vector": pl.Array(pl.Float32, matrix.shape[1])},
    )
    old = [before] if before is not None and before.height else []
    return pl.concat([*old, fresh]), len(made)


def vectors_of(chunks: Iterable[Chunk], made: "pl.DataFrame") -> Vectors:
    """The vectors of these chunks out of a table that ``refresh`` made."""
    import polars as pl

    rows = made.filter(pl.col("text_hash").is_in({chunk.text_hash for chunk in chunks}))
    return dict(zip(rows["text_hash"], rows["vector"].to_numpy(), strict=True))


def difference(now: "pl.DataFrame", before: "pl.DataFrame | None") -> Difference:
    """How the index of ``before`` becomes that of ``now``."""
    if before is None:
        return Difference(from_frame(Chunk, now), [])
    told = [name for name in now.columns if name != "text"]  # its hash stands for it
    new = now.join(before, on=told, how="anti", nulls_equal=True)
    gone = before.join(now, on="id", how="anti")
    return Difference(from_frame(Chunk, new), sorted(gone["id"]))


def points(chunks: Iterable[Chunk], vectors: Vectors) -> Iterable[Point]:
    """Chunks as the vector store takes them."""
    for chunk in chunks:
        payload: dict[str, Any] = {name: getattr(chunk, name) for name in PAYLOAD}
        payload["platform"] = platform(chunk.url)
        if chunk.published:
            payload["published"] = chunk.published.isoformat()
        vector = vectors[chunk.text_hash].tolist()
        yield Point(chunk.id, vector, embedding_text(chunk), payload)


def platform(url: str) -> str:
    """The platform an address belongs to, or "" for an author's own site or a file."""
    host = urlsplit(url).hostname or ""
    for domain, name in PLATFORMS.items():
        if host == domain or host.endswith(f".{domain}"):
            return name
    return ""
