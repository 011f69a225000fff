"""What SFT and DPO share around the trainer: order of rows, checkpoints, progress, the saved model.

Checkpoints live in a work directory that survives a kill, and belong to exactly one set of inputs.
They hold optimiser state in torch's own format, are read by the process that wrote them alone, and
never reach the output. What the trainer optimises is not known here.
"""

import hashlib
import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llmtwin_assets.training import models, script
from llmtwin_assets.training.recipes import Recipe
from resources import base_model
from resources.artifacts import sha256, write_atomically
from resources.errors import LlmTwinError

SAVES = 4  # checkpoints per training
HEAD_ROWS = 512  # positions whose logits are held at a time


class NothingToTrainError(LlmTwinError):
    """The data set has no row to train on."""


class UnfinishedTrainingError(LlmTwinError):
    """The trainer returned before its last step."""


def fill_budget(lengths: Sequence[int], budget: int, seed: int) -> list[list[int]]:
    """Row numbers of each pass over the data, in a seeded order, until the budget is used.

    ``lengths`` and ``budget`` are in tokens. Every pass holds each row once, the last one those
    that come before the first that no longer fits; there is at least one row. Raises
    ``NothingToTrainError``.
    """
    if not lengths or min(lengths) < 1:
        raise NothingToTrainError("the data set", "no row to train on", "Add texts by the author")
    shuffle = random.Random(seed)
    passes: list[list[int]] = []
    used = 0
    while True:
        passes.append([])
        for row in shuffle.sample(range(len(lengths)), len(lengths)):
            if used and used + lengths[row] > budget:
                return [rows for rows in passes if rows]
            passes[-1].append(row)
            used += lengths[row]


def batches(
    passes: Sequence[Sequence[int]], lengths: Sequence[int], size: int, seed: int
) -> list[list[int]]:
    """Rows in batches of ``size``, alike in length to save padding, batches in a seeded order.

    Grouping stays inside a pass, so that a batch holds no row twice but for the few rows that a
    pass leaves over to the next. Only the last batch may be smaller.
    """
    shuffle = random.Random(seed)
    grouped: list[list[int]] = []
    left: list[int] = []
    for rows in passes:
        pool = sorted([*left, *rows], key=lambda row: (lengths[row], row))
        spare = len(pool) % size
        left = pool[:spare]
        whole = [pool[start : start + size] for start in range(spare, len(pool), size)]
        grouped += shuffle.sample(whole, len(whole))
    return [*grouped, left] if left else grouped


def claim(work: Path, model: Path, data: Path, author_name: str, recipe: Recipe) -> None:
    """Make ``work`` belong to these inputs; checkpoints of other inputs in it are removed.

    Raises ``NothingToTrainError`` when there is no data file, and what ``base_model.check`` raises.
    """
    base_model.check(model)
    if not data.is_file():
        raise NothingToTrainError(str(data), "the file is missing", "Materialise the data set")
    inputs = hashlib.sha256(
        "\n".join([base_model.fingerprint(model), sha256(data), author_name, repr(recipe)]).encode(
            "utf-8"
        )
    ).hexdigest()
    label = work / "inputs.txt"
    if not label.is_file() or label.read_text("utf-8") != inputs:
        shutil.rmtree(work, ignore_errors=True)
        write_atomically(label, inputs.encode("utf-8"))


def newest_checkpoint(work: Path) -> Path | None:
    """The newest whole checkpoint, or None. Torn ones, left by a kill, are removed.

    The trainer writes ``trainer_state.json`` last, so a checkpoint is whole when that parses.
    """
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        try:
            json.loads((path / "trainer_state.json").read_text("utf-8"))["global_step"]
            return path
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path, ignore_errors=True)
    return None


def arguments(work: Path, recipe: Recipe, steps: int) -> dict[str, Any]:
    """What every trainer configuration has in common. Budgets of steps, no epochs, own order."""
    import torch

    return {
        "output_dir": str(work),
        "max_steps": steps,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "lr_scheduler_type": "linear",
        "use_cpu": not torch.cuda.is_available(),
        "bf16": models.fast_bf16(),
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": max(1, -(-steps // SAVES)),
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": recipe.seed,
    }


def lora(recipe: Recipe) -> Any:
    """Adapters on every linear layer but the head."""
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def lean_head(trainer: Any) -> None:
    """On a CPU, give the trainer a cheaper way from tokens to log-probabilities.

    trl asks the model for them with ``fused_lm_head=True``; its own answer scores every position,
    prompts included, and computes an entropy over the whole vocabulary, which on a CPU doubles the
    time of a step. Here only labelled positions are scored, in pieces that stay in the cache, and
    no attention mask is passed, as padding stands on the right of a causal model, unseen and
    unlabelled. Loss and gradients are the same; entropy and accuracy, which nobody reads, are 0.
    On a GPU nothing is changed.
    """
    import torch

    if torch.cuda.is_available():
        return
    model = trainer.model
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    patched = model.forward

    def forward(
        input_ids: Any = None, labels: Any = None, fused_lm_head: bool = False, **others: Any
    ) -> Any:
        if not fused_lm_head:
            return patched(input_ids=input_ids, labels=labels, **others)
        hidden = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        found = _log_probs(model.get_output_embeddings(), hidden[mask], labels[:, 1:][mask])
        zeros = torch.zeros(mask.shape)
        return SimpleNamespace(
            log_probs=zeros.masked_scatter(mask, found),
            label_mask=mask,
            entropy=zeros,
            mean_logits=zeros,
            is_top1=zeros.bool(),
            aux_loss=None,
        )

    model.forward = forward


def _log_probs(head: Any, hidden: Any, labels: Any) -> Any:
    """Log-probability of each label, fp32, shape ``(positions,)``."""
    import torch
    from torch.nn.functional import cross_entropy

    pieces = zip(hidden.split(HEAD_ROWS), labels.split(HEAD_ROWS), strict=True)
    nats = [cross_entropy(head(some).float(), ids, reduction="none") for some, ids in pieces]
    return -torch.cat(nats) if nats else hidden.sum() * 0.0


def train(
    trainer: Any, work: Path, name: str, tokens: Sequence[int], report: script.Report
) -> dict[str, Any]:
    """Train from the newest checkpoint, or from the start, to the last step.

    ``tokens`` counts what each step reads. Returns steps, seconds, tokens per second (of this
    process), the step it resumed from, and the loss as ``[step, nats]`` rows. Raises
    ``UnfinishedTrainingError``.
    """
    from transformers import PrinterCallback

    checkpoint = newest_checkpoint(work)
    lean_head(trainer)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_progress(name, tokens, report))
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - started
    state = trainer.state
    if state.global_step < state.max_steps:
        raise UnfinishedTrainingError(
            f"{name} at step {state.global_step} of {state.max_steps}",
            "training was stopped before its last step",
            "Run it again; it goes on from its last checkpoint",
        )
    first = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    return {
        "steps": state.global_step,
        "tokens": sum(tokens),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(sum(tokens[first:]) / seconds, 1),
        "resumed_from": first,
        "loss": history(state, "loss"),
    }


def history(state: Any, key: str) -> list[list[float]]:
    """A logged figure of every step, as ``[step, value]`` rows."""
    return [[log["step"], round(log[key], 4)] for log in state.log_history if key in log]


def save(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write the model, adapters merged, as one bf16 safetensors file with its tokenizer."""
    import torch

    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    shutil.rmtree(directory, ignore_errors=True)
    model.config.use_cache = True
    model.to(torch.bfloat16).save_pretrained(directory, max_shard_size="1000GB")
    tokenizer.save_pretrained(directory)
    base_model.make_readable(directory)


def _progress(name: str, tokens: Sequence[int], report: script.Report) -> Any:
    """A trainer callback that reports a line when a step is logged."""
    from transformers import TrainerCallback

    show = script.Progress(report)

    class Lines(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.first, self.started = state.global_step, time.monotonic()
            if self.first:
                report(f"{name} resumes at step {self.first} of {state.max_steps}")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            done, total = state.global_step, state.max_steps
            seconds = time.monotonic() - self.started
            speed = sum(tokens[self.first : done]) / seconds
            left = sum(tokens[done:]) / speed
            detail = f"loss {logs['loss']:.2f}"
            show(script.line(name, done, total, detail, speed, left), last=done == total)

    return Lines()
