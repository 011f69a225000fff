"""The author's held-out samples, as every measure of a model reads them: which rows, how many of
them, and the prompts before them. What is measured on them is not known here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from llmtwin_assets import prompts
from llmtwin_assets.records import InstructSample, from_frame
from llmtwin_assets.training import models
from resources.errors import LlmTwinError

TOKENS = 4_000  # enough for the second decimal of nats per token, half a minute on 2 cores

Item = TypeVar("Item")


class NothingHeldOutError(LlmTwinError):
    """There is no held-out sample to measure with."""


def samples(path: Path) -> list[InstructSample]:
    """The rows that nothing was trained on, in their order; raises ``NothingHeldOutError``."""
    import polars as pl

    rows = from_frame(InstructSample, pl.read_parquet(path))
    found = [row for row in rows if row.split == "held-out" and row.answer.strip()]
    if not found:
        raise NothingHeldOutError(
            str(path),
            "no row of it is in the split 'held-out'",
            "Add documents by the author, so that some can be held out",
        )
    return found


def within_budget(
    rows: Sequence[InstructSample], tokenizer: Any, tokens: int
) -> list[InstructSample]:
    """Evenly spaced rows whose answers have about ``tokens`` tokens together, at least one row."""
    lengths = [len(models.encode(tokenizer, row.answer)) for row in rows]
    return evenly(rows, max(1, tokens * len(rows) // max(sum(lengths), 1)))


def heads(tokenizer: Any, author_name: str, rows: Sequence[InstructSample]) -> list[str]:
    """The prompt before each row's answer, as the author's model is asked when it serves."""
    return [
        prompts.render(tokenizer, prompts.messages(author_name, row.instruction)) for row in rows
    ]


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """``count`` of the items, evenly spaced, or all when there are no more."""
    if count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
