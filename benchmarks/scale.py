"""What an author more costs: Dagster's part of a run, and the whole chain.

    python -m benchmarks.scale [--authors 1000] [--others 1000] [--postgres URL] [--twins 2]
                               [--cluster 2]

- A backfill over one asset that does nothing, one run per author in this process: CPU-milliseconds
  per author, of this process, of its children and of the PostgreSQL server. Beside it Dagster's own
  floor, which is the same with a bare asset of its own. With each storage of Dagster's runs and
  events: SQLite as it is here (a file for every run below DAGSTER_HOME), SQLite in one file, a
  PostgreSQL server of this machine (``--postgres``, an empty database), memory. And as one run over
  all authors of a turn, which an asset can be made for that handles many at once. ``--authors`` are
  made with the storage as it is here and in those runs, ``--others`` by each other system. Systems
  take turns, ten each; the figure is the median of the turns.
- The chain from sources to the endpoint for ``--twins`` authors, on a random model of two layers
  and generated essays: what is left of a run when its models are as good as free. CPU-seconds of
  this process and of the training processes, and the share that is neither inside the work of an
  asset nor in a training process.
- The same chain for ``--cluster`` authors as ``deploy/ray`` runs it, on this machine: a Ray cluster
  of two nodes, where runs and scripts are jobs, Dagster's daemon and storage, and servers for every
  store. CPU-seconds of all of these processes but PostgreSQL, from the backfill's start to its end.

Nothing is cached between measures.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import psutil

from benchmarks.orchestration import Cost, CountingArtifacts, costing, run
from benchmarks.output import emit, goal, progress
from llmtwin_assets.authors import authors_partition
from llmtwin_assets.overview import ASSETS
from llmtwin_assets.steps import author_asset
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.graph import World, write_writers
from llmtwin_assets_tests.ray_deployment import ray_deployment
from llmtwin_assets_tests.writing import authors_yaml, write_essays
from resources.artifacts import open_artifacts

ESSAYS = 12  # of each author of the chain
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
TURNS = 10
LOOK = 0.5  # seconds between two looks at the processes of a cluster
LONGEST = 3600  # seconds that an author may take there
HERE, FLOOR = "SQLite, a file per run (as it is here)", "the same, a bare asset (Dagster's floor)"
TOGETHER = "one run over all authors of a turn, SQLite"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@author_asset("corpus", "1", set())
def nothing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What costs nothing."""
    return dg.MaterializeResult()


@dg.asset(partitions_def=authors_partition)
def bare() -> None:
    """What costs nothing, without anything of ours."""


@dg.asset(partitions_def=authors_partition, backfill_policy=dg.BackfillPolicy.single_run())
def together() -> None:
    """What costs nothing, for many authors at once."""


def job_of(asset: dg.AssetsDefinition) -> dg.JobDefinition:
    """The job of an asset, resolved."""
    made = dg.define_asset_job("nothing_job", [asset.key])
    definitions = dg.Definitions([asset], jobs=[made], executor=dg.in_process_executor)
    return definitions.resolve_job_def("nothing_job")


def backfill(instance: dg.DagsterInstance, names: Sequence[str], job: dg.JobDefinition) -> Cost:
    """What one run per author costs."""
    instance.add_dynamic_partitions(str(authors_partition.name), names)
    with costing() as cost:
        for name in names:
            job.execute_in_process(instance=instance, partition_key=name, run_config=QUIET)
    return cost


def range_run(instance: dg.DagsterInstance, names: Sequence[str], job: dg.JobDefinition) -> Cost:
    """What one run over all authors costs."""
    instance.add_dynamic_partitions(str(authors_partition.name), names)
    tags = dict(zip(RANGE, (names[0], names[-1]), strict=True))
    with costing() as cost:
        job.execute_in_process(instance=instance, tags=tags, run_config=QUIET)
    return cost


def server_seconds(url: str) -> float:
    """CPU-seconds so far of the PostgreSQL server on this machine, all its processes."""
    import psycopg2

    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection:
        server = psutil.Process(connection.get_backend_pid()).parent()
        assert server is not None
        told = [server, *server.children(recursive=True)]
        times = [each.cpu_times() for each in told]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


Turn = Callable[[Sequence[str]], float]


def systems(stack: ExitStack, postgres: str | None) -> dict[str, Turn]:
    """system -> CPU-seconds of a turn with these authors; instances live as long as ``stack``."""

    def local(**overrides: Any) -> dg.DagsterInstance:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        return stack.enter_context(dg.DagsterInstance.local_temp(home, overrides=overrides))

    def turn(
        instance: dg.DagsterInstance,
        asset: dg.AssetsDefinition,
        made: Callable[..., Cost] = backfill,
    ) -> Turn:
        job = job_of(asset)

        def seconds(names: Sequence[str]) -> float:
            cost = made(instance, names, job)
            return cost.own + cost.children

        return seconds

    one_file = stack.enter_context(tempfile.TemporaryDirectory())
    consolidated = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": one_file},
    }
    found = {
        HERE: turn(local(), nothing),
        FLOOR: turn(local(), bare),
        "SQLite, events in one file": turn(local(event_log_storage=consolidated), nothing),
        "memory": turn(stack.enter_context(dg.DagsterInstance.ephemeral()), nothing),
        TOGETHER: turn(local(), together, range_run),
    }
    if postgres:
        url = postgres
        shared = turn(local(storage={"postgres": {"postgres_url": url}}), nothing)

        def with_server(names: Sequence[str]) -> float:
            before = server_seconds(url)
            return shared(names) + server_seconds(url) - before

        found["PostgreSQL"] = with_server
    return found


def backfills(authors: int, others: int, postgres: str | None) -> dict[str, dict[str, float]]:
    """Figures of each system."""
    with ExitStack() as stack:
        by_name = systems(stack, postgres)
        many = {
            name: (authors if name in (HERE, TOGETHER) else others) // TURNS for name in by_name
        }
        spent: dict[str, list[float]] = {name: [] for name in by_name}
        for number in range(TURNS):
            for name, seconds in by_name.items():
                progress(f"turn {number + 1} of {TURNS}, {many[name]} authors: {name} ...")
                names = [f"author-{number}-{each:04}" for each in range(many[name])]
                spent[name].append(seconds(names))
    return {
        name: {
            "authors": many[name] * TURNS,
            "CPU seconds": sum(seconds),
            "CPU milliseconds per author": 1000 * median(seconds) / many[name],
        }
        for name, seconds in spent.items()
    }


def chain(home: Path, twins: int) -> dict[str, float]:
    """What the whole chain costs for so many authors, one after the other."""
    names = registered(home, twins)
    world = World(home / "twin", home / "authors.yaml", tiny_model.build(home / "model"))
    artifacts = CountingArtifacts(open_artifacts(world.settings.artifacts_url).root)
    total = Cost(0.0, 0.0, 0.0)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        for name in names:
            progress(f"the whole chain of {name} ...")
            cost = run(world.settings, instance, name, artifacts, list(ASSETS))
            total.own, total.children = total.own + cost.own, total.children + cost.children
            total.wall += cost.wall
    bookkeeping = total.own - sum(artifacts.inside.values())
    spent = total.own + total.children
    return {
        "wall seconds per author": total.wall / twins,
        "CPU seconds per author": spent / twins,
        "CPU seconds of bookkeeping per author": bookkeeping / twins,
        "share of bookkeeping": bookkeeping / spent,
    }


def registered(home: Path, twins: int) -> list[str]:
    """Authors with essays of their own, in ``authors.yaml``."""
    names = [f"author-{number}" for number in range(twins)]
    for name in names:
        write_essays(home / name, ESSAYS)
    authors_yaml(home / "authors.yaml", **{name: home / name for name in names})
    return names


def on_cluster(home: Path, twins: int) -> dict[str, float]:
    """What the whole chain costs for so many authors on a Ray cluster."""
    names = registered(home, twins)
    model, writers = tiny_model.build(home / "model"), write_writers(home / "writers")
    with ray_deployment(home, model, writers) as deployment, watching() as spent:
        progress(f"the whole chain of {twins} authors on a Ray cluster ...")
        began, before = time.perf_counter(), sum(spent.values())
        runs = deployment.backfill(names, seconds=LONGEST * twins)
        wall = time.perf_counter() - began
        time.sleep(2 * LOOK)
        total = sum(spent.values()) - before
    if any(not run.is_success for run in runs):
        raise SystemExit("A run failed; llmtwin_assets_tests/test_ray_twins.py shows why")
    return {"wall seconds per author": wall / twins, "CPU seconds per author": total / twins}


@contextmanager
def watching() -> Iterator[dict[tuple[int, float], float]]:
    """CPU-seconds of this process and of every one below it, as far as they were seen: Ray does not
    hand on what its workers have used."""
    spent: dict[tuple[int, float], float] = {}
    over, me = threading.Event(), psutil.Process()

    def look() -> None:
        while not over.wait(LOOK):
            for process in [me, *me.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    used = process.cpu_times()
                    spent[process.pid, process.create_time()] = used.user + used.system

    thread = threading.Thread(target=look)
    thread.start()
    try:
        time.sleep(2 * LOOK)
        yield spent
    finally:
        over.set()
        thread.join()


def main() -> None:
    """Run the measures and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--authors", type=int, default=1000, help="with the storage as it is here")
    parser.add_argument("--others", type=int, default=1000, help="by each other system")
    parser.add_argument("--twins", type=int, default=2, help="with the whole chain; 0 for none")
    parser.add_argument("--cluster", type=int, default=2, help="… on a Ray cluster; 0 for none")
    parser.add_argument("--postgres", help="URL of an empty database on this machine")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    if options.authors:
        results |= backfills(options.authors, options.others, options.postgres)
    goals = {
        f"CPU milliseconds per author, {name}": goal(40.0, found["CPU milliseconds per author"])
        for name, found in results.items()
    }
    if options.twins:
        with tempfile.TemporaryDirectory() as home:
            results["whole chain, model of two layers"] = chain(Path(home), options.twins)
    if options.cluster:
        with tempfile.TemporaryDirectory() as home:
            results["whole chain, on a Ray cluster"] = on_cluster(Path(home), options.cluster)
    emit("scale", "generated essays", results, goals)


if __name__ == "__main__":
    main()
