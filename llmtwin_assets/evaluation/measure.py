"""Held-out loss, sampled answers and what was forgotten, of several systems: the part of a report
that needs models.

    python -m llmtwin_assets.evaluation.measure spec.json

with ``spec.json``::

    {"systems": {"base": {"model": "/models/smollm2", "probe": true},
                 "few_shot": {"model": "/models/smollm2", "context": "few_shot"},
                 "twin": {"model": "/dpo/model", "probe": true}},
     "contexts": "/data/contexts.json", "author_name": "Ada Lovelace",
     "samples": "/data/instruct.parquet", "prompts": 12, "tokens": 96, "seed": 17,
     "canaries": 0, "output": "/out"}

A system is a model and what stands before the question: nothing, ``few_shot`` (turns, the same for
every prompt) or ``passages`` (by sample id, see ``contexts.py``). Those without a context are also
measured by nats per token of held-out text, and those to ``probe`` by plain prose, instructions and
planted strings. Optional: ``held_out_tokens``, ``temperature``; ``work``, where measurements
survive a kill; ``earlier``, directories of measurements to take over; ``tasks`` of lm-eval, which
those to probe are asked too, and ``tasks_folder``, where there are more than it brings.

``samples`` holds ``InstructSample`` rows, of which only those of the split ``held-out`` are read.
Leaves ``<output>/answers.jsonl`` (system, sample_id, instruction, author, text), one file per
system in ``<output>/measured``, and ``<output>/result.json`` (``systems`` by name, ``answers``,
``seconds``, and ``cpu_seconds`` of the systems that were measured now). A system that was measured
before, by this run or an earlier one, is not measured again. What the answers are worth is not
known here.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets.evaluation import lm_eval_tasks
from llmtwin_assets.evaluation.contexts import Contexts, read_contexts
from llmtwin_assets.evaluation.figures import finite
from llmtwin_assets.evaluation.systems import Loaded, Measured, System
from llmtwin_assets.records import InstructSample
from llmtwin_assets.training import held_out, script
from resources.artifacts import write_atomically
from resources.base_model import fingerprint

ANSWERS, MEASURED = "answers.jsonl", "measured"
CODE = 3  # part of every measurement's name: raised when measuring changes


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Measure every system on the same rows and prompts; returns the result described above."""
    started = time.monotonic()
    systems: dict[str, dict[str, Any]] = script.field(spec, "systems")
    if not systems:
        raise script.BadSpecError("the spec file", "it names no system", "Add one to 'systems'")
    samples = held_out.samples(Path(script.field(spec, "samples")))
    asked = held_out.evenly(samples, int(script.field(spec, "prompts")))
    contexts = read_contexts(Path(script.field(spec, "contexts")))
    kept, work = Path(spec["output"]) / MEASURED, spec.get("work")
    places = [*([Path(work)] if work else []), kept, *map(Path, spec.get("earlier", ()))]
    measured: dict[str, Measured] = {}
    seconds: dict[str, float] = {}
    tasks: dict[str, Measured] = {}
    loaded: Loaded | None = None
    for name, system in systems.items():
        file = f"{digest(spec, system, contexts)}.json"
        found = _recall([place / file for place in places])
        if loaded is None or loaded.directory != Path(system["model"]):
            loaded = Loaded(Path(system["model"]))
        began = time.process_time()
        if system.get("probe"):
            tasks[name] = _tasks(name, spec, loaded, places, report)
        if not found:
            report(f"{name}: measuring {loaded.directory}")
            found = finite(System(name, loaded, spec, contexts, report).measure(samples, asked))
            seconds[name] = round(time.process_time() - began, 1)
        measured[name] = found
        _keep(found, file, {kept, places[0]})
    rows = answers(asked, {name: found["texts"] for name, found in measured.items()})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(Path(spec["output"]) / ANSWERS, lines.encode("ascii"))
    return {
        "systems": {
            name: {key: value for key, value in found.items() if key != "texts"}
            | tasks.get(name, {})
            for name, found in measured.items()
        },
        "answers": len(rows),
        "cpu_seconds": seconds,
        "seconds": round(time.monotonic() - started, 1),
    }


def _tasks(
    name: str, spec: script.Spec, loaded: Loaded, places: Sequence[Path], report: script.Report
) -> Measured:
    """What lm-eval says of a model, task by task, under ``tasks``; empty when nothing is asked. A
    task that could not be run says why, and is not kept."""
    found: Measured = {}
    for task in spec.get("tasks", ()):
        file = f"task-{_task_digest(spec, task, loaded.directory)}.json"
        known = _recall([place / file for place in places])
        if known is None:
            report(f"{name}: lm-eval's task {task}")
            try:
                folder = str(spec.get("tasks_folder", ""))
                known = finite(lm_eval_tasks.score(task, folder, loaded.model, loaded.tokenizer))
            except lm_eval_tasks.TaskNotRunError as error:
                report(str(error))
                found[task] = {"because": str(error)}
                continue
        _keep(known, file, {places[0], Path(spec["output"]) / MEASURED})
        found[task] = known
    return {"tasks": found} if found else {}


def _task_digest(spec: script.Spec, task: str, model: Path) -> str:
    asked = lm_eval_tasks.decisive([task], str(spec.get("tasks_folder", "")))
    text = json.dumps([asked, fingerprint(model)])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _keep(found: Measured, file: str, places: set[Path]) -> None:
    for place in places:
        write_atomically(place / file, json.dumps(found).encode("ascii"))


def answers(
    asked: Sequence[InstructSample], texts: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Rows of ``answers.jsonl``: by system, then by prompt."""
    return [
        {
            "system": name,
            "sample_id": sample.id,
            "instruction": sample.instruction,
            "author": sample.answer,
            "text": text,
        }
        for name, written in texts.items()
        for sample, text in zip(asked, written, strict=True)
    ]


def read_answers(path: Path) -> list[dict[str, str]]:
    """The rows of an ``answers.jsonl``."""
    return [json.loads(line) for line in path.read_text("ascii").split("\n") if line]


def digest(spec: script.Spec, system: Mapping[str, Any], contexts: Contexts) -> str:
    """What decides one system's figures: the spec without its places and the other systems, the
    held-out samples, its own context, and the model's files by content. What there is to train on
    does not: new writing leaves the figures of the base model as they were."""
    places = {"systems", "output", "work", "samples", "contexts", "earlier"}
    places |= {"tasks", "tasks_folder"}  # scores of tasks are kept apart
    decisive = {key: value for key, value in spec.items() if key not in places}
    shape = {key: value for key, value in system.items() if key != "model"}
    rows = held_out.samples(Path(spec["samples"]))
    content: list[Any] = [CODE, decisive, shape, [(row.instruction, row.answer) for row in rows]]
    content.append(fingerprint(Path(system["model"])))
    if system.get("context"):
        content.append(contexts.digest(system["context"]))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def _recall(files: Sequence[Path]) -> Measured | None:
    """What this or an earlier run measured. A file is written whole or not at all."""
    for file in files:
        if file.is_file():
            found: Measured = json.loads(file.read_text("ascii"))
            return found
    return None


if __name__ == "__main__":
    sys.exit(script.main(main))
