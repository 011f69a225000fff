"""Quantising, and what it costs, measured on held-out text."""

from pathlib import Path

import pytest

from llmtwin_assets.training import models, quantize, script


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


def test_agreement_is_the_share_of_equal_tokens() -> None:
    first = [([0.1, 0.2], [5, 6]), ([0.3], [7])]
    second = [([0.1, 0.2], [5, 9]), ([0.3], [7])]
    assert quantize.agreement(first, second) == pytest.approx(2 / 3, abs=1e-4)
    assert quantize.mean(first) == pytest.approx(0.2)
