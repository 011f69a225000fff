"""What the author and several systems wrote to the same prompts, side by side on a page."""

import re
from collections.abc import Sequence
from html import escape

from llmtwin_assets.evaluation.cells import label
from llmtwin_assets.evaluation.figures import BASE, FEW_SHOT, SFT, TWIN, Answer
from llmtwin_assets.evaluation.writers import AUTHOR

SAMPLES = 3
SHOWN = (BASE, FEW_SHOT, SFT, TWIN)  # side by side with the author


def side_by_side(answers: Sequence[Answer]) -> str:
    """Some prompts, evenly spaced, with every text; empty where there are none."""
    ids = list(dict.fromkeys(row["sample_id"] for row in answers))
    chosen = [ids[index * len(ids) // SAMPLES] for index in range(min(SAMPLES, len(ids)))]
    if len(ids) < SAMPLES:
        chosen = ids
    rows = {(row["sample_id"], row["system"]): row for row in answers}
    shown = [
        _sample([rows[each, system] for system in SHOWN if (each, system) in rows])
        for each in chosen
        if any((each, system) in rows for system in SHOWN)
    ]
    return "<h2>The same prompt, side by side</h2>" + "\n".join(shown) if shown else ""


def _sample(rows: Sequence[Answer]) -> str:
    longest = max(len(row["text"].split()) for row in rows)
    columns = [_column(label(AUTHOR), _beginning(rows[0]["author"], longest))]
    columns += [_column(label(row["system"]), row["text"]) for row in rows]
    return (
        f'<section><h3 dir="auto">{escape(rows[0]["instruction"])}</h3>'
        f'<div class="columns">{"".join(columns)}</div></section>'
    )


def _beginning(text: str, most: int) -> str:
    """The first ``most`` words, with an ellipsis where the text goes on; its line breaks stay."""
    start = re.match(rf"\s*(?:\S+\s*){{0,{most}}}", text)
    begun = start[0] if start else ""
    return text if len(begun) == len(text) else begun.rstrip() + " …"


def _column(head: str, text: str) -> str:
    shown = escape(text.strip()) or "<em>(nothing)</em>"
    return f'<article><h4>{escape(head)}</h4><p dir="auto">{shown}</p></article>'
