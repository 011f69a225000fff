"""Search in an author's index, beside an exact scan and qdrant-client's local mode.

    python -m benchmarks.vectors [--sizes 10000,100000] [--questions 200]

Vectors of 384 dimensions in clusters, as texts have them, with generated words and payloads, the
same for all. Three searches: by vector alone; by vector among a tenth of the points (one kind of
ten); and hybrid, by vector and words in one call. The exact scan is one numpy product over float32
and its ten best, the filter a mask made beforehand: the least an exact search can cost. All keep
their data in memory and answer the same questions in turn. (In hybrid searches the exact scan does
only the half by vector.)

Recall is of the exact ten best. Times are wall milliseconds per question, the least of five turns:
what the question costs, not what else the machine had to do meanwhile. ``--data`` is not used:
only the geometry matters here, and that is generated.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from benchmarks.output import emit, goal, progress
from resources.vectors import EdgeVectors, Point, word_weights

DIMENSIONS, CLUSTERS, SPREAD = 384, 200, 0.6
KINDS, BEST = 10, 10
WORDS = [f"{a}{b}{c}" for a in "bdklmnprst" for b in "aeiou" for c in "dklmnprstz"]
TURNS = 5
LOCAL_QUESTIONS = 10  # local mode takes a quarter of a second and more for each

Matrix = np.ndarray[Any, np.dtype[np.float32]]
Search = Callable[[int], list[int]]  # number of a question -> numbers of points, best first


class World:
    """Points and questions."""

    def __init__(self, size: int, questions: int) -> None:
        self.rng = np.random.default_rng(size)
        self.centres = self._unit(self.rng.normal(size=(CLUSTERS, DIMENSIONS)))
        self.vectors = self._near(size)
        self.asked = self._near(questions)
        self.texts = [self._words(60) for _ in range(size)]
        self.words = [self._words(5) for _ in range(questions)]

    def points(self) -> Iterator[Point]:
        """The points as the store takes them."""
        for number, (vector, text) in enumerate(zip(self.vectors, self.texts, strict=True)):
            payload = {"number": number, "kind": f"kind{number % KINDS}", "text": text}
            yield Point(str(UUID(int=number)), vector.tolist(), text, payload)

    def _near(self, count: int) -> Matrix:
        noise = self.rng.normal(size=(count, DIMENSIONS)) * SPREAD / DIMENSIONS**0.5
        return self._unit(self.centres[self.rng.integers(0, CLUSTERS, count)] + noise)

    def _words(self, count: int) -> str:
        # Frequencies as in a language (Zipf): a few words are everywhere, most are rare.
        ranks = np.minimum(self.rng.zipf(1.3, count), len(WORDS)) - 1
        return " ".join(WORDS[rank] for rank in ranks)

    @staticmethod
    def _unit(rows: Any) -> Matrix:
        unit: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit


def exact(world: World, kind: int | None = None) -> Search:
    """The best by one product with all vectors; ``kind`` by a mask."""
    mask = np.arange(len(world.vectors)) % KINDS != kind if kind is not None else None

    def search(question: int) -> list[int]:
        scores = world.vectors @ world.asked[question]
        if mask is not None:
            scores[mask] = -np.inf
        best = np.argpartition(-scores, BEST)[:BEST]
        return [int(n) for n in best[np.argsort(-scores[best])]]

    return search


def ours(store: EdgeVectors, world: World, way: str) -> Search:
    """One call of the store."""
    where = {"kind": "kind3"} if way == "filtered" else None

    def search(question: int) -> list[int]:
        queries: list[Any] = [world.asked[question].tolist()]
        if way == "hybrid":
            queries.append(world.words[question])
        hits = store.search("bench", queries, BEST, where)
        return [hit.payload["number"] for hit in hits[0]]

    return search


def local_mode(world: World) -> Callable[[str], Search]:
    """qdrant-client in memory, with the same points."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        "bench",
        vectors_config={
            "dense": models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        },
        sparse_vectors_config={"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    batch: list[models.PointStruct] = []
    for point in world.points():
        indices, values = word_weights(point.text)
        words = models.SparseVector(indices=indices, values=values)
        vector: Any = {"dense": list(point.vector), "sparse": words}
        batch.append(models.PointStruct(id=point.id, vector=vector, payload=dict(point.payload)))
        if len(batch) == 1000:
            client.upsert("bench", batch)
            batch = []
    if batch:
        client.upsert("bench", batch)
    kind = models.FieldCondition(key="kind", match=models.MatchValue(value="kind3"))

    def way_of(way: str) -> Search:
        keep = models.Filter(must=[kind]) if way == "filtered" else None

        def search(question: int) -> list[int]:
            requests = [
                models.QueryRequest(
                    query=world.asked[question].tolist(), using="dense", filter=keep, limit=BEST,
                    with_payload=True,
                )
            ]  # fmt: skip
            if way == "hybrid":
                indices, values = word_weights(world.words[question], asked=True)
                words = models.SparseVector(indices=indices, values=values)
                requests.append(
                    models.QueryRequest(query=words, using="sparse", limit=BEST, with_payload=True)
                )
            found = client.query_batch_points("bench", requests)
            return [(point.payload or {})["number"] for point in found[0].points]

        return search

    return way_of


def timed(
    searches: dict[str, Search], questions: Sequence[int], turns: int = TURNS
) -> dict[str, tuple[list[list[int]], list[float]]]:
    """For each search its answers and milliseconds; they take turns question by question."""
    answers = {name: [search(n) for n in questions] for name, search in searches.items()}
    waited = {name: [np.inf] * len(questions) for name in searches}
    for _ in range(turns):
        for n, question in enumerate(questions):
            for name, search in searches.items():
                began = time.perf_counter()
                search(question)
                waited[name][n] = min(waited[name][n], 1000 * (time.perf_counter() - began))
    return {name: (answers[name], waited[name]) for name in searches}


def figures(found: list[list[int]], truth: list[list[int]], waited: list[float]) -> dict[str, Any]:
    recalls = [len({*a} & {*b}) / BEST for a, b in zip(found, truth, strict=True)]
    p50, p99 = np.quantile(waited, (0.5, 0.99))
    return {
        "recall@10": round(float(np.mean(recalls)), 4),
        "p50, ms": round(float(p50), 3),
        "p99, ms": round(float(p99), 3),
        "questions": len(waited),
    }


def measure(size: int, questions: int) -> dict[str, dict[str, Any]]:
    """All systems and ways at one size."""
    progress(f"{size:,} points")
    world = World(size, questions)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeVectors(Path(folder))
        began = time.perf_counter()
        store.build("bench", "v1", DIMENSIONS, world.points())
        results["ours, build"] = {"seconds": round(time.perf_counter() - began, 1)}
        progress(f"  built in {results['ours, build']['seconds']} s; local mode fills")
        began = time.perf_counter()
        local = local_mode(world)
        results["local mode, build"] = {"seconds": round(time.perf_counter() - began, 1)}
        for way in ("plain", "filtered", "hybrid"):
            progress(f"  {way}")
            scan = exact(world, 3 if way == "filtered" else None)
            fast = timed({"ours": ours(store, world, way), "exact": scan}, range(questions))
            few = range(min(LOCAL_QUESTIONS, questions))
            slow = timed({"local mode": local(way)}, few, turns=2)
            truth = fast["exact"][0]
            for name, (found, waited) in {**fast, **slow}.items():
                results[f"{name}, {way}"] = figures(found, truth[: len(found)], waited)
    return {f"{name}, {size}": row for name, row in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--data", help="not used: the vectors are generated")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    results: dict[str, Any] = {}
    for size in sizes:
        results |= measure(size, options.questions)
    goals: dict[str, Any] = {}
    for size in sizes:
        for way in ("plain", "filtered", "hybrid"):
            mine, scan, local = (
                results[f"{n}, {way}, {size}"] for n in ("ours", "exact", "local mode")
            )
            goals[f"recall@10, {way}, {size}"] = goal(0.99, mine["recall@10"], at_most=False)
            if way != "hybrid":
                ratio = round(mine["p99, ms"] / scan["p99, ms"], 2)
                goals[f"p99 over that of the exact scan, {way}, {size}"] = goal(1.0, ratio)
            if way == "filtered":
                faster = round(local["p50, ms"] / mine["p50, ms"], 1)
                goals[f"times local mode, {way}, {size}"] = goal(100, faster, at_most=False)
    emit("vectors", f"generated, {DIMENSIONS} dimensions", results, goals)


if __name__ == "__main__":
    main()
