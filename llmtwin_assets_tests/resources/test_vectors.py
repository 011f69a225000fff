"""One contract for every backend of the vector store. The server's adapter is held to it against
the Qdrant that ``QDRANT_URL`` names, or else against a loopback server made of the client's own
local mode; the names of the tests say which."""

import multiprocessing
import os
import random
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtwin_assets_tests.resources import qdrant_server
from resources.artifacts import BadNameError
from resources.errors import UnknownSchemeError
from resources.vectors import (
    Dates,
    Hit,
    NoIndexError,
    Point,
    VectorStore,
    WrongVectorSizeError,
    open_vectors,
)

SIZE = 8
SERVER = "server-of-QDRANT_URL" if os.environ.get("QDRANT_URL") else "loopback-server"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if os.environ.get("QDRANT_URL"):
        yield os.environ["QDRANT_URL"]
    else:
        with qdrant_server.running() as url:
            yield url


@pytest.fixture(params=["edge", SERVER])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "edge":
        return f"qdrant-edge://{tmp_path}"
    return str(request.getfixturevalue("server"))


@pytest.fixture
def store(url: str) -> VectorStore:
    return open_vectors(url)


@pytest.fixture
def ada() -> str:
    """An author nobody else has: a server outlives a test."""
    return f"ada-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bob() -> str:
    return f"bob-{uuid.uuid4().hex[:12]}"


def unit(seed: int) -> list[float]:
    rng = random.Random(seed)
    values = [rng.gauss(0, 1) for _ in range(SIZE)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


def point(number: int, text: str = "", owner: str = "", **payload: str) -> Point:
    id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{owner}-{number}"))
    return Point(
        id_, unit(number), text or f"word{number}", {"owner": owner, "number": number, **payload}
    )


def numbers(hits: list[Hit]) -> list[int]:
    return [hit.payload["number"] for hit in hits]


def test_points_are_found_by_vector_and_by_words_in_one_call(store: VectorStore, ada: str) -> None:
    store.build(ada, "v1", SIZE, [point(n) for n in range(20)])
    near, worded, nothing = store.search(ada, [unit(7), "word12", "unheard of"], 5)
    assert numbers(near)[0] == 7
    assert near[0].score == pytest.approx(1, abs=1e-5)
    assert [hit.score for hit in near] == sorted((hit.score for hit in near), reverse=True)
    assert numbers(worded) == [12]
    assert nothing == []
    assert store.search(ada, ["…"], 5) == [[]]


def test_rare_words_weigh_more_than_common_ones(store: VectorStore, ada: str) -> None:
    texts = ["river water", "river stone", "river bank", "gorge stone"]
    store.build(ada, "v1", SIZE, [point(n, text) for n, text in enumerate(texts)])
    (hits,) = store.search(ada, ["a river or a gorge"], 4)
    assert numbers(hits)[0] == 3
    assert {*numbers(hits)} == {0, 1, 2, 3}


def test_search_is_filtered_by_value_by_several_and_by_day(store: VectorStore, ada: str) -> None:
    kinds = ["article", "post", "repository"]
    store.build(
        ada, "v1", SIZE,
        [point(n, kind=kinds[n % 3], published=f"20{10 + n}-06-30") for n in range(20)],
    )  # fmt: skip
    for where, expected in (
        ({"kind": "post"}, range(1, 20, 3)),
        ({"kind": ["post", "article"]}, [n for n in range(20) if n % 3 != 2]),
        ({"published": Dates("2012-06-30", "2014-06-30")}, [2, 3, 4]),
        ({"published": Dates(until="2012-01-01")}, [0, 1]),
        ({"published": Dates(since="2028-01-01"), "kind": "post"}, [19]),
        ({"kind": "letter"}, []),
    ):
        found, worded = store.search(ada, [unit(3), "word1 word4 word19"], 20, where)
        assert sorted(numbers(found)) == list(expected)
        assert {*numbers(worded)} == {*expected} & {1, 4, 19}


def test_a_new_version_takes_the_difference_and_leaves_the_old_one(
    store: VectorStore, ada: str
) -> None:
    assert store.count(ada) == 0
    assert not store.has(ada, "v1")
    assert store.build(ada, "v1", SIZE, [point(n) for n in range(600)]) == 600
    changed = [point(600), Point(point(1).id, unit(1), "altered", {"number": 1})]
    assert store.build(ada, "v2", SIZE, changed, [point(0).id], base="v1") == 600
    assert store.count(ada) == 600
    found, gone, altered, kept = store.search(
        ada, [unit(600), "word0 word1", "altered", "word599"], 1
    )
    assert (numbers(found), gone, numbers(altered), numbers(kept)) == ([600], [], [1], [599])
    assert store.has(ada, "v1")
    assert store.has(ada, "v2")


def test_a_stored_version_is_not_built_again_but_made_current(store: VectorStore, ada: str) -> None:
    store.build(ada, "v1", SIZE, [point(n) for n in range(3)])
    store.build(ada, "v2", SIZE, [point(n) for n in range(5)])
    assert store.build(ada, "v1", SIZE, [point(9)]) == 3
    assert store.count(ada) == 3
    store.build(ada, "v3", SIZE, [point(n) for n in range(7)])
    assert [store.has(ada, version) for version in ("v1", "v2", "v3")] == [True, False, True]


def test_authors_never_see_each_other(store: VectorStore, ada: str, bob: str) -> None:
    """1,000 random questions, and in every text and payload a canary of its author."""
    canaries = {author: f"zq{author.replace('-', '')}" for author in (ada, bob)}
    for author, canary in canaries.items():
        points = [
            point(n, f"word{n % 7} word{n} {canary}", author, canary=canary) for n in range(120)
        ]
        store.build(author, "v1", SIZE, points)
    rng = random.Random(1)
    for turn in range(500):
        author, other = (ada, bob) if turn % 2 else (bob, ada)
        words = f"word{rng.randrange(130)} {canaries[other]} {other}"
        where = [None, {"document_id": other}, {"owner": other}, {"author": other}][turn % 4]
        near, worded = store.search(author, [unit(rng.randrange(999)), words], 10, where)
        assert not [h for h in near + worded if canaries[other] in (h.payload["canary"])]
        assert {h.payload["owner"] for h in near + worded} <= {author}
        assert near if where is None else not near
    assert store.search(ada, [canaries[bob]], 10) == [[]]


def test_one_authors_words_do_not_change_anothers_scores(
    store: VectorStore, ada: str, bob: str
) -> None:
    store.build(ada, "v1", SIZE, [point(n, f"river word{n}") for n in range(9)])
    before = store.search(ada, ["river word3"], 9)
    store.build(bob, "v1", SIZE, [point(n, "river word3") for n in range(50)])
    assert store.search(ada, ["river word3"], 9) == before


def test_an_author_without_an_index_is_refused_and_nothing_is_made(
    store: VectorStore, ada: str, tmp_path: Path
) -> None:
    with pytest.raises(NoIndexError, match=f"index of {ada}"):
        store.search(ada, [unit(1), "word"], 3)
    with pytest.raises(NoIndexError):
        store.search(ada, ["…"], 3)
    assert store.count(ada) == 0
    assert not store.has(ada, "v1")
    assert list(tmp_path.iterdir()) == []
    for strange in ("../ada", "ada~v1", "", "*", "Ada"):
        with pytest.raises(BadNameError):
            store.search(strange, [unit(1)], 3)


def test_an_author_whose_name_begins_anothers_keeps_an_index_of_their_own(
    store: VectorStore, ada: str
) -> None:
    longer = f"{ada}-v1"
    store.build(longer, "v1", SIZE, [point(n, owner=longer) for n in range(4)])
    for version in ("v1", "v2", "v3"):
        store.build(ada, version, SIZE, [point(n, owner=ada) for n in range(3)])
    assert (store.count(ada), store.count(longer)) == (3, 4)
    assert store.search(longer, [unit(1)], 1)[0][0].payload["owner"] == longer


def test_vectors_of_another_size_are_refused_and_the_index_stays(
    store: VectorStore, ada: str
) -> None:
    store.build(ada, "v1", SIZE, [point(n) for n in range(5)])
    with pytest.raises(WrongVectorSizeError, match="8 dimensions, 3 were given"):
        store.search(ada, [[0.1, 0.2, 0.3]], 3)
    with pytest.raises(WrongVectorSizeError, match="LLMTWIN_EMBEDDER"):
        store.build(ada, "v2", 16, [], base="v1")
    wrong = Point(point(9).id, [0.5] * 3, "word", {})
    with pytest.raises(WrongVectorSizeError):
        store.build(ada, "v3", SIZE, [point(8), wrong])
    assert not store.has(ada, "v3")
    assert numbers(store.search(ada, [unit(2)], 1)[0]) == [2]


def test_vectors_of_another_model_replace_the_index_whole(store: VectorStore, ada: str) -> None:
    store.build(ada, "v1", SIZE, [point(n) for n in range(5)])
    larger = Point(point(1).id, [*unit(1), 0.0], "word1", {"number": 1})
    store.build(ada, "v2", SIZE + 1, [larger])
    assert numbers(store.search(ada, [[*unit(1), 0.0]], 5)[0]) == [1]


class KilledError(BaseException):
    """The end of a process, as far as the code under it can tell."""


def test_a_build_that_dies_leaves_the_index_and_is_made_again(store: VectorStore, ada: str) -> None:
    def dying(last: int) -> Iterator[Point]:
        yield from (point(n) for n in range(last))
        raise KilledError

    store.build(ada, "v1", SIZE, [point(n) for n in range(10)])
    for last in (0, 5, 700):
        with pytest.raises(KilledError):
            store.build(ada, "v2", SIZE, dying(last), [point(0).id], base="v1")
        assert not store.has(ada, "v2")
        assert store.count(ada) == 10
        assert numbers(store.search(ada, ["word0"], 3)[0]) == [0]
    assert store.build(ada, "v2", SIZE, [point(10)], [point(0).id], base="v1") == 10


def _build_and_wait(url: str, author: str, reached) -> None:
    def endless() -> Iterator[Point]:
        yield from (point(n) for n in range(10, 700))
        reached.set()
        time.sleep(3600)

    open_vectors(url).build(author, "v2", SIZE, endless(), [point(0).id], base="v1")


def test_a_killed_build_leaves_the_index_and_is_made_again(
    store: VectorStore, url: str, ada: str
) -> None:
    store.build(ada, "v1", SIZE, [point(n) for n in range(10)])
    context = multiprocessing.get_context("spawn")
    reached = context.Event()
    worker = context.Process(target=_build_and_wait, args=(url, ada, reached))
    worker.start()
    assert reached.wait(120)
    worker.kill()
    worker.join()
    assert not store.has(ada, "v2")
    assert store.count(ada) == 10
    change = [point(n) for n in range(10, 20)]
    assert store.build(ada, "v2", SIZE, change, [point(0).id], base="v1") == 19
    found = store.search(ada, [unit(1)], 100)[0]
    assert sorted(numbers(found)) == list(range(1, 20))


def _build(url: str, author: str) -> None:
    store = open_vectors(url)
    points = [point(n, owner=author) for n in range(60)]
    for version in range(1, 7):
        base = f"v{version - 1}" if version > 1 else None
        store.build(author, f"v{version}", SIZE, points[: version * 10], base=base)


@pytest.mark.slow
def test_processes_build_side_by_side(store: VectorStore, url: str, ada: str) -> None:
    context = multiprocessing.get_context("spawn")
    authors = [f"{ada}-{n}" for n in range(3)]
    workers = [context.Process(target=_build, args=(url, author)) for author in authors]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [store.count(author) for author in authors] == [60] * 3
    near, worded = store.search(authors[2], [unit(41), "word41"], 1)
    assert numbers(near) == numbers(worded) == [41]


def test_many_writers_of_one_index_leave_it_whole(url: str, ada: str) -> None:
    """Eight at once build the same version of 1,000 documents: it has 1,000."""
    points = [point(n) for n in range(1000)]

    def build(_: int) -> int:
        return open_vectors(url).build(ada, "v1", SIZE, points)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(build, range(8))) == [1000] * 8
    store = open_vectors(url)
    assert store.count(ada) == 1000
    assert len(store.search(ada, [unit(1)], 1100)[0]) == 1000


def _rebuild(url: str, author: str, done) -> None:
    store = open_vectors(url)
    for turn in range(1, 6):
        # Every version holds the same points but for one that tells the versions apart.
        points = [point(n) for n in range(30)]
        points.append(Point(point(99).id, unit(99), f"turn{turn}", {"number": 1000 + turn}))
        store.build(author, f"t{turn}", SIZE, points)
    done.set()


def test_a_reader_sees_the_old_index_or_the_new_one(store: VectorStore, url: str, ada: str) -> None:
    marker = Point(point(99).id, unit(99), "turn0", {"number": 1000})
    store.build(ada, "t0", SIZE, [*(point(n) for n in range(30)), marker])
    context = multiprocessing.get_context("spawn")
    done = context.Event()
    writer = context.Process(target=_rebuild, args=(url, ada, done))
    writer.start()
    seen = []
    while not done.is_set() or len(seen) < 20:
        near, worded = store.search(ada, [unit(99), "word7"], 31)
        assert len(near) == 31
        assert numbers(worded) == [7]
        seen.append(numbers(near)[0])
    writer.join()
    assert writer.exitcode == 0
    assert seen == sorted(seen)
    assert numbers(store.search(ada, [unit(99)], 1)[0]) == [1005]


def test_an_unknown_url_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownSchemeError, match="qdrant-edge:///"):
        open_vectors("ftp://localhost:6333")
