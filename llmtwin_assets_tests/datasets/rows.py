"""Rows of training data for tests: good ones, and ways to spoil them."""

import random
from typing import Any

import polars as pl

from llmtwin_assets.records import InstructSample, to_frame
from llmtwin_assets_tests.writing import paragraph


def row(number: int, **changes: Any) -> InstructSample:
    """A good row, the same on every run, each with a text of its own."""
    answer = changes.pop("answer", None) or paragraph(random.Random(number), 6)
    values: dict[str, Any] = {
        "id": f"r{number}", "document_id": f"d{number}", "split": "train", "kind": "write",
        "instruction": f"Write a paragraph about matter number {number}.", "answer": answer,
        "start": 0, "end": len(answer), "origin": "author", "written_by": "rules",
        "language": "en",
    }  # fmt: skip
    return InstructSample(**{**values, **changes})


def frame(*rows: InstructSample) -> pl.DataFrame:
    return to_frame(InstructSample, rows)
