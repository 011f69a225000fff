"""``deploy/ray`` on this machine: its dagster.yaml, a cluster of two nodes with homes of their own,
the graph itself, and every store a server: PostgreSQL (where it is installed), MongoDB's protocol,
Qdrant's, S3's. What the models cost is left out: a recipe of few steps and the base model given."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

from llmtwin_assets.automation.jobs import TWIN
from llmtwin_assets.settings import PROJECT, Settings, from_environment
from llmtwin_assets_tests.aws_server import BUCKET, aws_server
from llmtwin_assets_tests.dagster_daemon import running_daemon
from llmtwin_assets_tests.postgres_server import INITDB, database, postgres_server
from llmtwin_assets_tests.ray_nodes import Nodes
from llmtwin_assets_tests.resources import mongo_server, qdrant_server

BESIDE = str(Path(sys.executable).parent)  # a node's jobs find ``dagster`` by its PATH


@dataclass(frozen=True)
class Deployment:
    """What runs: Dagster's instance, the cluster, and the settings as a machine beside it has
    them."""

    home: Path
    instance: dg.DagsterInstance
    nodes: Nodes
    settings: Settings

    def backfill(self, authors: Sequence[str], seconds: float) -> list[dg.DagsterRun]:
        """The main job for each author, by the daemon; returns the runs, ended."""
        self.instance.add_dynamic_partitions("author", list(authors))
        location = str(self.home / "location.py")  # nodes work in folders of their own
        asked = ["-j", TWIN, "--partitions", ",".join(authors), "--noprompt", "-f", location]
        command = [sys.executable, "-m", "dagster", "job", "backfill", *asked]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        def ended() -> bool:
            runs = self.instance.get_runs()
            return len(runs) >= len(authors) and all(run.is_finished for run in runs)

        with running_daemon(self.home, os.environ):
            until(ended, seconds)
        return list(self.instance.get_runs())


@contextmanager
def ray_deployment(folder: Path, base_model: Path, writers: Path) -> Iterator[Deployment]:
    """Start everything below ``folder``, which has an ``authors.yaml``."""
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        stack.enter_context(aws_server())
        given = {
            "DAGSTER_HOME": folder,
            "LLMTWIN_ARTIFACTS_URL": f"s3://{BUCKET}/{folder.name}",
            "LLMTWIN_AUTHORS": folder / "authors.yaml",
            "LLMTWIN_BASE_MODEL": base_model,
            "LLMTWIN_DOCUMENTS_URL": f"{_mongo(stack, folder)}/twins",
            "LLMTWIN_HOME": folder / "here" / "twin",
            "LLMTWIN_RECIPE": "smoke",
            "LLMTWIN_REFERENCE_WRITERS": writers,
            "LLMTWIN_VECTORS_URL": stack.enter_context(qdrant_server.running()),
            "PATH": os.pathsep.join([BESIDE, os.environ["PATH"]]),
            "PYTHONPATH": PROJECT,
            "RAY_USAGE_STATS_ENABLED": "0",
            "XDG_CACHE_HOME": folder / "here" / "cache",
            **_postgres(stack),
        }
        for name, value in given.items():
            environment.setenv(name, str(value))
        nodes = stack.enter_context(Nodes(cpus=1, homes=folder / "nodes"))
        environment.setenv("RAY_DASHBOARD_ADDRESS", f"http://{nodes.address}")
        environment.setenv("LLMTWIN_COMPUTE_URL", f"ray://{nodes.address}?gpus=1")
        _configure(folder)
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        yield Deployment(folder, instance, nodes, from_environment())


def _mongo(stack: ExitStack, folder: Path) -> str:
    return stack.enter_context(mongo_server.running("secantus", folder / "documents"))


def _postgres(stack: ExitStack) -> dict[str, str]:
    if INITDB is None:
        return {}
    return dict(database(stack.enter_context(postgres_server()), "twins"))


def _configure(folder: Path) -> None:
    """The deployment's configuration, over SQLite where there is no PostgreSQL, and quicker to
    look at what a run left; the graph as the code location."""
    settings = yaml.safe_load((PROJECT / "deploy/ray/dagster.yaml").read_text())
    if INITDB is None:
        del settings["storage"]
    settings["run_monitoring"]["free_slots_after_run_end_seconds"] = 2
    (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
    (folder / "location.py").write_text("from llmtwin_assets.definitions import defs\n")


def until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.5)
