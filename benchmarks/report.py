"""What an author's report costs: CPU-seconds of every system that is measured, and of the figures.

    python -m benchmarks.report [--author james-madison] [--home DIR]

``--home`` is a deployment in which the author's twin was made (``llmtwin twin``); nothing in it is
changed. Everything is measured once from nothing, as for an author's first report, and once more
as for the next twin: the base model alone, with examples and with passages, was measured before.
The goal is wall seconds on two cores.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.output import emit, goal, progress
from llmtwin_assets import steps
from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import read_samples
from llmtwin_assets.datasets.quality import SAMPLES
from llmtwin_assets.evaluation import page
from llmtwin_assets.evaluation.assets import systems
from llmtwin_assets.evaluation.contexts import Before, gather, write_contexts
from llmtwin_assets.evaluation.figures import UNTRAINED, figures
from llmtwin_assets.evaluation.measure import ANSWERS, MEASURED, read_answers
from llmtwin_assets.features.assets import read_documents
from llmtwin_assets.retrieval.deployed import deployed_steps
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets.training import models
from llmtwin_assets.training.recipes import from_mapping
from resources import base_model
from resources.artifacts import open_artifacts
from resources.compute import QUIET
from resources.embedder import Embedder
from resources.reference_writers import ReferenceWriters
from resources.vectors import open_vectors

GOAL = 180.0  # wall seconds of a first report


@dataclass
class Cost:
    """CPU-seconds, of this process and those it started, and wall seconds."""

    cpu: float
    wall: float

    @staticmethod
    def now() -> "Cost":
        """What was spent so far."""
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return Cost(sum(each.ru_utime + each.ru_stime for each in used), time.monotonic())

    def since(self, before: "Cost") -> dict[str, float]:
        """What was spent between."""
        return {
            "CPU seconds": round(self.cpu - before.cpu, 1),
            "wall seconds": round(self.wall - before.wall, 1),
        }


class Report:
    """One author's report, part by part, in a directory of its own."""

    def __init__(self, settings: Settings, author: str, folder: Path) -> None:
        self.settings = settings
        self.artifacts = open_artifacts(self.settings.artifacts_url)
        self.author, self.folder = author, folder
        self.name = AuthorsFile(self.settings.authors_file).read().author(author).name
        self.base = base_model.resolve(self.settings.base_model, self.settings.models)
        self.sft = steps.current(self.artifacts, author, "sft_checkpoint")
        self.plan = from_mapping(dict(self.sft.facts["recipe"]))

    def contexts(self) -> None:
        """Find what stands before the questions."""
        stores = open_vectors(self.settings.vectors_url), Embedder(self.settings.embedder)
        way = deployed_steps(self.settings, self.artifacts)
        window = models.window(self.base)
        before = Before(self.author, self.name, way, *stores, self.plan.eval_tokens, window)
        samples = read_samples(steps.current(self.artifacts, self.author, "instruct_dataset"))
        write_contexts(
            self.folder / "contexts.json", gather(samples, self.plan.eval_prompts, before)
        )

    def measure(self, output: Path, earlier: list[str]) -> dict[str, float]:
        """Run the measuring script; returns the CPU-seconds of each system it measured."""
        data = steps.current(self.artifacts, self.author, "instruct_dataset")
        twin = steps.current(self.artifacts, self.author, "quantized_checkpoint")
        spec = {
            "systems": systems(self.base, self.sft, twin, None),
            "contexts": str(self.folder / "contexts.json"),
            "author_name": self.name,
            "samples": str(data.file(SAMPLES)),
            "prompts": self.plan.eval_prompts,
            "tokens": self.plan.eval_tokens,
            "seed": self.plan.seed,
            "canaries": self.plan.sft_canaries,
            "output": str(output),
            "earlier": earlier,
        }
        file = self.folder / f"{output.name}.json"
        file.write_text(json.dumps(spec))
        command = [sys.executable, "-m", "llmtwin_assets.evaluation.measure", str(file)]
        subprocess.run(command, check=True, env={**os.environ, **QUIET})
        found: dict[str, float] = json.loads((output / "result.json").read_text())["cpu_seconds"]
        return found

    def figures(self, output: Path) -> None:
        """Compute every figure, and the page with its pictures."""
        measured = json.loads((output / "result.json").read_text())["systems"]
        documents = read_documents(steps.current(self.artifacts, self.author, "cleaned_documents"))
        train = [document.text for document in documents if document.split == "train"]
        answers = read_answers(output / ANSWERS)
        writers = ReferenceWriters(self.settings.reference_writers).load()
        page.html(figures(measured, answers, train, writers, self.plan.seed), answers, self.name)


def untrained_only(first: Path, kept: Path) -> None:
    """Keep those measurements of ``first`` that the next twin would find."""
    rows = read_answers(first / ANSWERS)
    untrained = [[row["text"] for row in rows if row["system"] == name] for name in UNTRAINED]
    kept.mkdir()
    for file in (first / MEASURED).iterdir():
        if json.loads(file.read_text())["texts"] in untrained:
            shutil.copy(file, kept)


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--author", default="james-madison")
    parser.add_argument("--home", type=Path, default=Path(".llmtwin"))
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        settings = from_environment({**os.environ, "LLMTWIN_HOME": str(options.home.resolve())})
        report = Report(settings, options.author, folder)
        began = Cost.now()
        report.contexts()
        found = Cost.now()
        by_system = report.measure(folder / "first", [])
        measured = Cost.now()
        report.figures(folder / "first")
        ended = Cost.now()
        results["first report"] = {
            **{f"{name}, CPU seconds": cost for name, cost in by_system.items()},
            "passages": found.since(began),
            "measuring": measured.since(found),
            "figures and page": ended.since(measured),
            "all": ended.since(began),
        }
        progress(json.dumps(results))
        untrained_only(folder / "first", folder / "kept")
        began = Cost.now()
        report.measure(folder / "next", [str(folder / "kept")])
        results["measuring the next twin"] = Cost.now().since(began)
    wall = results["first report"]["all"]["wall seconds"]
    data = f"{options.author}, recipe {report.plan.name}"
    emit("report", data, results, {"first report, wall seconds": goal(GOAL, wall)})


if __name__ == "__main__":
    main()
