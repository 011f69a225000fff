"""Pairs of nearly the same texts, remembered: a new text is compared, the others were.

Beside its rows an asset keeps the pairs found and a sketch of every text: of its n runs of words
the n - ceil(t n) + 1 with the smallest hashes, of which two texts that have a part t in common
share at least one. It is the prefix filter of ``near_duplicates`` with the order of the hashes in
place of their rarity, which every new text would change. The hashes are cut to 32 bits, so that a
sketch may bring two texts together in vain but keeps none apart; what it brings together is
compared exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtwin_assets.features.near_duplicates import pairs, shared_at_least
from llmtwin_assets.features.runs import runs_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SKETCHES, PAIRS = "sketches.parquet", "pairs.parquet"


@dataclass(frozen=True)
class Compared:
    """``sketches`` has a row (id, hash, smallest) for every text, ``pairs`` a row (first, second,
    share of runs in common) for any two that are nearly the same."""

    sketches: "pl.DataFrame"
    pairs: "pl.DataFrame"

    def save(self, folder: Path) -> None:
        """Write both tables."""
        self.sketches.write_parquet(folder / SKETCHES, compression="lz4")
        self.pairs.write_parquet(folder / PAIRS)

    def found(self) -> list[tuple[str, str, float]]:
        """(id, id, share) of every pair."""
        return list(self.pairs.iter_rows())


def load(file: Callable[[str], Path]) -> Compared:
    """What was saved; ``file`` tells where a file of that name is."""
    import polars as pl

    return Compared(pl.read_parquet(file(SKETCHES)), pl.read_parquet(file(PAIRS)))


def compare(rows: "pl.DataFrame", same: float, before: Compared | None = None) -> Compared:
    """The pairs among ``rows`` (id, hash, text) that share at least ``same`` of their runs. Texts
    that ``before`` has under the same id and hash are compared with new ones alone."""
    import polars as pl

    before = before or _nothing()
    kept = rows.select("id", "hash").join(before.sketches, on=["id", "hash"])
    new = rows.join(kept, on="id", how="anti")
    runs = runs_of(new["text"].to_list())
    smallest = [_smallest(each, same) for each in runs]
    near = rows.filter(pl.col("id").is_in(_sharing(kept, smallest)))
    ids = [*new["id"], *near["id"]]
    found = [
        (ids[a], ids[b], share)
        for a, b, share in pairs([*runs, *runs_of(near["text"].to_list())], same)
        if a < new.height  # the others were found before
    ]
    fresh = pl.DataFrame(
        {"id": new["id"], "hash": new["hash"], "smallest": smallest}, schema=kept.schema
    )
    old = before.pairs.join(kept, left_on="first", right_on="id", how="semi")
    old = old.join(kept, left_on="second", right_on="id", how="semi")
    return Compared(
        pl.concat([kept, fresh]),
        pl.concat([old, pl.DataFrame(found, schema=old.schema, orient="row")]),
    )


def _nothing() -> Compared:
    import polars as pl

    smallest, share = pl.List(pl.UInt32), pl.Float64
    return Compared(
        pl.DataFrame(schema={"id": pl.String, "hash": pl.String, "smallest": smallest}),
        pl.DataFrame(schema={"first": pl.String, "second": pl.String, "share": share}),
    )


def _smallest(runs: "np.ndarray[Any, np.dtype[np.uint64]]", same: float) -> Any:
    import numpy as np

    needed = len(runs) - shared_at_least(len(runs), same) + 1
    return (runs[:needed] >> np.uint64(32)).astype(np.uint32)


def _sharing(kept: "pl.DataFrame", smallest: list[Any]) -> list[str]:
    """Ids of the kept texts whose sketch shares a hash with one of these."""
    import numpy as np

    asked = np.unique(np.concatenate([np.zeros(0, np.uint32), *smallest]))
    if not kept.height or not len(asked):
        return []
    held = kept["smallest"].explode().drop_nulls().to_numpy()
    owners = np.repeat(np.arange(kept.height), kept["smallest"].list.len())
    there = asked[asked.searchsorted(held).clip(max=len(asked) - 1)] == held
    return kept["id"].gather(np.unique(owners[there])).to_list()
