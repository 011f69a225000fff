"""Supervised fine-tuning, end to end on the tiny model."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.training import (
    backend,
    checkpoints,
    held_out,
    loop,
    memory,
    models,
    quantize,
    recipes,
    script,
    sft,
)

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


@pytest.mark.parametrize(
    "changes",
    [
        {"sft_method": "full"},
        {"sft_method": "lora"},
        {"sft_method": "qlora", "optimizer": "adamw_8bit", "sft_learning_rate": 5e-3},
        {
            "sft_packing": True,
            "accumulation": 2,
            "gradient_checkpointing": True,
            "schedule": "cosine",
            "weight_decay": 0.01,
            "sft_learning_rate": 5e-3,
        },
        {"template": "alpaca", "schedule": "constant"},
    ],
    ids=["full", "lora", "qlora", "packed", "alpaca"],
)
def test_training_lowers_the_loss_on_the_authors_text(
    spec: Spec, smoke: Spec, tiny: Path, changes: Spec
) -> None:
    spec["recipe"] = smoke | changes
    result = _run(spec)
    texts = sft.training_samples(Path(spec["samples"]))[:8]
    before = quantize.mean(quantize.measure(*models.load(tiny), "A Writer", texts))
    trained = models.load(Path(spec["output"]) / "model")
    after = quantize.mean(quantize.measure(*trained, "A Writer", texts))
    assert after < before - 0.2
    assert result["method"] == spec["recipe"]["sft_method"]
    assert (Path(spec["output"]) / "adapter").is_dir() == (result["method"] != "full")
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
    with pytest.raises(checkpoints.NothingToTrainError, match="longer than 4 tokens"):
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


def test_every_step_is_tracked_and_held_out_text_at_every_checkpoint(spec: Spec) -> None:
    lines: list[str] = []
    result = script.run(sft.main, spec, lines.append)
    history, steps = result["history"], list(range(1, result["steps"] + 1))
    for figure in ("loss", "gradient_norm", "tokens_per_second", "memory_gb"):
        assert [step for step, _ in history[figure]] == steps
        assert all(value > 0 for _, value in history[figure])
    assert [step for step, _ in history["held_out_loss"]] == [
        step for step in steps if step % checkpoints.interval(len(steps)) == 0 or step == steps[-1]
    ]
    assert any(line.startswith("sft held-out loss") for line in lines)
    assert any("libraries = " in line for line in lines)


def test_training_ends_when_held_out_text_gains_no_more_and_keeps_the_best(
    spec: Spec, smoke: Spec
) -> None:
    spec["recipe"] = smoke | {"sft_patience": 1, "sft_tokens": 12_000}
    result = _run(spec)
    measured = result["history"]["held_out_loss"]
    best = min(value for _, value in measured)
    assert measured[-1][1] > best  # the capitals that are held out are nothing like the rest
    planned = sft.plan(
        sft.encode(
            models.tokenizer_of(Path(spec["base"])),
            "A Writer",
            sft.pairs(Path(spec["samples"]), recipes.from_mapping(spec["recipe"])),
            256,
        ),
        recipes.from_mapping(spec["recipe"]),
    )
    assert result["steps"] < len(planned.batches)
    model, tokenizer = models.load(Path(spec["output"]) / "model")
    texts = held_out.within_budget(
        held_out.samples(Path(spec["samples"])), tokenizer, sft.HELD_OUT_TOKENS
    )
    kept = quantize.mean(quantize.measure(model, tokenizer, "A Writer", texts))
    assert kept == pytest.approx(best, abs=0.1)


def test_the_template_of_the_recipe_goes_with_the_model(spec: Spec, smoke: Spec) -> None:
    spec["recipe"] = smoke | {"template": "alpaca", "sft_tokens": 1_000}
    _run(spec)
    tokenizer = models.tokenizer_of(Path(spec["output"]) / "model")
    assert "### Response:" in tokenizer.chat_template


def test_a_recipe_that_does_not_fit_is_refused_before_the_model_is_loaded(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: ("a small machine", 1e8))
    monkeypatch.setattr(backend, "prepare", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(memory.DoesNotFitError, match=r"= 0\.8 GB, and a small machine has 0\.1 GB"):
        _run(spec)


def test_a_paged_optimiser_needs_a_gpu(spec: Spec, smoke: Spec) -> None:
    spec["recipe"] = smoke | {"sft_method": "qlora", "optimizer": "paged_adamw_8bit"}
    with pytest.raises(backend.MissingExtraError, match="no GPU"):
        _run(spec)


def test_four_bits_without_bitsandbytes_name_the_extra(
    spec: Spec, smoke: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    spec["recipe"] = smoke | {"sft_method": "qlora"}
    with pytest.raises(backend.MissingExtraError, match=r"llm-twin\[gpu\]"):
        _run(spec)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["in a step", "in a save", "anywhere"])
def test_a_killed_training_ends_with_the_weights_of_an_unkilled_one(
    spec: Spec, tmp_path: Path, moment: str
) -> None:
    spec["recipe"] = spec["recipe"] | {"sft_tokens": 40_000}
    _run(spec | {"output": str(tmp_path / "whole"), "work": str(tmp_path / "other")})
    for seed in range(2):
        _kill(spec, tmp_path, moment, random.Random(f"{moment} {seed}"))
    resumed = _run(spec)
    whole = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert resumed["steps"] == whole["steps"]
    assert resumed["loss"] == whole["loss"]
    assert moment == "anywhere" or resumed["resumed_from"] > 0
    first, second = (
        (Path(place) / "model" / "model.safetensors").read_bytes()
        for place in (spec["output"], tmp_path / "whole")
    )
    assert first == second


def _kill(spec: Spec, tmp_path: Path, moment: str, chance: random.Random) -> None:
    """Start the training in a process of its own and kill it at the moment."""
    path, work = tmp_path / "spec.json", Path(spec["work"])
    path.write_text(json.dumps(spec))
    before = {folder.name for folder in work.glob("checkpoint-*")}
    command = [sys.executable, "-m", "llmtwin_assets.training.sft", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    stderr = process.stderr
    assert stderr is not None
    for line in stderr:  # one for the memory, then one for every step that is shown
        if line.startswith(("sft resumes", "sft 1/")):
            break
    deadline = time.monotonic() + (chance.random() if moment == "anywhere" else 60)
    while process.poll() is None and time.monotonic() < deadline:
        new = [f for f in work.glob("checkpoint-*") if f.name not in before]
        sealed = [folder for folder in new if (folder / checkpoints.SEAL).is_file()]
        if (moment == "in a step" and sealed) or (
            moment == "in a save" and sealed and len(new) > len(sealed)
        ):
            break
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stderr.close()
    assert not (Path(spec["output"]) / "result.json").exists()
