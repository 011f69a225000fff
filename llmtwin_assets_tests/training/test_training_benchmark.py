"""The benchmark's systems learn the same rows, and its comparison is fair."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import training
from llmtwin_assets.training.recipes import RECIPES


def test_every_system_learns_the_same_rows_to_a_like_loss(
    tiny: Path, samples: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPES["smoke"], sft_tokens=3_000, sft_passes=1)
    found = {}
    for name in ("ours", "trl, same arithmetic"):
        output = tmp_path / name
        output.mkdir()
        found[name] = training.SYSTEMS[name](tiny, samples, recipe, output)
    ours, peer = found.values()
    assert ours["rows"] == peer["rows"]
    assert ours["useful tokens"] == peer["useful tokens"] < peer["padded tokens"]
    nats = [figures["held-out nats per token"] for figures in found.values()]
    assert nats[0] == pytest.approx(nats[1], abs=0.3)
