"""One GPU, one job: the pool that training and sampling share, with Dagster's own instance."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.automation.lost_runs import end_lost_runs
from llmtwin_assets.definitions import build_defs
from llmtwin_assets.settings import PROJECT, from_environment
from llmtwin_assets.steps import GPU

LOADS_A_MODEL = {
    "sft_checkpoint",
    "preference_dataset",
    "dpo_checkpoint",
    "quantized_checkpoint",
    "eval_report",
}
RUN = """
import sys, time
from pathlib import Path
import dagster as dg
from llmtwin_assets.steps import GPU
book, seconds = Path(sys.argv[1]), float(sys.argv[2])

@dg.asset(pool=GPU)
def training():
    with book.open("a") as file:
        print("begins", flush=True, file=file)
        time.sleep(seconds)
        print("ends", flush=True, file=file)

dg.materialize([training], instance=dg.DagsterInstance.get())
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as found:
        yield found


def start(home: Path, seconds: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", RUN, str(home / "book"), str(seconds)]
    return subprocess.Popen(
        command, env=os.environ | {"DAGSTER_HOME": str(home)}, stderr=subprocess.DEVNULL
    )


def book(home: Path) -> list[str]:
    path = home / "book"
    return path.read_text().split() if path.exists() else []


def until_it_begins(home: Path) -> None:
    deadline = time.monotonic() + 60
    while "begins" not in book(home):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_loads_a_language_model_shares_one_pool() -> None:
    definitions = build_defs(from_environment({"LLMTWIN_HOME": "/nowhere"}))
    pooled = {
        asset.key.path[-1]
        for asset in definitions.assets or []
        if isinstance(asset, dg.AssetsDefinition) and asset.op.pool == GPU
    }
    assert pooled == LOADS_A_MODEL


@pytest.mark.slow
def test_two_runs_that_want_the_gpu_take_it_one_after_the_other(
    home: Path, instance: dg.DagsterInstance
) -> None:
    runs = [start(home, 1.5) for _ in range(2)]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert book(home) == ["begins", "ends", "begins", "ends"]
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


@pytest.mark.slow
def test_a_run_that_was_killed_gives_its_place_back(
    home: Path, instance: dg.DagsterInstance
) -> None:
    killed = start(home, 600)
    until_it_begins(home)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    slots = instance.event_log_storage.get_concurrency_info(GPU)
    assert slots.active_slot_count == 1
    (lost,) = instance.get_runs()
    assert end_lost_runs(instance) == [lost.run_id]
    assert start(home, 0).wait(120) == 0
    assert book(home) == ["begins", "begins", "ends"]
