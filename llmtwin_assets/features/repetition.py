"""How much of a corpus says the same again: documents that repeat earlier ones, and sentences that
stand under everything. A corpus of repeats is learned by heart, one of boilerplate teaches a
footer's voice.

Sentences are compared letter by letter, so that the cost is that of reading the text once. What is
too much is not known here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

SENTENCE = r"[^.!?。！？\n]+"
SHORTEST = 20  # characters; shorter ones recur by chance
REPEATS = 0.8  # share of a document's sentences, by length, that stand in one earlier than it
EVERYWHERE = 0.2  # share of the documents from which on a sentence is boilerplate …
FEWEST = 3  # … and how many documents that is at least


def repetition(texts: "pl.Series") -> dict[str, float]:
    """Shares (0 to 1) of the characters of the ``texts``: ``repeated`` is in documents that repeat
    earlier ones, ``boilerplate`` in sentences that stand in a fifth of the remaining documents and
    in three or more of them."""
    import polars as pl

    document, size = pl.col("document"), pl.col("size")
    rows = (
        pl.DataFrame({"document": range(len(texts)), "sentence": texts.str.extract_all(SENTENCE)})
        .explode("sentence")
        .with_columns(pl.col("sentence").str.strip_chars())
        .with_columns(size=pl.col("sentence").str.len_chars())
        .filter(size >= SHORTEST)
        .with_columns(first=document.min().over("sentence"))
    )
    again = (
        rows.group_by("document")
        .agg(share=size.filter(pl.col("first") < document).sum() / size.sum())
        .filter(pl.col("share") >= REPEATS)
    )
    unique = rows.join(again, on="document", how="anti").with_columns(
        standing=document.n_unique().over("sentence")
    )
    most = max(EVERYWHERE * unique["document"].n_unique(), FEWEST)
    everywhere = unique.filter(pl.col("standing") >= most)
    whole, once, common = (int(each["size"].sum()) for each in (rows, unique, everywhere))
    return {"repeated": _share(whole - once, whole), "boilerplate": _share(common, once)}


def languages(documents: "pl.DataFrame") -> dict[str, float]:
    """Language -> its share of the characters of the prose whose language is known, the commonest
    first. ``documents`` have kind, language and text; repositories are no prose."""
    import polars as pl

    known = documents.filter(
        (pl.col("kind") != "repository") & pl.col("language").is_not_null()
    ).select("language", size=pl.col("text").str.len_chars())
    sizes = known.group_by("language").agg(pl.col("size").sum())
    sizes = sizes.sort("size", "language", descending=[True, False])
    total = int(known["size"].sum())
    return {code: _share(size, total) for code, size in sizes.iter_rows()}


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
