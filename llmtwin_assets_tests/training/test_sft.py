"""Supervised fine-tuning, end to end on the tiny model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.training import loop, models, quantize, recipes, script, sft

Spec = dict[str, Any]


@pytest.fixture
def spec(tiny: Path, samples: Path, smoke: Spec, tmp_path: Path) -> Spec:
    return {
        "base": str(tiny),
        "samples": str(samples),
        "author_name": "A Writer",
        "recipe": smoke,
        "output": str(tmp_path / "out"),
        "work": str(tmp_path / "work"),
    }


def _run(spec: Spec) -> dict[str, Any]:
    return script.run(sft.main, spec, lambda text: None)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_lowers_the_loss_on_the_authors_text(
    spec: Spec, smoke: Spec, tiny: Path, method: str
) -> None:
    spec["recipe"] = smoke | {"method": method}
    result = _run(spec)
    texts = sft.training_samples(Path(spec["samples"]))[:8]
    before = quantize.mean(quantize.measure(*models.load(tiny), "A Writer", texts))
    trained = models.load(Path(spec["output"]) / "model")
    after = quantize.mean(quantize.measure(*trained, "A Writer", texts))
    assert after < before - 0.2
    assert result["method"] == method
    assert [step for step, _ in result["loss"]] == list(range(1, result["steps"] + 1))


def test_the_output_is_a_model_and_nothing_of_the_training(spec: Spec) -> None:
    _run(spec)
    output = Path(spec["output"])
    assert {path.suffix for path in output.rglob("*") if path.is_file()} == {
        ".json",
        ".jinja",
        ".safetensors",
    }
    assert not Path(spec["work"]).exists()
    config = json.loads((output / "model" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_the_first_loss_is_the_untrained_models_own(spec: Spec, tiny: Path, smoke: Spec) -> None:
    import torch

    model, tokenizer = models.load(tiny)
    rows = sft.encode(
        tokenizer, "A Writer", sft.pairs(Path(spec["samples"]), recipes.from_mapping(smoke)), 256
    )
    lengths = [len(row["input_ids"]) for row in rows]
    passes = loop.fill_budget(lengths, smoke["sft_tokens"], smoke["seed"])
    first = loop.batches(passes, lengths, smoke["sft_batch_size"], smoke["seed"])[0]
    nats = tokens = 0.0
    for row in first:
        ids = torch.tensor([rows[row]["input_ids"]])
        labels = torch.tensor([rows[row]["labels"]])
        count = int((labels != -100).sum())
        with torch.no_grad():
            nats += model(input_ids=ids, labels=labels).loss.item() * count
        tokens += count
    assert _run(spec)["loss"][0][1] == pytest.approx(nats / tokens, abs=0.02)


def test_held_out_text_is_never_read_for_training(spec: Spec) -> None:
    chosen = sft.training_samples(Path(spec["samples"]))
    assert len(chosen) == 32
    assert not any(sample.answer.isupper() for sample in chosen)


def test_only_the_answer_is_learned_and_its_end(tiny: Path, samples: Path) -> None:
    tokenizer = models.tokenizer_of(tiny)
    [sample, *_] = sft.training_samples(samples)
    [row] = sft.encode(tokenizer, "A Writer", [(sample.instruction, sample.answer)], 512)
    learned = [token for token in row["labels"] if token != -100]
    assert tokenizer.decode(learned) == sample.answer + tokenizer.eos_token
    assert row["input_ids"][-len(learned) :] == learned


def test_a_cut_answer_is_not_taught_to_end(tiny: Path, samples: Path) -> None:
    tokenizer = models.tokenizer_of(tiny)
    [sample, *_] = sft.training_samples(samples)
    [whole] = sft.encode(tokenizer, "A Writer", [(sample.instruction, sample.answer)], 512)
    [cut] = sft.encode(
        tokenizer, "A Writer", [(sample.instruction, sample.answer)], len(whole["input_ids"]) - 5
    )
    assert cut["labels"][-1] != tokenizer.eos_token_id


def test_prompts_that_leave_no_room_are_refused(tiny: Path, samples: Path) -> None:
    tokenizer = models.tokenizer_of(tiny)
    with pytest.raises(loop.NothingToTrainError, match="longer than 4 tokens"):
        sft.encode(tokenizer, "A Writer", [("Write.", "A text.")], 4)


def test_the_same_inputs_train_the_same_weights(spec: Spec, tmp_path: Path) -> None:
    _run(spec)
    again = spec | {"output": str(tmp_path / "again"), "work": str(tmp_path / "again-work")}
    _run(again)
    first, second = (
        (Path(one["output"]) / "model" / "model.safetensors").read_bytes() for one in (spec, again)
    )
    assert first == second


def test_a_stopped_training_resumes_to_the_same_losses(spec: Spec, tmp_path: Path) -> None:
    whole = _run(spec | {"output": str(tmp_path / "whole"), "work": str(tmp_path / "other")})

    class Stop(Exception):
        pass

    def save_then_stop(trainer: Any, *arguments: Any) -> dict[str, Any]:
        from transformers import TrainerCallback

        class Stopper(TrainerCallback):  # type: ignore[misc]
            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step >= 2 * args.save_steps:
                    raise Stop

        trainer.add_callback(Stopper())
        return train(trainer, *arguments)

    train = loop.train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", save_then_stop)
        with pytest.raises(Stop):
            _run(spec)
    torn = Path(spec["work"]) / "checkpoint-999"
    torn.mkdir()
    resumed = _run(spec)
    assert resumed["resumed_from"] > 0
    assert resumed["loss"] == whole["loss"]
    assert resumed["steps"] == whole["steps"]


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_final_step(spec: Spec, tmp_path: Path) -> None:
    spec["recipe"] = spec["recipe"] | {"sft_tokens": 40_000}
    whole = _run(spec | {"output": str(tmp_path / "whole"), "work": str(tmp_path / "other")})
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    command = [sys.executable, "-m", "llmtwin_assets.training.sft", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    # Only looked at: newest_checkpoint would remove the one that is being written.
    while not list(Path(spec["work"]).glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (Path(spec["output"]) / "result.json").exists()
    resumed = _run(spec)
    assert resumed["resumed_from"] > 0
    assert resumed["steps"] == whole["steps"]
    assert resumed["loss"] == whole["loss"]
