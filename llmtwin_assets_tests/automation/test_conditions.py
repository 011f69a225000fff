"""Content is followed at once, no-op runs and closed gates request nothing, training waits."""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.automation.reviews import PAUSE, look, reviews
from llmtwin_assets.datasets import review
from llmtwin_assets.datasets.assets import read_samples
from llmtwin_assets.definitions import build_defs
from llmtwin_assets.overview import FEATURES
from llmtwin_assets_tests.graph import World
from llmtwin_assets_tests.writing import authors_yaml
from resources.interactions import open_interactions

RAW = FEATURES[:3]


class Daemon:
    """The declarative automation of the graph, one evaluation after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cursor = None

    def requested(self) -> set[str]:
        result = dg.evaluate_automation_conditions(
            build_defs(self.world.settings), self.world.instance, cursor=self.cursor
        )
        self.cursor = result.cursor
        return {
            each.key.path[-1]
            for each in result.results
            if each.true_subset.size > 0 and isinstance(each.key, dg.AssetKey)
        }


@pytest.fixture
def world(tmp_path: Path, essays: Path) -> World:
    registry = authors_yaml(tmp_path / "authors.yaml", ada=essays)
    return World(tmp_path / "home", registry, Path("/no/model/is/needed"))


FOLLOWERS = {"cleaned_documents", "chunks", "embeddings", "instruct_dataset", "retrieval_report"}


def follow(daemon: Daemon) -> list[str]:
    """Evaluate and materialise until nothing more is requested; what was made, in order."""
    made: list[str] = []
    for _ in range(9):
        requested = sorted(daemon.requested())
        if not requested:
            return made
        assert daemon.world.materialise("ada", requested).success
        made += requested
    raise AssertionError(f"still requesting after {made}")


def test_content_is_followed_once_and_training_waits(world: World, essays: Path) -> None:
    daemon = Daemon(world)
    daemon.requested()
    assert world.materialise("ada", RAW).success
    made = follow(daemon)
    assert sorted(made) == sorted(FOLLOWERS)  # each once, and no training
    assert world.materialise("ada", RAW).success  # nothing has changed
    assert follow(daemon) == []
    path = essays / "essay-00001.md"
    path.write_text(path.read_text() + "\n\nA new last thought about harbours.\n")
    assert world.materialise("ada", RAW).success
    assert set(follow(daemon)) == FOLLOWERS


def test_decisions_of_reviewers_are_followed_when_they_pause(world: World) -> None:
    daemon = Daemon(world)
    daemon.requested()
    assert world.materialise("ada", RAW).success
    follow(daemon)
    data = world.artifacts.current("ada", "instruct_dataset")
    store = open_interactions(world.settings.interactions_url)
    said = {"author": "ada", "pair": review.id_of(read_samples(data)[0]), "verdict": "rejected"}
    given = datetime.fromisoformat(store.add_decision(said)["given"])

    def told(seen: dict[str, str], later: timedelta) -> dict[str, str]:
        events, seen = look(["ada", "bob"], store, seen, given + later)
        for event in events:
            world.instance.report_runless_asset_event(event)
        return seen

    assert told({}, PAUSE / 2) == {}
    assert daemon.requested() == set()
    seen = told({}, PAUSE)
    assert seen.keys() == {"ada"}
    assert follow(daemon) == ["instruct_dataset"]
    made = world.artifacts.current("ada", "instruct_dataset")
    assert made.facts["rows"] == data.facts["rows"] - 1
    assert told(seen, PAUSE * 2) == seen  # and nothing more is told
    assert follow(daemon) == []
    store.erase("ada")
    told(seen, PAUSE * 3)
    assert follow(daemon) == ["instruct_dataset"]
    assert world.artifacts.current("ada", "instruct_dataset").digest == data.digest


def test_the_sensor_remembers_what_it_told(world: World) -> None:
    world.instance.add_dynamic_partitions("author", ["ada"])
    store = open_interactions(world.settings.interactions_url)
    with dg.build_sensor_context(instance=world.instance, cursor='{"ada": "before"}') as context:
        result = reviews(context, interactions=store)
    assert [event.partition for event in result.asset_events] == ["ada"]
    with dg.build_sensor_context(instance=world.instance, cursor=result.cursor) as context:
        assert reviews(context, interactions=store).asset_events == []


def test_a_closed_gate_requests_nothing_downstream(world: World, essays: Path) -> None:
    daemon = Daemon(world)
    daemon.requested()
    for number in range(12):
        (essays / f"scan-{number}.txt").write_bytes(b"\x00")
    assert not world.materialise("ada", RAW).success
    assert daemon.requested() == set()
