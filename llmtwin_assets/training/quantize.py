"""Quantise a fine-tuned model, read it back, and measure what that cost and gained.

    python -m llmtwin_assets.training.quantize spec.json

with ``spec.json``::

    {"model": "/out/model", "samples": "/data/instruct.parquet", "author_name": "Ada Lovelace",
     "weights": "q8_0", "output": "/out-q8"}

``weights`` is a format of ``formats.py``. ``samples`` holds ``InstructSample`` rows; those held
out are measured, up to ``tokens`` (4,000 unless given). Leaves ``<output>/model``, configuration
and tokenizer beside the weights, and ``<output>/result.json``. Whether the loss is acceptable is
decided elsewhere.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import records
from llmtwin_assets.training import formats, held_out, models, script
from resources.base_model import quiet

WRITTEN = 32  # tokens of a text that is written to measure speed
PROMPTS = 4

Scores = list[tuple[list[float], list[int]]]


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Quantise and measure; returns bytes, speed, and held-out nats per token before and after."""
    source = Path(script.field(spec, "model"))
    target = Path(spec["output"]) / "model"
    author_name = str(script.field(spec, "author_name"))
    form = str(spec.get("weights", "q8_0"))
    data = Path(script.field(spec, "samples"))
    started = time.monotonic()
    quiet()
    before, tokenizer = models.load(source, models.fastest())
    texts = held_out.within_budget(
        held_out.samples(data), tokenizer, int(spec.get("tokens", held_out.TOKENS))
    )
    report(f"quantize measures {len(texts)} held-out texts before")
    scores = measure(before, tokenizer, author_name, texts)
    speed_before = speed(before, tokenizer, author_name, texts)
    del before
    formats.write(source, target, f"{author_name}'s twin", form, _train_texts(data, form))
    loading = time.monotonic()
    after, tokenizer = models.load(target, models.fastest())
    loaded = time.monotonic() - loading
    report(f"quantize measures {len(texts)} held-out texts after")
    again = measure(after, tokenizer, author_name, texts)
    return {
        "weights": form,
        "bytes": size(target),
        "bytes_before": size(source),
        "nats": mean(again),
        "nats_before": mean(scores),
        "tokens_per_second": speed(after, tokenizer, author_name, texts),
        "tokens_per_second_before": speed_before,
        "greedy_agreement": agreement(scores, again),
        "texts": len(texts),
        "tokens": sum(len(nats) for nats, _ in scores),
        "load_seconds": round(loaded, 2),
        "seconds": round(time.monotonic() - started, 1),
    }


def measure(
    model: Any, tokenizer: Any, author_name: str, texts: Sequence[records.InstructSample]
) -> Scores:
    """Nats and likeliest token at every token of the texts, each after its own prompt."""
    heads = held_out.heads(tokenizer, author_name, texts)
    return models.score(model, tokenizer, heads, [text.answer for text in texts])


def speed(
    model: Any, tokenizer: Any, author_name: str, texts: Sequence[records.InstructSample]
) -> float:
    """Tokens per second that the model writes, one text at a time, as this project's engine loads
    it. A server that computes in fewer bits is faster than what is measured here."""
    heads = held_out.heads(tokenizer, author_name, held_out.evenly(texts, PROMPTS))
    written, started = 0, time.monotonic()
    for head in heads:
        [text] = models.generate(model, tokenizer, [head], max_new_tokens=WRITTEN, temperature=0)
        written += len(models.encode(tokenizer, text))
    return round(written / (time.monotonic() - started), 1)


def mean(scores: Scores) -> float:
    """Nats per token over all texts."""
    nats = [value for some, _ in scores for value in some]
    return round(sum(nats) / len(nats), 4)


def agreement(first: Scores, second: Scores) -> float:
    """Share of tokens, from 0 to 1, where both models hold the same token likeliest."""
    pairs = [
        (one, other)
        for (_, some), (_, others) in zip(first, second, strict=True)
        for one, other in zip(some, others, strict=True)
    ]
    return round(sum(one == other for one, other in pairs) / len(pairs), 4)


def size(directory: Path) -> int:
    """Bytes of the weights in a directory."""
    weights = [*directory.glob("*.safetensors"), *directory.glob("*.gguf")]
    return sum(path.stat().st_size for path in weights)


def _train_texts(data: Path, form: str) -> list[str]:
    """What gptq and awq calibrate on: the author's own training text, evenly spaced."""
    if form not in ("gptq", "awq"):
        return []
    import polars as pl

    answers = pl.read_parquet(data).filter(pl.col("split") == "train")["answer"].to_list()
    return held_out.evenly(answers, formats.CALIBRATION)


if __name__ == "__main__":
    sys.exit(script.main(main))
