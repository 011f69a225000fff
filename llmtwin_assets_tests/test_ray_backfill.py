"""A backfill over two nodes of a real Ray cluster: runs are Ray jobs, scripts with a model are Ray
jobs that get the GPU, and the node that has it is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.dagster_daemon import running_daemon
from llmtwin_assets_tests.ray_nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AUTHORS = ("ada", "ben", "cleo", "dora", "emil", "fay")
STEPS = 10
LOCATION = """
import json, os
from pathlib import Path
import dagster as dg
from llmtwin_assets.steps import GPU
from resources.artifacts import ArtifactStore
from resources.compute_ray import RayCompute

HOME = Path(os.environ["DAGSTER_HOME"])
STORE = ArtifactStore(HOME / "artifacts")
AUTHORS = dg.StaticPartitionsDefinition({authors!r})

def script(context, gpus, steps):
    author, asset = context.partition_key, context.asset_key.path[-1]
    compute = RayCompute(f"ray://{address}?gpus={{gpus}}", STORE, poll=0.5)
    spec = {{"what": "train", "steps": steps,
            "output": str(STORE.work(author, asset, "output")),
            "work": str(STORE.work(author, asset, "d1"))}}
    found = compute.run(context, "llmtwin_assets_tests.resources.a_script", spec)
    return dg.MaterializeResult(metadata=found)

@dg.asset(partitions_def=AUTHORS)
def prepared(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return script(context, 0, 0)

@dg.asset(partitions_def=AUTHORS, deps=[prepared], pool=GPU)
def trained(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return script(context, 1, {steps})

defs = dg.Definitions(
    [prepared, trained],
    jobs=[dg.define_asset_job("twins", "*", partitions_def=AUTHORS)],
    executor=dg.in_process_executor,
)
"""


def home_at(folder: Path, nodes: Nodes) -> dict[str, str]:
    """A Dagster home with deploy/ray's configuration over SQLite; its environment."""
    settings = yaml.safe_load((PROJECT / "deploy/ray/dagster.yaml").read_text())
    del settings["storage"]  # one machine
    launcher = settings["run_launcher"]["config"]["ray"]
    launcher["env_vars"] = ["DAGSTER_HOME"]
    settings["run_monitoring"] |= {
        "poll_interval_seconds": 2,
        "free_slots_after_run_end_seconds": 2,
    }
    settings["concurrency"]["runs"]["max_concurrent_runs"] = 3
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    code = LOCATION.format(authors=list(AUTHORS), address=nodes.address, steps=STEPS)
    (folder / "location.py").write_text(code)
    return {"DAGSTER_HOME": str(folder), "RAY_DASHBOARD_ADDRESS": f"http://{nodes.address}"}


def until(true: Callable[[], bool], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_all_authors_of_a_backfill_complete_though_the_node_with_the_gpu_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    beside = str(Path(sys.executable).parent)  # a node's jobs find ``dagster`` by its PATH
    monkeypatch.setenv("PATH", os.pathsep.join([beside, os.environ["PATH"]]))
    with Nodes() as nodes:
        for name, value in home_at(tmp_path, nodes).items():
            monkeypatch.setenv(name, value)
        location = ["-f", str(tmp_path / "location.py")]
        command = [
            "job",
            "backfill",
            "-j",
            "twins",
            "--partitions",
            ",".join(AUTHORS),
            "--noprompt",
        ]
        subprocess.run([sys.executable, "-m", "dagster", *command, *location], check=True)

        def steps(author: str) -> int:
            return len(list((tmp_path / "artifacts" / author / "trained").glob(".work-d1/step-*")))

        with (
            running_daemon(tmp_path, os.environ),
            dg.DagsterInstance.from_config(str(tmp_path)) as instance,
        ):
            until(lambda: any(3 <= steps(author) < STEPS for author in AUTHORS))
            nodes.lose_the_gpu()
            nodes.replace_the_gpu()
            trained = dg.AssetKey("trained")
            until(lambda: instance.get_materialized_partitions(trained) == set(AUTHORS))
            made = instance.fetch_materializations(trained, limit=100).records
            before = instance.fetch_materializations(dg.AssetKey("prepared"), limit=100).records
            runs = instance.get_runs()
    # Steps landed by what they need, in runs that are Ray jobs.
    assert {said(row, "gpu") for row in made} == {"0"}
    assert {said(row, "gpu") for row in before} == {""}
    assert {run.tags["dagster/partition"] for run in runs} == set(AUTHORS)
    # The training that was cut off went on from what it had saved; none lost a step.
    assert any(int(said(row, "resumed")) >= 3 for row in made)
    assert [steps(author) for author in AUTHORS] == [STEPS] * len(AUTHORS)


def said(row: dg.EventLogRecord, name: str) -> str:
    assert row.asset_materialization is not None
    return str(row.asset_materialization.metadata[name].value)
