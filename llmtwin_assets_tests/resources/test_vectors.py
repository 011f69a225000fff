import multiprocessing
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.errors import UnknownSchemeError
from resources.vectors import (
    EdgeVectors,
    NoIndexError,
    Point,
    WrongVectorSizeError,
    open_vectors,
)

SIZE = 8


def unit(seed: int) -> list[float]:
    rng = random.Random(seed)
    values = [rng.gauss(0, 1) for _ in range(SIZE)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


def point(number: int, text: str = "", split: str = "train", author: str = "ada") -> Point:
    id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{author}-{number}"))
    payload = {"split": split, "owner": author, "number": number}
    return Point(id_, unit(number), text or f"word{number}", payload)


@pytest.fixture
def store(tmp_path: Path) -> EdgeVectors:
    return EdgeVectors(tmp_path)


def numbers(hits) -> list[int]:
    return [hit.payload["number"] for hit in hits]


def test_a_point_is_found_by_its_vector_and_by_its_words(store: EdgeVectors) -> None:
    store.build("ada", "v1", SIZE, [point(n) for n in range(20)])
    assert numbers(store.search("ada", unit(7), "nothing", 1)) == [7]
    assert 12 in numbers(store.search("ada", unit(7), "word12", 2))


def test_search_is_filtered_by_payload(store: EdgeVectors) -> None:
    splits = {n: "held-out" if n % 2 else "train" for n in range(20)}
    store.build("ada", "v1", SIZE, [point(n, split=s) for n, s in splits.items()])
    found = numbers(store.search("ada", unit(3), "word3", 20, {"split": "train"}))
    assert sorted(found) == list(range(0, 20, 2))


def test_a_new_version_takes_the_difference_and_leaves_the_old_one(store: EdgeVectors) -> None:
    assert store.build("ada", "v1", SIZE, [point(n) for n in range(10)]) == 10
    assert store.build("ada", "v2", SIZE, [point(10)], [point(0).id], base="v1") == 10
    assert store.count("ada") == 10
    found = numbers(store.search("ada", unit(0), "word0", 10))
    assert 0 not in found
    assert 10 in found
    assert store.has("ada", "v1")


def test_authors_never_see_each_other(store: EdgeVectors) -> None:
    for author in ("ada", "bob"):
        store.build(author, "v1", SIZE, [point(n, author=author) for n in range(30)])
    rng = random.Random(1)
    for _ in range(200):
        hits = store.search("ada", unit(rng.randrange(99)), f"word{rng.randrange(30)}", 10)
        assert {hit.payload["owner"] for hit in hits} == {"ada"}


def test_an_author_without_an_index_gets_a_clear_error(store: EdgeVectors) -> None:
    with pytest.raises(NoIndexError, match="index of nobody"):
        store.search("nobody", unit(1), "word", 3)


def test_vectors_of_another_size_are_refused_and_the_index_stays(store: EdgeVectors) -> None:
    store.build("ada", "v1", SIZE, [point(n) for n in range(5)])
    with pytest.raises(WrongVectorSizeError, match="8 dimensions, 3 were given"):
        store.search("ada", [0.1, 0.2, 0.3], "word", 3)
    with pytest.raises(WrongVectorSizeError, match="LLMTWIN_EMBEDDER"):
        store.build("ada", "v2", 16, [], base="v1")
    wrong = Point(point(9).id, [0.5] * 3, "word", {})
    with pytest.raises(WrongVectorSizeError):
        store.build("ada", "v3", SIZE, [wrong])
    assert numbers(store.search("ada", unit(2), "word2", 1)) == [2]


def _build(root: str, author: str) -> None:
    store = EdgeVectors(Path(root))
    points = [point(n, author=author) for n in range(60)]
    for version in range(1, 7):
        base = f"v{version - 1}" if version > 1 else None
        store.build(author, f"v{version}", SIZE, points[: version * 10], base=base)


def test_four_processes_build_side_by_side(store: EdgeVectors, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    authors = [f"author-{n}" for n in range(4)]
    workers = [context.Process(target=_build, args=(str(tmp_path), a)) for a in authors]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [store.count(author) for author in authors] == [60] * 4
    assert numbers(store.search("author-2", unit(41), "word41", 1)) == [41]


def _rebuild(root: str, done) -> None:
    store = EdgeVectors(Path(root))
    for turn in range(1, 9):
        # Every version holds the same points but for one that tells the versions apart.
        points = [point(n) for n in range(30)]
        points.append(Point(point(99).id, unit(99), f"turn{turn}", {"number": 1000 + turn}))
        store.build("ada", f"t{turn}", SIZE, points)
    done.set()


def test_a_reader_sees_the_old_index_or_the_new_one(store: EdgeVectors, tmp_path: Path) -> None:
    points: Iterator[Point] = (point(n) for n in range(30))
    marker = Point(point(99).id, unit(99), "turn0", {"number": 1000})
    store.build("ada", "t0", SIZE, [*points, marker])
    context = multiprocessing.get_context("spawn")
    done = context.Event()
    writer = context.Process(target=_rebuild, args=(str(tmp_path), done))
    writer.start()
    seen = []
    while not done.is_set() or len(seen) < 20:
        hits = store.search("ada", unit(99), "nothing", 31)
        assert len(hits) == 31
        seen.append(numbers(hits)[0])
    writer.join()
    assert writer.exitcode == 0
    assert seen == sorted(seen)
    assert numbers(store.search("ada", unit(99), "nothing", 1)) == [1008]


def test_an_unknown_url_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownSchemeError, match="qdrant-edge:///"):
        open_vectors("http://localhost:6333")
