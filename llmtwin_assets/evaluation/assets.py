"""The evaluation assets: a report per author, and a table of all twins."""

import hashlib
import json
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import instruct_dataset
from llmtwin_assets.evaluation import report
from llmtwin_assets.evaluation.measure import ANSWERS, read_answers
from llmtwin_assets.features.assets import cleaned_documents, read_documents
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import OWNERS, Facts, Step, author_asset, save_plots
from llmtwin_assets.training.assets import base_model, quantized_checkpoint, sft_checkpoint
from llmtwin_assets.training.recipes import from_mapping
from resources import base_model as base_models
from resources.artifacts import ArtifactStore
from resources.compute import Compute
from resources.reference_writers import ReferenceWriters

reference_writers = dg.AssetSpec(
    "reference_writers",
    group_name="evaluation",
    kinds={"file"},
    description="Other writers that an author's style is measured against.",
)


@author_asset(
    "evaluation",
    "report-1",
    {"pytorch"},
    deps=[
        base_model,
        sft_checkpoint,
        quantized_checkpoint,
        instruct_dataset,
        cleaned_documents,
        reference_writers,
    ],
)
def eval_report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    registry: dg.ResourceParam[AuthorsFile],
    writers: dg.ResourceParam[ReferenceWriters],
    compute: dg.ResourceParam[Compute],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """How the twin that would be served compares with its base and with the author's unseen text:
    held-out loss, Burrows' Delta, copies."""
    step = Step(context, artifacts)
    data, sft, twin = (
        step.input(asset)
        for asset in ("instruct_dataset", "sft_checkpoint", "quantized_checkpoint")
    )
    base = base_models.resolve(settings.base_model, settings.models)
    plan = from_mapping(dict(sft.facts["recipe"]))
    inputs = {
        "data": data.digest,
        "base": base_models.fingerprint(base),
        "sft": sft.digest,
        "twin": twin.digest,
        "writers": writers.digest(),
        "prompts": [plan.eval_prompts, plan.eval_tokens, plan.seed],
    }

    def build(folder: Path) -> Facts:
        name = registry.read().author(step.author).name
        spec = {
            "models": {
                "base": str(base),
                "sft": str(sft.path / "model"),
                "twin": str(twin.path / "model"),
            },
            "author_name": name,
            "samples": str(data.file("samples.parquet")),
            "prompts": plan.eval_prompts,
            "tokens": plan.eval_tokens,
            "seed": plan.seed,
            "output": str(folder),
            "work": str(artifacts.work(step.author, step.asset, step.digest(inputs))),
        }
        measured = compute.run(context, "llmtwin_assets.evaluation.measure", spec)
        answers = read_answers(folder / ANSWERS)
        documents = read_documents(step.input("cleaned_documents"))
        found = report.figures(
            measured,
            answers,
            [d.text for d in documents if d.split == "train"],
            [d.text for d in documents if d.split == "held-out"],
            writers.load(),
            plan.seed,
        )
        page = report.html(found, answers, f"The twin of {name}")
        (folder / "report.html").write_text(page, "utf-8")
        save_plots(folder, report.plots(found))
        return {"twin": twin.digest, "found": found, "figures": report.headline(found)}

    return step.publish(inputs, build)


@dg.asset(
    group_name="evaluation",
    code_version="1",
    kinds={"polars"},
    owners=OWNERS,
    deps=[eval_report],
)
def twin_leaderboard(
    context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[ArtifactStore]
) -> dg.MaterializeResult:
    """Every author's current twin in one table, by how much of the way to the author's own style it
    has gone."""
    rows = leaderboard(artifacts)
    digest = hashlib.sha256(json.dumps(rows).encode("utf-8")).hexdigest()[:16]
    table = [dg.TableRecord(row) for row in rows]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            **({"twins": dg.MetadataValue.table(table)} if table else {}),
        },
        data_version=dg.DataVersion(digest),
    )


def leaderboard(artifacts: ArtifactStore) -> list[dict[str, Any]]:
    """One row per author that has a report, the best style gain first."""
    rows = []
    for author in artifacts.authors("eval_report"):
        version = artifacts.current(author, "eval_report")
        if version is not None:
            row = {"author": author, "twin": version.facts["twin"], "report": version.digest}
            rows.append(row | dict(version.facts["figures"]))
    return sorted(rows, key=lambda row: -float(row.get("style gain (Delta)", 0.0)))


assets: list[Any] = [reference_writers, eval_report, twin_leaderboard]
