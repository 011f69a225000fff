"""The vector store: one index per author and version, searched by meaning and by words.

``qdrant-edge:///path`` keeps every index in Qdrant's own engine, inside this process;
``http(s)://`` is a Qdrant server (``vectors_server.py``). An index is immutable once published: a
new version starts as a copy of an older one, takes the difference and becomes current by one atomic
move, so that readers in other processes see the old index or the new one. The author is a required
argument everywhere, and each has an index of their own: nothing, not even the weight of a word,
depends on what others wrote.
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
KEYWORDS = ("split", "kind", "platform")  # payload that can be filtered by value
DATE = "published"  # payload that can be filtered by range


class WrongVectorSizeError(LlmTwinError):
    """Vectors of another length than the index holds."""


class NoIndexError(LlmTwinError):
    """The author has no index yet."""

    def __init__(self, author: str) -> None:
        super().__init__(
            f"index of {author}", "there is none yet", "Materialise embeddings of this author"
        )

    def __reduce__(self) -> tuple[type[LlmTwinError], tuple[str, str, str]]:
        return LlmTwinError, (self.item, self.problem, self.remedy)


@dataclass(frozen=True)
class Point:
    """One chunk in an index: a unit vector, the text whose words are searched, and a payload."""

    id: str
    vector: Sequence[float]
    text: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A point that was found, with its score (higher is better): the cosine to a vector, or BM25
    of words."""

    id: str
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Dates:
    """Days from ``since`` to ``until``, both included, as ISO dates; None is an open end."""

    since: str | None = None
    until: str | None = None


Query = Sequence[float] | str  # a unit vector, or words
# What a point's payload must be, by key: a value, one of several, or a day in a range.
Where = Mapping[str, str | Sequence[str] | Dates]


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
        without ``delete`` and with ``upsert``. Returns its number of points. A version that is
        stored is not built again; it becomes current. Raises ``WrongVectorSizeError``."""

    def has(self, author: str, version: str) -> bool:
        """Whether this version of the author's index is stored."""

    def count(self, author: str) -> int:
        """Points in the author's current index; 0 when there is none."""

    def search(
        self, author: str, queries: Sequence[Query], limit: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """For each query the best ``limit`` points of the author's current index, best first. Words
        find only points that share one with them. Raises ``NoIndexError`` and
        ``WrongVectorSizeError``."""


class EdgeVectors:
    """``VectorStore`` in Qdrant Edge shards below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
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
        """Publish an index; see the protocol."""
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

        with self._building(author):
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
        self, author: str, queries: Sequence[Query], limit: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """Search the author's current index; see the protocol."""
        current = self._versions.current(author, INDEX)
        if current is None:
            raise NoIndexError(author)
        for query in queries:
            if not isinstance(query, str):
                same_size(f"index of {author}", int(current.facts["size"]), len(query))
        return _search(_open(current.path / "shard"), queries, limit, _filter(where))

    @contextmanager
    def _building(self, author: str) -> Iterator[None]:
        """One at a time builds an author's index; those that wait find it built."""
        self._versions.current(author, INDEX)  # refuses a name that is no directory's
        folder = self._root / author
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            yield

    def _start(self, path: Path, size: int, old: Version | None) -> Any:
        import qdrant_edge as edge

        if old is None:
            shard = edge.EdgeShard.create(str(path), _config(size))
            types = dict.fromkeys(KEYWORDS, edge.PayloadSchemaType.Keyword)
            for key, type_ in {**types, DATE: edge.PayloadSchemaType.Datetime}.items():
                shard.update(edge.UpdateOperation.create_field_index(key, type_))
            return shard
        same_size(f"index {old.digest} of {old.author}", int(old.facts["size"]), size)
        with _locked(old.path):
            shutil.copytree(old.path / "shard", path)
        return edge.EdgeShard.load(str(path))


def open_vectors(url: str) -> VectorStore:
    """The store a URL names: ``qdrant-edge:///path`` or a Qdrant server at ``http(s)://``. Raises
    ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        from resources.vectors_server import open_server

        return open_server(url)
    if parts.scheme != "qdrant-edge":
        raise UnknownSchemeError(url, ("qdrant-edge:///", "http://", "https://"))
    return EdgeVectors(Path(unquote(parts.path)))


def word_weights(text: str, asked: bool = False) -> tuple[list[int], list[float]]:
    """A text as a sparse vector: hashed words and their BM25 weights without the inverse document
    frequency, which the index knows. Every backend uses these, so they agree on what a word is.

    ``asked`` is for a query, whose words weigh 1 each.
    """
    sparse = _bm25().embed_query(text) if asked else _bm25().embed_document(text)
    return list(sparse.indices), list(sparse.values)


def same_size(item: str, held: int, given: int) -> None:
    """Raise ``WrongVectorSizeError`` unless ``item`` holds vectors as long as the given ones."""
    if held != given:
        raise WrongVectorSizeError(
            item,
            f"it holds vectors of {held} dimensions, {given} were given",
            "Use the embedding model the index was built with (LLMTWIN_EMBEDDER), or materialise "
            "embeddings to build an index for the new one",
        )


def _search(shard: Any, queries: Sequence[Query], limit: int, keep: Any) -> list[list[Hit]]:
    import qdrant_edge as edge

    asked = {position: _nearest(query) for position, query in enumerate(queries)}
    requests = [
        edge.QueryRequest(limit=limit, query=query, filter=keep, with_payload=True)
        for query in asked.values()
        if query is not None
    ]
    found = iter(shard.query_batch(edge.QueryBatchRequest(requests)) if requests else ())
    return [
        [Hit(str(p.id), float(p.score), dict(p.payload or {})) for p in next(found)]
        if query is not None
        else []
        for query in asked.values()
    ]


def _nearest(query: Query) -> Any:
    """The engine's form of a query; None for a text without any word."""
    import qdrant_edge as edge

    if not isinstance(query, str):
        return edge.Query.Nearest(list(query), using="dense")
    indices, values = word_weights(query, asked=True)
    if not indices:
        return None
    return edge.Query.Nearest(edge.SparseVector(indices, values), using="sparse")


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
        same_size(f"point {point.id} of {author}", size, len(point.vector))
        vector: Any = {
            "dense": list(point.vector),
            "sparse": edge.SparseVector(*word_weights(point.text)),
        }
        batch.append(
            edge.Point(id=point.id, vector=vector, payload={**point.payload, "author": author})
        )
        if len(batch) == BATCH:
            shard.update(edge.UpdateOperation.upsert_points(batch))
            batch = []
    if batch:
        shard.update(edge.UpdateOperation.upsert_points(batch))


def _filter(where: Where | None) -> Any:
    import qdrant_edge as edge

    if not where:
        return None
    return edge.Filter(must=[_condition(key, wanted) for key, wanted in where.items()])


def _condition(key: str, wanted: str | Sequence[str] | Dates) -> Any:
    import qdrant_edge as edge

    if isinstance(wanted, Dates):
        days = edge.RangeDateTime(gte=wanted.since, lte=wanted.until)
        return edge.FieldCondition(key=key, range=days)
    if isinstance(wanted, str):
        return edge.FieldCondition(key=key, match=edge.MatchValue(value=wanted))
    return edge.FieldCondition(key=key, match=edge.MatchAny(any=list(wanted)))


def _count_all() -> Any:
    import qdrant_edge as edge

    return edge.CountRequest(exact=True)
