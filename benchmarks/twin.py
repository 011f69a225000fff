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
from statistics import fmean, stdev
from typing import Any

import dagster as dg

from benchmarks.orchestration import run as materialise
from benchmarks.output import emit, goal, progress
from llmtwin_assets import steps
from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import read_samples
from llmtwin_assets.datasets.quality import SAMPLES
from llmtwin_assets.evaluation.contexts import (
    FEW_SHOT,
    PASSAGES,
    Before,
    gather,
    write_contexts,
)
from llmtwin_assets.evaluation.figures import BASE, HELD_OUT, RAG, SFT, TWIN, Figures, figures
from llmtwin_assets.evaluation.gates import verdicts
from llmtwin_assets.evaluation.intervals import student
from llmtwin_assets.evaluation.measure import ANSWERS, MEASURED, read_answers
from llmtwin_assets.features.assets import read_documents
from llmtwin_assets.overview import FEATURES
from llmtwin_assets.records import Document, InstructSample, PreferenceSample, to_frame
from llmtwin_assets.retrieval.deployed import deployed_steps
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets.training import models, preferences
from llmtwin_assets.training.recipes import Recipe, recipe
from llmtwin_assets.training.sample import whole_lines
from resources import base_model
from resources.artifacts import ArtifactStore, open_artifacts, write_atomically
from resources.compute import QUIET
from resources.embedder import Embedder
from resources.reference_writers import ReferenceWriters
from resources.vectors import open_vectors

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
        data = steps.current(self.artifacts, author, "instruct_dataset")
        self.samples_file = data.file(SAMPLES)
        self.contexts = home / "contexts.json"
        self.samples: list[InstructSample] = read_samples(data)
        cleaned = steps.current(self.artifacts, author, "cleaned_documents")
        self.documents: list[Document] = read_documents(cleaned)

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

    def sft(self, plan: Recipe, name: str = "", samples: Path | None = None) -> Path:
        """The model after SFT, on other ``samples`` than the author's data set where given."""
        spec = {
            "base": str(self.base),
            "samples": str(samples or self.samples_file),
            "author_name": self.name,
            "recipe": asdict(plan),
        }
        folder = self.stage(
            f"sft-{name or plan.sft_method}-{plan.seed}", "llmtwin_assets.training.sft", spec
        )
        return folder / "model"

    def dpo(self, plan: Recipe, model: Path, name: str = "") -> Path:
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
        stage = "-".join(filter(None, ("dpo", name, str(plan.seed))))
        return self.stage(stage, "llmtwin_assets.training.dpo", spec) / "model"

    def answers(
        self, plan: Recipe, systems: dict[str, dict[str, Any]], name: str = "answers"
    ) -> Path:
        """What every system wrote and how it was measured, for one seed."""
        vectors = open_vectors(self.settings.vectors_url)
        embedder = Embedder(self.settings.embedder)

        steps, window = deployed_steps(self.settings, self.artifacts), models.window(self.base)
        before = Before(self.author, self.name, steps, vectors, embedder, plan.eval_tokens, window)
        write_contexts(self.contexts, gather(self.samples, plan.eval_prompts, before))
        spec = {
            "systems": systems,
            "contexts": str(self.contexts),
            "author_name": self.name,
            "samples": str(self.samples_file),
            "prompts": plan.eval_prompts,
            "tokens": plan.eval_tokens,
            "seed": plan.seed,
            "canaries": plan.sft_canaries,
            "earlier": [str(self.home / "stages" / f"answers-{plan.seed}" / MEASURED)],
        }
        return self.stage(f"{name}-{plan.seed}", "llmtwin_assets.evaluation.measure", spec)


def train(bench: Bench, plan: Recipe) -> dict[str, Path]:
    """Trained system -> its model."""
    sft = bench.sft(plan)
    # As the recipes with adapters have it.
    lora = bench.sft(replace(plan, sft_method="lora", sft_learning_rate=5e-4, sft_warmup_steps=5))
    return {SFT: sft, TWIN: bench.dpo(plan, sft), "lora": lora}


def systems(bench: Bench, trained: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What answers, as the measuring script names it."""
    base = str(bench.base)
    return {
        BASE: {"model": base, "probe": True},
        FEW_SHOT: {"model": base, "context": FEW_SHOT},
        RAG: {"model": base, "context": PASSAGES},
        **{name: {"model": str(model), "probe": True} for name, model in trained.items()},
    }


def score(bench: Bench, plan: Recipe, answers: Path) -> Figures:
    """All figures of one seed's answers."""
    measured = json.loads((answers / "result.json").read_text("utf-8"))["systems"]
    train = [document.text for document in bench.documents if document.split == "train"]
    writers = ReferenceWriters(bench.settings.reference_writers).load()
    return figures(measured, read_answers(answers / ANSWERS), train, writers, plan.seed)


def over_seeds(seeds: list[dict[str, float]]) -> dict[str, float]:
    """The mean of a figure with its interval: over prompts, as each seed has it, and over seeds, of
    which there are few (Student's t). One seed says nothing of others."""
    values = [each["value"] for each in seeds]
    prompts = fmean((each["high"] - each["low"]) / 2 for each in seeds)
    count = len(values)
    spread = student(count - 1) * stdev(values) / count**0.5 if count > 1 else 0.0
    reach = (prompts**2 + spread**2) ** 0.5
    found = fmean(values)
    return {
        "value": round(found, 3),
        "low": round(found - reach, 3),
        "high": round(found + reach, 3),
    }


def row(found: list[Figures], system: str) -> dict[str, Any]:
    """One system's figures over all seeds that have it."""
    those = [each for each in found if system in each["words"]]
    measures = those[0]["style"]["measures"]
    styled = {
        f"{kind} ({measure})": over_seeds([each["style"][kind][system][measure] for each in those])
        for measure in measures
        for kind in ("scores", "gains")
        if all(measure in each["style"][kind].get(system, {}) for each in those)
    }
    plain = {
        name: round(fmean(each["systems"][system][name] for each in those), 3)
        for name in ("nats", "prose", "followed")
        if all(name in each["systems"].get(system, {}) for each in those)
    }
    exposed = [
        bits for each in those for bits in each["systems"].get(system, {}).get("exposures", [])
    ]
    return {
        "seeds": len(those),
        **plain,
        **styled,
        "nearest writer": [each["nearest"].get(system) for each in those],
        "copied 8-grams": round(fmean(each["copied_8grams"][system] for each in those), 5),
        **({"exposure (bits)": round(fmean(exposed), 2)} if exposed else {}),
    }


def gates(found: Figures) -> dict[str, bool]:
    """What each gate of the report would say of this twin."""
    facts = {"found": found, "style_decides": True}
    return {name: verdict.passed for name, verdict in verdicts(facts).items()}


def asking(what: str) -> argparse.ArgumentParser:
    """What a benchmark of trainings asks of whoever runs it."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--author", default="james-madison")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", default="full")
    parser.add_argument("--home", type=Path, default=Path(".llmtwin/benchmarks/twin"))
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print its object."""
    parser = asking(__doc__.split("\n")[0])
    options = parser.parse_args(argv)
    plan = recipe(options.recipe)
    bench = Bench(options.author, options.home.resolve())
    found = []
    for seed in range(plan.seed, plan.seed + options.seeds):
        seeded = replace(plan, seed=seed)
        answers = bench.answers(seeded, systems(bench, train(bench, seeded)))
        found.append(score(bench, seeded, answers))
    results: dict[str, Any] = {name: row(found, name) for name in found[0]["words"]}
    results["gates open"] = [gates(each) for each in found]
    results["measures"] = found[0]["style"]["measures"]
    twin, author = results[TWIN], results[HELD_OUT]
    copies = goal(0.01, twin["copied 8-grams"])
    goals = {"copied 8-grams": copies}
    if "gains (function words)" in twin:
        gain = twin["gains (function words)"]["value"]
        goals["style gain (function words)"] = goal(0.9, gain, at_most=False)
    if "scores (verification)" in twin:
        beyond = twin["scores (verification)"]["value"] - author["scores (verification)"]["high"]
        goals["verification beyond the author's own interval"] = goal(0.0, round(beyond, 3))
    emit("twin", f"{options.author}, recipe {plan.name}, {options.seeds} seeds", results, goals)


if __name__ == "__main__":
    main()
