"""Embeddings of chunks, reused by text, and the vector index made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmtwin_assets.features.chunk import embedding_text
from llmtwin_assets.records import Chunk
from resources.embedder import Embedder
from resources.vectors import Point

if TYPE_CHECKING:
    import numpy as np

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


def embed_new(
    chunks: Sequence[Chunk],
    known: Vectors,
    embedder: Embedder,
    progress: Callable[[str], None],
) -> "dict[str, np.ndarray[Any, np.dtype[np.float32]]]":
    """A vector for every chunk's text hash; only texts without one in ``known`` are embedded."""
    texts = {c.text_hash: embedding_text(c) for c in chunks if c.text_hash not in known}
    vectors = {c.text_hash: known[c.text_hash] for c in chunks if c.text_hash in known}
    if texts:
        total = len(texts)
        made = embedder.embed(
            list(texts.values()), lambda done: progress(f"{done} of {total} chunks embedded")
        )
        vectors.update(zip(texts, made, strict=True))
    return vectors


def difference(now: Iterable[Chunk], before: Iterable[Chunk]) -> Difference:
    """How the index of ``before`` becomes that of ``now``."""
    old = {chunk.id: chunk for chunk in before}
    upsert = [chunk for chunk in now if old.pop(chunk.id, None) != chunk]
    return Difference(upsert, sorted(old))


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
