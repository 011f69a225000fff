"""What an author has, gathered from the stores: versions, figures, gates, freshness, and items that
could not be read. It starts nothing and changes nothing."""

from collections.abc import Mapping
from typing import Any

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.settings import Settings
from resources.artifacts import Version, open_artifacts
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
CORPUS = ASSETS[: ASSETS.index("chunks")]
# What can be made without training a model: up to the searchable index and the training data.
FEATURES = [*ASSETS[: ASSETS.index("retrieval_report")], "instruct_dataset"]


def overview(settings: Settings, author: str) -> dict[str, Any]:
    """One author's row: name, what serves and how fresh it is, every asset's current version with
    figures and gates, unreadable items, and the path of the evaluation report."""
    artifacts = open_artifacts(settings.artifacts_url)
    stored = {asset: artifacts.current(author, asset) for asset in ASSETS}
    versions = {asset: version for asset, version in stored.items() if version is not None}
    report = versions.get("eval_report")
    return {
        "author": author,
        "name": AuthorsFile(settings.authors_file).read().author(author).name,
        "serves": serves(versions),
        "assets": {
            asset: {
                "version": version.digest,
                "made": version.made.isoformat(timespec="seconds"),
                "figures": dict(version.facts.get("figures", {})),
                "gates": gates(version),
            }
            for asset, version in versions.items()
        },
        "unreadable": open_documents(settings.documents_url).quarantine(author),
        "report": str(report.path / "report.html") if report else None,
    }


def serves(versions: Mapping[str, Version]) -> dict[str, Any] | None:
    """Which twin answers, since when, and what has come in that it does not know; None before the
    first one."""
    endpoint = versions.get("endpoint")
    if endpoint is None:
        return None
    newest = versions.get("quantized_checkpoint")
    return {
        "version": endpoint.digest,
        "made": endpoint.made.isoformat(timespec="seconds"),
        "newest twin": newest is not None and newest.digest == endpoint.facts["twin"],
        "words not trained on": untrained_words(versions),
    }


def untrained_words(versions: Mapping[str, Version]) -> int:
    """How many words the data set has gained (or lost) since the checkpoint was trained."""
    data, trained = versions.get("instruct_dataset"), versions.get("sft_checkpoint")
    if data is None or trained is None:
        return 0
    return abs(int(data.facts["train_words"]) - int(trained.facts["train_words"]))


def gates(version: Version) -> list[dict[str, Any]]:
    """What each gate of a version's asset says of it."""
    import llmtwin_assets.definitions  # noqa: F401 -- loading the rooms declares their gates
    from llmtwin_assets.steps import JUDGES, Verdict

    found = []
    for judge in JUDGES.get(version.asset, []):
        try:
            verdict = judge(dict(version.facts))
        except KeyError:
            verdict = Verdict(False, "earlier code made it and recorded too little; make it again")
        found.append({"gate": judge.__name__, "passed": verdict.passed, "because": verdict.because})
    return found
