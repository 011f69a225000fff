"""Held-out loss and sampled answers of several models: the part of a report that needs models.

    python -m llmtwin_assets.evaluation.measure spec.json

with ``spec.json``::

    {"models": {"base": "/models/smollm2", "sft": "/sft/model", "twin": "/dpo/model"},
     "author_name": "Ada Lovelace", "samples": "/data/instruct.parquet", "prompts": 12,
     "tokens": 96, "seed": 17, "output": "/out", "work": "/survives/a/kill"}

and, optionally, ``held_out_tokens``, ``temperature`` and ``batch_size``; ``work`` may be left out
too. ``samples`` holds ``InstructSample`` rows, of which only those of the split ``held-out`` are
read. Leaves ``<output>/answers.jsonl`` (model, sample_id, instruction, author, text) and
``<output>/result.json`` (``nats`` per token by model, ``tokens``, ``answers``, ``seconds``). A
model that was measured before a kill is not measured again. What the answers are worth is not known
here.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llmtwin_assets.records import InstructSample
from llmtwin_assets.training import held_out, models, script
from resources.artifacts import sha256, write_atomically
from resources.base_model import fingerprint

TEMPERATURE = 0.8
ANSWERS = "answers.jsonl"
BATCH = 8  # texts at once, and between two progress lines

Item = TypeVar("Item")
Measured = dict[str, Any]  # nats, tokens, texts


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Measure every model on the same rows and prompts; returns the result described above."""
    started = time.monotonic()
    directories = {name: Path(path) for name, path in script.field(spec, "models").items()}
    if not directories:
        raise script.BadSpecError("the spec file", "it names no model", "Add one to 'models'")
    samples = held_out.samples(Path(script.field(spec, "samples")))
    # As the first model counts tokens; the rows are the same for every model.
    counter = models.tokenizer_of(next(iter(directories.values())))
    budget = int(spec.get("held_out_tokens", held_out.TOKENS))
    scored = held_out.within_budget(samples, counter, budget)
    asked = held_out.evenly(samples, int(script.field(spec, "prompts")))
    work = Path(spec.get("work") or Path(spec["output"]) / "measured")
    measured: dict[str, Measured] = {}
    for name, directory in directories.items():
        kept = work / f"{digest(spec, directory)}.json"
        measured[name] = _recall(kept) or measure(name, directory, spec, scored, asked, report)
        write_atomically(kept, json.dumps(measured[name]).encode("utf-8"))
    rows = answers(asked, {name: found["texts"] for name, found in measured.items()})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(Path(spec["output"]) / ANSWERS, lines.encode("ascii"))
    shutil.rmtree(work, ignore_errors=True)
    return {
        "nats": {name: found["nats"] for name, found in measured.items()},
        "tokens": max(found["tokens"] for found in measured.values()),
        "answers": len(rows),
        "seconds": round(time.monotonic() - started, 1),
    }


def measure(
    name: str,
    directory: Path,
    spec: script.Spec,
    scored: Sequence[InstructSample],
    asked: Sequence[InstructSample],
    report: script.Report,
) -> Measured:
    """One model's nats per token on ``scored`` and its texts for ``asked``."""
    report(f"{name}: loading {directory}")
    model, tokenizer = models.load(directory, models.fastest())
    author = str(script.field(spec, "author_name"))
    nats, tokens = _nats(name, model, tokenizer, author, scored, report)
    show = script.Progress(report)
    texts = models.generate(
        model,
        tokenizer,
        held_out.heads(tokenizer, author, asked),
        max_new_tokens=int(script.field(spec, "tokens")),
        temperature=float(spec.get("temperature", TEMPERATURE)),
        seed=int(spec.get("seed", 0)),
        batch_size=int(spec.get("batch_size", BATCH)),
        progress=lambda done, total: show(f"{name}: {done}/{total} answers", last=done == total),
    )
    return {"nats": nats / tokens, "tokens": tokens, "texts": texts}


def answers(
    asked: Sequence[InstructSample], texts: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Rows of ``answers.jsonl``: by model, then by prompt."""
    return [
        {
            "model": name,
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


def digest(spec: script.Spec, directory: Path) -> str:
    """What decides one model's figures: the spec without its places and the other models, the
    samples' content, and the model's files by content."""
    decisive = {key: spec[key] for key in spec if key not in ("models", "output", "work")}
    content = [decisive, sha256(Path(spec["samples"])), fingerprint(directory)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def _nats(
    name: str,
    model: Any,
    tokenizer: Any,
    author: str,
    samples: Sequence[InstructSample],
    report: script.Report,
) -> tuple[float, int]:
    show = script.Progress(report)
    nats, tokens = 0.0, 0
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        heads = held_out.heads(tokenizer, author, batch)
        for cost, length in models.nats_per_token(
            model, tokenizer, heads, [sample.answer for sample in batch], BATCH
        ):
            nats, tokens = nats + cost, tokens + length
        done = start + len(batch)
        mean = nats / max(tokens, 1)
        show(
            f"{name}: {done}/{len(samples)} held-out texts, {mean:.2f} nats per token",
            last=done == len(samples),
        )
    if not tokens:
        raise held_out.NothingHeldOutError(
            name,
            "the prompts alone fill its context, so nothing of the author's text was read",
            "Shorten the instructions, or choose a base model with a longer context",
        )
    return nats, tokens


def _recall(kept: Path) -> Measured | None:
    """What an earlier run measured, if it got so far. The file is written whole or not at all."""
    if not kept.is_file():
        return None
    found: Measured = json.loads(kept.read_text("utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(script.main(main))
