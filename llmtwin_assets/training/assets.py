"""The training assets: fine-tuned checkpoint, preference pairs, preferred checkpoint, and the twin
in the weights that it is served in.

Each hands a spec to a script that runs where ``compute`` says. The recipe is chosen once, for
``sft_checkpoint``; what comes after reads it from there.

There is no model registry beside this: versions are the artifact store's, each with a manifest of
what it was made of; the pointer of an asset is its current stage, and the pointer of ``endpoint``
is production, which ``llmtwin rollback`` moves back.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets import marking
from llmtwin_assets.datasets.assets import instruct_dataset, learned, read_samples
from llmtwin_assets.features.assets import cleaned_documents, read_documents
from llmtwin_assets.records import Document, PreferenceSample, to_frame
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import GPU, Facts, Step, author_asset, save_plots, save_table
from llmtwin_assets.training import card, pair_report, preferences, readers
from llmtwin_assets.training.recipes import Recipe, from_mapping, recipe
from llmtwin_assets.training.sample import whole_lines
from resources import base_model as base_models
from resources.artifacts import ArtifactStore, Version, link_files, sha256
from resources.chat_model import open_chat_model
from resources.compute import Compute
from resources.interactions import Interactions

base_model = dg.AssetSpec(
    "base_model",
    group_name="training",
    kinds={"huggingface"},
    description="The stock instruct model that every twin starts from (`LLMTWIN_BASE_MODEL`).",
)


reader_feedback = dg.AssetSpec(
    "reader_feedback",
    group_name="training",
    kinds={"sqlite"},
    description="What readers of the page thought of answers, and how they should have read.",
)


class TrainingConfig(dg.Config):
    """What a person can choose when they materialise sft_checkpoint."""

    recipe: str = ""  # a name from training/recipes.py; the deployment's default when empty


class PreferenceConfig(dg.Config):
    """What a person can choose when they materialise preference_dataset."""

    pairs_file: str = (
        ""  # JSON lines of instruction, chosen, rejected; on-policy samples when empty
    )


@author_asset("training", "sft-2", {"pytorch"}, deps=[instruct_dataset, base_model], pool=GPU)
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
        "data": learned(data),
        "base": base_models.fingerprint(base),
        "recipe": _without(plan, "preference_", "dpo_", "weights", "eval_"),
    }
    # A recipe that differs from the last one in what comes after is another version, because what
    # comes after reads the recipe here, but the same weights.
    trained = step.digest(inputs)
    last = step.previous()

    def again(version: Version, folder: Path) -> Facts:
        for part in ("model", "adapter", "plots"):
            if (version.path / part).is_dir():
                link_files(version.path / part, folder / part)
        figures = {**version.facts["figures"], "recipe": plan.name}
        return {**version.facts, "recipe": asdict(plan), "figures": figures}

    def train(folder: Path) -> Facts:
        spec = {
            "base": str(base),
            "samples": str(data.file("samples.parquet")),
            "author_name": registry.read().author(step.author).name,
            "recipe": asdict(plan),
            "output": str(folder),
            "work": str(artifacts.work(step.author, step.asset, trained)),
            **_how(settings),
        }
        result = compute.run(context, "llmtwin_assets.training.sft", spec)
        base_models.check(folder / "model")
        save_plots(folder, curves(result["history"]))
        held_out = result["history"]["held_out_loss"]
        return {
            "trained": trained,
            "base": inputs["base"],
            "base_name": base_models.public_name(settings.base_model, base),
            "made_of": result["made_of"],
            "train_words": data.facts["train_words"],
            "recipe": asdict(plan),
            "loss": result["loss"],
            "history": result["history"],
            "memory_estimate_gb": result["memory_estimate_gb"],
            "figures": {
                "recipe": plan.name,
                "method": result["method"],
                "backend": result["backend"],
                "steps": result["steps"],
                "tokens": result["tokens"],
                "first loss": _round(result["loss"][0][1]),
                "last loss": _round(result["loss"][-1][1]),
                **({"last held-out loss": _round(held_out[-1][1])} if held_out else {}),
                "tokens per second": result["tokens_per_second"],
                "peak memory (GB)": result["peak_memory_gb"],
            },
        }

    def build(folder: Path) -> Facts:
        same = last is not None and last.facts.get("trained") == trained
        facts = again(last, folder) if last is not None and same else train(folder)
        card.write(folder, "supervised fine-tuning", facts)
        return facts

    return step.publish({**inputs, "recipe": _without(plan)}, build)


def curves(history: dict[str, Any]) -> dict[str, bytes]:
    """The plots of a training: losses, gradient norm, speed and memory over its steps."""
    from llmtwin_assets.plots import over_steps, training_loss

    return {
        "training_loss": training_loss(history["loss"], history["held_out_loss"]),
        "gradient_norm": over_steps(history["gradient_norm"], "Gradient norm", "L2 norm"),
        "speed": over_steps(history["tokens_per_second"], "Speed of training", "tokens per second"),
        "memory": over_steps(history["memory_gb"], "Peak memory so far", "GB"),
    }


@author_asset(
    "training",
    preferences.VERSION,
    {"pytorch", "polars"},
    deps=[sft_checkpoint, instruct_dataset, cleaned_documents, reader_feedback],
    pool=GPU,
)
def preference_dataset(
    context: dg.AssetExecutionContext,
    config: PreferenceConfig,
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    interactions: dg.ResourceParam[Interactions],
    settings: dg.ResourceParam[Settings],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The author's text over what their own fine-tuned model wrote for the same instruction, or
    over the rejected texts of a file; and what readers preferred."""
    step = Step(context, artifacts)
    data, sft = step.input("instruct_dataset"), step.input("sft_checkpoint")
    plan = from_mapping(dict(sft.facts["recipe"]))
    feedback = interactions.feedback(step.author)
    inputs = {
        "data": learned(data),
        "sft": sft.facts["trained"],
        "feedback": [said["id"] for said in feedback],
        "pairs": [plan.preference_pairs, plan.preference_tokens],
        "file": sha256(preferences.given(config.pairs_file)) if config.pairs_file else "",
    }
    judge = open_chat_model("LLMTWIN_MARKS", settings.home / "marks" / f"{step.author}.sqlite")
    if judge is not None:
        inputs["marks"] = [marking.VERSION, judge.url, judge.model, judge.budget]

    documents = read_documents(step.input("cleaned_documents"))

    def on_policy() -> preferences.Found:
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
        return preferences.pairs(asked, texts, plan.preference_pairs, plan.preference_tokens)

    def build(folder: Path) -> Facts:
        rows, dropped = (
            preferences.from_file(Path(config.pairs_file), documents, plan.preference_pairs)
            if config.pairs_file
            else on_policy()
        )
        if judge is not None and data.facts.get("judge_believed"):
            asked = [(row.instruction, row.chosen, row.rejected) for row in rows]
            rows, down = preferences.marked(rows, marking.of_two(judge, asked, context.log.info))
            dropped = [*dropped, *down]
        held_out = [document.text for document in documents if document.split == "held-out"]
        said, unsaid = readers.pairs(feedback, held_out, len(rows), plan.preference_tokens)
        return _save_pairs(folder, [*rows, *said], [*dropped, *unsaid], documents)

    return step.publish(inputs, build)


def _save_pairs(
    folder: Path,
    rows: list[PreferenceSample],
    dropped: list[preferences.Dropped],
    documents: list[Document],
) -> Facts:
    """Store pairs, what was dropped, and their page."""
    import polars as pl

    names = [field.name for field in fields(preferences.Dropped)]
    gone = {name: [getattr(each, name) for each in dropped] for name in names}
    pl.DataFrame(gone, schema=dict.fromkeys(names, pl.String)).write_parquet(
        folder / "dropped.parquet"
    )
    (folder / "report.html").write_text(pair_report.pair_page(rows, dropped), "utf-8")
    table = save_table(to_frame(PreferenceSample, rows), folder / "pairs.parquet")
    return table | pair_report.facts(rows, dropped, documents)


@author_asset("training", "dpo-2", {"pytorch"}, deps=[sft_checkpoint, preference_dataset], pool=GPU)
def dpo_checkpoint(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The fine-tuned model after direct preference optimisation on its own samples."""
    step = Step(context, artifacts)
    sft, pairs = step.input("sft_checkpoint"), step.input("preference_dataset")
    plan = from_mapping(dict(sft.facts["recipe"]))
    inputs = {
        "sft": sft.facts["trained"],
        "pairs": pairs.digest,
        "recipe": _without(plan, "sft_", "weights", "eval_"),
    }

    def build(folder: Path) -> Facts:
        spec = {
            "model": str(sft.path / "model"),
            "pairs": str(pairs.file("pairs.parquet")),
            "author_name": registry.read().author(step.author).name,
            "recipe": asdict(plan),
            "output": str(folder),
            "work": str(artifacts.work(step.author, step.asset, step.digest(inputs))),
            **_how(settings),
        }
        result = compute.run(context, "llmtwin_assets.training.dpo", spec)
        base_models.check(folder / "model")
        from llmtwin_assets.plots import reward_margin

        save_plots(
            folder,
            {**curves(result["history"]), "reward_margin": reward_margin(result["margins"])},
        )
        facts = {
            "base": sft.facts["base"],
            "base_name": sft.facts["base_name"],
            "made_of": result["made_of"],
            "recipe": asdict(plan),
            "loss": result["loss"],
            "margins": result["margins"],
            "history": result["history"],
            "memory_estimate_gb": result["memory_estimate_gb"],
            "figures": {
                "pairs": result["pairs"],
                "method": result["method"],
                "backend": result["backend"],
                "steps": result["steps"],
                "last loss": _round(result["loss"][-1][1]),
                "last reward margin": _round(result["margins"][-1][1]),
                "tokens per second": result["tokens_per_second"],
                "peak memory (GB)": result["peak_memory_gb"],
            },
        }
        card.write(folder, "direct preference optimisation", facts)
        return facts

    return step.publish(inputs, build)


@author_asset(
    "training",
    "weights-1",
    {"gguf"},
    deps=[sft_checkpoint, dpo_checkpoint, instruct_dataset],
    pool=GPU,
)
def quantized_checkpoint(
    context: dg.AssetExecutionContext,
    registry: dg.ResourceParam[AuthorsFile],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The twin in the recipe's weights (8 bits, GGUF Q8_0, unless it says otherwise): what is
    evaluated and what is served."""
    step = Step(context, artifacts)
    dpo, data = step.input("dpo_checkpoint"), step.input("instruct_dataset")
    plan = from_mapping(dict(step.input("sft_checkpoint").facts["recipe"]))
    inputs = {"dpo": dpo.digest, "data": learned(data), "weights": plan.weights}

    def build(folder: Path) -> Facts:
        spec = {
            "model": str(dpo.path / "model"),
            "samples": str(data.file("samples.parquet")),
            "author_name": registry.read().author(step.author).name,
            "weights": plan.weights,
            "output": str(folder),
        }
        result = compute.run(context, "llmtwin_assets.training.quantize", spec)
        base_models.check(folder / "model")
        facts = {
            "base": dpo.facts["base"],
            "base_name": dpo.facts["base_name"],
            "made_of": dpo.facts["made_of"],
            "recipe": asdict(plan),
            "nats": result["nats"],
            "nats_before": result["nats_before"],
            "bytes": result["bytes"],
            "bytes_before": result["bytes_before"],
            "figures": {
                "weights": plan.weights,
                "megabytes": round(result["bytes"] / 1e6),
                "megabytes before": round(result["bytes_before"] / 1e6),
                "held-out nats per token": _round(result["nats"]),
                "held-out nats per token before": _round(result["nats_before"]),
                "same next token": _round(result["greedy_agreement"]),
                "tokens per second": result["tokens_per_second"],
                "tokens per second before": result["tokens_per_second_before"],
            },
        }
        card.write(folder, f"quantisation to {plan.weights}", facts)
        return facts

    return step.publish(inputs, build)


def _how(settings: Settings) -> dict[str, str]:
    """What a deployment chooses about a training that does not change its result."""
    return {"reporters": settings.reporters, "accelerate": settings.accelerate}


def _without(plan: Recipe, *prefixes: str) -> dict[str, Any]:
    """The recipe's fields that this step depends on: none of the stages named by ``prefixes``, and
    neither name nor source, so that two recipes that agree here share the work."""
    return {
        name: value
        for name, value in asdict(plan).items()
        if name not in ("name", "source") and not name.startswith(prefixes)
    }


def _round(value: float) -> float:
    return round(float(value), 4)


assets: list[Any] = [
    base_model,
    reader_feedback,
    sft_checkpoint,
    preference_dataset,
    dpo_checkpoint,
    quantized_checkpoint,
]
