"""Our supervised fine-tuning beside trl's, and what resuming and Dagster Pipes add to it.

    python -m benchmarks.training [--data SAMPLES.parquet] [--tokens 8000] [--recipe quick]

``--data`` is the file of an ``instruct_dataset`` (default: James Madison's, of the twin that
``make twin`` made); the base model is the deployment's. Every system starts from it, learns the
same rows once, as many as ``--tokens`` hold, at the same learning rate, in a process of its own:

- ours: the recipe as the graph runs it;
- trl, same arithmetic: ``SFTTrainer`` on the same token ids and labels with trl's own batches and
  head, in our number formats and batch size and without gradient checkpointing;
- trl as it comes: nothing set but what a CPU needs, so fp32, batches of 8 and checkpointing.

Useful tokens are those of the rows, without padding; CPU-seconds are those of the training loop.
What packing's arithmetic allows over trl is its padded tokens over its useful ones. Then a training
that is killed after its first checkpoint and started again is compared with one that is not, and a
script under Dagster Pipes with the same script by hand.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg

from benchmarks.output import emit, goal, progress
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets.training import (
    backend,
    checkpoints,
    held_out,
    memory,
    models,
    quantize,
    recipes,
    sft,
)
from llmtwin_assets.training.recipes import Recipe
from resources import base_model
from resources.artifacts import open_artifacts
from resources.compute import SubprocessCompute

AUTHOR, NAME = "james-madison", "James Madison"
HELD_OUT = 3_000  # tokens of answers
REPEATS = 5  # of the Pipes measure
SHARE = 0.95  # of the gain that packing's arithmetic allows
LOSS = 0.01  # by how much of it the held-out loss may differ


def main() -> None:
    """Run the systems one after the other and print the JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path)
    options.add_argument("--tokens", type=int, default=8_000)
    options.add_argument("--recipe", default="quick")
    options.add_argument("--system", choices=sorted(SYSTEMS), help=argparse.SUPPRESS)
    options.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    settings = from_environment()
    data = given.data or _own_data(settings)
    base = base_model.resolve(settings.base_model, settings.models)
    recipe = replace(recipes.recipe(given.recipe), sft_tokens=given.tokens, sft_passes=1)
    if given.system:
        found = SYSTEMS[given.system](base, data, recipe, given.output)
        given.output.joinpath("figures.json").write_text(json.dumps(found), "utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for name in SYSTEMS:
            results[name] = _in_a_process(name, given, data, Path(folder))
            progress(json.dumps(results[name]))
        results["resume"] = resume(base, data, recipe, Path(folder))
        progress(json.dumps(results["resume"]))
        results["Pipes"] = pipes(Path(folder))
    ours, peer = results["ours"], results["trl, same arithmetic"]
    allowed = peer["padded tokens"] / peer["useful tokens"]
    speed = "useful tokens per CPU-second"
    gain = ours[speed] / peer[speed]
    results["ratios"] = {
        "gain over trl, same arithmetic": gain,
        "gain over trl as it comes": ours[speed] / results["trl as it comes"][speed],
        "gain that packing allows": allowed,
    }
    nats = "held-out nats per token"
    emit(
        "training",
        f"{ours['rows']} rows of {NAME}, {ours['useful tokens']} tokens",
        results,
        {
            "share of packing's gain": goal(SHARE, gain / allowed, at_most=False),
            "held-out loss within 1 %": goal(LOSS, abs(ours[nats] / peer[nats] - 1)),
        },
    )


def ours(base: Path, data: Path, recipe: Recipe, output: Path) -> dict[str, Any]:
    """The recipe as the graph runs it."""
    tokenizer, plan = _plan(base, data, recipe)
    trainable = backend.prepare(base, recipe, recipe.sft_method)
    with_cpu, result = _costing(
        lambda: sft.train(trainable, tokenizer, plan, [], recipe, output / "work", progress)
    )
    trainer, facts = result
    backend.save(trainer, tokenizer, base, output, recipe.sft_method)
    lengths = plan.lengths()
    padded = sum(max(batch) * len(batch) for batch in lengths)
    return {"steps": facts["steps"]} | _figures(plan, with_cpu, padded, output, data)


def trl_same(base: Path, data: Path, recipe: Recipe, output: Path) -> dict[str, Any]:
    """trl on the same ids and labels, in our number formats and without checkpointing."""
    return _trl(
        base,
        data,
        recipe,
        output,
        per_device_train_batch_size=recipe.sft_batch_size,
        gradient_checkpointing=False,
        bf16=models.fast_bf16(),
    )


def trl_default(base: Path, data: Path, recipe: Recipe, output: Path) -> dict[str, Any]:
    """trl with its own defaults, but for what it refuses on a CPU."""
    return _trl(base, data, recipe, output, bf16=False)


SYSTEMS: dict[str, Callable[[Path, Path, Recipe, Path], dict[str, Any]]] = {
    "ours": ours,
    "trl, same arithmetic": trl_same,
    "trl as it comes": trl_default,
}


def _trl(base: Path, data: Path, recipe: Recipe, output: Path, **how: Any) -> dict[str, Any]:
    """trl's trainer with its own order, batches and head."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer, plan = _plan(base, data, recipe)
    rows = [row for batch in plan.batches for pack in batch for row in pack]
    trainer = SFTTrainer(
        model=backend.prepare(base, recipe, recipe.sft_method).model,
        args=SFTConfig(
            output_dir=str(output / "work"),
            num_train_epochs=1,
            learning_rate=recipe.sft_learning_rate,
            warmup_steps=recipe.sft_warmup_steps,
            use_cpu=models.device() == "cpu",
            save_strategy="no",
            disable_tqdm=True,
            report_to="none",
            seed=recipe.seed,
            dataset_kwargs={"skip_prepare_dataset": True},
            **how,
        ),
        train_dataset=Dataset.from_list(
            [{name: plan.rows[row][name] for name in ("input_ids", "labels")} for row in rows]
        ),
        processing_class=tokenizer,
    )
    padded = sum(batch["input_ids"].numel() for batch in trainer.get_train_dataloader())
    cost, _ = _costing(trainer.train)
    backend.save(trainer, tokenizer, base, output, recipe.sft_method)
    figures = _figures(plan, cost, padded, output, data)
    return {"steps": trainer.state.global_step} | figures


def resume(base: Path, data: Path, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """CPU-seconds of a training that is killed after its first checkpoint and started again, beside
    one that is not. Half of the tokens, as it is run two times."""
    spec = {
        "base": str(base),
        "samples": str(data),
        "author_name": NAME,
        "recipe": asdict(replace(recipe, sft_tokens=recipe.sft_tokens // 2)),
    }
    progress("a training that is not killed")
    whole, one = _script(spec, folder / "whole", kill=False)
    progress("a training that is killed after its first checkpoint")
    first, _ = _script(spec, folder / "killed", kill=True)
    second, two = _script(spec, folder / "killed", kill=False)
    weights = [
        (folder / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "killed")
    ]
    return {
        "CPU-seconds, not killed": whole,
        "CPU-seconds, killed and resumed": first + second,
        "overhead": (first + second) / whole - 1,
        "resumed at step": two["resumed_from"],
        "of steps": one["steps"],
        "same weights": weights[0] == weights[1],
    }


def pipes(folder: Path) -> dict[str, float]:
    """Seconds that a script takes by hand and under Dagster Pipes: one that has nothing to do."""
    output = folder / "sample"
    output.mkdir()
    spec = {"model": "", "author_name": NAME, "prompts": [], "output": str(output)}
    module = "llmtwin_assets.training.sample"
    file = folder / "spec.json"
    file.write_text(json.dumps(spec), "utf-8")
    by_hand, under_pipes = [], []

    @dg.asset
    def scripted(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        began = time.perf_counter()
        SubprocessCompute().run(context, module, spec)
        under_pipes.append(time.perf_counter() - began)
        return dg.MaterializeResult()

    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", module, str(file)], check=True, capture_output=True)
        by_hand.append(time.perf_counter() - began)
        quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        dg.materialize([scripted], instance=dg.DagsterInstance.ephemeral(), run_config=quiet)
    return {
        "seconds by hand": median(by_hand),
        "seconds under Pipes": median(under_pipes),
        "overhead, seconds": median(under_pipes) - median(by_hand),
    }


def _plan(base: Path, data: Path, recipe: Recipe) -> tuple[Any, sft.Plan]:
    base_model.quiet()
    tokenizer = models.tokenizer_of(base)
    rows = sft.encode(tokenizer, NAME, sft.pairs(data, recipe), recipe.max_length)
    return tokenizer, sft.plan(rows, recipe)


def _costing(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of this process while ``work`` runs, and what it returns."""
    before = time.process_time()
    found = work()
    return time.process_time() - before, found


def _figures(plan: sft.Plan, cost: float, padded: int, output: Path, data: Path) -> dict[str, Any]:
    peak = memory.used() / memory.GB
    useful = sum(map(sum, plan.lengths()))
    model, tokenizer = models.load(output / "model", models.fastest())
    texts = held_out.within_budget(held_out.samples(data), tokenizer, HELD_OUT)
    return {
        "rows": sum(len(pack) for batch in plan.batches for pack in batch),
        "useful tokens": useful,
        "padded tokens": padded,
        "CPU-seconds": cost,
        "useful tokens per CPU-second": useful / cost,
        "peak memory, GB": peak,
        "held-out nats per token": quantize.mean(quantize.measure(model, tokenizer, NAME, texts)),
    }


def _in_a_process(
    system: str, given: argparse.Namespace, data: Path, folder: Path
) -> dict[str, Any]:
    progress(system)
    output = folder / system.replace(" ", "-")
    output.mkdir()
    options = ["--data", str(data), "--tokens", str(given.tokens), "--recipe", given.recipe]
    command = [sys.executable, "-m", "benchmarks.training", *options, "--system", system]
    # trl prints its own summary; standard output is for the one object.
    subprocess.run([*command, "--output", str(output)], check=True, stdout=sys.stderr)
    figures: dict[str, Any] = json.loads((output / "figures.json").read_text("utf-8"))
    shutil.rmtree(output)
    return figures


def _script(spec: dict[str, Any], output: Path, kill: bool) -> tuple[float, dict[str, Any]]:
    """CPU-seconds of the training script on ``spec``, and its result if it is let to end."""
    output.mkdir(exist_ok=True)
    work = output.with_name(f"{output.name}-work")
    file = output / "spec.json"
    file.write_text(json.dumps(spec | {"output": str(output), "work": str(work)}), "utf-8")
    command = [sys.executable, "-m", "llmtwin_assets.training.sft", str(file)]
    before = os.times()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while (
        kill and process.poll() is None and not list(work.glob(f"checkpoint-*/{checkpoints.SEAL}"))
    ):
        time.sleep(0.02)
    if kill:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if process.returncode and not kill:
        raise SystemExit(f"{' '.join(command)} failed; run it by hand to see why")
    after = os.times()
    seconds = after.children_user - before.children_user
    seconds += after.children_system - before.children_system
    return seconds, {} if kill else json.loads((output / "result.json").read_text("utf-8"))


def _own_data(settings: Settings) -> Path:
    version = open_artifacts(settings.artifacts_url).current(AUTHOR, "instruct_dataset")
    if version is None:
        raise SystemExit("There is no instruct_dataset yet: run 'make twin', or give --data")
    return version.file("samples.parquet")


if __name__ == "__main__":
    main()
