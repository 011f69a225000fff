"""Quantise a fine-tuned model to 8 bits, read it back, and measure what that cost.

    python -m llmtwin_assets.training.quantize spec.json

with ``spec.json``::

    {"model": "/out/model", "samples": "/data/instruct.parquet", "author_name": "Ada Lovelace",
     "output": "/out-q8"}

``samples`` holds ``InstructSample`` rows; those held out are measured, up to ``tokens`` (4,000
unless given). Leaves ``<output>/model`` with ``model-q8_0.gguf``, configuration and tokenizer, and
``<output>/result.json``. Whether the loss is acceptable is decided elsewhere.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import records
from llmtwin_assets.training import held_out, llama_gguf, models, script
from resources.base_model import quiet

COPIED = ("*.json", "*.jinja", "*.txt", "*.model")  # configuration and tokenizer
Scores = list[tuple[list[float], list[int]]]


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Quantise and measure; returns bytes and held-out nats per token before and after."""
    source = Path(script.field(spec, "model"))
    target = Path(spec["output"]) / "model"
    author_name = str(script.field(spec, "author_name"))
    started = time.monotonic()
    quiet()
    before, tokenizer = models.load(source, models.fastest())
    rows = held_out.samples(Path(script.field(spec, "samples")))
    texts = held_out.within_budget(rows, tokenizer, int(spec.get("tokens", held_out.TOKENS)))
    report(f"quantize measures {len(texts)} held-out texts before")
    scores = measure(before, tokenizer, author_name, texts)
    del before
    write(source, target, f"{author_name}'s twin")
    loading = time.monotonic()
    after, tokenizer = models.load(target, models.fastest())
    loaded = time.monotonic() - loading
    report(f"quantize measures {len(texts)} held-out texts after")
    again = measure(after, tokenizer, author_name, texts)
    return {
        "bytes": size(target),
        "bytes_before": size(source),
        "nats": mean(again),
        "nats_before": mean(scores),
        "greedy_agreement": agreement(scores, again),
        "texts": len(texts),
        "tokens": sum(len(nats) for nats, _ in scores),
        "load_seconds": round(loaded, 2),
        "seconds": round(time.monotonic() - started, 1),
    }


def write(source: Path, target: Path, name: str) -> None:
    """The quantised model of ``source`` as a directory that ``models.load`` reads."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for pattern in COPIED:
        for path in source.glob(pattern):
            if not path.name.endswith(".index.json"):  # of shards that are not copied
                shutil.copyfile(path, target / path.name)
    llama_gguf.export(source, target / models.QUANTISED, name)


def measure(
    model: Any, tokenizer: Any, author_name: str, texts: Sequence[records.InstructSample]
) -> Scores:
    """Nats and likeliest token at every token of the texts, each after its own prompt."""
    heads = held_out.heads(tokenizer, author_name, texts)
    return models.score(model, tokenizer, heads, [text.answer for text in texts])


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


if __name__ == "__main__":
    sys.exit(script.main(main))
