"""The order of rows, and how a batch is cut."""

import random
from dataclasses import replace

import pytest

from llmtwin_assets.training import checkpoints, loop
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
    with pytest.raises(checkpoints.NothingToTrainError):
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


def test_passes_are_bounded_whatever_the_budget() -> None:
    passes = loop.fill_budget(LENGTHS, 10**9, seed=1, most=3)
    assert [sorted(rows) for rows in passes] == [list(range(50))] * 3


def test_a_batch_that_cannot_be_cut_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPES["smoke"], accumulation=2)
    assert loop.part(recipe, 8) == 4
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert loop.part(recipe, 8) == 2
    with pytest.raises(loop.UnevenBatchError, match="6 cannot be cut into 2 parts for each of 2"):
        loop.part(recipe, 6)


def test_the_largest_part_counts_its_padding() -> None:
    assert loop.largest_part([[10, 30, 20, 20], [50]], 2) == 60
    assert loop.largest_part([[10, 30, 20, 20], [50]], 4) == 120


def test_a_tracker_that_is_not_installed_is_refused_by_name() -> None:
    with pytest.raises(loop.UnknownReporterError, match="pip install nosuchtracker"):
        loop._reporters("nosuchtracker")
    assert loop._reporters("") == []
