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
planted strings. Optional: ``held_out_tokens``, ``temperature``, ``batch_size``; ``work``, where
measurements survive a kill; ``earlier``, directories of measurements to take over.

``samples`` holds ``InstructSample`` rows, of which only those of the split ``held-out`` are read.
Leaves ``<output>/answers.jsonl`` (system, sample_id, instruction, author, text), one file per
system in ``<output>/measured``, and ``<output>/result.json`` (``systems`` by name, ``answers``,
``seconds``). A system that was measured before, by this run or an earlier one, is not measured
again. What the answers are worth is not known here.
"""

import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts
from llmtwin_assets.evaluation import general
from llmtwin_assets.evaluation.contexts import Contexts, read_contexts
from llmtwin_assets.evaluation.figures import finite
from llmtwin_assets.records import InstructSample
from llmtwin_assets.training import canaries, held_out, models, script
from resources.artifacts import write_atomically
from resources.base_model import fingerprint

TEMPERATURE = 0.8
ANSWERS, MEASURED = "answers.jsonl", "measured"
BATCH = 16  # texts at once
REPLY = 40  # tokens of a reply to an instruction
CODE = 2  # part of every measurement's name: raised when measuring changes

Measured = dict[str, Any]  # texts; nats (None: no number), tokens; prose, followed, exposures


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
    for name, system in systems.items():
        file = f"{digest(spec, system, contexts)}.json"
        found = _recall([place / file for place in places])
        measured[name] = found or finite(
            _System(name, system, spec, contexts, report).measure(samples, asked)
        )
        for place in {kept, places[0]}:
            write_atomically(place / file, json.dumps(measured[name]).encode("ascii"))
    rows = answers(asked, {name: found["texts"] for name, found in measured.items()})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(Path(spec["output"]) / ANSWERS, lines.encode("ascii"))
    return {
        "systems": {
            name: {key: value for key, value in found.items() if key != "texts"}
            for name, found in measured.items()
        },
        "answers": len(rows),
        "seconds": round(time.monotonic() - started, 1),
    }


class _System:
    """One system, loaded when it is measured."""

    def __init__(
        self,
        name: str,
        system: Mapping[str, Any],
        spec: script.Spec,
        contexts: Contexts,
        report: script.Report,
    ) -> None:
        self.name, self.system, self.spec = name, system, spec
        self.contexts, self.report = contexts, report
        self.author = str(script.field(spec, "author_name"))

    def measure(
        self, samples: Sequence[InstructSample], asked: Sequence[InstructSample]
    ) -> Measured:
        """Everything the system's entry in the spec asks for."""
        directory = Path(self.system["model"])
        self.report(f"{self.name}: loading {directory}")
        self.model, self.tokenizer = models.load(directory, models.fastest())
        heads = [self._head(sample) for sample in asked]
        texts = self._write(heads, "answers", int(script.field(self.spec, "tokens")))
        found: Measured = {"texts": texts}
        if self._context is None:
            found |= self._held_out(samples)
        if self.system.get("probe"):
            found |= self._probe()
        return found

    @property
    def _context(self) -> str | None:
        return self.system.get("context")

    def _head(self, sample: InstructSample) -> str:
        chat = self.contexts.chat(self._context, self.author, sample)
        return prompts.render(self.tokenizer, chat)

    def _held_out(self, samples: Sequence[InstructSample]) -> Measured:
        budget = int(self.spec.get("held_out_tokens", held_out.TOKENS))
        scored = held_out.within_budget(samples, self.tokenizer, budget)
        heads = held_out.heads(self.tokenizer, self.author, scored)
        nats, tokens = self._nats(heads, [row.answer for row in scored], "held-out texts")
        if not tokens:
            raise held_out.NothingHeldOutError(
                self.name,
                "the prompts alone fill its context, so nothing of the author's text was read",
                "Shorten the instructions, or choose a base model with a longer context",
            )
        return {"nats": nats / tokens, "tokens": tokens}

    def _probe(self) -> Measured:
        """What it lost, and what it can recite."""
        prose = general.prose()
        nats, tokens = self._nats([self._bos] * len(prose), prose, "paragraphs")
        heads = [self._ask(instruction.text) for instruction in general.INSTRUCTIONS]
        replies = self._write(heads, "instructions", REPLY, temperature=0.0)
        seed = int(self.spec.get("seed", 0))
        planted = canaries.planted(int(self.spec.get("canaries", 0)), seed)
        return {
            "prose": nats / tokens,
            "followed": general.followed(replies),
            "exposures": [self._exposure(canary, seed) for canary in planted],
        }

    @property
    def _bos(self) -> str:
        """What a text begins with when nothing is asked: a model's nats need a token before."""
        return str(self.tokenizer.bos_token or self.tokenizer.eos_token)

    def _ask(self, instruction: str) -> str:
        return prompts.render(self.tokenizer, prompts.messages(self.author, instruction))

    def _exposure(self, canary: canaries.Canary, seed: int) -> float:
        texts = [canary.answer, *canaries.rivals(canary, seed)]
        costs = models.nats_per_token(
            self.model, self.tokenizer, [self._ask(canary.instruction)] * len(texts), texts, BATCH
        )
        own, *others = [nats for nats, _ in costs]
        return round(canaries.exposure(own, others), 3)

    def _nats(self, heads: Sequence[str], texts: Sequence[str], what: str) -> tuple[float, int]:
        show = script.Progress(self.report)
        nats, tokens = 0.0, 0
        for start in range(0, len(texts), BATCH):
            some = slice(start, start + BATCH)
            for cost, length in models.nats_per_token(
                self.model, self.tokenizer, heads[some], texts[some], BATCH
            ):
                nats, tokens = nats + cost, tokens + length
            done = min(start + BATCH, len(texts))
            mean = nats / tokens if tokens else math.nan
            show(
                f"{self.name}: {done}/{len(texts)} {what}, {mean:.2f} nats per token",
                last=done == len(texts),
            )
        return nats, tokens

    def _write(
        self, heads: Sequence[str], what: str, tokens: int, temperature: float | None = None
    ) -> list[str]:
        show = script.Progress(self.report)
        if temperature is None:
            temperature = float(self.spec.get("temperature", TEMPERATURE))
        return models.generate(
            self.model,
            self.tokenizer,
            heads,
            max_new_tokens=tokens,
            temperature=temperature,
            seed=int(self.spec.get("seed", 0)),
            batch_size=int(self.spec.get("batch_size", BATCH)),
            progress=lambda done, total: show(
                f"{self.name}: {done}/{total} {what}", last=done == total
            ),
        )


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
    places = ("systems", "output", "work", "samples", "contexts", "earlier")
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
