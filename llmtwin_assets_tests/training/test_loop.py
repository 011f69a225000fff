"""The order of rows, and checkpoints that survive a kill."""

import json
import random
from pathlib import Path

import pytest

from llmtwin_assets.training import loop
from llmtwin_assets.training.recipes import RECIPES

LENGTHS = random.Random(3).sample(range(20, 600), 50)


def test_a_budget_is_used_and_not_exceeded() -> None:
    for budget in (1_000, 9_000, 40_000):
        passes = loop.fill_budget(LENGTHS, budget, seed=1)
        used = sum(LENGTHS[row] for rows in passes for row in rows)
        assert budget - max(LENGTHS) < used <= budget


def test_every_pass_but_the_last_holds_each_row_once() -> None:
    passes = loop.fill_budget(LENGTHS, 40_000, seed=1)
    assert len(passes) > 2
    assert all(sorted(rows) == list(range(50)) for rows in passes[:-1])
    assert len(set(passes[-1])) == len(passes[-1])


def test_a_budget_below_one_row_still_trains_on_one() -> None:
    assert [len(rows) for rows in loop.fill_budget([500, 600], 10, seed=1)] == [1]


def test_the_order_depends_on_the_seed_alone() -> None:
    assert loop.fill_budget(LENGTHS, 9_000, 1) == loop.fill_budget(LENGTHS, 9_000, 1)
    assert loop.fill_budget(LENGTHS, 9_000, 1) != loop.fill_budget(LENGTHS, 9_000, 2)


def test_no_rows_are_refused() -> None:
    with pytest.raises(loop.NothingToTrainError):
        loop.fill_budget([], 100, seed=1)


def test_batches_lose_no_row_and_only_the_last_is_smaller() -> None:
    passes = loop.fill_budget(LENGTHS, 40_000, seed=1)
    grouped = loop.batches(passes, LENGTHS, 8, seed=1)
    assert sorted(row for batch in grouped for row in batch) == sorted(
        row for rows in passes for row in rows
    )
    assert {len(batch) for batch in grouped[:-1]} == {8}


def test_grouping_by_length_saves_most_of_the_padding() -> None:
    passes = loop.fill_budget(LENGTHS, 40_000, seed=1)
    grouped = loop.batches(passes, LENGTHS, 8, seed=1)
    used = sum(sum(LENGTHS[row] for row in batch) for batch in grouped)
    paid = sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in grouped)
    assert used / paid > 0.85


def test_short_and_long_batches_come_mixed() -> None:
    grouped = loop.batches(loop.fill_budget(LENGTHS, 20_000, seed=1), LENGTHS, 8, seed=1)
    longest = [max(LENGTHS[row] for row in batch) for batch in grouped]
    assert longest != sorted(longest)


def _checkpoint(work: Path, step: int, state: str) -> Path:
    path = work / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(state)
    return path


def test_the_newest_checkpoint_is_by_number_and_not_by_name(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 9, json.dumps({"global_step": 9}))
    newest = _checkpoint(tmp_path, 10, json.dumps({"global_step": 10}))
    assert loop.newest_checkpoint(tmp_path) == newest


@pytest.mark.parametrize("torn", ["", '{"global_step": 1', "[]", "{}"])
def test_a_torn_checkpoint_is_passed_over_and_removed(tmp_path: Path, torn: str) -> None:
    whole = _checkpoint(tmp_path, 3, json.dumps({"global_step": 3}))
    broken = _checkpoint(tmp_path, 6, torn)
    (tmp_path / "checkpoint-9").mkdir()
    assert loop.newest_checkpoint(tmp_path) == whole
    assert not broken.exists()


def test_without_checkpoints_training_starts_afresh(tmp_path: Path) -> None:
    assert loop.newest_checkpoint(tmp_path / "none") is None


def test_checkpoints_of_other_inputs_are_not_resumed(
    tiny: Path, samples: Path, tmp_path: Path
) -> None:
    smoke, quick = RECIPES["smoke"], RECIPES["quick"]
    loop.claim(tmp_path / "work", tiny, samples, "Ada", smoke)
    kept = _checkpoint(tmp_path / "work", 3, "{}")
    loop.claim(tmp_path / "work", tiny, samples, "Ada", smoke)
    assert kept.exists()
    loop.claim(tmp_path / "work", tiny, samples, "Ada", quick)
    assert not kept.exists()
