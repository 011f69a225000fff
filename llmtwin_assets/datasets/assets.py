"""The instruct data set."""

from collections import Counter
from pathlib import Path

import dagster as dg

from llmtwin_assets.datasets import instruct
from llmtwin_assets.features.assets import (
    cleaned_documents,
    read_documents,
    unchanged_documents,
)
from llmtwin_assets.records import Document, InstructSample, from_frame, to_frame
from llmtwin_assets.steps import Facts, Step, author_asset, save_plots, save_table
from resources.artifacts import ArtifactStore, Version

SAMPLES = "samples.parquet"
CANDIDATES = "candidates.parquet"  # before duplicates and leaks are taken out


@author_asset("datasets", instruct.VERSION, {"polars"}, deps=[cleaned_documents])
def instruct_dataset(
    context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[ArtifactStore]
) -> dg.MaterializeResult:
    """Instructions with the author's own passages as answers, verbatim, split by document."""
    step = Step(context, artifacts)
    cleaned = step.input("cleaned_documents")

    def build(folder: Path) -> Facts:
        documents, before = read_documents(cleaned), step.previous()
        unchanged: set[str] = set()
        if before and before.facts["code"] == instruct.VERSION:
            unchanged = unchanged_documents(artifacts, cleaned, before.facts["made_of"])
        known = _read(before, CANDIDATES) if before and unchanged else []
        found = instruct.candidates(documents, unchanged, known)
        save_table(to_frame(InstructSample, found), folder / CANDIDATES)
        held = instruct.held_out_ngrams(documents)
        rows = instruct.samples(found, held)
        facts = save_table(to_frame(InstructSample, rows), folder / SAMPLES)
        if rows:
            from llmtwin_assets.plots import histogram

            lengths = [len(row.answer.split()) for row in rows]
            save_plots(folder, {"answers": histogram(lengths, "words", "Answers")})
        return (
            facts
            | quality(rows, documents, held)
            | {"made_of": cleaned.digest, "code": instruct.VERSION}
        )

    return step.publish({"documents": cleaned.digest}, build)


def quality(
    rows: list[InstructSample], documents: list[Document], held: set[tuple[str, ...]]
) -> Facts:
    """What the gates judge and a person reads."""
    texts = {document.id: document.text for document in documents}
    train = [row for row in rows if row.split == "train"]
    train_ids = {document.id for document in documents if document.split == "train"}
    kinds = Counter(row.kind for row in rows)
    return {
        "train": len(train),
        "train_words": sum(len(row.answer.split()) for row in train),
        "verbatim": sum(texts[row.document_id][row.start : row.end] == row.answer for row in rows),
        "leaking": sum(
            row.document_id not in train_ids or instruct.leaks(row, held) for row in train
        ),
        "duplicates": len(rows) - len({row.answer for row in rows}),
        "figures": {
            "train": len(train),
            "held out": len(rows) - len(train),
            "words to train on": sum(len(row.answer.split()) for row in train),
            **{f"kind: {kind}": count for kind, count in sorted(kinds.items())},
        },
    }


def read_samples(version: Version) -> list[InstructSample]:
    """The rows of a version of instruct_dataset."""
    return _read(version, SAMPLES)


def _read(version: Version, name: str) -> list[InstructSample]:
    import polars as pl

    return from_frame(InstructSample, pl.read_parquet(version.file(name)))


assets = [instruct_dataset]
