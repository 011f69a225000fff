"""The evaluation assets: a report per author, and a table of all twins."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import instruct_dataset, learned, read_samples
from llmtwin_assets.evaluation import (
    figures,
    findings,
    labels,
    lm_eval_tasks,
    page,
    pictures,
    ragas_scores,
)
from llmtwin_assets.evaluation.contexts import (
    FEW_SHOT,
    PASSAGES,
    Before,
    gather,
    write_contexts,
)
from llmtwin_assets.evaluation.gates import verdicts
from llmtwin_assets.evaluation.impostors import impostors
from llmtwin_assets.evaluation.leaderboard import ENDPOINT, REPORT, history_row, leaderboard
from llmtwin_assets.evaluation.measure import ANSWERS, MEASURED, read_answers
from llmtwin_assets.features.assets import cleaned_documents, embeddings, read_documents
from llmtwin_assets.retrieval.deployed import decisive, deployed_steps
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import GPU, OWNERS, Facts, Step, author_asset, save_plots
from llmtwin_assets.training import models
from llmtwin_assets.training.assets import base_model, quantized_checkpoint, sft_checkpoint
from llmtwin_assets.training.recipes import from_mapping
from resources import base_model as base_models
from resources.artifacts import ArtifactStore, Version
from resources.chat_model import ChatModel, open_chat_models
from resources.compute import Compute
from resources.embedder import Embedder
from resources.interactions import open_interactions
from resources.reference_writers import ReferenceWriters
from resources.vectors import VectorStore

reference_writers = dg.AssetSpec(
    "reference_writers",
    group_name="evaluation",
    kinds={"file"},
    description="Other writers that an author's style is measured against.",
)


@author_asset(
    "evaluation",
    "report-7",
    {"pytorch", "scikitlearn"},
    deps=[
        base_model,
        sft_checkpoint,
        quantized_checkpoint,
        instruct_dataset,
        cleaned_documents,
        embeddings,
        reference_writers,
    ],
    pool=GPU,
)
def eval_report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[AuthorsFile],
    writers: dg.ResourceParam[ReferenceWriters],
    embedder: dg.ResourceParam[Embedder],
    vectors: dg.ResourceParam[VectorStore],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """Whether the twin that would be served sounds like the author: beside its base model, the base
    model with examples and with passages, the twin that serves now, and the author's unseen
    text."""
    step = Step(context, artifacts)
    data, sft, twin, index = (
        step.input(asset)
        for asset in ("instruct_dataset", "sft_checkpoint", "quantized_checkpoint", "embeddings")
    )
    base = base_models.resolve(settings.base_model, settings.models)
    plan = from_mapping(dict(sft.facts["recipe"]))
    name = registry.read().author(step.author).name
    inputs = {
        "data": learned(data),
        "base": base_models.fingerprint(base),
        "sft": sft.digest,
        "twin": twin.digest,
        "index": index.digest,
        "passages": decisive(settings),
        "writers": writers.digest(),
        "prompts": [plan.eval_prompts, plan.eval_tokens, plan.eval_style, plan.seed],
    }
    judges = open_chat_models("LLMTWIN_JUDGE", settings.home / "judge.sqlite")
    inputs |= optional_inputs(settings, judges)
    people = labels.heard(
        settings.labels, open_interactions(settings.interactions_url), step.author
    )
    if people.spoke:
        inputs["labels"] = people.digest()
    for problem in people.problems:
        context.log.warning(f"{problem}; it is left out")
    deployed = artifacts.current(step.author, ENDPOINT)
    if deployed is not None and deployed.facts["twin"] == twin.digest:
        deployed = None

    def build(folder: Path) -> Facts:
        steps, window = deployed_steps(settings, artifacts), models.window(base)
        before = Before(step.author, name, steps, vectors, embedder, plan.eval_tokens, window)

        def look_up(question: str) -> list[str]:
            return [passage.text for passage in before(question)]

        work = artifacts.work(step.author, step.asset, step.digest(inputs))
        contexts = gather(read_samples(data), plan.eval_prompts, before)
        write_contexts(work / "contexts.json", contexts)
        earlier = step.previous()
        spec = {
            "systems": systems(base, sft, twin, deployed),
            "contexts": str(work / "contexts.json"),
            "author_name": name,
            "samples": str(data.file("samples.parquet")),
            "prompts": plan.eval_prompts,
            "tokens": plan.eval_tokens,
            "seed": plan.seed,
            "canaries": plan.sft_canaries,
            "tasks": list(settings.lm_eval),
            "tasks_folder": settings.lm_eval_tasks,
            "output": str(folder),
            "work": str(work / MEASURED),
            "earlier": [str(earlier.path / MEASURED)] if earlier else [],
        }
        measured = compute.run(context, "llmtwin_assets.evaluation.measure", spec)
        answers = read_answers(folder / ANSWERS)
        documents = read_documents(step.input("cleaned_documents"))
        others = impostors(artifacts, step.author)
        found = figures.figures(
            measured["systems"],
            answers,
            [d.text for d in documents if d.split == "train"],
            {**writers.load(), **others.texts},
            plan.seed,
        )
        by_twin = [row for row in answers if row["system"] == figures.TWIN_RAG]
        passages = [
            [passage.text for passage in contexts.passages[row["sample_id"]]] for row in by_twin
        ]
        found |= findings.knowledge_figures(answers, passages, documents, embedder)
        cases = [
            labels.Case(row["instruction"], row["text"], near)
            for row, near in zip(by_twin, passages, strict=True)
        ]
        found["labelled"] = findings.labelled_figures(
            people.labelled(look_up),
            [*cases, *people.unrated(look_up)],
            documents,
            read_samples(data),
            embedder,
        )
        if settings.ragas:
            model = replace(judges[0], cache=settings.home / "ragas" / f"{step.author}.sqlite")
            rows = findings.ragas_rows(by_twin, passages)
            found["ragas"] = ragas_scores.scores(rows, model, embedder.embed, context.log.info)
        if judges:
            shown = [d.text for d in documents if d.split == "train"]
            found["judge"] = findings.judge_figures(
                answers, shown, judges, plan.seed, context.log.info
            )
        facts = {
            "twin": twin.digest,
            "deployed": deployed.facts["twin"] if deployed else None,
            "style_decides": plan.eval_style,
            "impostors": list(others.digests),
            "found": found,
            "figures": figures.headline(found),
        }
        write_page(folder, facts, answers, name)
        return facts

    result = step.publish(inputs, build)
    made = step.input(REPORT)
    artifacts.note(step.author, REPORT, history_row(made, inputs, plan.name))
    return result


def optional_inputs(settings: Settings, judges: Sequence[ChatModel]) -> dict[str, Any]:
    """What decides a report only in deployments that chose it. Raises ``MissingExtraError``."""
    inputs: dict[str, Any] = {}
    if judges:
        inputs["judges"] = [[each.url, each.model, each.budget] for each in judges]
    if settings.ragas:
        inputs["ragas"] = ragas_scores.asked(judges)
    if settings.lm_eval:
        inputs["lm_eval"] = lm_eval_tasks.decisive(settings.lm_eval, settings.lm_eval_tasks)
    return inputs


def write_page(folder: Path, facts: Facts, answers: Sequence[figures.Answer], name: str) -> None:
    """The report to read, and its plots for the UI."""
    text = page.html(facts["found"], answers, f"The twin of {name}", verdicts(facts))
    (folder / "report.html").write_text(text, "utf-8")
    save_plots(folder, pictures.plots(facts["found"]))


def systems(
    base: Path, sft: Version, twin: Version, deployed: Version | None
) -> dict[str, dict[str, Any]]:
    """What is measured: a model each, what stands before the question, whether it is probed."""
    served = str(twin.path / "model")
    found: dict[str, dict[str, Any]] = {
        figures.BASE: {"model": str(base), "probe": True},
        figures.FEW_SHOT: {"model": str(base), "context": FEW_SHOT},
        figures.RAG: {"model": str(base), "context": PASSAGES},
        figures.SFT: {"model": str(sft.path / "model")},
        figures.TWIN: {"model": served, "probe": True},
        figures.TWIN_RAG: {"model": served, "context": PASSAGES},
    }
    if deployed is not None:
        found[figures.DEPLOYED] = {"model": str(deployed.path / "model")}
    return found


@dg.asset(
    group_name="evaluation",
    code_version="2",
    kinds={"polars"},
    owners=OWNERS,
    deps=[eval_report],
)
def twin_leaderboard(
    context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[ArtifactStore]
) -> dg.MaterializeResult:
    """Every twin of every author over time, with the digests that make it again; the newest first
    for each author."""
    rows = leaderboard(artifacts)
    digest = hashlib.sha256(json.dumps(rows).encode("utf-8")).hexdigest()[:16]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = [dg.TableRecord({name: row.get(name) for name in columns}) for row in rows]
    kinds = {name: _kind([row.get(name) for row in rows]) for name in columns}
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in kinds.items()])
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            **({"twins": dg.MetadataValue.table(table, schema)} if table else {}),
        },
        data_version=dg.DataVersion(digest),
    )


def _kind(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return "bool"
    return "float" if all(isinstance(value, int | float) for value in known) else "string"


assets: list[Any] = [reference_writers, eval_report, twin_leaderboard]
