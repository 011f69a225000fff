"""What SFT and DPO share around the trainer: order of rows, arguments, figures of every step.

What the trainer optimises, and what is saved of it, is not known here.
"""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llmtwin_assets.training import backend, checkpoints, memory, models, script
from llmtwin_assets.training.checkpoints import NothingToTrainError
from llmtwin_assets.training.recipes import Recipe
from resources.errors import LlmTwinError

HEAD_ROWS = 512  # positions whose logits are held at a time
CONSTANT = "constant_with_warmup"
NOT_COMPUTED = ("entropy", "mean_token_accuracy")  # by the lean head
# Figures of a step: the trainer's name, and ours.
FIGURES = {
    "loss": "loss",
    "grad_norm": "gradient_norm",
    "tokens_per_second": "tokens_per_second",
    "memory_gb": "memory_gb",
    "eval_loss": "held_out_loss",
}


class UnfinishedTrainingError(LlmTwinError):
    """The trainer returned before its last step."""


class UnevenBatchError(LlmTwinError):
    """A batch cannot be shared evenly among parts and devices."""


class UnknownReporterError(LlmTwinError):
    """The experiment tracker that a spec names is not installed."""


def fill_budget(lengths: Sequence[int], budget: int, seed: int, most: int = 0) -> list[list[int]]:
    """Row numbers of each pass over the data, in a seeded order, until the budget is used.

    ``lengths`` and ``budget`` are in tokens; there are at most ``most`` passes, unless that is 0.
    Every pass holds each row once, the last one those that come before the first that no longer
    fits; there is at least one row. Raises ``NothingToTrainError``.
    """
    if not lengths or min(lengths) < 1:
        raise NothingToTrainError("the data set", "no row to train on", "Add texts by the author")
    shuffle = random.Random(seed)
    passes: list[list[int]] = []
    used = 0
    while not most or len(passes) < most:
        passes.append([])
        for row in shuffle.sample(range(len(lengths)), len(lengths)):
            if used and used + lengths[row] > budget:
                return [rows for rows in passes if rows]
            passes[-1].append(row)
            used += lengths[row]
    return passes


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


def arguments(
    work: Path, recipe: Recipe, steps: int, batch_size: int, reporters: str = ""
) -> dict[str, Any]:
    """What every trainer configuration has in common. Budgets of steps, no epochs, own order.

    ``batch_size`` counts rows of a whole step, over all devices and parts of a batch. ``reporters``
    names trl reporters (mlflow, tensorboard, …), by commas; raises ``UnknownReporterError``.
    """
    return {
        "output_dir": str(work),
        "max_steps": steps,
        "per_device_train_batch_size": part(recipe, batch_size),
        "gradient_accumulation_steps": recipe.accumulation,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "optim": backend.OPTIMISERS[recipe.optimizer],
        "weight_decay": recipe.weight_decay,
        "lr_scheduler_type": recipe.schedule if recipe.schedule != "constant" else CONSTANT,
        "use_cpu": models.device() == "cpu",
        "bf16": models.fast_bf16(),
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": checkpoints.interval(steps),
        "save_total_limit": 2,  # the newest may be cut off by a kill before it is sealed
        "report_to": _reporters(reporters),
        "disable_tqdm": True,
        "seed": recipe.seed,
    }


def part(recipe: Recipe, batch_size: int) -> int:
    """Rows that one device computes at a time; raises ``UnevenBatchError``."""
    parts = recipe.accumulation * script.processes()
    if batch_size % parts:
        raise UnevenBatchError(
            f"recipe '{recipe.name}'",
            f"a batch of {batch_size} cannot be cut into {recipe.accumulation} parts for each of "
            f"{script.processes()} devices",
            "Change the accumulation or the number of devices",
        )
    return batch_size // parts


def largest_part(tokens: Sequence[Sequence[int]], size: int) -> int:
    """The most tokens, padding included, in ``size`` neighbouring rows of a batch. ``tokens`` holds
    the rows' lengths by batch."""
    parts = [batch[at : at + size] for batch in tokens for at in range(0, len(batch), size)]
    return max(len(rows) * max(rows) for rows in parts)


def lean_head(trainer: Any) -> None:
    """On a CPU, give the trainer a cheaper way from tokens to log-probabilities.

    trl asks the model for them with ``fused_lm_head=True``; its own answer scores every position,
    prompts included, and computes an entropy over the whole vocabulary, which on a CPU doubles the
    time of a step. Here only labelled positions are scored, in pieces that stay in the cache, and
    no attention mask is passed, as padding stands on the right of a causal model, unseen and
    unlabelled; packed rows are kept apart by their positions. Loss and gradients are the same;
    entropy and accuracy are not computed, and not logged. On a GPU nothing is changed.
    """
    import torch

    if models.device() != "cpu":
        return
    model = trainer.model
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    patched = model.forward

    def forward(
        input_ids: Any = None, labels: Any = None, fused_lm_head: bool = False, **others: Any
    ) -> Any:
        if not fused_lm_head:
            return patched(input_ids=input_ids, labels=labels, **others)
        places = {name: others[name] for name in ("position_ids",) if name in others}
        found = model.base_model(input_ids=input_ids, use_cache=False, **places)
        hidden = found.last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        nats = _log_probs(model.get_output_embeddings(), hidden[mask], labels[:, 1:][mask])
        zeros = torch.zeros(mask.shape)
        return SimpleNamespace(
            log_probs=zeros.masked_scatter(mask, nats),
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

    ``tokens`` counts what each step reads. Returns steps, tokens, seconds, tokens per second (of
    this process), the step it resumed from, and every figure of ``FIGURES`` as ``[step, value]``
    rows. Raises ``UnfinishedTrainingError``.
    """
    from transformers import PrinterCallback

    with script.main_first():
        checkpoint = checkpoints.newest(work)
    lean_head(trainer)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(checkpoints.sealing())
    trainer.add_callback(_progress(name, tokens, report))
    _measure_steps(trainer, tokens)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.monotonic() - started
    state = trainer.state
    if state.global_step < state.max_steps and not _out_of_patience(trainer):
        raise UnfinishedTrainingError(
            f"{name} at step {state.global_step} of {state.max_steps}",
            "training was stopped before its last step",
            "Run it again; it goes on from its last checkpoint",
        )
    first = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    return {
        "steps": state.global_step,
        "tokens": sum(tokens[: state.global_step]),
        "seconds": round(seconds, 1),
        "tokens_per_second": round(sum(tokens[first : state.global_step]) / seconds, 1),
        "resumed_from": first,
        "peak_memory_gb": round(memory.used() / memory.GB, 2),
        "loss": history(state, "loss"),
        "history": {ours: history(state, theirs) for theirs, ours in FIGURES.items()},
    }


def history(state: Any, key: str) -> list[list[float]]:
    """A logged figure of every step, as ``[step, value]`` rows."""
    return [[log["step"], round(log[key], 4)] for log in state.log_history if key in log]


def early_stop(patience: int) -> dict[str, Any]:
    """What makes a trainer stop when held-out text gains no more, and keep its best step."""
    from transformers import EarlyStoppingCallback

    return {
        "arguments": {
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
        },
        "callbacks": [EarlyStoppingCallback(early_stopping_patience=patience)],
    }


def _out_of_patience(trainer: Any) -> bool:
    """Whether training ended because held-out text gained no more."""
    from transformers import EarlyStoppingCallback

    return any(
        callback.early_stopping_patience_counter >= callback.early_stopping_patience
        for callback in trainer.callback_handler.callbacks
        if isinstance(callback, EarlyStoppingCallback)
    )


def _measure_steps(trainer: Any, tokens: Sequence[int]) -> None:
    """Add speed and memory to what the trainer logs of a step, so that every reporter gets them."""
    log: Callable[..., None] = trainer.log
    began = [time.monotonic()]

    def measured(logs: dict[str, float], *rest: Any) -> None:
        if "loss" in logs:
            now = time.monotonic()
            logs["tokens_per_second"] = tokens[trainer.state.global_step - 1] / (now - began[0])
            logs["memory_gb"] = memory.used() / memory.GB
            began[0] = now
        if models.device() == "cpu":
            for kept in trainer._metrics.values():
                for name in NOT_COMPUTED:
                    kept.pop(name, None)
        log(logs, *rest)
        if "eval_loss" in logs:
            began[0] = time.monotonic()

    trainer.log = measured


def _progress(name: str, tokens: Sequence[int], report: script.Report) -> Any:
    """A trainer callback that reports a line when a step is logged or held-out text measured."""
    from transformers import TrainerCallback

    show = script.Progress(report)

    class Lines(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.first, self.started = state.global_step, time.monotonic()
            if self.first:
                report(f"{name} resumes at step {self.first} of {state.max_steps}")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            logs, done, total = logs or {}, state.global_step, state.max_steps
            if "eval_loss" in logs:
                report(f"{name} held-out loss {logs['eval_loss']:.3f} at step {done}")
            if "loss" not in logs:
                return
            seconds = time.monotonic() - self.started
            speed = sum(tokens[self.first : done]) / seconds
            left = sum(tokens[done:]) / speed
            detail = f"loss {logs['loss']:.2f}"
            more = f"gradient {logs.get('grad_norm', 0.0):.2f} memory {logs['memory_gb']:.1f} GB"
            line = script.line(name, done, total, detail, speed, left)
            show(f"{line} {more}", last=done == total)

    return Lines()


def _reporters(names: str) -> list[str]:
    """The reporters by name; raises ``UnknownReporterError`` for one that is not installed."""
    from transformers.integrations import get_available_reporting_integrations

    wanted = [name.strip() for name in names.split(",") if name.strip()]
    there = get_available_reporting_integrations()
    for name in wanted:
        if name not in there:
            raise UnknownReporterError(
                f"the reporter '{name}'",
                "it is not installed, or trl knows none of this name",
                f"pip install {name}; installed are: {', '.join(there) or 'none'}",
            )
    return wanted
