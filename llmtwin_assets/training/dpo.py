"""Direct preference optimisation: the author's text over what their own model wrote.

    python -m llmtwin_assets.training.dpo spec.json

with ``spec.json``::

    {"model": "/out/model", "pairs": "/data/preferences.parquet", "author_name": "Ada Lovelace",
     "recipe": {"name": "quick", …}, "output": "/out-dpo", "work": "/survives/a/kill"}

``pairs`` holds ``PreferenceSample`` rows; ``work``, ``reporters`` and ``accelerate`` may be left
out. Leaves ``<output>/model``, adapters merged, with adapters ``<output>/adapter``, and
``<output>/result.json``. How pairs come about is not known here.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts, records
from llmtwin_assets.training import (
    backend,
    checkpoints,
    launch,
    loop,
    memory,
    models,
    recipes,
    script,
)
from llmtwin_assets.training.recipes import Recipe
from resources.base_model import quiet

Row = dict[str, list[int]]
Batches = Sequence[Sequence[int]]


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Train as the spec says; returns the facts of ``loop.train``, margins and accuracies."""
    recipe = recipes.from_mapping(script.field(spec, "recipe"))
    source, data = Path(script.field(spec, "model")), Path(script.field(spec, "pairs"))
    author_name = str(script.field(spec, "author_name"))
    output = Path(spec["output"])
    work = Path(spec.get("work") or output / "checkpoints")
    inputs = checkpoints.made_of(source, data, author_name, recipe)
    with script.main_first():
        checkpoints.claim(work, inputs)
    backend.require(recipe, recipe.dpo_method)
    quiet()
    tokenizer = models.tokenizer_of(source)
    rows = encode(tokenizer, author_name, preferences(data), recipe)
    grouped = plan(rows, recipe)
    lengths = [[max(_sides(rows[row])) for row in batch for _ in range(2)] for batch in grouped]
    largest = loop.largest_part(lengths, 2 * loop.part(recipe, recipe.dpo_batch_size))
    needs = memory.require(recipe, source, "dpo", largest, script.processes())
    report(f"dpo needs about {memory.arithmetic(needs)}")
    trainable = backend.prepare(source, recipe, recipe.dpo_method)
    trainer, result = train(
        trainable, tokenizer, rows, grouped, recipe, work, report, spec.get("reporters", "")
    )
    backend.save(trainer, tokenizer, source, output, recipe.dpo_method)
    if script.is_main():
        shutil.rmtree(work, ignore_errors=True)
    return result | {
        "method": recipe.dpo_method,
        "backend": trainable.backend,
        "recipe": recipe.name,
        "pairs": len(rows),
        "made_of": inputs,
        "memory_estimate_gb": memory.as_figures(needs),
    }


def preferences(path: Path) -> list[records.PreferenceSample]:
    """The pairs of a file; raises ``NothingToTrainError`` when there are none."""
    import polars as pl

    pairs = records.from_frame(records.PreferenceSample, pl.read_parquet(path))
    if not pairs:
        raise checkpoints.NothingToTrainError(
            str(path), "it holds no pair", "Sample preferences again"
        )
    return pairs


def encode(
    tokenizer: Any,
    author_name: str,
    pairs: Sequence[records.PreferenceSample],
    recipe: Recipe,
) -> list[Row]:
    """Token ids of prompt, chosen and rejected, both sides of a pair cut to equal length.

    Equal length keeps the number of tokens from deciding which side is likelier; no end token is
    added, as a cut is not an end. Pairs with an empty side, or whose prompt leaves no room, are
    left out; at most ``preference_pairs`` are taken. Raises ``NothingToTrainError``.
    """
    rows: list[Row] = []
    for pair in pairs:
        chat = prompts.messages(author_name, pair.instruction)
        head = models.encode(tokenizer, prompts.render(tokenizer, chat))
        chosen = models.encode(tokenizer, pair.chosen)
        rejected = models.encode(tokenizer, pair.rejected)
        room = recipe.max_length - len(head)
        length = min(len(chosen), len(rejected), recipe.preference_tokens, room)
        if length > 0 and chosen[:length] != rejected[:length]:
            rows.append(
                {
                    "prompt_ids": head,
                    "chosen_ids": chosen[:length],
                    "rejected_ids": rejected[:length],
                }
            )
    if not rows:
        raise checkpoints.NothingToTrainError(
            f"{len(pairs)} pairs", "in none do two different texts meet", "Sample them again"
        )
    return rows[: recipe.preference_pairs]


def plan(rows: Sequence[Row], recipe: Recipe) -> list[list[int]]:
    """Rows in batches, for the recipe's passes over the pairs."""
    lengths = [sum(_sides(row)) for row in rows]
    passes = loop.fill_budget(lengths, sum(lengths) * recipe.preference_passes, recipe.seed)
    return loop.batches(passes, lengths, recipe.dpo_batch_size, recipe.seed)


def train(
    trainable: backend.Trainable,
    tokenizer: Any,
    rows: Sequence[Row],
    grouped: Batches,
    recipe: Recipe,
    work: Path,
    report: script.Report,
    reporters: str = "",
) -> tuple[Any, dict[str, Any]]:
    """The trainer with the trained model (adapters not merged yet) and the facts of the training.

    The reference is the model before training: the same without its adapter, or, where every weight
    moves, its log-probabilities of all pairs, taken before the first step.
    """
    from datasets import Dataset
    from trl import DPOConfig

    nll = recipe.dpo_nll_weight
    trainer = _trainer_class()(
        model=trainable.model,
        args=DPOConfig(
            **loop.arguments(work, recipe, len(grouped), recipe.dpo_batch_size, reporters),
            learning_rate=recipe.dpo_learning_rate,
            warmup_steps=0,  # of the few steps there are, a warm-up would waste the first
            beta=recipe.dpo_beta,
            loss_type=["sigmoid", "sft"] if nll else ["sigmoid"],
            loss_weights=[1.0, nll] if nll else [1.0],
            precompute_ref_log_probs=recipe.dpo_method == "full",
            max_length=None,
        ),
        train_dataset=Dataset.from_list([rows[row] for batch in grouped for row in batch]),
        processing_class=tokenizer,
        peft_config=trainable.adapters,
    )
    tokens = [sum(sum(_sides(rows[row])) for row in batch) for batch in grouped]
    result = loop.train(trainer, work, "dpo", tokens, report)
    state = trainer.state
    return trainer, result | {
        "margins": loop.history(state, "rewards/margins"),
        "accuracies": loop.history(state, "rewards/accuracies"),
    }


def _sides(row: Row) -> tuple[int, int]:
    """Tokens of both sides of a pair, each with its prompt."""
    prompt = len(row["prompt_ids"])
    return prompt + len(row["chosen_ids"]), prompt + len(row["rejected_ids"])


def _trainer_class() -> Any:
    """trl's trainer, which takes tokens as they are instead of making them from text.

    From text it would put an end token after both sides, also where they are cut.
    """
    from trl import DPOTrainer

    class TokenTrainer(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return TokenTrainer


if __name__ == "__main__":
    sys.exit(launch.main(main, "llmtwin_assets.training.dpo"))
