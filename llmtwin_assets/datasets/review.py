"""What reviewers decided about pairs, applied to a data set: an edited instruction takes the place
of the generated one and is judged like it, a rejected row leaves, an accepted one says so. The
answer is the author's and is never edited. Where decisions are stored is not known here.

A decision is about a pair's content: the answer and the instruction as generated. So it holds when
the data set is made again, when the text moves within its document, and when the document comes
from another source; a decision whose pair is not generated any more waits until it is.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmtwin_assets.datasets.quality import Judged
from llmtwin_assets.records import InstructSample, content_id

ACCEPTED, EDITED, REJECTED = VERDICTS = ("accepted", "edited", "rejected")
REASON = "rejected in review"  # why a row was dropped
SAID = " in review; "  # between a verdict and why a row was kept
EDITOR = "a reviewer, after "  # who wrote an edited instruction, and who the one before

Decision = Mapping[str, Any]  # verdict; instruction of an edited pair, reason of a rejected one
Decisions = Mapping[str, Decision]  # by pair


def pair_id(instruction: str, answer: str) -> str:
    """The id of a pair by its content; ``instruction`` is the generated one."""
    return content_id("pair", instruction, answer)


def id_of(row: InstructSample) -> str:
    """The id of the pair that a row is, edited or not."""
    return pair_id(row.generated or row.instruction, row.answer)


def holding(every: Mapping[str, Sequence[Decision]]) -> dict[str, Decision]:
    """The decision that holds for each pair: the last one."""
    return {pair: made[-1] for pair, made in every.items()}


def state(decisions: Decisions) -> str:
    """Names what was decided, whoever decided it and when: 16 hex digits."""
    said = {
        pair: [made["verdict"], made.get("instruction"), made.get("reason")]
        for pair, made in decisions.items()
    }
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def reviewed(rows: Sequence[InstructSample], decisions: Decisions) -> list[InstructSample]:
    """Generated rows with what was decided about them, and the instructions that were edited."""
    if not decisions:
        return list(rows)
    return [_reviewed(row, decisions.get(id_of(row))) for row in rows]


def _reviewed(row: InstructSample, made: Decision | None) -> InstructSample:
    if made is None:
        return row
    if made["verdict"] != EDITED:
        return replace(row, reviewed=made["verdict"])
    return edited(row, made["instruction"])


def edited(row: InstructSample, instruction: str) -> InstructSample:
    """A generated row with the instruction that a reviewer wrote for it."""
    return replace(
        row,
        instruction=instruction,
        generated=row.instruction,
        written_by=EDITOR + row.written_by,
        reviewed=EDITED,
    )


def as_generated(row: InstructSample) -> InstructSample:
    """The row as it was before anybody reviewed it."""
    return replace(
        row,
        instruction=row.generated or row.instruction,
        generated="",
        written_by=row.written_by.removeprefix(EDITOR),
        reviewed="",
        why=row.why.removeprefix(f"{row.reviewed}{SAID}"),
    )


def settled(found: Judged, decisions: Decisions) -> Judged:
    """Rejected rows leave what was kept, and the others say that they were reviewed. What a
    rejected row was a duplicate of, or the other way round, stays as it was judged: its like does
    not take its place."""
    import polars as pl

    if not decisions:
        return found
    gone = found.kept.filter(pl.col("reviewed") == REJECTED)
    pairs = zip(gone["instruction"], gone["answer"], strict=True)
    said = [decisions[pair_id(*pair)].get("reason") or "" for pair in pairs]
    left = gone.with_columns(reason=pl.lit(REASON), detail=pl.Series(said, dtype=pl.String))
    told = pl.concat_str("reviewed", pl.lit(SAID), "why")
    kept = found.kept.filter(pl.col("reviewed") != REJECTED).with_columns(
        why=pl.when(pl.col("reviewed") == "").then(pl.col("why")).otherwise(told)
    )
    return replace(found, kept=kept, dropped=pl.concat([found.dropped, left]))


def counts(found: Judged, decisions: Decisions) -> dict[str, int]:
    """How many rows stay by each verdict, and how many decisions are about pairs that were not
    among the candidates; empty when nobody decided anything."""
    if not decisions:
        return {}
    kept = Counter(found.kept["reviewed"].to_list())
    columns = ("generated", "instruction", "answer")
    there = {
        pair_id(generated or instruction, answer)
        for frame in (found.kept, found.dropped)
        for generated, instruction, answer in frame.select(columns).iter_rows()
    }
    return {
        **{f"reviewed: {verdict}": kept[verdict] for verdict in (ACCEPTED, EDITED)},
        "decisions without a row": len(decisions.keys() - there),
    }
