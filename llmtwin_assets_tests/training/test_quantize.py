"""Quantising, and what it costs, measured on held-out text."""

from pathlib import Path

import polars as pl
import pytest

from llmtwin_assets.training import loop, models, quantize, script


def test_eight_bits_halve_the_file_and_keep_the_loss(
    tiny: Path, samples: Path, tmp_path: Path
) -> None:
    spec = {
        "model": str(tiny),
        "samples": str(samples),
        "author_name": "A Writer",
        "output": str(tmp_path / "out"),
    }
    result = script.run(quantize.main, spec, lambda text: None)
    assert result["bytes"] < 0.65 * result["bytes_before"]
    assert result["nats"] == pytest.approx(result["nats_before"], abs=0.02)
    assert result["greedy_agreement"] > 0.9
    assert sorted(path.name for path in (tmp_path / "out" / "model").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        models.QUANTISED,
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_only_held_out_text_is_measured(tiny: Path, samples: Path) -> None:
    chosen = quantize.held_out(samples, models.tokenizer_of(tiny), 10**6)
    assert len(chosen) == 8
    assert all(sample.answer.isupper() for sample in chosen)


def test_a_budget_bounds_the_measure_but_leaves_one_text(tiny: Path, samples: Path) -> None:
    tokenizer = models.tokenizer_of(tiny)
    assert len(quantize.held_out(samples, tokenizer, 1)) == 1
    assert 1 < len(quantize.held_out(samples, tokenizer, 400)) < 8


def test_without_held_out_text_quantising_is_refused(
    tiny: Path, samples: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.parquet"
    pl.read_parquet(samples).filter(pl.col("split") == "train").write_parquet(path)
    with pytest.raises(loop.NothingToTrainError, match="held out"):
        quantize.held_out(path, models.tokenizer_of(tiny), 100)


def test_agreement_is_the_share_of_equal_tokens() -> None:
    first = [([0.1, 0.2], [5, 6]), ([0.3], [7])]
    second = [([0.1, 0.2], [5, 9]), ([0.3], [7])]
    assert quantize.agreement(first, second) == pytest.approx(2 / 3, abs=1e-4)
    assert quantize.mean(first) == pytest.approx(0.2)
