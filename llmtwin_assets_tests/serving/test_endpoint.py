from datetime import date
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.records import Document, Split
from llmtwin_assets.serving.answer import opening_question
from llmtwin_assets.serving.assets import refuse_unless_passed, refuse_withdrawn
from llmtwin_assets.serving.endpoint import (
    NotEvaluatedError,
    NothingToRollBackError,
    NoTwinError,
    WithdrawnError,
    rollback,
    serving,
)
from llmtwin_assets_tests.test_gates import report as good_report
from resources.artifacts import ArtifactStore, Version, link_files


def serve(store: ArtifactStore, digest: str, weights: str) -> None:
    def build(folder: Path) -> dict[str, str]:
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(weights)
        return {"name": "Ada", "twin": f"twin-{digest}", "report": "r"}

    store.publish("ada", "endpoint", digest, build)
    store.prune("ada", "endpoint")


def report(twin: str = "t1", **changes: Any) -> Version:
    facts = good_report(**changes) | {"twin": twin}
    return Version("ada", "eval_report", "r1", Path(), facts)


def test_the_newest_twin_serves_and_rollback_returns_to_the_one_before(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for number in (1, 2, 3):
        serve(store, f"v{number}", f"weights {number}")
    assert (serving(store, "ada").model / "weights").read_text() == "weights 3"
    assert rollback(store, "ada").version == "v2"
    assert (serving(store, "ada").model / "weights").read_text() == "weights 2"
    assert rollback(store, "ada").version == "v3"


def test_there_is_nothing_to_roll_back_to_at_first(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(NoTwinError, match="make twin AUTHOR=ada"):
        rollback(store, "ada")
    serve(store, "v1", "weights")
    with pytest.raises(NothingToRollBackError):
        rollback(store, "ada")
    assert serving(store, "ada").version == "v1"


def test_the_served_model_outlives_the_checkpoint_it_came_from(tmp_path: Path) -> None:
    source = tmp_path / "checkpoint"
    source.mkdir()
    (source / "weights").write_text("weights")
    link_files(source, tmp_path / "endpoint")
    (source / "weights").unlink()
    assert (tmp_path / "endpoint" / "weights").read_text() == "weights"


def test_only_the_evaluated_twin_with_open_gates_may_serve() -> None:
    twin = Version("ada", "quantized_checkpoint", "t1", Path(), {})
    refuse_unless_passed(report(), twin)
    with pytest.raises(NotEvaluatedError, match="its report is of another version"):
        refuse_unless_passed(report(twin="t0"), twin)
    with pytest.raises(NotEvaluatedError, match="predicts_better_than_base"):
        refuse_unless_passed(report(systems__twin__nats=3.5), twin)


def test_a_twin_that_was_rolled_back_is_not_promoted_by_itself(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for number in (1, 2):
        serve(store, f"v{number}", f"weights {number}")
    refuse_withdrawn(store, "ada", "v2")
    rollback(store, "ada")
    with pytest.raises(WithdrawnError, match="llmtwin rollback ada"):
        refuse_withdrawn(store, "ada", "v2")
    serve(store, "v3", "weights 3")
    with pytest.raises(WithdrawnError):
        refuse_withdrawn(store, "ada", "v2")
    refuse_withdrawn(store, "ada", "v3")


def test_rolling_back_twice_returns_to_the_newer_twin_which_may_serve_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for number in (1, 2):
        serve(store, f"v{number}", f"weights {number}")
    rollback(store, "ada")
    assert rollback(store, "ada").version == "v2"
    refuse_withdrawn(store, "ada", "v2")


def test_the_opening_question_is_about_the_newest_train_document() -> None:
    def document(title: str, year: int, split: Split) -> Document:
        return Document(
            id=title, kind="article", url="u", title=title, published=date(year, 1, 1),
            text="t", search="t", raw_hash="h", split=split,
        )  # fmt: skip

    documents = [document("Old", 2020, "train"), document("New", 2023, "train")]
    held = document("Held", 2024, "held-out")
    assert opening_question([*documents, held]) == "What would you say about “New”?"
