"""Our supervised fine-tuning beside trl's, and what resuming and Dagster Pipes add to it.

    python -m benchmarks.training [--data SAMPLES.parquet] [--tokens 8000] [--recipe quick]
    python -m benchmarks.training --overheads

``--data`` is the file of an ``instruct_dataset`` (default: James Madison's, of the twin that
``make twin`` made); the base model is the deployment's. Every system starts from it, learns the
same rows once, as many as ``--tokens`` hold, at the same learning rate, in a process of its own:

- ours: the recipe as the graph runs it;
- trl, same arithmetic: ``SFTTrainer`` on the same token ids and labels with trl's own batches and
  head, in our number formats and batch size and without gradient checkpointing;
- trl as it comes: nothing set but what a CPU needs, so fp32, batches of 8 and checkpointing.

Useful tokens are those of the rows, without padding; CPU-seconds are those of the training loop.
What packing's arithmetic allows over trl is its padded tokens over its useful ones.

Then a training that is killed halfway and started again is compared with one that is not, and the
training script under Dagster Pipes with the same script by hand: CPU-seconds of whole processes.
``--overheads`` measures these two alone, on a random model of two layers and generated text.
"""

import argparse
import json
import os
import random
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
from llmtwin_assets import records
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
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.writing import paragraph
from resources import base_model
from resources.artifacts import open_artifacts
from resources.compute import QUIET, SubprocessCompute

AUTHOR, NAME = "james-madison", "James Madison"
ROWS, TOKENS, PASSES = 400, 200_000, 4  # of the overheads on the model of two layers
HELD_OUT = 3_000  # tokens of answers
REPEATS = 3  # of a script that has nothing to do
RESUMED = 0.1  # of a training's CPU-seconds, beside one more start, that a kill may cost
PIPES = 0.05  # of a training's CPU-seconds that Pipes may cost
SHARE = 0.95  # of the gain that packing's arithmetic allows
LOSS = 0.01  # by how much of it the held-out loss may differ


def main() -> None:
    """Run the systems one after the other and print the JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path)
    options.add_argument("--tokens", type=int, default=8_000)
    options.add_argument("--recipe", default="quick")
    options.add_argument("--overheads", action="store_true")
    options.add_argument("--system", choices=sorted(SYSTEMS), help=argparse.SUPPRESS)
    options.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.overheads:
        with tempfile.TemporaryDirectory() as folder:
            small(Path(folder))
        return
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
        # Half of the tokens, as they are learned several times.
        half = replace(recipe, sft_tokens=recipe.sft_tokens // 2)
        results |= overheads(base, data, half, Path(folder))
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
            **_goals(results),
        },
    )


def small(folder: Path) -> None:
    """Only what resuming and Pipes add, where a model is as good as free; prints the object."""
    base = tiny_model.build(folder / "model")
    data = folder / "samples.parquet"
    rows = [_sample(number) for number in range(ROWS)]
    records.to_frame(records.InstructSample, rows).write_parquet(data)
    recipe = replace(recipes.recipe("smoke"), sft_tokens=TOKENS, sft_passes=PASSES)
    results = overheads(base, data, recipe, folder)
    emit("training", f"a model of two layers, {ROWS} generated rows", results, _goals(results))


def _sample(number: int) -> records.InstructSample:
    text = paragraph(random.Random(number))
    return records.InstructSample(
        id=str(number),
        document_id=str(number // 5),
        split="held-out" if number % 20 == 0 else "train",
        kind="article",
        instruction=f"Write paragraph {number}.",
        answer=text,
        start=0,
        end=len(text),
        origin="author",
        written_by="rules",
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


def overheads(base: Path, data: Path, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What a kill and Dagster Pipes add to a training: the same spec, trained by hand, killed and
    resumed, and under Pipes; and a training of one step, for what every start costs."""
    spec = {
        "base": str(base),
        "samples": str(data),
        "author_name": NAME,
        "recipe": asdict(recipe),
    }
    progress("a training that is not killed")
    whole, found = _script(spec, folder / "whole")
    results = {"resume": resume(spec, folder, whole, found["steps"])}
    progress(json.dumps(results["resume"]))
    results["Pipes"] = pipes(spec, folder, whole)
    progress(json.dumps(results["Pipes"]))
    return results


def resume(spec: dict[str, Any], folder: Path, whole: float, steps: int) -> dict[str, Any]:
    """A training of so many ``steps`` that is killed at the first checkpoint of its second half and
    started again, beside one that is not and cost ``whole`` CPU-seconds."""
    progress("a training that is killed halfway")
    first, _ = _script(spec, folder / "killed", kill_at=steps // 2)
    second, two = _script(spec, folder / "killed")
    one_step = {**spec["recipe"], "sft_tokens": 1, "sft_passes": 1}
    start, _ = _script(spec | {"recipe": one_step}, folder / "start")
    return {
        "CPU-seconds, not killed": whole,
        "CPU-seconds, killed and resumed": first + second,
        "CPU-seconds of a training of one step": start,
        "overhead": (first + second) / whole - 1,
        "overhead beside one more start": (first + second - start) / whole - 1,
        "resumed at step": two["resumed_from"],
        "of steps": steps,
        "steps between checkpoints": checkpoints.interval(steps),
        "same weights": _weights(folder / "whole") == _weights(folder / "killed"),
    }


def pipes(spec: dict[str, Any], folder: Path, whole: float) -> dict[str, Any]:
    """CPU-seconds that Pipes adds to a script that has nothing to do, and to the training that by
    hand cost ``whole``."""
    idle = {"model": "", "author_name": NAME, "prompts": []}
    by_hand, under_pipes = [], []
    for number in range(REPEATS):
        output = folder / f"idle-{number}"
        by_hand.append(_script(idle, output, module="sample")[0])
        under_pipes.append(sum(_under_pipes(idle, output, "sample")))
    added = median(under_pipes) - median(by_hand)
    progress("a training under Pipes")
    waiting, training = _under_pipes(spec, folder / "piped", "sft")
    return {
        "CPU-seconds of a script without work, by hand": median(by_hand),
        "CPU-seconds of a script without work, under Pipes": median(under_pipes),
        "overhead, CPU-seconds": added,
        "CPU-seconds of the training, by hand": whole,
        "CPU-seconds of the training, under Pipes": training,
        "CPU-seconds of Dagster meanwhile": waiting,
        "share of the training": (added + waiting) / whole,
        "same weights": _weights(folder / "whole") == _weights(folder / "piped"),
    }


def _under_pipes(spec: dict[str, Any], output: Path, module: str) -> tuple[float, float]:
    """CPU-seconds of this process, and of the script, while the compute resource runs it."""
    output.mkdir(exist_ok=True)
    spec = spec | {"output": str(output), "work": str(output.with_name(f"{output.name}-work"))}
    cost: list[tuple[float, float]] = []

    @dg.asset
    def scripted(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        own, before = time.process_time(), _spent()
        SubprocessCompute().run(context, f"llmtwin_assets.training.{module}", spec)
        own = time.process_time() - own
        cost.append((own, _spent() - before - own))
        return dg.MaterializeResult()

    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    dg.materialize([scripted], instance=dg.DagsterInstance.ephemeral(), run_config=quiet)
    return cost[0]


def _spent() -> float:
    """CPU-seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _weights(output: Path) -> bytes:
    return (output / "model" / "model.safetensors").read_bytes()


def _goals(results: dict[str, Any]) -> dict[str, Any]:
    resumed, piped = results["resume"], results["Pipes"]
    return {
        "resume: CPU-seconds beside one more start": goal(
            RESUMED, resumed["overhead beside one more start"]
        ),
        "resume: same weights": goal(1, int(resumed["same weights"]), at_most=False),
        "Pipes: share of a training's CPU-seconds": goal(PIPES, piped["share of the training"]),
        "Pipes: same weights": goal(1, int(piped["same weights"]), at_most=False),
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


def _script(
    spec: dict[str, Any], output: Path, module: str = "sft", kill_at: int = 0
) -> tuple[float, dict[str, Any]]:
    """CPU-seconds of a training script on ``spec`` by hand, and its result. It is killed when its
    checkpoint of step ``kill_at`` or a later one is whole, and then has none."""
    output.mkdir(exist_ok=True)
    work = output.with_name(f"{output.name}-work")
    file = output / "spec.json"
    file.write_text(json.dumps(spec | {"output": str(output), "work": str(work)}), "utf-8")
    command = [sys.executable, "-m", f"llmtwin_assets.training.{module}", str(file)]
    before = _spent()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | QUIET)
    while kill_at and process.poll() is None and _saved(work) < kill_at:
        time.sleep(0.02)
    if kill_at:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if process.returncode and not kill_at:
        raise SystemExit(f"{' '.join(command)} failed; run it by hand to see why")
    result = {} if kill_at else json.loads((output / "result.json").read_text("utf-8"))
    return _spent() - before, result


def _saved(work: Path) -> int:
    """The step of the newest whole checkpoint."""
    sealed = work.glob(f"checkpoint-*/{checkpoints.SEAL}")
    return max((int(path.parent.name.split("-")[1]) for path in sealed), default=0)


def _own_data(settings: Settings) -> Path:
    version = open_artifacts(settings.artifacts_url).current(AUTHOR, "instruct_dataset")
    if version is None:
        raise SystemExit("There is no instruct_dataset yet: run 'make twin', or give --data")
    return version.file("samples.parquet")


if __name__ == "__main__":
    main()
