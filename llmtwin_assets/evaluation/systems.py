"""One system, a model and what stands before the question, measured: held-out loss, answers, what
it forgot and what it can recite. What the figures are worth is not known here.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from llmtwin_assets import probes, prompts
from llmtwin_assets.evaluation.contexts import Contexts
from llmtwin_assets.records import InstructSample
from llmtwin_assets.training import canaries, held_out, models, script
from llmtwin_assets.training.writing import Writer

TEMPERATURE = 0.8
BATCH = 16  # texts scored at once
REPLY = 40  # tokens of a reply to an instruction

Measured = dict[str, Any]  # texts; nats (None: no number), tokens; prose, followed, exposures


class Loaded:
    """The model of a directory: read with, then written with. One that has begun to write is loaded
    again before it reads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._model: Any = None
        self._writer: Writer | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return models.tokenizer_of(self.directory)

    @property
    def model(self) -> Any:
        """The model, as transformers has it."""
        if self._model is None:
            self._writer = None
            self._model, _ = models.load(self.directory, models.fastest())
        return self._model

    def writer(self) -> Writer:
        """What writes with the model."""
        if self._writer is None:
            self._writer, self._model = (
                Writer(self.directory, self.model, self.tokenizer),
                None,
            )
        return self._writer


class System:
    """One system of a spec, with its model."""

    def __init__(
        self,
        name: str,
        loaded: Loaded,
        spec: script.Spec,
        contexts: Contexts,
        report: script.Report,
    ) -> None:
        self.name, self.loaded, self.spec = name, loaded, spec
        self.system: Mapping[str, Any] = script.field(spec, "systems")[name]
        self.contexts, self.report = contexts, report
        self.author = str(script.field(spec, "author_name"))

    def measure(
        self, samples: Sequence[InstructSample], asked: Sequence[InstructSample]
    ) -> Measured:
        """Everything the system's entry in the spec asks for: first what it takes to read, then
        what it writes."""
        found: Measured = {}
        if self._context is None:
            found |= self._held_out(samples)
        probed = bool(self.system.get("probe"))
        if probed:
            found |= self._probe()
        heads = [self._head(sample) for sample in asked]
        found["texts"] = self._write(heads, "answers", int(script.field(self.spec, "tokens")))
        if probed:
            heads = [self._ask(instruction.text) for instruction in probes.INSTRUCTIONS]
            replies = self._write(heads, "instructions", REPLY, temperature=0.0)
            found["followed"] = probes.followed(replies)
        return found

    @property
    def _context(self) -> str | None:
        return self.system.get("context")

    def _head(self, sample: InstructSample) -> str:
        chat = self.contexts.chat(self._context, self.author, sample)
        return prompts.render(self.loaded.tokenizer, chat)

    def _held_out(self, samples: Sequence[InstructSample]) -> Measured:
        budget = int(self.spec.get("held_out_tokens", held_out.TOKENS))
        scored = held_out.within_budget(samples, self.loaded.tokenizer, budget)
        heads = held_out.heads(self.loaded.tokenizer, self.author, scored)
        nats, tokens = self._nats(heads, [row.answer for row in scored], "held-out texts")
        if not tokens:
            raise held_out.NothingHeldOutError(
                self.name,
                "the prompts alone fill its context, so nothing of the author's text was read",
                "Shorten the instructions, or choose a base model with a longer context",
            )
        return {"nats": nats / tokens, "tokens": tokens}

    def _probe(self) -> Measured:
        """What plain prose costs it, and what it can recite."""
        prose = probes.prose()
        nats, tokens = self._nats([self._bos] * len(prose), prose, "paragraphs")
        seed = int(self.spec.get("seed", 0))
        planted = canaries.planted(int(self.spec.get("canaries", 0)), seed)
        return {
            "prose": nats / tokens,
            "exposures": [self._exposure(canary, seed) for canary in planted],
        }

    @property
    def _bos(self) -> str:
        """What a text begins with when nothing is asked: a model's nats need a token before."""
        return str(self.loaded.tokenizer.bos_token or self.loaded.tokenizer.eos_token)

    def _ask(self, instruction: str) -> str:
        return prompts.render(self.loaded.tokenizer, prompts.messages(self.author, instruction))

    def _exposure(self, canary: canaries.Canary, seed: int) -> float:
        texts = [canary.answer, *canaries.rivals(canary, seed)]
        costs = models.nats_per_token(
            self.loaded.model,
            self.loaded.tokenizer,
            [self._ask(canary.instruction)] * len(texts),
            texts,
            BATCH,
        )
        own, *others = [nats for nats, _ in costs]
        return round(canaries.exposure(own, others), 3)

    def _nats(self, heads: Sequence[str], texts: Sequence[str], what: str) -> tuple[float, int]:
        show = script.Progress(self.report)
        nats, tokens = 0.0, 0
        for start in range(0, len(texts), BATCH):
            some = slice(start, start + BATCH)
            for cost, length in models.nats_per_token(
                self.loaded.model, self.loaded.tokenizer, heads[some], texts[some], BATCH
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
        return self.loaded.writer().write(
            heads,
            max_new_tokens=tokens,
            temperature=temperature,
            seed=int(self.spec.get("seed", 0)),
            progress=lambda done, total: show(
                f"{self.name}: {done}/{total} {what}", last=done == total
            ),
        )
