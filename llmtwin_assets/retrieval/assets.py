"""The retrieval report: does search find what the author wrote?"""

from functools import partial
from pathlib import Path

import dagster as dg

from llmtwin_assets.features.assets import (
    chunks,
    cleaned_documents,
    embeddings,
    read_chunks,
    read_documents,
)
from llmtwin_assets.records import Passage
from llmtwin_assets.retrieval import report, search
from llmtwin_assets.retrieval.chat import asking, chat_model
from llmtwin_assets.retrieval.deployed import decisive
from llmtwin_assets.retrieval.questions import questions
from llmtwin_assets.retrieval.scores import FIRST
from llmtwin_assets.settings import Settings
from llmtwin_assets.steps import Facts, Step, author_asset, save_plots
from resources.artifacts import ArtifactStore
from resources.embedder import Embedder
from resources.vectors import VectorStore

LOG_EVERY = 50  # questions


@author_asset("retrieval", "report-2", {"qdrant"}, deps=[cleaned_documents, chunks, embeddings])
def retrieval_report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    embedder: dg.ResourceParam[Embedder],
    vectors: dg.ResourceParam[VectorStore],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """Recall, reciprocal rank and nDCG of search on questions built from the author's train
    documents, what each step of it adds, and the questions it answers worst."""
    step = Step(context, artifacts)
    index = step.input("embeddings")
    chat = asking(chat_model(settings.home))
    steps = search.steps_for(settings.reranker, chat)
    inputs = {"index": index.digest, **decisive(settings)}

    def build(folder: Path) -> Facts:
        rows = read_chunks(step.input("chunks"))
        asked = questions(read_documents(step.input("cleaned_documents")), rows, chat)

        def find(question: str, way: search.Steps) -> list[Passage]:
            return search.retrieve(step.author, question, FIRST, vectors, embedder, steps=way)

        def told(way: str, done: int) -> None:
            if done % LOG_EVERY == 0:
                context.log.info(f"{done} of {len(asked)} questions asked, {way}")

        found = {
            name: report.ask(asked, find, way, partial(told, name))
            for name, way in report.ways(steps).items()
        }
        served, measured = found[report.AS_SERVED], report.figures(found)
        save_plots(folder, report.plots(measured, served))
        page = report.html(measured, served, rows, f"What search finds of {step.author}")
        (folder / "report.html").write_text(page, "utf-8")
        return measured | {"figures": report.headline(measured)}

    return step.publish(inputs, build)


assets = [retrieval_report]
