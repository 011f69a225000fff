"""The instruct data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.authors import authors_partition
from llmtwin_assets.datasets import figures, given, instruct, marking, quality, review, teacher
from llmtwin_assets.datasets.page import dataset_page
from llmtwin_assets.datasets.passages import prose
from llmtwin_assets.datasets.quality import DROPPED, SAMPLES
from llmtwin_assets.datasets.topics import topics
from llmtwin_assets.features.assets import (
    cleaned_documents,
    read_documents,
    unchanged_documents,
)
from llmtwin_assets.features.words import length
from llmtwin_assets.records import Document, InstructSample, from_frame, to_frame
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import Facts, Step, author_asset, read_table, save_plots, save_table
from resources.artifacts import ArtifactStore, Version, sha256
from resources.chat_model import ChatModel, open_chat_model
from resources.embedder import Embedder
from resources.interactions import Interactions

review_decisions = dg.AssetSpec(
    "review_decisions",
    group_name="datasets",
    kinds={"sqlite"},
    partitions_def=authors_partition,
    description="What reviewers decided about pairs: accepted, edited, rejected.",
)


@author_asset("datasets", instruct.VERSION, {"polars"}, deps=[cleaned_documents, review_decisions])
def instruct_dataset(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    interactions: dg.ResourceParam[Interactions],
    embedder: dg.ResourceParam[Embedder],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """Instructions with the author's own passages as answers, verbatim, split by document; what was
    not worth keeping, or rejected in review, is stored beside them with its reason."""
    step = Step(context, artifacts)
    cleaned = step.input("cleaned_documents")
    file = given.file(settings.pairs_file, step.author)
    decisions = review.holding(interactions.decisions(step.author))
    model = open_chat_model("LLMTWIN_TEACHER", settings.home / "teacher" / f"{step.author}.sqlite")
    judge = open_chat_model("LLMTWIN_MARKS", settings.home / "marks" / f"{step.author}.sqlite")
    inputs: dict[str, Any] = {"documents": cleaned.digest}
    if file is not None:
        inputs["file"] = sha256(file)
    if decisions:
        inputs["review"] = review.state(decisions)
    if settings.by_meaning:
        inputs["by meaning"] = [*settings.by_meaning, embedder.digest]
    if model is not None:
        inputs["teacher"] = [teacher.VERSION, model.url, model.model, model.budget]
        if settings.evolve:
            inputs["evolve"] = [*settings.evolve, embedder.digest]
    if judge is not None:
        inputs["marks"] = [marking.VERSION, judge.url, judge.model, judge.budget]

    def build(folder: Path) -> Facts:
        documents, before = read_documents(cleaned), step.previous()
        unchanged: set[str] = set()
        if before and before.facts["code"] == instruct.VERSION:
            unchanged = unchanged_documents(artifacts, cleaned, before.facts["made_of"])
        known = _candidates(before) if before and unchanged else []
        candidates = instruct.candidates(documents, unchanged, known)
        more, wrong = given.rows(file, documents) if file else ([], [])
        told: dict[str, float] = {}
        if model is not None:
            say = context.log.info
            taught = teacher.teach(model, documents, say, settings.evolve, embedder.embed)
            more, wrong = [*taught.rows, *more], [*taught.left_out, *wrong]
            told |= teacher.figures(taught)
        held_out = [document.text for document in documents if document.split == "held-out"]
        rows = to_frame(InstructSample, review.reviewed([*candidates, *more], decisions))
        found = quality.judged(rows, held_out, settings.by_meaning, embedder.embed)
        found = review.settled(found, decisions)
        found = quality.capped(found, given.GENERAL, given.GENERAL_SHARE)
        marks = _marks(judge, found, context.log.info) if judge else None
        if marks:
            found = quality.marked(found, marks.marks)
            wrong = [*wrong, *filter(None, [marks.because])]
            told |= marks.figures()
        if more or wrong:
            told |= {"given": len(more), "could not be used": len(wrong)}
        facts = _save(folder, documents, found, wrong)
        facts["figures"] |= told | review.counts(found, decisions)
        believed = marks is not None and not marks.because
        made = {"made_of": cleaned.digest, "code": instruct.VERSION}
        return facts | made | {"judge_believed": believed}

    return step.publish(inputs, build)


def read_samples(version: Version) -> list[InstructSample]:
    """The rows of a version of instruct_dataset."""
    return from_frame(InstructSample, read_table(version, SAMPLES))


def learned(version: Version) -> str:
    """Names what there is to learn in a version: it stays when only what is said of the rows has
    changed, as when a reviewer accepts them."""
    return str(version.facts.get("learned", version.digest))


def _marks(judge: ChatModel, found: quality.Judged, say: Callable[[str], None]) -> marking.Marked:
    """What a judge says of the rows to train on that nobody has reviewed."""
    rows = found.kept.filter(split="train", reviewed="")
    return marking.mark(judge, from_frame(InstructSample, rows), say)


def _candidates(version: Version) -> list[InstructSample]:
    """What rules wrote to make a version, in the order of the documents' text."""
    rows = [
        *read_samples(version),
        *from_frame(InstructSample, read_table(version, DROPPED)),
    ]
    made = map(review.as_generated, rows)
    ours = [row for row in made if row.written_by == instruct.WRITTEN_BY]
    return sorted(ours, key=lambda row: (row.document_id, row.start))


def _save(
    folder: Path, documents: list[Document], judged: quality.Judged, wrong: list[str]
) -> Facts:
    from llmtwin_assets.plots import bars, histogram

    learned = [d for d in documents if d.split == "train" and d.kind != "repository"]
    train = judged.kept.filter(judged.kept["split"] == "train")
    ids = set(train["document_id"])
    used = {place for place, document in enumerate(learned) if document.id in ids}
    about = topics([prose(d.text) for d in learned], train["answer"].to_list(), used)
    lengths = [length(answer) for answer in judged.kept["answer"]]
    plots = {
        "candidates": bars(
            {"kept": judged.kept.height, **judged.funnel}, "Candidates", "rows", highlight="kept"
        ),
        "answers": histogram(lengths, "words", "Answers"),
    }
    if judged.kept.height:
        save_plots(folder, plots)
    judged.dropped.write_parquet(folder / DROPPED)
    (folder / "report.html").write_text(dataset_page(judged, about, plots, wrong), "utf-8")
    facts = {"learned": figures.learned(judged.kept)} | figures.facts(judged, documents, about)
    return save_table(judged.kept, folder / SAMPLES) | facts


assets = [review_decisions, instruct_dataset]
