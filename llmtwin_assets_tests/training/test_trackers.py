"""Training figures in a tracker that the setting names: MLflow itself, over a database file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.training import dpo, script, sft

Rows = list[list[float]]


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow's client."""
    import mlflow

    address = f"sqlite:///{tmp_path}/mlflow.sqlite"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "twins")
    mlflow.set_tracking_uri(address)
    yield mlflow.MlflowClient()
    mlflow.end_run()
    mlflow.set_tracking_uri("")


def logged(tracker: Any, name: str) -> Rows:
    """``[step, value]`` rows of a figure of the one run."""
    experiment = tracker.get_experiment_by_name("twins")
    (run,) = tracker.search_runs([experiment.experiment_id])
    found = tracker.get_metric_history(run.info.run_id, name)
    return [[row.step, round(row.value, 4)] for row in sorted(found, key=lambda row: row.step)]


def test_what_the_ui_shows_of_fine_tuning_is_in_mlflow_too(
    tracker: Any, tiny: Path, samples: Path, smoke: dict[str, Any], tmp_path: Path
) -> None:
    spec = {
        "base": str(tiny),
        "samples": str(samples),
        "author_name": "A Writer",
        "recipe": smoke,
        "reporters": "mlflow",
        "output": str(tmp_path / "out"),
    }
    found = script.run(sft.main, spec, lambda text: None)
    assert found["steps"] > 1
    assert logged(tracker, "loss") == found["loss"]
    assert len(found["loss"]) == found["steps"]
    assert logged(tracker, "eval_loss") == found["history"]["held_out_loss"]
    for figure in ("grad_norm", "learning_rate", "tokens_per_second", "memory_gb"):
        assert len(logged(tracker, figure)) == found["steps"], figure


def test_preferences_are_tracked_as_well(
    tracker: Any, tiny: Path, pairs: Path, smoke: dict[str, Any], tmp_path: Path
) -> None:
    spec = {
        "model": str(tiny),
        "pairs": str(pairs),
        "recipe": smoke,
        "author_name": "A Writer",
        "reporters": "mlflow",
        "output": str(tmp_path / "out"),
    }
    found = script.run(dpo.main, spec, lambda text: None)
    assert logged(tracker, "loss") == found["loss"]
    assert len(logged(tracker, "rewards/margins")) == found["steps"]
