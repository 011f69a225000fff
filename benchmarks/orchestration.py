"""What Dagster and our bookkeeping cost, beside the work they organise.

    python -m benchmarks.orchestration [--data DIR] [--recipe quick] [--sizes 100,1000,10000]

Three measures, in CPU-seconds of this process and its children:

- the whole job for one author: the share that is neither inside a build (the work of an asset) nor
  in a training process. Beside it, the same work without Dagster is what is left;
- a run in which everything is up to date, per author and per asset;
- adding one document to a corpus of so many, through every stage up to the searchable index, beside
  a floor: the copy of the index's files that a new version begins with. The training data, whose
  rows are judged beside each other, are made anew after it and counted apart.

``--data`` is a folder of text files for the first two measures (default: the shipped essays of
James Madison). The corpora of the third are generated. Nothing is cached between measures.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg

from benchmarks.output import emit, goal, progress
from llmtwin_assets.automation.jobs import TWIN
from llmtwin_assets.definitions import build_defs
from llmtwin_assets.overview import ASSETS, FEATURES
from llmtwin_assets.settings import Settings, from_environment
from resources.artifacts import ArtifactStore, Version, open_artifacts

REPEATS = 5
DATA = "instruct_dataset"
# Sentences of English, because what has no language is no author's: when, adjective, noun, verb,
# adjective, noun.
SENTENCE = "{} the {} {} {} a {} {}"
WHEN = (
    "yesterday today tomorrow later often seldom always now then once again somewhere perhaps "
    "everywhere finally slowly quickly quietly gladly rarely"
).split()
ADJECTIVES = (
    "old young bright dark heavy light narrow broad silent loud gentle bitter sweet frozen warm "
    "hollow golden silver patient restless careful honest crooked distant northern southern "
    "ancient modern simple curious faithful hungry lonely polite stubborn tender wooden gloomy "
    "cheerful rapid"
).split()
NOUNS = (
    "harbour lantern bridge garden engine ledger kettle meadow river station window anchor "
    "violin castle mirror orchard market letter teacher doctor sailor farmer painter kitchen "
    "library forest mountain island village journey question answer winter summer morning "
    "evening servant captain neighbour carpenter"
).split()
VERBS = (
    "finds builds repairs forgets remembers paints carries follows guards measures sells buys "
    "keeps opens closes crosses describes admires avoids teaches watches praises questions "
    "gathers needs owns prefers protects reaches reads shares studies supports touches visits "
    "wants warms weighs welcomes writes"
).split()


@dataclass
class Cost:
    """CPU-seconds of this process, CPU-seconds of its children, and wall seconds."""

    own: float
    children: float
    wall: float


@contextmanager
def costing() -> Iterator[Cost]:
    """Measure what happens inside the block."""
    cost = Cost(0.0, 0.0, 0.0)
    before, began = os.times(), time.perf_counter()
    yield cost
    after = os.times()
    cost.own = after.user + after.system - before.user - before.system
    cost.children = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    cost.wall = time.perf_counter() - began


class CountingArtifacts(ArtifactStore):
    """An artifact store that adds up the CPU-seconds spent inside builds, by asset."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.inside: dict[str, float] = {}

    def publish(
        self, author: str, asset: str, digest: str, build: Callable[[Path], Mapping[str, Any]]
    ) -> Version:
        """Publish, counting what ``build`` costs in this process."""

        def counted(folder: Path) -> Mapping[str, Any]:
            with costing() as cost:
                facts = build(folder)
            self.inside[asset] = self.inside.get(asset, 0.0) + cost.own
            return facts

        return super().publish(author, asset, digest, counted)


def run(
    settings: Settings,
    instance: dg.DagsterInstance,
    author: str,
    artifacts: ArtifactStore,
    assets: list[str],
) -> Cost:
    """Materialise assets of an author and return what that cost; raises when a step fails."""
    job = build_defs(settings, artifacts=artifacts).resolve_job_def(TWIN)
    instance.add_dynamic_partitions("author", [author])
    with costing() as cost:
        job.execute_in_process(
            instance=instance,
            partition_key=author,
            asset_selection=[dg.AssetKey(name) for name in assets],
        )
    return cost


def world(home: Path, folder: Path | None, recipe: str) -> tuple[Settings, str]:
    """Settings below ``home`` and the author to use: the essays in ``folder``, or Madison."""
    settings = from_environment({"LLMTWIN_HOME": str(home), "LLMTWIN_RECIPE": recipe})
    if folder is None:
        return settings, "james-madison"
    registry = home / "authors.yaml"
    registry.write_text(
        "authors:\n  - id: writer\n    name: The Writer\n    sources:\n"
        f"      - type: folder\n        path: {folder.resolve()}\n"
    )
    return replace(settings, authors_file=registry), "writer"


def whole_job(home: Path, folder: Path | None, recipe: str) -> dict[str, dict[str, float]]:
    """Cost of the whole job, and of runs in which nothing is left to do."""
    settings, author = world(home, folder, recipe)
    artifacts = CountingArtifacts(open_artifacts(settings.artifacts_url).root)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        progress(f"the whole job of {author}, recipe {recipe} ...")
        first = run(settings, instance, author, artifacts, list(ASSETS))
        inside = sum(artifacts.inside.values())
        bookkeeping = first.own - inside
        total = first.own + first.children
        progress("runs in which everything is up to date ...")
        idle = [run(settings, instance, author, artifacts, list(ASSETS)) for _ in range(REPEATS)]
    return {
        "whole job": {
            "wall seconds": first.wall,
            "CPU seconds": total,
            "CPU seconds of bookkeeping": bookkeeping,
            "share of bookkeeping": bookkeeping / total,
            "CPU seconds of bookkeeping per asset": bookkeeping / len(ASSETS),
        },
        "nothing to do": {
            "wall seconds": median(cost.wall for cost in idle),
            "CPU seconds per author": median(cost.own + cost.children for cost in idle),
            "CPU seconds per asset": median(cost.own + cost.children for cost in idle)
            / len(ASSETS),
        },
    }


def write_corpus(folder: Path, first: int, count: int) -> None:
    """``count`` short dated essays from number ``first`` on, no two of them alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        rng = random.Random(number)
        parts = (WHEN, ADJECTIVES, NOUNS, VERBS, ADJECTIVES, NOUNS)
        said = [SENTENCE.format(*map(rng.choice, parts)).capitalize() for _ in range(5)]
        text = ". ".join(said) + "."
        head = f"---\ntitle: Piece {number}\ndate: 2024-{number % 12 + 1:02d}-01\n---\n"
        (folder / f"piece-{number:06d}.md").write_text(head + text + "\n", "utf-8")


def one_more(home: Path, size: int) -> dict[str, float]:
    """Cost of one document more in a corpus of ``size``, median over repeats, and of the floor."""
    folder = home / "corpus"
    write_corpus(folder, 0, size)
    settings, author = world(home, folder, "smoke")
    artifacts = CountingArtifacts(open_artifacts(settings.artifacts_url).root)
    index = [name for name in FEATURES if name != DATA]
    costs: list[Cost] = []
    data: list[Cost] = []
    copies: list[float] = []
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        progress(f"a corpus of {size} documents ...")
        build = run(settings, instance, author, artifacts, FEATURES)
        for turn in range(REPEATS):
            write_corpus(folder, size + turn, 1)
            artifacts.inside.clear()
            costs.append(run(settings, instance, author, artifacts, index))
            data.append(run(settings, instance, author, artifacts, [DATA]))
            copies.append(copy_seconds(home))
        by_asset = dict(artifacts.inside)
    added, copy = median(cost.wall for cost in costs), median(copies)
    return {
        "wall seconds": added,
        "CPU seconds": median(cost.own + cost.children for cost in costs),
        "copy of the files, wall seconds": copy,
        "wall seconds but for the copy": added - copy,
        "training data, CPU seconds": median(cost.own + cost.children for cost in data),
        "full build, wall seconds": build.wall,
        **{f"CPU seconds in {asset}": spent for asset, spent in by_asset.items()},
    }


def copy_seconds(home: Path) -> float:
    """Wall seconds to copy the current index and tables: the floor of a new version."""
    with tempfile.TemporaryDirectory(dir=home) as target:
        began = time.perf_counter()
        for name in ("vectors", "artifacts"):
            for pointer in sorted((home / name).rglob("current.json")):
                newest = max(
                    (p for p in pointer.parent.iterdir() if p.is_dir()),
                    key=lambda path: path.stat().st_mtime,
                )
                shutil.copytree(newest, Path(target) / name / pointer.parent.name)
        return time.perf_counter() - began


def main() -> None:
    """Run the measures and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="a folder of text files by one author")
    parser.add_argument("--recipe", default="quick", help="recipe of the whole job")
    parser.add_argument("--sizes", default="100,1000,10000", help="corpora to add a document to")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        results |= whole_job(Path(home), options.data, options.recipe)
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            results[f"one document into {size}"] = one_more(Path(home), size)
    rest = [results[f"one document into {size}"]["wall seconds but for the copy"] for size in sizes]
    emit(
        "orchestration",
        str(options.data or "shipped essays; generated corpora"),
        results,
        {
            "share of bookkeeping": goal(0.05, results["whole job"]["share of bookkeeping"]),
            f"growth from {sizes[0]} to {sizes[-1]} documents": goal(1.2, rest[-1] / rest[0]),
        },
    )


if __name__ == "__main__":
    main()
