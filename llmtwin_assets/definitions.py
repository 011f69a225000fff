"""The front door: a table of contents of the graph, and nothing else."""

from typing import Any

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.automation.conditions import automate
from llmtwin_assets.automation.jobs import jobs
from llmtwin_assets.automation.sensors import sensors
from llmtwin_assets.corpus import assets as corpus
from llmtwin_assets.corpus import checks as corpus_checks
from llmtwin_assets.datasets import assets as datasets
from llmtwin_assets.datasets import checks as datasets_checks
from llmtwin_assets.evaluation import assets as evaluation
from llmtwin_assets.evaluation import checks as evaluation_checks
from llmtwin_assets.features import assets as features
from llmtwin_assets.features import checks as features_checks
from llmtwin_assets.retrieval import assets as retrieval
from llmtwin_assets.retrieval import checks as retrieval_checks
from llmtwin_assets.serving import assets as serving
from llmtwin_assets.serving import checks as serving_checks
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets.training import assets as training
from llmtwin_assets.training import checks as training_checks
from resources.artifacts import open_artifacts
from resources.compute import open_compute
from resources.documents import open_documents
from resources.embedder import Embedder
from resources.interactions import open_interactions
from resources.reference_writers import ReferenceWriters
from resources.vectors import open_vectors

ROOMS = (corpus, features, retrieval, datasets, training, evaluation, serving)
CHECKS = (
    corpus_checks,
    features_checks,
    retrieval_checks,
    datasets_checks,
    training_checks,
    evaluation_checks,
    serving_checks,
)


def resources_for(settings: Settings) -> dict[str, Any]:
    """Every resource the graph uses, by the name its assets ask for it. Opens nothing yet."""
    artifacts = open_artifacts(settings.artifacts_url)
    return {
        "settings": settings,
        "registry": AuthorsFile(settings.authors_file),
        "documents": open_documents(settings.documents_url),
        "vectors": open_vectors(settings.vectors_url),
        "artifacts": artifacts,
        "embedder": Embedder(settings.embedder),
        "writers": ReferenceWriters(settings.reference_writers),
        "compute": open_compute(settings.compute_url, artifacts),
        "interactions": open_interactions(settings.interactions_url),
    }


def build_defs(
    settings: Settings,
    loggers: dict[str, dg.LoggerDefinition] | None = None,
    **overrides: Any,
) -> dg.Definitions:
    """The whole graph over the given settings; ``overrides`` replace resources by name."""
    assets = [asset for room in ROOMS for asset in room.assets]
    return dg.Definitions(
        assets=dg.with_source_code_references(automate(assets)),
        asset_checks=[check for room in CHECKS for check in room.checks],
        jobs=jobs,
        sensors=sensors,
        resources=resources_for(settings) | overrides,
        executor=dg.in_process_executor,
        loggers=loggers,
    )


defs = build_defs(from_environment())
