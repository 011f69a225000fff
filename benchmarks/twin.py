"""How near a twin comes to its author, by method and over several trainings.

    python -m benchmarks.twin [--author james-madison] [--seeds 3] [--recipe full] [--home DIR]

For every seed: the base model fine-tuned on the author's passages, all weights and adapters alone,
at the same budget of tokens, and the former preferred over its own samples. All of them, the base
model, the base model with three of the author's answers before the question (few-shot) and with
retrieved passages answer the same held-out prompts. Printed for each: nats per token of the
author's unseen text, every measure of style with its gain (0 is the base model, 1 the author's own
unseen text) and interval over prompts and seeds, copies, forgetting, exposure of planted strings.

A stage that is finished in ``--home`` is not done again, so a killed run goes on. Three seeds of
the ``full`` recipe take about two hours on 2 cores.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.orchestration import run as materialise
from benchmarks.output import progress
from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import SAMPLES, read_samples
from llmtwin_assets.evaluation.contexts import gather, write_contexts
from llmtwin_assets.overview import FEATURES
from llmtwin_assets.records import InstructSample, Passage, PreferenceSample, to_frame
from llmtwin_assets.retrieval.search import retrieve
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets.training import preferences
from llmtwin_assets.training.recipes import Recipe, recipe
from llmtwin_assets.training.sample import whole_lines
from resources import base_model
from resources.artifacts import ArtifactStore, open_artifacts, write_atomically
from resources.compute import QUIET
from resources.embedder import Embedder
from resources.vectors import open_vectors

LORA: dict[str, Any] = {  # what the recipes with adapters have
    "sft_method": "lora",
    "sft_learning_rate": 5e-4,
    "sft_warmup_steps": 5,
}
PASSAGES = 3  # before a question
DATA = ["raw_articles", "raw_posts", "raw_repositories", *FEATURES, "instruct_dataset"]


class Bench:
    """One author's data, and a directory of finished stages."""

    def __init__(self, author: str, home: Path) -> None:
        self.author = author
        self.home = home
        self.settings: Settings = from_environment({**os.environ, "LLMTWIN_HOME": str(home)})
        self.artifacts: ArtifactStore = open_artifacts(self.settings.artifacts_url)
        progress(f"data of {author}")
        instance = dg.DagsterInstance.ephemeral()
        materialise(self.settings, instance, author, self.artifacts, list(dict.fromkeys(DATA)))
        self.base = base_model.resolve(self.settings.base_model, self.settings.models)
        self.name = AuthorsFile(self.settings.authors_file).read().author(author).name
        data = self.artifacts.current(author, "instruct_dataset")
        assert data is not None
        self.samples_file = data.file(SAMPLES)
        self.samples: list[InstructSample] = read_samples(data)

    def stage(self, name: str, module: str, spec: dict[str, Any]) -> Path:
        """The directory of a script's output; the script runs unless it has finished before."""
        folder = self.home / "stages" / name
        result = folder / "result.json"
        whole = {**spec, "output": str(folder), "work": str(folder / ".work")}
        if result.is_file() and json.loads((folder / "spec.json").read_text()) == whole:
            return folder
        progress(name)
        write_atomically(folder / "spec.json", json.dumps(whole).encode())
        subprocess.run(
            [sys.executable, "-m", module, str(folder / "spec.json")],
            check=True,
            env={**os.environ, **QUIET},
        )
        return folder

    def sft(self, plan: Recipe) -> Path:
        """The model after SFT."""
        spec = {
            "base": str(self.base),
            "samples": str(self.samples_file),
            "author_name": self.name,
            "recipe": asdict(plan),
        }
        folder = self.stage(
            f"sft-{plan.sft_method}-{plan.seed}", "llmtwin_assets.training.sft", spec
        )
        return folder / "model"

    def dpo(self, plan: Recipe, model: Path) -> Path:
        """The model after DPO on its own samples."""
        asked = preferences.choose(self.samples, plan.preference_pairs)
        prompts = [preferences.as_prompt(each, plan.preference_tokens) for each in asked]
        spec = {
            "model": str(model),
            "author_name": self.name,
            "prompts": prompts,
            "seed": plan.seed,
        }
        sampled = self.stage(f"sample-{plan.seed}", "llmtwin_assets.training.sample", spec)
        rows, _ = preferences.pairs(
            asked,
            whole_lines(sampled / "texts.jsonl"),
            plan.preference_pairs,
            plan.preference_tokens,
        )
        pairs = sampled / "pairs.parquet"
        to_frame(PreferenceSample, rows).write_parquet(pairs)
        spec = {
            "model": str(model),
            "pairs": str(pairs),
            "author_name": self.name,
            "recipe": asdict(plan),
        }
        return self.stage(f"dpo-{plan.seed}", "llmtwin_assets.training.dpo", spec) / "model"

    def answers(self, plan: Recipe, systems: dict[str, dict[str, Any]]) -> Path:
        """What every system wrote and how it was measured, for one seed."""
        contexts = self.home / "contexts.json"
        vectors = open_vectors(self.settings.vectors_url)
        embedder = Embedder(self.settings.embedder)

        def find(question: str) -> list[Passage]:
            return retrieve(self.author, question, PASSAGES, vectors, embedder, "train")

        write_contexts(contexts, gather(self.samples, plan.eval_prompts, find))
        spec = {
            "systems": systems,
            "contexts": str(contexts),
            "author_name": self.name,
            "samples": str(self.samples_file),
            "prompts": plan.eval_prompts,
            "tokens": plan.eval_tokens,
            "seed": plan.seed,
            "canaries": plan.sft_canaries,
        }
        return self.stage(f"answers-{plan.seed}", "llmtwin_assets.evaluation.measure", spec)


def train(bench: Bench, plan: Recipe, seeds: int) -> dict[str, list[Path]]:
    """System -> its model of each seed."""
    found: dict[str, list[Path]] = {"sft": [], "dpo": [], "lora": []}
    for seed in range(plan.seed, plan.seed + seeds):
        seeded = replace(plan, seed=seed)
        found["sft"].append(bench.sft(seeded))
        found["dpo"].append(bench.dpo(seeded, found["sft"][-1]))
        found["lora"].append(bench.sft(replace(seeded, **LORA)))
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print its object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--author", default="james-madison")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", default="full")
    parser.add_argument("--home", type=Path, default=Path(".llmtwin/benchmarks/twin"))
    options = parser.parse_args(argv)
    bench = Bench(options.author, options.home.resolve())
    train(bench, recipe(options.recipe), options.seeds)


if __name__ == "__main__":
    main()
