"""From candidates to rows worth training on: rules, score, held-out text, duplicates, what is cheap
first. Every row that stays says why it stayed, every row that goes why it went; none is changed.
Where rows come from is not known here.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmtwin_assets.datasets import decontamination, duplicates, rules, semantic_duplicates
from llmtwin_assets.settings import DUPLICATES, HELD_OUT
from resources.embedder import Embed

if TYPE_CHECKING:
    import polars as pl

LEAST_SCORE = 0.4
LEAST_MARK = 2.5  # mean of a judge's two marks from 1 to 4 (``marking.py``), where one is set
WORST_MARK = 1.0  # by how much less than its rejected answer's that of a chosen one may be
FULL_LENGTH = 60  # words from which on an answer is long enough to show a voice
RICH = 6.0  # Guiraud's index (different words by the root of all) of varied prose
ASKED = 6  # words of an instruction that says what it wants
SAMPLES = "samples.parquet"  # the table of what is kept
DROPPED = "dropped.parquet"  # the same columns, reason and detail
MEASURES = ("words", "distinct", "visible", "letters")


@dataclass(frozen=True)
class Judged:
    """``kept`` has the columns of the candidates with ``score`` and ``why`` filled in, ``dropped``
    those of the candidates and ``reason`` and ``detail``; ``like`` says which of those that were
    compared are alike."""

    kept: "pl.DataFrame"
    dropped: "pl.DataFrame"
    like: duplicates.Likeness

    @property
    def funnel(self) -> dict[str, int]:
        """reason -> rows that were dropped for it, the most frequent first."""
        return dict(Counter(self.dropped["reason"].to_list()).most_common())


def judged(
    candidates: "pl.DataFrame",
    held_out: Sequence[str],
    by_meaning: Collection[str] = (),
    embed: Embed | None = None,
) -> Judged:
    """The candidates (a frame of ``InstructSample``), judged. ``held_out`` are the texts that
    nothing may be trained on; which of ``settings.BY_MEANING`` embeddings look for, too, is said by
    ``by_meaning``."""
    import polars as pl

    rows = rules.measured(candidates)
    rows = rows.with_columns(score=score())
    languages, gone = rules.main_languages(rows), []

    def drop(reason: "pl.Series", detail: "pl.Series | None" = None) -> None:
        nonlocal rows
        marked = rows.with_columns(
            reason=reason, detail=pl.lit("") if detail is None else detail.fill_null("")
        )
        gone.append(marked.filter(pl.col("reason").is_not_null()))
        rows = rows.filter(reason.is_null())

    drop(rules.first_reason(rows, languages))
    drop(_named("secret or personal data", rules.unmasked(rows)))
    drop(_named("low score", rows["score"] < LEAST_SCORE), rows["score"].round(2).cast(pl.String))
    drop(_named("gives its answer away", duplicates.gives_itself_away(rows)))
    like = duplicates.likeness(rows)
    drop(pl.Series(decontamination.contaminated(rows, held_out, like), dtype=pl.String))
    drop(*_columns(duplicates.repeated(rows, like)))
    if HELD_OUT in by_meaning and embed:
        drop(*_columns(decontamination.reworded(rows, held_out, embed)))
    if DUPLICATES in by_meaning and embed:
        drop(*_columns(semantic_duplicates.asked_again(rows, embed)))
    kept = rows.with_columns(why=why())
    return Judged(kept.drop(MEASURES), pl.concat(gone).drop(MEASURES), like)


def capped(found: Judged, origin: str, share: float) -> Judged:
    """At most ``share`` of the train rows are of this ``origin``, the best ones; the others are
    dropped."""
    import polars as pl

    train = (pl.col("split") == "train") & (pl.col("origin") != origin)
    most = int(found.kept.filter(train).height * share / (1 - share))
    best = found.kept.filter(pl.col("origin") == origin).sort("score", descending=True)["id"]
    over = pl.col("id").is_in(best[most:].to_list())
    reason, detail = pl.lit(f"more {origin} rows than {share:.0%}"), pl.lit("")
    gone = found.kept.filter(over).with_columns(reason=reason, detail=detail)
    return replace(found, kept=found.kept.filter(~over), dropped=pl.concat([found.dropped, gone]))


def marked(found: Judged, marks: Mapping[str, float]) -> Judged:
    """Without the rows whose mark (1 to 4, by id) is below ``LEAST_MARK``; those that stay say what
    theirs was. Rows without a mark stay as they are."""
    import polars as pl

    given = pl.col("id").replace_strict(marks, default=None, return_dtype=pl.Float64)
    rows = found.kept.with_columns(mark=given)
    low = pl.col("mark") < LEAST_MARK
    detail = pl.format("{} of 4", pl.col("mark"))
    gone = rows.filter(low).with_columns(reason=pl.lit("low marks"), detail=detail).drop("mark")
    said = pl.format("{}, marked {} of 4", pl.col("why"), pl.col("mark"))
    kept = rows.filter(~low.fill_null(False)).with_columns(why=pl.coalesce(said, "why"))
    return replace(found, kept=kept.drop("mark"), dropped=pl.concat([found.dropped, gone]))


def score() -> "pl.Expr":
    """From 0 to 1, of a ``measured`` row: how long the answer is, how varied its words, whether it
    begins and ends as a sentence does, how much of it is letters, whether the instruction says
    enough. The mean of the five."""
    import polars as pl

    words = pl.col("words")
    answer = pl.col("answer").str.strip_chars()
    opened = answer.str.contains(r"^[\"'“‘«(\[*_]*[\p{Lu}\p{Lt}\p{Lo}\d]").cast(pl.Float64)
    closed = answer.str.contains(r"[.!?…。！？][\"'”’»)\]*_]*(?:\s?\[\d+\])*$").cast(pl.Float64)
    length = (words / FULL_LENGTH).clip(upper_bound=1)
    varied = (pl.col("distinct") / words.clip(1).sqrt() / RICH).clip(upper_bound=1)
    prose = ((pl.col("letters") / pl.col("visible").clip(1) - 0.5) / 0.4).clip(0, 1)
    asked = (pl.col("instruction").str.count_matches(r"\S+") / ASKED).clip(upper_bound=1)
    return ((length + varied + (opened + closed) / 2 + prose + asked) / 5).fill_nan(0)


def why() -> "pl.Expr":
    """The sentence that says what spoke for a row."""
    import polars as pl

    return pl.format(
        "passed every rule; {} words, {} of them different, score {}",
        pl.col("words"),
        pl.col("distinct"),
        pl.col("score").round(2),
    )


def _columns(found: Sequence[tuple[str, str] | None]) -> "Iterator[pl.Series]":
    """The reasons, and the details."""
    import polars as pl

    for part in (0, 1):
        yield pl.Series([each and each[part] for each in found], dtype=pl.String)


def _named(reason: str, wrong: "pl.Series | list[bool]") -> "pl.Series":
    """``reason`` where a row is ``wrong``, else null."""
    import polars as pl

    return pl.Series([reason if each else None for each in wrong], dtype=pl.String)
