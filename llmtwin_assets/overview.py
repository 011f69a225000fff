"""What an author has, gathered from the stores: versions, figures, unreadable items."""

from typing import Any

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.settings import Settings
from resources.artifacts import open_artifacts
from resources.documents import open_documents

ASSETS = (
    "raw_articles",
    "raw_posts",
    "raw_repositories",
    "cleaned_documents",
    "chunks",
    "embeddings",
    "retrieval_report",
    "instruct_dataset",
    "sft_checkpoint",
    "preference_dataset",
    "dpo_checkpoint",
    "quantized_checkpoint",
    "eval_report",
    "endpoint",
)
# What can be made without training a model: up to the searchable index and the training data.
FEATURES = [*ASSETS[: ASSETS.index("retrieval_report")], "instruct_dataset"]


def overview(settings: Settings, author: str) -> dict[str, Any]:
    """One author's row: name, current version and figures of every asset, unreadable items, and
    the path of the evaluation report."""
    artifacts = open_artifacts(settings.artifacts_url)
    versions = {asset: artifacts.current(author, asset) for asset in ASSETS}
    report = versions["eval_report"]
    return {
        "author": author,
        "name": AuthorsFile(settings.authors_file).read().author(author).name,
        "assets": {
            asset: {"version": version.digest, "figures": dict(version.facts.get("figures", {}))}
            for asset, version in versions.items()
            if version is not None
        },
        "unreadable": open_documents(settings.documents_url).quarantine(author),
        "report": str(report.path / "report.html") if report else None,
    }
