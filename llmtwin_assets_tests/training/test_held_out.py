"""Which rows a model is measured on."""

from pathlib import Path

import polars as pl
import pytest

from llmtwin_assets.training import held_out, models


def test_only_held_out_text_is_measured(samples: Path) -> None:
    chosen = held_out.samples(samples)
    assert len(chosen) == 8
    assert all(sample.answer.isupper() for sample in chosen)


def test_a_budget_bounds_the_measure_but_leaves_one_text(tiny: Path, samples: Path) -> None:
    tokenizer, rows = models.tokenizer_of(tiny), held_out.samples(samples)
    assert len(held_out.within_budget(rows, tokenizer, 1)) == 1
    assert 1 < len(held_out.within_budget(rows, tokenizer, 400)) < 8
    assert held_out.within_budget(rows, tokenizer, 10**6) == rows


def test_without_held_out_text_measuring_is_refused(samples: Path, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pl.read_parquet(samples).filter(pl.col("split") == "train").write_parquet(path)
    with pytest.raises(held_out.NothingHeldOutError, match="held-out"):
        held_out.samples(path)


def test_evenly_spaced_items_are_distinct_and_in_order() -> None:
    assert held_out.evenly(range(10), 4) == [0, 2, 5, 7]
    assert held_out.evenly(range(3), 9) == [0, 1, 2]


def test_the_prompts_are_those_of_serving(tiny: Path, samples: Path) -> None:
    (head, *_) = held_out.heads(models.tokenizer_of(tiny), "Ada", held_out.samples(samples))
    assert "You are Ada." in head
    assert held_out.samples(samples)[0].instruction in head
