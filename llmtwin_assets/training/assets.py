"""The training assets: fine-tuned checkpoint, preference pairs, preferred checkpoint, 8-bit twin.

Each hands a spec to a script that runs where ``compute`` says. The recipe is chosen once, for
``sft_checkpoint``; what comes after reads it from there.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import instruct_dataset, read_samples
from llmtwin_assets.features.assets import cleaned_documents, read_documents
from llmtwin_assets.records import PreferenceSample, to_frame
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import Facts, Step, author_asset, save_plots, save_table
from llmtwin_assets.training import preferences
from llmtwin_assets.training.recipes import Recipe, from_mapping, recipe
from llmtwin_assets.training.sample import whole_lines
from resources import base_model as base_models
from resources.artifacts import ArtifactStore
from resources.compute import Compute

base_model = dg.AssetSpec(
    "base_model",
    group_name="training",
    kinds={"huggingface"},
    description="The stock instruct model that every twin starts from (`LLMTWIN_BASE_MODEL`).",
)


class TrainingConfig(dg.Config):
    """What a person can choose when they materialise sft_checkpoint."""

    recipe: str = ""  # a name from training/recipes.py; the deployment's default when empty


@author_asset("training", "sft-1", {"pytorch"}, deps=[instruct_dataset, base_model])
def sft_checkpoint(
    context: dg.AssetExecutionContext,
    config: TrainingConfig,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The base model after supervised fine-tuning on the author's own passages."""
    step = Step(context, artifacts)
    data = step.input("instruct_dataset")
    base = base_models.resolve(settings.base_model, settings.models)
    plan = recipe(config.recipe or settings.recipe)
    inputs = {
        "data": data.digest,
        "base": base_models.fingerprint(base),
        "recipe": _without(plan, "preference_", "dpo_", "eval_"),
    }

    def build(folder: Path) -> Facts:
        spec = {
            "base": str(base),
            "samples": str(data.file("samples.parquet")),
            "author_name": registry.read().author(step.author).name,
            "recipe": asdict(plan),
            "output": str(folder),
            "work": str(artifacts.work(step.author, step.asset, step.digest(inputs))),
        }
        result = compute.run(context, "llmtwin_assets.training.sft", spec)
        base_models.check(folder / "model")
        from llmtwin_assets.plots import training_loss

        save_plots(folder, {"training_loss": training_loss(result["loss"])})
        return {
            "base": inputs["base"],
            "train_words": data.facts["train_words"],
            "recipe": asdict(plan),
            "loss": result["loss"],
            "figures": {
                "recipe": plan.name,
                "method": result["method"],
                "steps": result["steps"],
                "tokens": result["tokens"],
                "first loss": _round(result["loss"][0][1]),
                "last loss": _round(result["loss"][-1][1]),
                "tokens per second": result["tokens_per_second"],
            },
        }

    return step.publish(inputs, build)


@author_asset(
    "training",
    preferences.VERSION,
    {"pytorch", "polars"},
    deps=[sft_checkpoint, instruct_dataset, cleaned_documents],
)
def preference_dataset(
    context: dg.AssetExecutionContext,
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The author's text over what their own fine-tuned model wrote for the same instruction."""
    step = Step(context, artifacts)
    data, sft = step.input("instruct_dataset"), step.input("sft_checkpoint")
    plan = from_mapping(dict(sft.facts["recipe"]))
    inputs = {
        "data": data.digest,
        "sft": sft.digest,
        "pairs": [plan.preference_pairs, plan.preference_tokens],
    }

    def build(folder: Path) -> Facts:
        asked = preferences.choose(read_samples(data), plan.preference_pairs)
        work = artifacts.work(step.author, step.asset, step.digest(inputs))
        spec = {
            "model": str(sft.path / "model"),
            "author_name": registry.read().author(step.author).name,
            "prompts": [preferences.as_prompt(s, plan.preference_tokens) for s in asked],
            "seed": plan.seed,
            "output": str(work),
        }
        compute.run(context, "llmtwin_assets.training.sample", spec)
        texts = whole_lines(work / "texts.jsonl")
        rows, dropped = preferences.pairs(
            asked, texts, plan.preference_pairs, plan.preference_tokens
        )
        facts = save_table(to_frame(PreferenceSample, rows), folder / "pairs.parquet")
        documents = {d.id: d for d in read_documents(step.input("cleaned_documents"))}
        return facts | {
            "verbatim": sum(
                documents[row.document_id].text[row.start : row.end] == row.chosen for row in rows
            ),
            "held_out": sum(documents[row.document_id].split != "train" for row in rows),
            "figures": {
                "pairs": len(rows),
                "sampled": len(asked),
                **{f"dropped: {reason}": count for reason, count in sorted(dropped.items())},
            },
        }

    return step.publish(inputs, build)


@author_asset("training", "dpo-1", {"pytorch"}, deps=[sft_checkpoint, preference_dataset])
def dpo_checkpoint(
    context: dg.AssetExecutionContext,
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The fine-tuned model after direct preference optimisation on its own samples."""
    step = Step(context, artifacts)
    sft, pairs = step.input("sft_checkpoint"), step.input("preference_dataset")
    plan = from_mapping(dict(sft.facts["recipe"]))
    inputs = {"sft": sft.digest, "pairs": pairs.digest, "recipe": _without(plan, "sft_", "eval_")}

    def build(folder: Path) -> Facts:
        spec = {
            "model": str(sft.path / "model"),
            "pairs": str(pairs.file("pairs.parquet")),
            "author_name": registry.read().author(step.author).name,
            "recipe": asdict(plan),
            "output": str(folder),
            "work": str(artifacts.work(step.author, step.asset, step.digest(inputs))),
        }
        result = compute.run(context, "llmtwin_assets.training.dpo", spec)
        base_models.check(folder / "model")
        from llmtwin_assets.plots import reward_margin, training_loss

        save_plots(
            folder,
            {
                "reward_margin": reward_margin(result["margins"]),
                "training_loss": training_loss(result["loss"]),
            },
        )
        return {
            "loss": result["loss"],
            "margins": result["margins"],
            "figures": {
                "pairs": result["pairs"],
                "steps": result["steps"],
                "last loss": _round(result["loss"][-1][1]),
                "last reward margin": _round(result["margins"][-1][1]),
            },
        }

    return step.publish(inputs, build)


@author_asset("training", "q8-1", {"gguf"}, deps=[dpo_checkpoint, instruct_dataset])
def quantized_checkpoint(
    context: dg.AssetExecutionContext,
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The twin in 8 bits (GGUF Q8_0): what is evaluated and what is served."""
    step = Step(context, artifacts)
    dpo, data = step.input("dpo_checkpoint"), step.input("instruct_dataset")

    def build(folder: Path) -> Facts:
        spec = {
            "model": str(dpo.path / "model"),
            "samples": str(data.file("samples.parquet")),
            "author_name": registry.read().author(step.author).name,
            "output": str(folder),
        }
        result = compute.run(context, "llmtwin_assets.training.quantize", spec)
        return {
            "nats": result["nats"],
            "nats_before": result["nats_before"],
            "figures": {
                "megabytes": round(result["bytes"] / 1e6),
                "megabytes before": round(result["bytes_before"] / 1e6),
                "held-out nats per token": _round(result["nats"]),
                "held-out nats per token before": _round(result["nats_before"]),
                "same next token": _round(result["greedy_agreement"]),
            },
        }

    return step.publish({"dpo": dpo.digest, "data": data.digest}, build)


def _without(plan: Recipe, *prefixes: str) -> dict[str, Any]:
    """The recipe's fields that this step depends on: none of the stages named by ``prefixes``, and
    not its name, so that two recipes that agree here share the work."""
    return {
        name: value
        for name, value in asdict(plan).items()
        if name != "name" and not name.startswith(prefixes)
    }


def _round(value: float) -> float:
    return round(float(value), 4)


assets: list[Any] = [
    base_model,
    sft_checkpoint,
    preference_dataset,
    dpo_checkpoint,
    quantized_checkpoint,
]
