"""What an author more costs: Dagster's part of a run, and the whole chain.

    python -m benchmarks.scale [--authors 1000] [--twins 2]

- A backfill of so many authors over one asset that does nothing, one run per author in this
  process: CPU-seconds in all, and per author. Once with Dagster's storage as it is here (SQLite
  files below DAGSTER_HOME), once with it in memory; the difference is what the files cost.
- The chain from sources to the endpoint for ``--twins`` authors, on a random model of two layers
  and generated essays: what is left of a run when its models are as good as free. CPU-seconds of
  this process and of the training processes, and the share that is neither inside the work of an
  asset nor in a training process.

Nothing is cached between measures.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.orchestration import Cost, CountingArtifacts, costing, run
from benchmarks.output import emit, goal, progress
from llmtwin_assets.authors import authors_partition
from llmtwin_assets.overview import ASSETS
from llmtwin_assets.steps import author_asset
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.graph import World
from llmtwin_assets_tests.writing import authors_yaml, write_essays
from resources.artifacts import open_artifacts

ESSAYS = 12  # of each author of the chain
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
EVERY = 100  # runs between two lines of progress


@author_asset("corpus", "1", set())
def nothing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What costs nothing."""
    return dg.MaterializeResult()


def backfill(instance: dg.DagsterInstance, authors: int) -> Cost:
    """What one run per author costs, the loading of the job left out."""
    names = [f"author-{number}" for number in range(authors)]
    instance.add_dynamic_partitions(str(authors_partition.name), names)
    made = dg.define_asset_job("nothing_job", ["nothing"], partitions_def=authors_partition)
    definitions = dg.Definitions([nothing], jobs=[made], executor=dg.in_process_executor)
    job = definitions.resolve_job_def("nothing_job")
    with costing() as cost:
        for number, name in enumerate(names):
            job.execute_in_process(instance=instance, partition_key=name, run_config=QUIET)
            if number % EVERY == 0:
                progress(f"{number} of {authors}")
    return cost


def figures(cost: Cost, authors: int) -> dict[str, float]:
    """Totals, and CPU-milliseconds per author."""
    spent = cost.own + cost.children
    return {
        "wall seconds": cost.wall,
        "CPU seconds": spent,
        "CPU milliseconds per author": 1000 * spent / authors,
    }


def chain(home: Path, twins: int) -> dict[str, float]:
    """What the whole chain costs for so many authors, one after the other."""
    names = [f"author-{number}" for number in range(twins)]
    for name in names:
        write_essays(home / name, ESSAYS)
    authors_yaml(home / "authors.yaml", **{name: home / name for name in names})
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


def main() -> None:
    """Run the measures and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument(
        "--authors", type=int, default=1000, help="with one asset that does nothing"
    )
    parser.add_argument("--twins", type=int, default=2, help="with the whole chain; 0 for none")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    name = f"{options.authors} authors, an asset that does nothing"
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home) as instance:
        on_disk = figures(backfill(instance, options.authors), options.authors)
    with dg.DagsterInstance.ephemeral() as instance:
        in_memory = figures(backfill(instance, options.authors), options.authors)
    results[name] = on_disk
    results[f"{name}, storage in memory"] = in_memory
    if options.twins:
        with tempfile.TemporaryDirectory() as home:
            results["whole chain, model of two layers"] = chain(Path(home), options.twins)
    emit(
        "scale",
        "generated essays",
        results,
        {
            "CPU milliseconds per author, storage on disk": goal(
                40.0, on_disk["CPU milliseconds per author"]
            ),
            "CPU milliseconds per author, storage in memory": goal(
                40.0, in_memory["CPU milliseconds per author"]
            ),
        },
    )


if __name__ == "__main__":
    main()
