"""The whole graph over a small world: one directory, a random two-layer model, real stores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from llmtwin_assets.automation.jobs import TWIN
from llmtwin_assets.definitions import build_defs
from llmtwin_assets.progress import cause
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets_tests.writing import essay
from resources.artifacts import ArtifactStore, open_artifacts


class World:
    """Settings, stores and a Dagster instance below one directory."""

    def __init__(self, home: Path, authors_file: Path, base_model: Path) -> None:
        environment = {
            "LLMTWIN_HOME": str(home),
            "LLMTWIN_AUTHORS": str(authors_file),
            "LLMTWIN_BASE_MODEL": str(base_model),
            "LLMTWIN_RECIPE": "smoke",
            "LLMTWIN_REFERENCE_WRITERS": str(write_writers(home.parent / "writers")),
        }
        self.settings: Settings = from_environment(environment)
        self.instance = dg.DagsterInstance.ephemeral()
        self.overrides: dict[str, Any] = {}

    @property
    def artifacts(self) -> ArtifactStore:
        return open_artifacts(self.settings.artifacts_url)

    def configure(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)

    def materialise(
        self, author: str, assets: list[str] | None = None, config: dict[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions("author", [author])
        job = build_defs(self.settings, **self.overrides).resolve_job_def(TWIN)
        return job.execute_in_process(
            instance=self.instance,
            partition_key=author,
            asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
            run_config={"ops": config or {}},
            raise_on_error=False,
        )


def write_writers(folder: Path) -> Path:
    """A few short writers: enough to compare with, and quick."""
    for number, name in enumerate(("ben", "cleo", "dora", "emil")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for part in range(3):
            text = essay(1000 * (number + 1) + part, paragraphs=6)
            (folder / name / f"{part}.md").write_text(text, "utf-8")
    return folder


def rebuilt(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """asset -> whether this run built it anew."""
    return {
        event.asset_key.path[-1]: bool(event.materialization.metadata["rebuilt"].value)
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Why the first failed step failed."""
    for event in result.all_events:
        if event.is_step_failure:
            return cause(event.step_failure_data.error)
    return ""


def closed_gates(result: dg.ExecuteInProcessResult) -> list[str]:
    """Names of the checks that did not pass."""
    return [
        evaluation.check_name
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
