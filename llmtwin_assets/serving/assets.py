"""The endpoint: which version of an author's twin serves."""

from pathlib import Path

import dagster as dg

from llmtwin_assets.authors import AuthorsFile
from llmtwin_assets.evaluation.assets import eval_report
from llmtwin_assets.evaluation.gates import verdicts
from llmtwin_assets.features.assets import embeddings
from llmtwin_assets.serving.endpoint import ENDPOINT, NotEvaluatedError, WithdrawnError
from llmtwin_assets.steps import Facts, Step, author_asset
from llmtwin_assets.training.assets import quantized_checkpoint
from resources.artifacts import ArtifactStore, Version, link_files


@author_asset(
    "serving", "endpoint-1", {"python"}, deps=[eval_report, quantized_checkpoint, embeddings]
)
def endpoint(
    context: dg.AssetExecutionContext,
    registry: dg.ResourceParam[AuthorsFile],
    artifacts: dg.ResourceParam[ArtifactStore],
) -> dg.MaterializeResult:
    """The twin that answers, exactly as it was evaluated; the one before is kept for rollback."""
    step = Step(context, artifacts)
    report, twin = step.input("eval_report"), step.input("quantized_checkpoint")
    refuse_unless_passed(report, twin)
    name = registry.read().author(step.author).name

    inputs = {"twin": twin.digest, "report": report.digest, "name": name}
    refuse_withdrawn(artifacts, step.author, step.digest(inputs))

    def build(folder: Path) -> Facts:
        link_files(twin.path / "model", folder / "model")
        return {
            "name": name,
            "twin": twin.digest,
            "report": report.digest,
            "evaluated": report.facts["twin"],
            "figures": {"twin": twin.digest, "report": report.digest},
        }

    return step.publish(inputs, build)


def refuse_withdrawn(artifacts: ArtifactStore, author: str, digest: str) -> None:
    """Raises ``WithdrawnError`` for a version that a rollback took back: a person knew better than
    the gates, and no schedule overrules that."""
    if digest in artifacts.withdrawn(author, ENDPOINT):
        raise WithdrawnError(
            f"twin {digest} of {author}",
            "a rollback took it back, and the one before serves",
            f"Train another, or run 'llmtwin rollback {author}' again to return to this one",
        )


def refuse_unless_passed(report: Version, twin: Version) -> None:
    """Raises ``NotEvaluatedError`` unless the report is of this twin and opens every gate. A check
    stops a run; this also stops a step that is run alone."""
    remedy = "Materialise eval_report and read what it says"
    if report.facts["twin"] != twin.digest:
        raise NotEvaluatedError(
            f"twin {twin.digest} of {twin.author}", "its report is of another version", remedy
        )
    for name, verdict in verdicts(dict(report.facts)).items():
        if not verdict.passed:
            raise NotEvaluatedError(
                f"twin {twin.digest} of {twin.author}",
                f"{name}: {verdict.because}",
                remedy,
            )


assets = [endpoint]
