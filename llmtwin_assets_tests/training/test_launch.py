"""One script on one device or on several."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.training import launch, script, sft

SFT, DPO = "llmtwin_assets.training.sft", "llmtwin_assets.training.dpo"


def _spec(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"output": str(tmp_path / "out"), **fields}))
    return path


@pytest.mark.parametrize("count", [0, 1])
def test_one_device_needs_no_launcher(tmp_path: Path, count: int) -> None:
    assert launch.command(SFT, _spec(tmp_path), count) == []


def test_adapters_are_copied_and_full_weights_spread(tmp_path: Path) -> None:
    spec = _spec(tmp_path, recipe={"sft_method": "full", "dpo_method": "lora"})
    full, adapters = (launch.command(module, spec, 4) for module in (SFT, DPO))
    assert "--use_fsdp" in full
    assert "--multi_gpu" in adapters
    assert "--use_fsdp" not in adapters
    assert adapters[-3:] == ["-m", DPO, str(spec)]
    for command in (full, adapters):
        assert "--num_processes=4" in command
        _parse(command)


def test_a_configuration_of_accelerates_decides_alone(tmp_path: Path) -> None:
    command = launch.command(SFT, _spec(tmp_path, accelerate="zero3.yaml"), 0)
    assert command[3:] == ["--config_file", "zero3.yaml", "-m", SFT, str(tmp_path / "spec.json")]
    _parse(command)


def test_a_bad_spec_is_left_to_the_script_to_refuse(tmp_path: Path) -> None:
    assert launch.command(SFT, tmp_path / "none.json", 4) == []


def _parse(command: list[str]) -> None:
    """accelerate's own parser and its rules take the command."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    arguments = launch_command_parser().parse_args(command[3:])
    arguments.config_file = None  # the test has none to read
    _validate_launch_command(arguments)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_two_processes_learn_what_one_does(
    tiny: Path, samples: Path, smoke: dict[str, Any], tmp_path: Path, method: str
) -> None:
    spec = {
        "base": str(tiny),
        "samples": str(samples),
        "author_name": "A Writer",
        "recipe": smoke | {"sft_method": method},
    }
    alone = script.run(sft.main, spec | {"output": str(tmp_path / "one")}, lambda text: None)
    path = _spec(tmp_path, **spec)
    subprocess.run(
        [*launch.LAUNCHER, "--cpu", "--num_processes=2", "-m", SFT, str(path)],
        check=True,
        timeout=400,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
    )
    both = json.loads((tmp_path / "out" / "result.json").read_text())
    assert both["steps"] == alone["steps"]
    assert both["loss"][0][1] == pytest.approx(alone["loss"][0][1], abs=0.01)
    assert both["loss"][-1][1] == pytest.approx(alone["loss"][-1][1], abs=0.1)
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()
    assert (tmp_path / "out" / "adapter").is_dir() == (method == "lora")
