import json
from pathlib import Path

import pytest

from benchmarks.orchestration import one_more
from benchmarks.output import emit, goal


def test_a_benchmark_prints_one_object_with_five_keys(capsys: pytest.CaptureFixture[str]) -> None:
    emit("name", "data", {"ours": {"seconds": 1.0}}, {"fast": goal(2.0, 1.0)})
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["name", "machine", "data", "results", "goals"]
    assert printed["goals"]["fast"] == {"goal": 2.0, "got": 1.0, "met": True}


def test_goals_say_whether_they_were_met() -> None:
    assert not goal(2.0, 3.0)["met"]
    assert goal(2.0, 3.0, at_most=False)["met"]


def test_one_more_document_is_measured_beside_its_floor(tmp_path: Path) -> None:
    costs = one_more(tmp_path, 40)
    assert 0 < costs["copy of the files, wall seconds"] < costs["wall seconds"]
    assert costs["wall seconds"] < costs["full build, wall seconds"]
    assert "CPU seconds in embeddings" in costs
