"""On-policy samples: what the fine-tuned model writes to the author's own prompts.

    python -m llmtwin_assets.training.sample spec.json

with ``spec.json``::

    {"model": "/out/model", "author_name": "Ada Lovelace", "output": "/samples", "seed": 17,
     "prompts": [{"id": "…", "instruction": "Write about engines.", "tokens": 96}]}

and, optionally, ``temperature``, ``top_p``, ``batch_size``. Leaves ``<output>/texts.jsonl`` with
one ``{"id", "text"}`` per prompt, in the order of the prompts' lengths, and ``result.json``. It is
written batch by batch: a killed run goes on where it stopped, and ends with the same texts. Which
prompts are worth asking is not known here.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts as prompt_format
from llmtwin_assets.training import models, script
from resources.base_model import quiet

Prompt = dict[str, Any]  # id, instruction, tokens


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    """Write a text per prompt; returns how many texts and tokens, and the seconds it took."""
    asked = sorted(script.field(spec, "prompts"), key=lambda p: (int(p["tokens"]), p["id"]))
    size = int(spec.get("batch_size", 16))
    path = Path(spec["output"]) / "texts.jsonl"
    done = whole_lines(path)
    todo = [batch for batch in batches(asked, size) if any(p["id"] not in done for p in batch)]
    started, tokens = time.monotonic(), 0
    if todo:
        quiet()
        model, tokenizer = models.load(Path(script.field(spec, "model")), models.fastest())
        show = script.Progress(report)
        for number, batch in enumerate(todo, start=1):
            texts = _write(model, tokenizer, batch, spec)
            append(path, [p for p in batch if p["id"] not in done], batch, texts)
            tokens += sum(len(models.encode(tokenizer, text)) for text in texts)
            speed = tokens / (time.monotonic() - started)
            left = (time.monotonic() - started) / number * (len(todo) - number)
            count = len(asked) - sum(map(len, todo[number:]))
            show(
                script.line("sample", count, len(asked), "texts", speed, left),
                last=number == len(todo),
            )
    seconds = time.monotonic() - started
    return {
        "texts": len(asked),
        "resumed_from": len(done),
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds, 1) if tokens else 0.0,
    }


def batches(asked: Sequence[Prompt], size: int) -> list[list[Prompt]]:
    """Prompts in batches. They depend on all prompts, so that a resumed run makes the same ones."""
    return [list(asked[start : start + size]) for start in range(0, len(asked), size)]


def whole_lines(path: Path) -> dict[str, str]:
    """Texts by prompt id that an earlier run finished. A torn last line is cut off the file."""
    if not path.is_file():
        return {}
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    rows = [json.loads(row) for row in whole.decode("utf-8").splitlines() if row]
    return {row["id"]: row["text"] for row in rows}


def append(
    path: Path, wanted: Sequence[Prompt], batch: Sequence[Prompt], texts: Sequence[str]
) -> None:
    """Add the texts of ``wanted``, a part of ``batch``, one JSON object a line."""
    ids = {prompt["id"] for prompt in wanted}
    with path.open("a", encoding="utf-8") as file:
        for prompt, text in zip(batch, texts, strict=True):
            if prompt["id"] in ids:
                file.write(json.dumps({"id": prompt["id"], "text": text}) + "\n")


def _write(model: Any, tokenizer: Any, batch: Sequence[Prompt], spec: script.Spec) -> list[str]:
    name = str(script.field(spec, "author_name"))
    heads = [
        prompt_format.render(tokenizer, prompt_format.messages(name, p["instruction"]))
        for p in batch
    ]
    return models.generate(
        model,
        tokenizer,
        heads,
        max_new_tokens=[int(p["tokens"]) for p in batch],
        temperature=float(spec.get("temperature", 0.8)),
        top_p=float(spec.get("top_p", 0.95)),
        seed=int(spec.get("seed", 0)),
        batch_size=len(heads),
    )


if __name__ == "__main__":
    sys.exit(script.main(main))
