import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.evaluation import measure
from llmtwin_assets.evaluation.contexts import (
    FEW_SHOT,
    PASSAGES,
    gather,
    read_contexts,
    write_contexts,
)
from llmtwin_assets.evaluation.measure import read_answers
from llmtwin_assets.records import InstructSample, Passage, Split, to_frame
from llmtwin_assets.training import held_out, models, script
from llmtwin_assets.training.writing import Writer
from llmtwin_assets_tests import tiny_model


def sample(number: int, split: Split) -> InstructSample:
    answer = f"Essay {number}: the powers of the government are few and defined. " * 3
    return InstructSample(
        id=f"s{number}", document_id=f"d{number}", split=split, kind="article",
        instruction=f"Write about the union, part {number}.", answer=answer, start=0,
        end=len(answer), origin="author", written_by="rules",
    )  # fmt: skip


def passage(question: str) -> Passage:
    return Passage(
        number=1, chunk_id="c", document_id="d", title="On the union", url="", text=question,
        start=0, end=len(question), score=1.0,
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
    contexts = tmp_path / "contexts.json"
    write_contexts(contexts, gather(rows, 3, lambda question: [passage(question)]))
    to_frame(InstructSample, rows).write_parquet(tmp_path / "samples.parquet")
    return {
        "systems": {"base": {"model": str(tiny)}},
        "contexts": str(contexts),
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


def test_every_system_answers_the_same_held_out_prompts(spec: dict[str, Any]) -> None:
    spec["systems"]["twin"] = spec["systems"]["base"]
    result, rows = run(spec)
    asked = [(system, f"s{number}") for system in ("base", "twin") for number in (1, 5, 9)]
    assert [(row["system"], row["sample_id"]) for row in rows] == asked
    assert rows[0]["author"] == sample(1, "held-out").answer
    assert rows[0].keys() == {"system", "sample_id", "instruction", "author", "text"}
    assert result["answers"] == 6
    kept = json.loads((Path(spec["output"]) / "result.json").read_text("utf-8"))
    assert kept == result


def test_an_untrained_model_guesses(spec: dict[str, Any]) -> None:
    nats = run(spec)[0]["systems"]["base"]["nats"]
    assert nats == pytest.approx(math.log(512), rel=0.1)  # of 512 tokens


def test_examples_or_passages_stand_before_the_question(spec: dict[str, Any]) -> None:
    model = spec["systems"]["base"]["model"]
    spec["systems"] |= {
        "few_shot": {"model": model, "context": FEW_SHOT},
        "rag": {"model": model, "context": PASSAGES},
    }
    result, rows = run(spec)
    assert [row["system"] for row in rows[::3]] == ["base", "few_shot", "rag"]
    assert result["systems"]["few_shot"] == {}  # its loss would be that of another prompt
    asked = [sample(number, "held-out") for number in range(2)]
    contexts = gather([sample(0, "train"), *asked], 2, lambda question: [passage(question)])
    [system, *turns, question] = contexts.chat(FEW_SHOT, "Ada", asked[0])
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert turns[1]["content"] == sample(0, "train").answer
    assert question["content"] == asked[0].instruction
    assert "[1] On the union" in contexts.chat(PASSAGES, "Ada", asked[0])[-1]["content"]
    assert contexts.chat(None, "Ada", asked[0]) == [system, question]


def test_a_probed_system_tells_what_it_forgot_and_what_it_can_recite(spec: dict[str, Any]) -> None:
    spec["systems"]["base"]["probe"] = True
    spec["canaries"] = 1
    found = run(spec)[0]["systems"]["base"]
    assert found["prose"] == pytest.approx(math.log(512), rel=0.1)
    assert 0 <= found["followed"] < 0.5  # it speaks no language yet
    assert len(found["exposures"]) == 1
    assert 0 <= found["exposures"][0] <= 6


def test_the_same_seed_gives_the_same_texts_and_another_seed_others(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    def texts(folder: str, **changes: Any) -> list[str]:
        return [row["text"] for row in run(spec | {"output": str(tmp_path / folder)} | changes)[1]]

    first = texts("one")
    assert texts("two") == first
    assert texts("three", seed=6) != first


def test_a_system_answers_alike_whatever_other_systems_are_measured(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    model = spec["systems"]["base"]["model"]
    spec["systems"] = {"rag": {"model": model, "context": PASSAGES}, "base": {"model": model}}
    both, rows = run(spec)
    alone = spec | {"systems": {"base": {"model": model}}, "output": str(tmp_path / "alone")}
    assert run(alone)[1] == rows[3:]
    assert run(alone)[0]["systems"]["base"] == both["systems"]["base"]


def test_progress_names_the_system_and_the_item(spec: dict[str, Any]) -> None:
    lines: list[str] = []
    run(spec, lines)
    assert any(line.startswith("base: 6/6 held-out texts") for line in lines)
    assert "base: 3/3 answers" in lines


def test_a_killed_run_does_not_measure_a_finished_system_again(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = tiny_model.build(tmp_path / "twin", seed=1)
    spec["systems"]["twin"] = {"model": str(twin)}
    whole = run(spec)[1]
    again = spec | {"work": str(tmp_path / "work"), "output": str(tmp_path / "again")}
    write = Writer.write
    calls: list[int] = []

    def dies_at_the_second(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*arguments, **options)

    monkeypatch.setattr(Writer, "write", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(again)
    shutil.rmtree(tmp_path / "again")  # as a build that was killed leaves nothing
    assert run(again)[1] == whole
    assert len(calls) == 3  # base, twin cut short, twin


def test_what_an_earlier_report_measured_is_taken_over(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(spec)[1]
    earlier = str(Path(spec["output"]) / measure.MEASURED)
    monkeypatch.delattr(models, "load")
    assert run(spec | {"earlier": [earlier], "output": str(tmp_path / "next")})[1] == whole


def test_a_model_or_context_that_changed_is_measured_anew(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    contexts = read_contexts(Path(spec["contexts"]))
    copy = {"model": str(tiny_model.build(tmp_path / "model"))}
    before = measure.digest(spec, copy, contexts)
    assert before == measure.digest(spec, spec["systems"]["base"], contexts)  # content counts
    assert measure.digest(spec | {"seed": 6}, copy, contexts) != before
    samples = tmp_path / "more.parquet"
    rows = [sample(number, "held-out" if number % 2 else "train") for number in range(12)]
    to_frame(InstructSample, [*rows, sample(50, "train")]).write_parquet(samples)
    assert measure.digest(spec | {"samples": str(samples)}, copy, contexts) == before
    to_frame(InstructSample, [*rows, sample(51, "held-out")]).write_parquet(samples)
    assert measure.digest(spec | {"samples": str(samples)}, copy, contexts) != before
    rag = copy | {"context": PASSAGES}
    other = gather([sample(1, "held-out")], 1, lambda question: [])
    assert measure.digest(spec, copy, other) == before
    assert measure.digest(spec, rag, other) != measure.digest(spec, rag, contexts)
    tiny_model.build(tmp_path / "model", seed=1)
    assert measure.digest(spec, copy, contexts) != before


def test_samples_without_a_held_out_row_are_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    to_frame(InstructSample, [sample(0, "train")]).write_parquet(tmp_path / "samples.parquet")
    with pytest.raises(held_out.NothingHeldOutError, match="held-out"):
        run(spec)


def test_a_spec_without_prompts_is_refused_by_name(spec: dict[str, Any]) -> None:
    del spec["prompts"]
    with pytest.raises(script.BadSpecError, match="prompts"):
        run(spec)
