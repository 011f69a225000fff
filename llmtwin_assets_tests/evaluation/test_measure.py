import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.evaluation import measure
from llmtwin_assets.evaluation.measure import read_answers
from llmtwin_assets.records import InstructSample, Split, to_frame
from llmtwin_assets.training import held_out, models, script
from llmtwin_assets_tests import tiny_model


def sample(number: int, split: Split) -> InstructSample:
    answer = f"Essay {number}: the powers of the government are few and defined. " * 3
    return InstructSample(
        id=f"s{number}", document_id=f"d{number}", split=split, kind="article",
        instruction=f"Write about the union, part {number}.", answer=answer, start=0,
        end=len(answer), origin="author", written_by="rules",
    )  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a model this small only waits for a second one
    yield tiny_model.build(tmp_path_factory.mktemp("tiny"))
    torch.set_num_threads(threads)


@pytest.fixture
def spec(tiny: Path, tmp_path: Path) -> dict[str, Any]:
    rows = [sample(number, "held-out" if number % 2 else "train") for number in range(12)]
    to_frame(InstructSample, rows).write_parquet(tmp_path / "samples.parquet")
    return {
        "models": {"base": str(tiny)},
        "author_name": "James Madison",
        "samples": str(tmp_path / "samples.parquet"),
        "prompts": 3,
        "tokens": 5,
        "seed": 5,
        "output": str(tmp_path / "out"),
    }


def run(spec: dict[str, Any], lines: list[str] | None = None) -> tuple[dict[str, Any], list[Any]]:
    said: list[str] = [] if lines is None else lines
    result = script.run(measure.main, spec, said.append)
    return result, read_answers(Path(spec["output"]) / "answers.jsonl")


def test_every_model_answers_the_same_held_out_prompts(spec: dict[str, Any]) -> None:
    spec["models"]["twin"] = spec["models"]["base"]
    result, rows = run(spec)
    asked = [(model, f"s{number}") for model in ("base", "twin") for number in (1, 5, 9)]
    assert [(row["model"], row["sample_id"]) for row in rows] == asked
    assert rows[0]["author"] == sample(1, "held-out").answer
    assert rows[0].keys() == {"model", "sample_id", "instruction", "author", "text"}
    assert result["answers"] == 6
    kept = json.loads((Path(spec["output"]) / "result.json").read_text("utf-8"))
    assert kept == result


def test_an_untrained_model_guesses(spec: dict[str, Any]) -> None:
    assert run(spec)[0]["nats"]["base"] == pytest.approx(math.log(512), rel=0.1)  # of 512 tokens


def test_the_same_seed_gives_the_same_texts_and_another_seed_others(spec: dict[str, Any]) -> None:
    first = [row["text"] for row in run(spec)[1]]
    assert [row["text"] for row in run(spec)[1]] == first
    assert [row["text"] for row in run(spec | {"seed": 6})[1]] != first


def test_progress_names_the_model_and_the_item(spec: dict[str, Any]) -> None:
    lines: list[str] = []
    run(spec, lines)
    assert any(line.startswith("base: 6/6 held-out texts") for line in lines)
    assert "base: 3/3 answers" in lines


def test_a_killed_run_does_not_measure_a_finished_model_again(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = tiny_model.build(tmp_path / "twin", seed=1)
    spec["models"] = {"base": spec["models"]["base"], "twin": str(twin)}
    whole = run(spec)[1]
    work = spec | {"work": str(tmp_path / "work")}
    generate = models.generate
    calls: list[int] = []

    def dies_at_the_second(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(*arguments, **options)

    monkeypatch.setattr(models, "generate", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(work)
    assert run(work)[1] == whole
    assert len(calls) == 3  # base, twin cut short, twin
    assert not (tmp_path / "work").exists()


def test_a_model_that_changed_is_measured_anew(spec: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model.build(tmp_path / "model")
    before = measure.digest(spec, model)
    assert before == measure.digest(spec, Path(spec["models"]["base"]))  # the content counts
    tiny_model.build(model, seed=1)
    assert measure.digest(spec, model) != before
    assert measure.digest(spec | {"seed": 6}, model) != measure.digest(spec, model)


def test_samples_without_a_held_out_row_are_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    to_frame(InstructSample, [sample(0, "train")]).write_parquet(tmp_path / "samples.parquet")
    with pytest.raises(held_out.NothingHeldOutError, match="held-out"):
        run(spec)


def test_a_spec_without_prompts_is_refused_by_name(spec: dict[str, Any]) -> None:
    del spec["prompts"]
    with pytest.raises(script.BadSpecError, match="prompts"):
        run(spec)
