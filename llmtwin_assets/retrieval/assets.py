"""The retrieval report: does search find what the author wrote?"""

import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

import dagster as dg

from llmtwin_assets.features.assets import (
    chunks,
    cleaned_documents,
    embeddings,
    read_chunks,
    read_documents,
)
from llmtwin_assets.retrieval.questions import questions, ranks, score
from llmtwin_assets.retrieval.search import retrieve
from llmtwin_assets.steps import Facts, Step, author_asset, save_plots
from resources.artifacts import ArtifactStore
from resources.embedder import Embedder
from resources.vectors import EdgeVectors

LOG_EVERY = 25  # questions


@author_asset("retrieval", "report-1", {"qdrant"}, deps=[cleaned_documents, chunks, embeddings])
def retrieval_report(
    context: dg.AssetExecutionContext,
    embedder: dg.ResourceParam[Embedder],
    vectors: dg.ResourceParam[EdgeVectors],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """Recall and reciprocal rank of search on questions built from the author's train documents."""
    step = Step(context, artifacts)
    index = step.input("embeddings")

    def build(folder: Path) -> Facts:
        documents = read_documents(step.input("cleaned_documents"))
        asked = questions(documents, read_chunks(step.input("chunks")))
        seconds: list[float] = []

        def find(question: str) -> list[tuple[str, str]]:
            began = time.perf_counter()
            found = retrieve(step.author, question, 10, vectors, embedder)
            seconds.append(time.perf_counter() - began)
            if len(seconds) % LOG_EVERY == 0:
                context.log.info(f"{len(seconds)} of {len(asked)} questions asked")
            return [(passage.document_id, passage.chunk_id) for passage in found]

        found = ranks(asked, find)
        kinds = {
            kind: score([r for r, q in zip(found, asked, strict=True) if q.kind == kind])
            for kind in ("title", "passage")
        }
        shown = {
            f"{kind} {name}": round(value, 3)
            for kind, scores in kinds.items()
            for name, value in asdict(scores).items()
        }
        from llmtwin_assets.plots import bars

        rates = {name: value for name, value in shown.items() if "questions" not in name}
        save_plots(folder, {"scores": bars(rates, "Search on train documents", "share")})
        return {
            "scores": {kind: asdict(scores) for kind, scores in kinds.items()},
            "figures": shown | {"milliseconds per question": round(1000 * median(seconds), 1)},
        }

    return step.publish({"index": index.digest}, build)


assets = [retrieval_report]
