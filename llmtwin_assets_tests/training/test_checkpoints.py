"""Checkpoints that survive a kill, and belong to one set of inputs."""

import json
from pathlib import Path

import pytest

from llmtwin_assets.training import checkpoints
from llmtwin_assets.training.recipes import RECIPES


def _checkpoint(work: Path, step: int, sealed: bool = True) -> Path:
    path = work / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    if sealed:
        checkpoints.seal(path)
    return path


def test_the_newest_checkpoint_is_by_number_and_not_by_name(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 9)
    newest = _checkpoint(tmp_path, 10)
    assert checkpoints.newest(tmp_path) == newest


def test_a_checkpoint_without_its_seal_is_passed_over_and_removed(tmp_path: Path) -> None:
    whole = _checkpoint(tmp_path, 3)
    torn = _checkpoint(tmp_path, 6, sealed=False)
    (tmp_path / "checkpoint-9").mkdir()
    assert checkpoints.newest(tmp_path) == whole
    assert not torn.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", "whole.json"])
@pytest.mark.parametrize("kept", [0, 3])
def test_a_checkpoint_with_a_cut_file_is_passed_over(tmp_path: Path, name: str, kept: int) -> None:
    whole, cut = _checkpoint(tmp_path, 3), _checkpoint(tmp_path, 6)
    (cut / name).write_bytes((cut / name).read_bytes()[:kept])
    assert checkpoints.newest(tmp_path) == whole


def test_a_checkpoint_with_a_missing_file_is_passed_over(tmp_path: Path) -> None:
    (_checkpoint(tmp_path, 6) / "model.safetensors").unlink()
    assert checkpoints.newest(tmp_path) is None


def test_without_checkpoints_training_starts_afresh(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "none") is None


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (35, 9), (4000, 100)])
def test_checkpoints_come_four_times_and_every_hundred_steps(steps: int, every: int) -> None:
    assert checkpoints.interval(steps) == every


def test_checkpoints_of_other_inputs_are_not_resumed(
    tiny: Path, samples: Path, tmp_path: Path
) -> None:
    quick, smoke = (
        checkpoints.made_of(tiny, samples, "Ada", RECIPES[name]) for name in ("quick", "smoke")
    )
    checkpoints.claim(tmp_path / "work", smoke)
    kept = _checkpoint(tmp_path / "work", 3)
    checkpoints.claim(tmp_path / "work", smoke)
    assert kept.exists()
    checkpoints.claim(tmp_path / "work", quick)
    assert not kept.exists()


def test_a_training_is_named_by_base_data_recipe_and_code(tiny: Path, samples: Path) -> None:
    inputs = checkpoints.made_of(tiny, samples, "Ada", RECIPES["smoke"])
    assert set(inputs) == {"base", "data", "recipe", "code"}
    assert all(len(digest) == 16 for digest in inputs.values())
    other = checkpoints.made_of(tiny, samples, "Grace", RECIPES["smoke"])
    assert {key for key in inputs if inputs[key] != other[key]} == {"recipe"}


def test_a_missing_data_file_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(checkpoints.NothingToTrainError, match=r"none\.parquet"):
        checkpoints.made_of(tiny, tmp_path / "none.parquet", "Ada", RECIPES["smoke"])
