"""The vector store: one index per author and version, searched by meaning and by words at once.

``qdrant-edge:///path`` keeps every index in Qdrant's own engine, inside this process. An index is
immutable once published: a new version starts as a copy of an older one, takes the difference and
becomes current by one atomic move, so that readers in other processes see the old index or the new
one. The author is a required argument everywhere, and each has an index of their own.
"""

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from resources.artifacts import ArtifactStore, Version
from resources.errors import LlmTwinError, UnknownSchemeError

INDEX = "index"
BATCH = 512  # points per write
CANDIDATES = 50  # per query half, before fusion
RRF_K = 60  # Cormack et al. 2009
KEYWORDS = ("split", "kind", "document_id")


class WrongVectorSizeError(LlmTwinError):
    """Vectors of another length than the index holds."""


class NoIndexError(LlmTwinError):
    """The author has no index yet."""


@dataclass(frozen=True)
class Point:
    """One chunk in an index: a unit vector, the text whose words are searched, and a payload."""

    id: str
    vector: Sequence[float]
    text: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A point that was found, with its fused score (higher is better)."""

    id: str
    score: float
    payload: Mapping[str, Any]


class VectorStore(Protocol):
    """What every backend does."""

    def build(
        self,
        author: str,
        version: str,
        size: int,
        upsert: Iterable[Point],
        delete: Iterable[str] = (),
        base: str | None = None,
    ) -> int:
        """Publish an index of ``size``-dimensional points: ``base`` (an older version, or nothing)
        without ``delete`` and with ``upsert``. Returns its number of points."""

    def count(self, author: str) -> int:
        """Points in the author's current index; 0 when there is none."""

    def search(
        self,
        author: str,
        vector: Sequence[float],
        words: str,
        limit: int,
        where: Mapping[str, str] | None = None,
    ) -> list[Hit]:
        """The best ``limit`` points of this author by fused rank of vector and word search;
        ``where`` keeps only points whose payload has these values."""


class EdgeVectors:
    """``VectorStore`` in Qdrant Edge shards below ``root``."""

    def __init__(self, root: Path) -> None:
        self._versions = ArtifactStore(root)

    def build(
        self,
        author: str,
        version: str,
        size: int,
        upsert: Iterable[Point],
        delete: Iterable[str] = (),
        base: str | None = None,
    ) -> int:
        """Publish an index; see the protocol. Raises ``WrongVectorSizeError``."""
        old = self._versions.version(author, INDEX, base) if base else None

        def fill(folder: Path) -> dict[str, int]:
            shard = self._start(folder / "shard", size, old)
            try:
                _delete(shard, delete)
                _upsert(shard, author, size, upsert)
                points = int(shard.count(_count_all()))
                shard.flush()
            finally:
                shard.close()
            _settle(folder / "shard")
            return {"size": size, "points": points}

        published = self._versions.publish(author, INDEX, version, fill)
        self._versions.prune(author, INDEX)
        return int(published.facts["points"])

    def has(self, author: str, version: str) -> bool:
        """Whether this version of the author's index is stored."""
        return self._versions.version(author, INDEX, version) is not None

    def count(self, author: str) -> int:
        """Points in the author's current index; 0 when there is none."""
        current = self._versions.current(author, INDEX)
        return int(current.facts["points"]) if current else 0

    def search(
        self,
        author: str,
        vector: Sequence[float],
        words: str,
        limit: int,
        where: Mapping[str, str] | None = None,
    ) -> list[Hit]:
        """Fused search in the author's current index; see the protocol.

        Raises ``NoIndexError`` and ``WrongVectorSizeError``.
        """
        import qdrant_edge as edge

        current = self._versions.current(author, INDEX)
        if current is None:
            raise NoIndexError(
                f"index of {author}", "there is none yet", "Materialise embeddings of this author"
            )
        _same_size(f"index of {author}", int(current.facts["size"]), len(vector))
        shard = _open(current.path / "shard")
        keep = _filter(where)
        halves = [edge.Query.Nearest(list(vector), using="dense")]
        sparse = _bm25().embed_query(words)
        if sparse.indices:
            halves.append(edge.Query.Nearest(sparse, using="sparse"))
        fusion: Any = edge.Fusion.Rrf(k=RRF_K)
        request = edge.QueryRequest(
            limit=limit,
            prefetches=[
                edge.Prefetch(limit=max(CANDIDATES, limit), query=half, filter=keep)
                for half in halves
            ],
            query=fusion,
            with_payload=True,
        )
        return [
            Hit(str(point.id), float(point.score), dict(point.payload or {}))
            for point in shard.query(request)
        ]

    def _start(self, path: Path, size: int, old: Version | None) -> Any:
        import qdrant_edge as edge

        if old is None:
            shard = edge.EdgeShard.create(str(path), _config(size))
            for key in KEYWORDS:
                shard.update(
                    edge.UpdateOperation.create_field_index(key, edge.PayloadSchemaType.Keyword)
                )
            return shard
        _same_size(f"index {old.digest} of {old.author}", int(old.facts["size"]), size)
        with _locked(old.path):
            shutil.copytree(old.path / "shard", path)
        return edge.EdgeShard.load(str(path))


def open_vectors(url: str) -> EdgeVectors:
    """The store a URL names: ``qdrant-edge:///path``. Raises ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme != "qdrant-edge":
        raise UnknownSchemeError(url, ("qdrant-edge:///",))
    return EdgeVectors(Path(unquote(parts.path)))


def _config(size: int) -> Any:
    import qdrant_edge as edge

    return edge.EdgeConfig(
        vectors={"dense": edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine)},
        sparse_vectors={"sparse": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # A version is published whole or not at all, so there is nothing to replay; and without
        # the log's lock several processes can read one shard.
        wal_enabled=False,
    )


@lru_cache(maxsize=1)
def _bm25() -> Any:
    import qdrant_edge as edge

    return edge.Bm25()


@lru_cache(maxsize=8)
def _open(path: Path) -> Any:
    import qdrant_edge as edge

    with _locked(path.parent):
        return edge.EdgeShard.load(str(path))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a version's lock: the engine tidies its files while it opens them."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _settle(path: Path) -> None:
    """Open and close once, so that what the engine tidies on opening is done before publishing."""
    import qdrant_edge as edge

    edge.EdgeShard.load(str(path)).close()


def _delete(shard: Any, ids: Iterable[str]) -> None:
    import qdrant_edge as edge

    gone: list[Any] = list(ids)
    if gone:
        shard.update(edge.UpdateOperation.delete_points(gone))


def _upsert(shard: Any, author: str, size: int, points: Iterable[Point]) -> None:
    import qdrant_edge as edge

    batch: list[Any] = []
    for point in points:
        _same_size(f"point {point.id} of {author}", size, len(point.vector))
        vector = {
            "dense": list(point.vector),
            "sparse": _bm25().embed_document(point.text),
        }
        batch.append(
            edge.Point(id=point.id, vector=vector, payload={**point.payload, "author": author})
        )
        if len(batch) == BATCH:
            shard.update(edge.UpdateOperation.upsert_points(batch))
            batch = []
    if batch:
        shard.update(edge.UpdateOperation.upsert_points(batch))


def _filter(where: Mapping[str, str] | None) -> Any:
    import qdrant_edge as edge

    if not where:
        return None
    return edge.Filter(
        must=[
            edge.FieldCondition(key=key, match=edge.MatchValue(value=value))
            for key, value in where.items()
        ]
    )


def _count_all() -> Any:
    import qdrant_edge as edge

    return edge.CountRequest(exact=True)


def _same_size(item: str, held: int, given: int) -> None:
    if held != given:
        raise WrongVectorSizeError(
            item,
            f"it holds vectors of {held} dimensions, {given} were given",
            "Use the embedding model the index was built with (LLMTWIN_EMBEDDER), or materialise "
            "embeddings to build an index for the new one",
        )
