"""The vector store on a Qdrant server: ``http(s)://host:6333``, with a key as the URL's password
(``https://:key@host``) and ``?quantization=int8`` for vectors of a byte per dimension in memory.

Each version of an author's index is a collection; two aliases, moved in one atomic request, say
what it is: ``llmtwin~ada~v7`` that version 7 is complete, ``llmtwin~ada`` that it is the current
one. A build that was killed leaves a collection without an alias, which a later build removes.
Every point carries its author under a tenant index, and every query asks for it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit
from uuid import uuid4

from resources.artifacts import NAME, BadNameError
from resources.errors import LlmTwinError
from resources.vectors import (
    DATE,
    KEYWORDS,
    Dates,
    Hit,
    NoIndexError,
    Point,
    Query,
    Where,
    same_size,
    word_weights,
)

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

PREFIX = "llmtwin"
BATCH = 256  # points per request: 3 MB at 384 dimensions, well below a server's limit of 32
ABANDONED = 24 * 3600  # seconds after which a collection without an alias is a killed build's
SECONDS = 60  # that one request may take
QUANTIZATIONS = ("", "int8", "binary")


class VectorServerError(LlmTwinError):
    """The Qdrant server cannot be reached, or refused a request."""


class ServerVectors:
    """``VectorStore`` on a Qdrant server."""

    def __init__(self, url: str, key: str = "", quantization: str = "") -> None:
        self._url, self._key, self._quantization = url, key, quantization

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
        with self._asking():
            aliases = self._aliases()
            sealed = _alias(author, version)
            if sealed not in aliases:
                old = aliases.get(_alias(author, base)) if base else None
                fresh = f"{sealed}~{int(time.time())}-{uuid4().hex[:8]}"
                self._fill(fresh, author, size, upsert, list(delete), old)
                aliases = self._aliases()
                if aliases.setdefault(sealed, fresh) != fresh:  # another built the same meanwhile
                    self._client.delete_collection(fresh)
            self._publish(author, aliases, aliases[sealed])
            return self.count(author)

    def has(self, author: str, version: str) -> bool:
        """Whether this version of the author's index is stored."""
        with self._asking():
            return _alias(author, version) in self._aliases()

    def count(self, author: str) -> int:
        """Points in the author's current index; 0 when there is none."""
        with self._asking():
            try:
                return self._client.count(_alias(author), exact=True).count
            except Exception as error:
                if _status(error) == 404:
                    return 0
                raise

    def search(
        self, author: str, queries: Sequence[Query], limit: int, where: Where | None = None
    ) -> list[list[Hit]]:
        """Search the author's current index; see the protocol."""
        keep = _filter(author, where)
        asked = [_request(query, limit, keep) for query in queries]
        requests = [request for request in asked if request is not None]
        index = _alias(author)
        with self._asking():
            if not requests and index not in self._aliases():
                raise NoIndexError(author)
            try:
                found = iter(self._client.query_batch_points(index, requests) if requests else ())
            except Exception as error:
                if _status(error) == 404:
                    raise NoIndexError(author) from error
                if _status(error) == 400:
                    self._check_sizes(author, queries)
                raise
        return [_hits(next(found)) if request is not None else [] for request in asked]

    @cached_property
    def _client(self) -> "QdrantClient":
        from qdrant_client import QdrantClient

        return QdrantClient(
            url=self._url,
            api_key=self._key or None,
            timeout=SECONDS,
            check_compatibility=False,
        )

    def _aliases(self) -> dict[str, str]:
        """Alias -> collection."""
        return {a.alias_name: a.collection_name for a in self._client.get_aliases().aliases}

    def _fill(
        self,
        name: str,
        author: str,
        size: int,
        upsert: Iterable[Point],
        delete: Sequence[str],
        old: str | None,
    ) -> None:
        """Make a collection of its own with what the index will hold."""
        client = self._client
        if old is not None:
            same_size(f"index {old} of {author}", self._size(old), size)
        client.create_collection(name, **_config(size, self._quantization))
        try:
            for key, schema in _payload_indexes().items():
                client.create_payload_index(name, key, schema)
            if old is not None:
                for batch in self._stored(old):
                    client.upsert(name, batch)
            if delete:
                client.delete(name, points_selector=list(delete))
            for batch in _batches(_structs(author, size, upsert)):
                client.upsert(name, batch)
        except BaseException:
            client.delete_collection(name)
            raise

    def _stored(self, name: str) -> "Iterator[list[models.PointStruct]]":
        """All points of a collection with their vectors, in batches."""
        from qdrant_client import models

        offset: Any = None
        while True:
            records, offset = self._client.scroll(
                name, limit=BATCH, offset=offset, with_payload=True, with_vectors=True
            )
            if records:
                yield [
                    models.PointStruct(id=r.id, vector=r.vector or {}, payload=r.payload)  # type: ignore[arg-type]
                    for r in records
                ]
            if offset is None:
                return

    def _publish(self, author: str, aliases: dict[str, str], name: str) -> None:
        """Seal a collection and make it current in one request; then let go of all but it and the
        one that was current."""
        from qdrant_client import models

        current, sealed = _alias(author), name.rsplit("~", 1)[0]
        before = aliases.get(current)
        kept = {name, before}
        mine = {alias: at for alias, at in aliases.items() if alias.startswith(f"{current}~")}
        stale = [alias for alias, at in mine.items() if at not in kept]
        changes: list[Any] = [_drop(alias) for alias in stale]
        if before != name:
            changes += [_drop(current)] if before else []
            for alias in (sealed, current):
                target = models.CreateAlias(collection_name=name, alias_name=alias)
                changes.append(models.CreateAliasOperation(create_alias=target))
        if changes:
            self._client.update_collection_aliases(changes)
        self._tidy(author, kept, {mine[alias] for alias in stale})

    def _tidy(self, author: str, kept: set[str | None], stale: set[str]) -> None:
        oldest = time.time() - ABANDONED
        named = set(self._aliases().values()) | kept
        for found in self._client.get_collections().collections:
            name = found.name
            if not name.startswith(f"{_alias(author)}~") or name in named:
                continue
            if name in stale or int(name.rsplit("~", 1)[1].split("-")[0]) < oldest:
                self._client.delete_collection(name)

    def _size(self, name: str) -> int:
        vectors: Any = self._client.get_collection(name).config.params.vectors
        return int(vectors["dense"].size)

    def _check_sizes(self, author: str, queries: Sequence[Query]) -> None:
        held = self._size(_alias(author))
        for query in queries:
            if not isinstance(query, str):
                same_size(f"index of {author}", held, len(query))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say what the server's errors mean, without its address's key."""
        from qdrant_client.http.exceptions import ApiException

        try:
            yield
        except ApiException as error:
            status = _status(error)
            raise VectorServerError(
                f"Qdrant at {self._url}",
                f"it answered with status {status}" if status else "it cannot be reached",
                "See that it runs and that LLMTWIN_VECTORS_URL has its address and key",
            ) from error


def open_server(url: str) -> ServerVectors:
    """The server a URL names; opens no connection yet."""
    parts = urlsplit(url)
    quantization = parse_qs(parts.query).get("quantization", [""])[0]
    bare = urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))
    if quantization not in QUANTIZATIONS:
        raise VectorServerError(
            f"quantization={quantization}", "there is no such kind", "Use int8 or binary, or none"
        )
    return ServerVectors(bare, unquote(parts.password or ""), quantization)


def _alias(author: str, version: str | None = None) -> str:
    """The name of an author's current index, or of a version of it. Names hold no ``~``, so that
    no author's is the beginning of another's."""
    for name in (author, *([version] if version else [])):
        if not NAME.fullmatch(name):
            raise BadNameError(
                repr(name), "not a usable name", "Use lower-case letters, digits, '-', '_' and '.'"
            )
    return "~".join([PREFIX, author, *([version] if version else [])])


def _status(error: Exception) -> int | None:
    return getattr(error, "status_code", None)


def _drop(alias: str) -> "models.DeleteAliasOperation":
    from qdrant_client import models

    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))


def _config(size: int, quantization: str) -> dict[str, Any]:
    from qdrant_client import models

    kinds: dict[str, Callable[[], Any]] = {
        "": lambda: None,
        "int8": lambda: models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        ),
        "binary": lambda: models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(always_ram=True)
        ),
    }
    return {
        "vectors_config": {
            "dense": models.VectorParams(size=size, distance=models.Distance.COSINE)
        },
        "sparse_vectors_config": {
            "sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)
        },
        "quantization_config": kinds[quantization](),
    }


def _payload_indexes() -> dict[str, Any]:
    from qdrant_client import models

    keyword = models.PayloadSchemaType.KEYWORD
    tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    return {
        "author": tenant,
        **dict.fromkeys(KEYWORDS, keyword),
        DATE: models.PayloadSchemaType.DATETIME,
    }


def _structs(author: str, size: int, points: Iterable[Point]) -> "Iterator[models.PointStruct]":
    from qdrant_client import models

    for point in points:
        same_size(f"point {point.id} of {author}", size, len(point.vector))
        indices, values = word_weights(point.text)
        words = models.SparseVector(indices=indices, values=values)
        yield models.PointStruct(
            id=point.id,
            vector={"dense": list(point.vector), "sparse": words},
            payload={**point.payload, "author": author},
        )


def _batches(points: "Iterator[models.PointStruct]") -> "Iterator[list[models.PointStruct]]":
    while batch := list(islice(points, BATCH)):
        yield batch


def _request(query: Query, limit: int, keep: "models.Filter") -> "models.QueryRequest | None":
    """A query as the server takes it; None for a text without any word."""
    from qdrant_client import models

    vector: Any
    if isinstance(query, str):
        indices, values = word_weights(query, asked=True)
        if not indices:
            return None
        vector, using = models.SparseVector(indices=indices, values=values), "sparse"
    else:
        vector, using = list(query), "dense"
    return models.QueryRequest(
        query=vector, using=using, filter=keep, limit=limit, with_payload=True
    )


def _filter(author: str, where: Where | None) -> "models.Filter":
    from qdrant_client import models

    own = models.FieldCondition(key="author", match=models.MatchValue(value=author))
    return models.Filter(must=[own, *(_condition(k, v) for k, v in (where or {}).items())])


def _condition(key: str, wanted: str | Sequence[str] | Dates) -> "models.FieldCondition":
    from qdrant_client import models

    if isinstance(wanted, Dates):
        days: Any = models.DatetimeRange.model_validate({"gte": wanted.since, "lte": wanted.until})
        return models.FieldCondition(key=key, range=days)
    if isinstance(wanted, str):
        return models.FieldCondition(key=key, match=models.MatchValue(value=wanted))
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(wanted)))


def _hits(response: "models.QueryResponse") -> list[Hit]:
    return [Hit(str(p.id), float(p.score), dict(p.payload or {})) for p in response.points]
