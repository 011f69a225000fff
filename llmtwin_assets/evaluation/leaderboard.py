"""Every twin that was evaluated, over time: what is kept of a report, and the table of them all."""

from typing import Any

from resources.artifacts import ArtifactStore, Version

REPORT, ENDPOINT = "eval_report", "endpoint"


def history_row(made: Version, inputs: dict[str, Any], recipe: str) -> dict[str, Any]:
    """What the leaderboard keeps of a report: figures, and all that is needed to make it again."""
    return {
        "made": made.made.isoformat(timespec="seconds"),
        "report": made.digest,
        "recipe": recipe,
        **{key: inputs[key] for key in ("twin", "sft", "data", "index", "base")},
        **made.facts["figures"],
    }


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
