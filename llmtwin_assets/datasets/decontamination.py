"""Train rows that would spoil a measure, because they say what the twin is measured on: held-out
text of the author, and the prose and the instructions that ask what was forgotten (``probes.py``).
Rows that are not trained on spoil nothing.

Words are compared always (8-grams, as GPT-3's authors did with 13: Brown et al. 2020, appendix C).
Of held-out instructions only whole ones count: those of a series share its titles, and by 8-grams
122 of Hamilton's 799 train rows went, none of which says what a held-out passage says.

Meaning is compared by setting. Of held-out passages reworded by rules (common words replaced in
every sentence, sentences in another order), by 26 articles of one writer, by Madison and by
Hamilton, words find 78 to 87 %, and meaning at ``SAME_MEANING`` 71 to 86 % of the rest; of the
1,514 train passages of the three it drops none (the nearest to held-out text has .81). Of 16 probes
asked in other words it finds 14, of 20 other requests none (.78). It costs 15 CPU-milliseconds a
passage with MiniLM, 40 times the rest of judging, and where nobody rewords held-out text, as in
those three corpora, it finds nothing: so it is off unless asked for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtwin_assets import probes
from llmtwin_assets.datasets import duplicates
from llmtwin_assets.datasets.passages import FEWEST_WORDS, passages
from llmtwin_assets.features.runs import runs_of
from llmtwin_assets.features.words import EIGHT, length, words
from resources.embedder import Embed

if TYPE_CHECKING:
    import polars as pl

SAME_MEANING = 0.85  # cosine of two passages from which on one says what the other says
HELD_OUT, EVALUATION, REWORDED = "held-out words", "evaluation words", "reworded evaluation text"


def contaminated(
    rows: "pl.DataFrame", held_out: Sequence[str], like: duplicates.Likeness
) -> "list[str | None]":
    """For each row why its words spoil a measure, or None: ``held-out words`` and ``near held-out``
    (``duplicates.contaminated``), or ``evaluation words``: it shares eight words in a row with a
    probe, holds a shorter probe whole, or has the instruction of a held-out row."""
    found = duplicates.contaminated(rows, [*held_out, *probes.texts()], like)
    shared = [why == HELD_OUT for why in found]  # with held-out text, or with a probe
    whose = iter(duplicates.contaminated(rows.filter(shared), held_out, like))
    said = [
        (next(whose) or EVALUATION) if each else why
        for each, why in zip(shared, found, strict=True)
    ]
    train = rows["split"] == "train"
    return [
        why or (EVALUATION if asked and learned else None)
        for why, asked, learned in zip(said, _asked(rows), train, strict=True)
    ]


def reworded(
    rows: "pl.DataFrame", held_out: Sequence[str], embed: Embed
) -> "list[tuple[str, str] | None]":
    """For each train row that says in other words what a held-out passage or a probe's prose says,
    or, where it is not the author's, asks what a probe asks, (``reworded evaluation text``, the
    cosine); None for the others. Answers of fewer than 30 words are not compared."""
    import polars as pl

    apart = [text[span.start : span.end] for text in held_out for span in passages(text)]
    apart = [text for text in [*apart, *probes.prose()] if length(text) >= FEWEST_WORDS]
    asked = [instruction.text for instruction in probes.INSTRUCTIONS]
    train = rows["split"] == "train"
    long = pl.Series(
        [length(answer) >= FEWEST_WORDS for answer in rows["answer"]], dtype=pl.Boolean
    )
    said = _nearest(rows["answer"], train & long, apart, embed)
    wants = _nearest(rows["instruction"], train & (rows["origin"] != "author"), asked, embed)
    return [
        (REWORDED, f"cosine {max(both):.2f}") if max(both) >= SAME_MEANING else None
        for both in zip(said, wants, strict=True)
    ]


def _nearest(
    texts: "pl.Series", among: "pl.Series", others: Sequence[str], embed: Embed
) -> list[float]:
    """The highest cosine of each text to one of the others; 0 where it is not ``among`` those that
    are compared."""
    compared = list(dict.fromkeys(texts.filter(among)))
    cosines = (embed(compared) @ embed(others).T).max(axis=1).tolist() if compared else []
    nearest = dict(zip(compared, cosines, strict=True))
    return [nearest[text] if there else 0.0 for text, there in zip(texts, among, strict=True)]


def _asked(rows: "pl.DataFrame") -> list[bool]:
    """Whether a row's instruction is a held-out row's, or holds one of the short probes."""
    asked = rows["instruction"].to_list()
    held = {duplicates.plain(each) for each in rows.filter(split="held-out")["instruction"]}
    found = [duplicates.plain(each) in held for each in asked]
    short: dict[int, list[str]] = {}
    for each in probes.INSTRUCTIONS:
        short.setdefault(len(words(each.text)), []).append(each.text)
    for size in sorted(size for size in short if size < EIGHT):
        known = {int(run) for runs in runs_of(short[size], size) for run in runs}
        for place, runs in enumerate(runs_of(asked, size)):
            found[place] |= not known.isdisjoint(runs.tolist())
    return found
