"""lm-eval, really run on a small model: a task of one's own, from files."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.evaluation import lm_eval_tasks, measure, sections
from llmtwin_assets.evaluation.contexts import Contexts, write_contexts
from llmtwin_assets.evaluation.lm_eval_tasks import TaskNotRunError
from llmtwin_assets.records import InstructSample, to_frame
from llmtwin_assets.training import models, script
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.evaluation.test_measure import sample

YAML = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tasks: one with 40 questions, the other's are not there."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    rows = [
        {"question": f"Question {n}?", "choices": ["the union", "a"], "answer": n % 2}
        for n in range(40)
    ]
    data = tasks / "rows.json"
    data.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for name, path in (("unions", data), ("lost", tmp_path / "nothing.json")):
        (tasks / f"{name}.yaml").write_text(YAML.format(name=name, data=path), "utf-8")
    return tasks


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.build(tmp_path_factory.mktemp("tiny"))


def test_a_task_is_scored_with_its_own_standard_error(folder: Path, tiny: Path) -> None:
    found = lm_eval_tasks.score("unions", str(folder), *models.load(tiny))
    assert found["questions"] == 40
    share, error = found["metrics"]["acc"].values()
    assert 0 < share < 1
    assert error == pytest.approx((share * (1 - share) / 39) ** 0.5)


def test_a_task_without_data_or_name_is_refused_with_what_to_do(folder: Path, tiny: Path) -> None:
    model = models.load(tiny)
    with pytest.raises(TaskNotRunError, match=r"task lost: its data cannot be had.*HF_HOME"):
        lm_eval_tasks.score("lost", str(folder), *model)
    with pytest.raises(TaskNotRunError, match=r"task nosuch: there is none.*LLMTWIN_LM_EVAL_TASKS"):
        lm_eval_tasks.score("nosuch", str(folder), *model)


def test_tasks_stand_in_the_report_and_one_that_fails_loses_itself_only(
    folder: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [sample(number, "held-out") for number in range(3)]
    to_frame(InstructSample, rows).write_parquet(tmp_path / "samples.parquet")
    write_contexts(tmp_path / "contexts.json", Contexts([], {}))
    model = {"model": str(tiny), "probe": True}
    spec: dict[str, Any] = {
        "systems": {"base": model, "sft": {"model": str(tiny)}, "twin": model},
        "contexts": str(tmp_path / "contexts.json"),
        "author_name": "Ada",
        "samples": str(tmp_path / "samples.parquet"),
        "prompts": 2,
        "tokens": 4,
        "tasks": ["lost", "unions"],
        "tasks_folder": str(folder),
        "output": str(tmp_path / "out"),
    }
    systems = script.run(measure.main, spec, lambda _: None)["systems"]
    assert "tasks" not in systems["sft"]
    assert systems["twin"]["tasks"] == systems["base"]["tasks"]
    assert "its data cannot be had" in systems["twin"]["tasks"]["lost"]["because"]
    figures = {"health": {}, "systems": systems}
    text = "".join(sections.behaviour(figures))
    shown = systems["base"]["tasks"]["unions"]["metrics"]["acc"]
    cell = f"<td>{shown['value']:.2f}\xa0±\xa0{shown['error']:.3f}</td>"
    assert f'<th scope="row">unions: acc</th>{cell}{cell}' in text
    assert text.count("its data cannot be had") == 1

    # A score is taken over, a failure is not.
    (tmp_path / "nothing.json").write_bytes((folder / "rows.json").read_bytes())
    asked: list[str] = []
    plain = lm_eval_tasks.score

    def noted(name: str, *arguments: Any) -> Any:
        asked.append(name)
        return plain(name, *arguments)

    monkeypatch.setattr(lm_eval_tasks, "score", noted)
    later = spec | {"output": str(tmp_path / "later"), "earlier": [f"{spec['output']}/measured"]}
    systems = script.run(measure.main, later, lambda _: None)["systems"]
    assert "metrics" in systems["twin"]["tasks"]["lost"]
    assert asked == ["lost"]  # of the base model; the twin's files are the same


def test_what_is_asked_and_its_files_decide_the_digest(folder: Path) -> None:
    before = lm_eval_tasks.decisive(["unions"], str(folder))
    assert before[0] == "unions"
    assert lm_eval_tasks.decisive(["unions"], str(folder)) == before
    (folder / "rows.json").write_text("{}", "utf-8")
    assert lm_eval_tasks.decisive(["unions"], str(folder)) != before
    assert lm_eval_tasks.decisive([], "")
