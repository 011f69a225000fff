"""Direct preference optimisation: the author's text over what their own model wrote.

    python -m llmtwin_assets.training.dpo spec.json

with ``spec.json``::

    {"model": "/out/model", "pairs": "/data/preferences.parquet", "author_name": "Ada Lovelace",
     "recipe": {"name": "quick", …}, "output": "/out-dpo", "work": "/survives/a/kill"}

``pairs`` holds ``PreferenceSample`` rows. Leaves ``<output>/model``, adapters merged, and
``<output>/result.json``. How pairs come about is not known here.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts, records
from llmtwin_assets.training import loop, models, recipes, script
from llmtwin_assets.training.recipes import Recipe
from resources.base_model import quiet

Row = dict[str, list[int]]


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Train as the spec says; returns steps, pairs, loss, margins, accuracies and seconds."""
    recipe = recipes.from_mapping(script.field(spec, "recipe"))
    source, data = Path(script.field(spec, "model")), Path(script.field(spec, "pairs"))
    author_name = str(script.field(spec, "author_name"))
    output = Path(spec["output"])
    work = Path(spec.get("work") or output / "checkpoints")
    loop.claim(work, source, data, author_name, recipe)
    quiet()
    model, tokenizer = models.load(source, "bfloat16")
    rows = encode(tokenizer, author_name, preferences(data), recipe)
    trained, result = train(model, tokenizer, rows, recipe, work, report)
    loop.save(trained, tokenizer, output / "model")
    shutil.rmtree(work, ignore_errors=True)
    return result | {"recipe": recipe.name, "pairs": len(rows)}


def preferences(path: Path) -> list[records.PreferenceSample]:
    """The pairs of a file; raises ``NothingToTrainError`` when there are none."""
    import polars as pl

    pairs = records.from_frame(records.PreferenceSample, pl.read_parquet(path))
    if not pairs:
        raise loop.NothingToTrainError(str(path), "it holds no pair", "Sample preferences again")
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
        raise loop.NothingToTrainError(
            f"{len(pairs)} pairs", "in none do two different texts meet", "Sample them again"
        )
    return rows[: recipe.preference_pairs]


def train(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    recipe: Recipe,
    work: Path,
    report: script.Report,
) -> tuple[Any, dict[str, Any]]:
    """The trained model (adapters not merged yet) and the facts of the training."""
    from datasets import Dataset
    from trl import DPOConfig

    lengths = [2 * (len(row["prompt_ids"]) + len(row["chosen_ids"])) for row in rows]
    budget = sum(lengths) * recipe.preference_passes
    passes = loop.fill_budget(lengths, budget, recipe.seed)
    plan = loop.batches(passes, lengths, recipe.dpo_batch_size, recipe.seed)
    trainer = _trainer_class()(
        model=model,
        args=DPOConfig(
            **loop.arguments(work, recipe, len(plan)),
            per_device_train_batch_size=recipe.dpo_batch_size,
            learning_rate=recipe.dpo_learning_rate,
            warmup_steps=0,  # of the few steps there are, a warm-up would waste the first
            beta=recipe.dpo_beta,
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, recipe.dpo_nll_weight],
            max_length=None,
        ),
        train_dataset=Dataset.from_list([rows[row] for batch in plan for row in batch]),
        processing_class=tokenizer,
        peft_config=loop.lora(recipe),
    )
    tokens = [sum(lengths[row] for row in batch) for batch in plan]
    result = loop.train(trainer, work, "dpo", tokens, report)
    state = trainer.state
    return trainer.model, result | {
        "margins": loop.history(state, "rewards/margins"),
        "accuracies": loop.history(state, "rewards/accuracies"),
    }


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
    sys.exit(script.main(main))
