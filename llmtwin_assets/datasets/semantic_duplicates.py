"""Instructions that ask the same of one passage in other words, told by embeddings, by setting.

Measured with MiniLM: of instructions by rules, each asked in two other ways, 86 to 93 % have a
cosine of .85 to the first; of eight pairs that a person wrote to ask the same, five have .8, and of
eight that ask something else of the same text, none has more than .44. Only instructions of one
passage are compared: between passages 22 to 43 % of the author's own have .9 to another one's,
while only 16 to 48 % of the reworded ones do. Nor do answers tell: of 1,765 passages of three
writers no two have .9, the five pairs above .85 go on from one another, and .98 drops 92 % of
contradictions (``benchmarks/semantic.py``). Passages are compared by words (``duplicates.py``).
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from llmtwin_assets.datasets.duplicates import SPAN
from resources.embedder import Embed

if TYPE_CHECKING:
    import polars as pl

ASKS_THE_SAME = 0.8  # cosine of two instructions of one passage from which on they ask the same
REASON = "asks the same"


def asked_again(rows: "pl.DataFrame", embed: Embed) -> "list[tuple[str, str] | None]":
    """For each row whose instruction asks what that of an earlier row of the same passage asks,
    (``asks the same``, that row's id and the cosine); None for the others. Only passages that have
    several rows cost anything."""
    passages: dict[tuple[object, ...], list[int]] = {}
    for place, span in enumerate(rows.select(SPAN).iter_rows()):
        passages.setdefault(span, []).append(place)
    groups = [places for places in passages.values() if len(places) > 1]
    found: list[tuple[str, str] | None] = [None] * rows.height
    asked = [rows["instruction"][place] for places in groups for place in places]
    vectors: Iterator[Any] = iter(embed(asked) if asked else ())
    for places in groups:
        stay: list[tuple[int, Any]] = []
        for place, vector in zip(places, islice(vectors, len(places)), strict=True):
            cosine, first = max(((vector @ other, at) for at, other in stay), default=(0.0, 0))
            if cosine >= ASKS_THE_SAME:
                found[place] = REASON, f"{rows['id'][first]}, cosine {cosine:.2f}"
            else:
                stay.append((place, vector))
    return found
