"""The evaluation assets: a report per author, and a table of all twins."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.datasets.assets import instruct_dataset, learned, read_samples
from llmtwin_assets.evaluation import ares, figures, labels, page, panel, ragas_scores
from llmtwin_assets.evaluation.contexts import FEW_SHOT, PASSAGES, gather, write_contexts
from llmtwin_assets.evaluation.impostors import impostors
from llmtwin_assets.evaluation.knowledge import support
from llmtwin_assets.evaluation.measure import ANSWERS, MEASURED, read_answers
from llmtwin_assets.features.assets import cleaned_documents, embeddings, read_documents
from llmtwin_assets.records import Document, InstructSample, Passage
from llmtwin_assets.retrieval.search import retrieve
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import GPU, OWNERS, Facts, Step, author_asset, save_plots
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

REPORT, ENDPOINT = "eval_report", "endpoint"
SHOWN = 3  # passages before a question

reference_writers = dg.AssetSpec(
    "reference_writers",
    group_name="evaluation",
    kinds={"file"},
    description="Other writers that an author's style is measured against.",
)


@author_asset(
    "evaluation",
    "report-5",
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
        "writers": writers.digest(),
        "prompts": [plan.eval_prompts, plan.eval_tokens, plan.eval_style, plan.seed],
    }
    judges = open_chat_models("LLMTWIN_JUDGE", settings.home / "judge.sqlite")
    if judges:
        inputs["judges"] = [[each.url, each.model, each.budget] for each in judges]
    if settings.ragas:
        inputs["ragas"] = ragas_scores.asked(judges)
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
        def find(question: str) -> list[Passage]:
            return retrieve(step.author, question, SHOWN, vectors, embedder, "train")

        def look_up(question: str) -> list[str]:
            return [passage.text for passage in find(question)]

        work = artifacts.work(step.author, step.asset, step.digest(inputs))
        contexts = gather(read_samples(data), plan.eval_prompts, find)
        write_contexts(work / "contexts.json", contexts)
        before = step.previous()
        spec = {
            "systems": systems(base, sft, twin, deployed),
            "contexts": str(work / "contexts.json"),
            "author_name": name,
            "samples": str(data.file("samples.parquet")),
            "prompts": plan.eval_prompts,
            "tokens": plan.eval_tokens,
            "seed": plan.seed,
            "canaries": plan.sft_canaries,
            "output": str(folder),
            "work": str(work / MEASURED),
            "earlier": [str(before.path / MEASURED)] if before else [],
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
        found |= knowledge_figures(answers, passages, documents, embedder)
        cases = [
            labels.Case(row["instruction"], row["text"], near)
            for row, near in zip(by_twin, passages, strict=True)
        ]
        found["labelled"] = labelled_figures(
            people.labelled(look_up),
            [*cases, *people.unrated(look_up)],
            documents,
            read_samples(data),
            embedder,
        )
        if settings.ragas:
            model = replace(judges[0], cache=settings.home / "ragas" / f"{step.author}.sqlite")
            rows = ragas_rows(by_twin, passages)
            found["ragas"] = ragas_scores.scores(rows, model, embedder.embed, context.log.info)
        if judges:
            shown = [d.text for d in documents if d.split == "train"]
            found["judge"] = judge_figures(answers, shown, judges, plan.seed, context.log.info)
        text = page.html(found, answers, f"The twin of {name}")
        (folder / "report.html").write_text(text, "utf-8")
        save_plots(folder, page.plots(found))
        return {
            "twin": twin.digest,
            "deployed": deployed.facts["twin"] if deployed else None,
            "style_decides": plan.eval_style,
            "impostors": list(others.digests),
            "found": found,
            "figures": figures.headline(found),
        }

    result = step.publish(inputs, build)
    made = step.input(REPORT)
    artifacts.note(step.author, REPORT, history_row(made, inputs, plan.name))
    return result


def knowledge_figures(
    answers: Sequence[figures.Answer],
    passages: Sequence[Sequence[str]],
    documents: Sequence[Document],
    embedder: Embedder,
) -> figures.Figures:
    """How far the answers of the twin, and of the base model, are supported by the passages that
    stood before the question; nothing where that cannot be told."""
    foreign = foreign_texts(passages, documents)
    found = {
        name: support(texts, passages, foreign, embedder.embed)
        for name in (figures.TWIN_RAG, figures.RAG)
        if (texts := [row["text"] for row in answers if row["system"] == name])
    }
    return {"knowledge": {name: each for name, each in found.items() if each is not None}}


def foreign_texts(passages: Sequence[Sequence[str]], documents: Sequence[Document]) -> list[str]:
    """The author's texts that none of these passages is from."""
    given = {text for each in passages for text in each}
    return [
        document.text
        for document in documents
        if document.split == "train" and not any(text in document.text for text in given)
    ]


def labelled_figures(
    said: Sequence[labels.Labelled],
    others: Sequence[labels.Case],
    documents: Sequence[Document],
    samples: Sequence[InstructSample],
    embedder: Embedder,
) -> figures.Figures:
    """How many of the twin's answers are good, from those that people labelled and ``others``."""
    if not said:
        return ares.figures([], [], {})
    passages = [case.passages for case in others if case.passages]
    answered = [(row.instruction, row.answer) for row in samples if row.split == "train"]
    foreign = foreign_texts(passages, documents)
    return ares.figures(said, others, ares.judges(passages, foreign, answered, embedder.embed))


def ragas_rows(
    answers: Sequence[figures.Answer], passages: Sequence[Sequence[str]]
) -> list[ragas_scores.Row]:
    """What Ragas is asked about: answers with the passages before each, and the author's text."""
    return [
        ragas_scores.Row(row["instruction"], row["text"], near, row["author"])
        for row, near in zip(answers, passages, strict=True)
    ]


def judge_figures(
    answers: Sequence[figures.Answer],
    shown: Sequence[str],
    judges: Sequence[ChatModel],
    seed: int,
    say: Callable[[str], None],
) -> figures.Figures:
    """What judges say of these answers, knowing the texts that are shown to them."""
    written = figures.texts_by_system(answers)
    author = written.pop(figures.HELD_OUT)
    subjects = [row["instruction"] for row in answers[: len(author)]]
    found = panel.ask(judges, panel.questions(subjects, written, author, shown, seed), say)
    say(f"judges: {found['because']}")
    return found


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


def history_row(made: Version, inputs: dict[str, Any], recipe: str) -> dict[str, Any]:
    """What the leaderboard keeps of a report: figures, and all that is needed to make it again."""
    return {
        "made": made.made.isoformat(timespec="seconds"),
        "report": made.digest,
        "recipe": recipe,
        **{key: inputs[key] for key in ("twin", "sft", "data", "index", "base")},
        **made.facts["figures"],
    }


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


def leaderboard(artifacts: ArtifactStore) -> list[dict[str, Any]]:
    """One row per twin that was evaluated, by author, the newest first; ``serves`` marks those that
    answer now."""
    rows: list[dict[str, Any]] = []
    for author in artifacts.authors(REPORT):
        endpoint = artifacts.current(author, ENDPOINT)
        serving = endpoint.facts["report"] if endpoint else None
        rows += [
            {"author": author, "serves": row["report"] == serving, **row}
            for row in reversed(artifacts.history(author, REPORT))
        ]
    return rows


def _kind(values: list[Any]) -> str:
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return "bool"
    return "float" if all(isinstance(value, int | float) for value in known) else "string"


assets: list[Any] = [reference_writers, eval_report, twin_leaderboard]
