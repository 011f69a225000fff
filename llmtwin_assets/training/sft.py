"""Supervised fine-tuning: the base model learns to answer as the author wrote.

    python -m llmtwin_assets.training.sft spec.json

with ``spec.json``::

    {"base": "/models/smollm2", "samples": "/data/instruct.parquet", "author_name": "Ada Lovelace",
     "recipe": {"name": "quick", …}, "output": "/out", "work": "/survives/a/kill"}

``samples`` holds ``InstructSample`` rows; those of the split ``train`` are learned, some of those
held out only measured. ``recipe`` is a ``Recipe`` as a mapping. ``work`` may be left out, and
``reporters`` (see ``loop.arguments``) and ``accelerate`` (see ``launch.py``). Leaves
``<output>/model``, with adapters ``<output>/adapter``, and ``<output>/result.json``. Where data
comes from and what happens to the model is not known here.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts, records
from llmtwin_assets.training import (
    backend,
    canaries,
    checkpoints,
    held_out,
    launch,
    loop,
    memory,
    models,
    packing,
    recipes,
    script,
)
from llmtwin_assets.training.recipes import Recipe
from resources.base_model import quiet

HELD_OUT_TOKENS = 1_000  # of answers, measured at every checkpoint

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Plan:
    """What each step reads: sequences of one row or of several packed ones, by batch."""

    rows: Sequence[Row]
    batches: Sequence[Sequence[Sequence[int]]]  # batch -> sequence -> row numbers

    def sequences(self) -> list[Row]:
        """The sequences in the order in which they are read."""
        packs = [pack for batch in self.batches for pack in batch]
        return [packing.join([self.rows[row] for row in pack]) for pack in packs]

    def lengths(self) -> list[list[int]]:
        """Tokens of every sequence, by batch."""
        return [
            [sum(len(self.rows[row]["input_ids"]) for row in pack) for pack in batch]
            for batch in self.batches
        ]


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Train as the spec says; returns the facts of ``loop.train`` and what it was made of."""
    recipe = recipes.from_mapping(script.field(spec, "recipe"))
    base, data = Path(script.field(spec, "base")), Path(script.field(spec, "samples"))
    author_name = str(script.field(spec, "author_name"))
    output = Path(spec["output"])
    work = Path(spec.get("work") or output / "checkpoints")
    inputs = checkpoints.made_of(base, data, author_name, recipe)
    with script.main_first():
        checkpoints.claim(work, inputs)
    backend.require(recipe, recipe.sft_method)
    quiet()
    tokenizer = models.tokenizer_of(base)
    prompts.use_template(tokenizer, recipe.template)
    asked = pairs(data, recipe)
    work_plan = plan(encode(tokenizer, author_name, asked, recipe.max_length), recipe)
    measured = encode(tokenizer, author_name, held_out_pairs(data, tokenizer), recipe.max_length)
    largest = loop.largest_part(work_plan.lengths(), loop.part(recipe, recipe.sft_batch_size))
    needs = memory.require(recipe, base, "sft", largest, script.processes())
    report(f"sft needs about {memory.arithmetic(needs)}")
    trainable = backend.prepare(base, recipe, recipe.sft_method)
    trainer, result = train(
        trainable, tokenizer, work_plan, measured, recipe, work, report, spec.get("reporters", "")
    )
    backend.save(trainer, tokenizer, base, output, recipe.sft_method)
    if script.is_main():
        shutil.rmtree(work, ignore_errors=True)
    return result | {
        "method": recipe.sft_method,
        "backend": trainable.backend,
        "recipe": recipe.name,
        "rows": len(work_plan.rows),
        "made_of": inputs,
        "memory_estimate_gb": memory.as_figures(needs),
    }


def training_samples(path: Path) -> list[records.InstructSample]:
    """The rows that may be trained on; raises ``NothingToTrainError``."""
    import polars as pl

    samples = records.from_frame(records.InstructSample, pl.read_parquet(path))
    chosen = [sample for sample in samples if sample.split == "train"]
    if not chosen:
        raise checkpoints.NothingToTrainError(
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
    the answer and its end are learned.

    An answer that is cut at ``max_length`` has no end token, so that no cut is learned as an end.
    Pairs whose prompt alone fills ``max_length`` are left out; raises ``NothingToTrainError``
    when that leaves none.
    """
    rows = []
    end = prompts.end_of_turn(tokenizer)
    for instruction, text in asked:
        chat = prompts.messages(author_name, instruction)
        head = models.encode(tokenizer, prompts.render(tokenizer, chat))
        answer = [*models.encode(tokenizer, text), end]
        ids = (head + answer)[:max_length]
        if len(head) < max_length:
            rows.append({"input_ids": ids, "labels": [-100] * len(head) + ids[len(head) :]})
    if asked and not rows:
        raise checkpoints.NothingToTrainError(
            f"{len(asked)} pairs",
            f"every prompt is longer than {max_length} tokens",
            "Shorten the instructions, or use a recipe with a larger max_length",
        )
    return rows


def held_out_pairs(path: Path, tokenizer: Any) -> list[tuple[str, str]]:
    """Instruction and answer of the held-out rows that are measured on the way; maybe none."""
    try:
        rows = held_out.within_budget(held_out.samples(path), tokenizer, HELD_OUT_TOKENS)
    except held_out.NothingHeldOutError:
        return []
    return [(row.instruction, row.answer) for row in rows]


def plan(rows: Sequence[Row], recipe: Recipe) -> Plan:
    """Rows in sequences, sequences in batches, until the recipe's tokens are used."""
    lengths = [len(row["input_ids"]) for row in rows]
    passes = loop.fill_budget(lengths, recipe.sft_tokens, recipe.seed, recipe.sft_passes)
    packs: list[list[int]] = []
    numbered: list[range] = []  # the packs of each pass
    for some in passes:
        made = packing.pack(some, lengths, recipe.max_length)
        packs += made if recipe.sft_packing else [[row] for row in some]
        numbered.append(range(sum(map(len, numbered)), len(packs)))
    sizes = [sum(lengths[row] for row in pack) for pack in packs]
    grouped = loop.batches(numbered, sizes, recipe.sft_batch_size, recipe.seed)
    return Plan(rows, [[packs[number] for number in batch] for batch in grouped])


def train(
    trainable: backend.Trainable,
    tokenizer: Any,
    work_plan: Plan,
    measured: Sequence[Row],
    recipe: Recipe,
    work: Path,
    report: script.Report,
    reporters: str = "",
) -> tuple[Any, dict[str, Any]]:
    """The trainer with the trained model (adapters not merged yet) and the facts of the training.

    The loss of the rows ``measured`` is taken at every checkpoint, as a mean over batches.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    steps = len(work_plan.batches)
    common = loop.arguments(work, recipe, steps, recipe.sft_batch_size, reporters)
    stop = loop.early_stop(recipe.sft_patience) if recipe.sft_patience and measured else {}
    watch = {"eval_strategy": "steps", "eval_steps": common["save_steps"]} if measured else {}
    trainer = SFTTrainer(
        model=trainable.model,
        args=SFTConfig(
            **common,
            **watch,
            **stop.get("arguments", {}),
            per_device_eval_batch_size=common["per_device_train_batch_size"],
            learning_rate=recipe.sft_learning_rate,
            warmup_steps=min(recipe.sft_warmup_steps, steps // 4),
            max_length=None,
            # Rows are packed already; so trl knows them and lays them end to end.
            packing=recipe.sft_packing,
            packing_strategy="bfd",
            dataset_kwargs={"skip_prepare_dataset": True},
            shuffle_dataset=False,
        ),
        train_dataset=Dataset.from_list(
            [row if recipe.sft_packing else _unpacked(row) for row in work_plan.sequences()]
        ),
        eval_dataset=Dataset.from_list(list(measured)) if measured else None,
        processing_class=tokenizer,
        peft_config=trainable.adapters,
        callbacks=stop.get("callbacks"),
    )
    tokens = [sum(batch) for batch in work_plan.lengths()]
    result = loop.train(trainer, work, "sft", tokens, report)
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    return trainer, result | {"parameters": sum(weight.numel() for weight in weights)}


def _unpacked(row: Row) -> Row:
    """A sequence of one row, which needs no length."""
    return {name: row[name] for name in ("input_ids", "labels")}


if __name__ == "__main__":
    sys.exit(launch.main(main, "llmtwin_assets.training.sft"))
