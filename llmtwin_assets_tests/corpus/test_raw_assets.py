"""The raw assets over a registry with archives, as Dagster runs them."""

from pathlib import Path

import pytest

from llmtwin_assets_tests.corpus.exports import linkedin, medium, substack, unpacked, zipped
from llmtwin_assets_tests.graph import World, closed_gates, failure, rebuilt
from llmtwin_assets_tests.writing import write_essays

RAW = ["raw_articles", "raw_posts", "raw_repositories"]
REGISTRY = """
authors:
  - id: ada
    name: Ada Writer
    sources:
      - {type: archive, path: medium.zip}
      - {type: archive, path: substack.zip}
      - {type: archive, path: linkedin}
      - {type: folder, path: essays}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    registry = tmp_path / "authors.yaml"
    registry.write_text(REGISTRY)
    zipped(tmp_path / "medium.zip", medium())
    zipped(tmp_path / "substack.zip", substack())
    unpacked(tmp_path / "linkedin", linkedin())
    write_essays(tmp_path / "essays", 10)
    return World(tmp_path / "home", registry, tmp_path / "no-model")


def metadata(result, asset: str) -> dict:
    event = next(
        e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == asset
    )
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_archives_become_assets_with_counts_per_source(world: World) -> None:
    result = world.materialise("ada", RAW)
    assert result.success, failure(result)
    articles = metadata(result, "raw_articles")
    assert (articles["documents"], articles["dagster/row_count"]) == (15, 15)
    assert articles["unreadable"] == articles["unreadable in archive substack.zip"] == 2
    assert articles["from folder essays"] == 10
    assert articles["left out of archive medium.zip"] == "1 drafts, 1 replies to others"
    assert metadata(result, "raw_posts")["found twice"] == 2


def test_what_could_not_be_read_is_on_a_page_that_runs_nothing(
    world: World, tmp_path: Path
) -> None:
    hostile = "posts/2019-01-01_<img src=x onerror=alert(1)>-aabbccddeeff.html"
    zipped(tmp_path / "medium.zip", medium() | {hostile: "<html class=h-entry>cut"})
    result = world.materialise("ada", RAW)
    assert result.success, failure(result)
    page = Path(metadata(result, "raw_articles")["report"]).read_text("utf-8")
    assert "<h2>archive medium.zip</h2>" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img" not in page
    assert "onerror" not in str(metadata(result, "raw_articles"))


def test_a_second_run_makes_nothing_anew(world: World) -> None:
    world.materialise("ada", RAW)
    again = world.materialise("ada", RAW)
    assert rebuilt(again) == dict.fromkeys(RAW, False)


def test_too_much_that_is_unreadable_closes_the_gate(world: World, tmp_path: Path) -> None:
    broken = {f"posts/2019-01-01_x-{n:012x}.html": "<html class=h-entry>" for n in range(9)}
    zipped(tmp_path / "medium.zip", medium() | broken)
    result = world.materialise("ada", RAW)
    assert closed_gates(result) == ["little_is_unreadable"]
    (closed,) = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert str(closed.description).startswith("9 of 1")
    assert "in archive medium.zip could not be read" in str(closed.description)


def test_no_word_of_the_author_is_in_the_event_log(world: World) -> None:
    result = world.materialise("ada", RAW)
    logged = " ".join(str(event) for event in result.all_events)
    for words in ("Copper is soft", "First line", "Tin is white", "Seven words"):
        assert words not in logged


def test_a_missing_archive_fails_the_step_and_keeps_the_others(
    world: World, tmp_path: Path
) -> None:
    assert world.materialise("ada", RAW).success
    (tmp_path / "medium.zip").unlink()
    result = world.materialise("ada", RAW)
    assert not result.success
    assert "medium.zip" in failure(result)
