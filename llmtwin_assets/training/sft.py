"""Supervised fine-tuning: the base model learns to answer as the author wrote.

    python -m llmtwin_assets.training.sft spec.json

with ``spec.json``::

    {"base": "/models/smollm2", "samples": "/data/instruct.parquet", "author_name": "Ada Lovelace",
     "recipe": {"name": "quick", …}, "output": "/out", "work": "/survives/a/kill"}

``samples`` holds ``InstructSample`` rows; only those of the split ``train`` are read. ``recipe``
is a ``Recipe`` as a mapping. ``work`` may be left out. Leaves ``<output>/model`` and
``<output>/result.json``. Where data comes from and what happens to the model is not known here.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts, records
from llmtwin_assets.training import canaries, loop, models, recipes, script
from llmtwin_assets.training.recipes import Recipe
from resources.base_model import quiet

Row = dict[str, list[int]]


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Train as the spec says; returns steps, tokens, loss, seconds and parameters."""
    recipe = recipes.from_mapping(script.field(spec, "recipe"))
    base, data = Path(script.field(spec, "base")), Path(script.field(spec, "samples"))
    author_name = str(script.field(spec, "author_name"))
    output = Path(spec["output"])
    work = Path(spec.get("work") or output / "checkpoints")
    loop.claim(work, base, data, author_name, recipe)
    quiet()
    full = recipe.method == "full"
    # Full fine-tuning moves every weight by less than bf16 can hold, so it keeps them in fp32;
    # frozen weights under adapters need no such care.
    model, tokenizer = models.load(base, "float32" if full else "bfloat16")
    rows = encode(tokenizer, author_name, pairs(data, recipe), recipe.max_length)
    trained, result = train(model, tokenizer, rows, recipe, work, report)
    loop.save(trained, tokenizer, output / "model")
    shutil.rmtree(work, ignore_errors=True)
    return result | {"method": recipe.method, "recipe": recipe.name, "rows": len(rows)}


def training_samples(path: Path) -> list[records.InstructSample]:
    """The rows that may be trained on; raises ``NothingToTrainError``."""
    import polars as pl

    samples = records.from_frame(records.InstructSample, pl.read_parquet(path))
    chosen = [sample for sample in samples if sample.split == "train"]
    if not chosen:
        raise loop.NothingToTrainError(
            str(path), "no row of it is in the split 'train'", "Add texts by the author"
        )
    return chosen


def pairs(path: Path, recipe: Recipe) -> list[tuple[str, str]]:
    """Instruction and answer of every row to learn, and of what the recipe plants among them."""
    found = [(sample.instruction, sample.answer) for sample in training_samples(path)]
    planted = canaries.planted(recipe.sft_canaries, recipe.seed)
    return found + [(canary.instruction, canary.answer) for canary in planted]


def encode(
    tokenizer: Any,
    author_name: str,
    asked: Sequence[tuple[str, str]],
    max_length: int,
) -> list[Row]:
    """Token ids and labels per pair of instruction and answer. Labels of the prompt are -100: only
    the answer is learned.

    An answer that is cut at ``max_length`` has no end token, so that no cut is learned as an end.
    Pairs whose prompt alone fills ``max_length`` are left out; raises ``NothingToTrainError``
    when that leaves none.
    """
    rows = []
    for instruction, text in asked:
        chat = prompts.messages(author_name, instruction)
        head = models.encode(tokenizer, prompts.render(tokenizer, chat))
        answer = [*models.encode(tokenizer, text), tokenizer.eos_token_id]
        ids = (head + answer)[:max_length]
        if len(head) < max_length:
            rows.append({"input_ids": ids, "labels": [-100] * len(head) + ids[len(head) :]})
    if not rows:
        raise loop.NothingToTrainError(
            f"{len(asked)} pairs",
            f"every prompt is longer than {max_length} tokens",
            "Shorten the instructions, or use a recipe with a larger max_length",
        )
    return rows


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
    from trl import SFTConfig, SFTTrainer

    lengths = [len(row["input_ids"]) for row in rows]
    passes = loop.fill_budget(lengths, recipe.sft_tokens, recipe.seed)
    plan = loop.batches(passes, lengths, recipe.sft_batch_size, recipe.seed)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **loop.arguments(work, recipe, len(plan)),
            per_device_train_batch_size=recipe.sft_batch_size,
            learning_rate=recipe.sft_learning_rate,
            warmup_steps=min(recipe.warmup_steps, len(plan) // 4),
            max_length=None,
            packing=False,
            shuffle_dataset=False,
        ),
        train_dataset=Dataset.from_list([rows[row] for batch in plan for row in batch]),
        processing_class=tokenizer,
        peft_config=None if recipe.method == "full" else loop.lora(recipe),
    )
    tokens = [sum(lengths[row] for row in batch) for batch in plan]
    result = loop.train(trainer, work, "sft", tokens, report)
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    return trainer.model, result | {"parameters": sum(weight.numel() for weight in weights)}


if __name__ == "__main__":
    sys.exit(script.main(main))
