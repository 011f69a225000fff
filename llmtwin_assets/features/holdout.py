"""The one rule that decides which documents are held out, and its one owner.

A document gets its split once, at first sight, and keeps it. Of the dated documents the newest
15 % are held out, of the undated ones those with the lowest id (ids are hashes); documents with
nearly the same text go together. Later documents join by the same rule: they fill the held-out
share of their group up to 15 % of what is there by then. With two documents or more, one is held
out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from llmtwin_assets.records import Split

SHARE = 0.15


@dataclass(frozen=True)
class Candidate:
    """What the rule looks at: the id, and the date if there is one."""

    id: str
    published: date | None


def assign(
    candidates: Sequence[Candidate],
    known: Mapping[str, str],
    alike: Iterable[tuple[str, str]] = (),
) -> dict[str, Split]:
    """Splits of the candidates that are not in ``known`` (id -> split), by the rule above.
    ``alike`` are pairs of candidates (ids) whose texts are nearly the same."""
    splits: dict[str, Split] = {}
    dated = [c for c in candidates if c.published is not None]
    undated = [c for c in candidates if c.published is None]
    dated.sort(key=lambda c: (c.published or date.min, c.id), reverse=True)
    undated.sort(key=lambda c: c.id)
    for group in (dated, undated):
        splits.update(_fill(group, known, round(SHARE * len(group))))
    everything = {**known, **splits}
    if len(candidates) > 1 and not any(everything.get(c.id) == "held-out" for c in candidates):
        newest = next((c for c in [*dated, *undated] if c.id in splits), None)
        if newest is not None:
            splits[newest.id] = "held-out"
    return {**splits, **_together(alike, known, splits)}


def _fill(group: Sequence[Candidate], known: Mapping[str, str], wanted: int) -> dict[str, Split]:
    held = sum(known.get(c.id) == "held-out" for c in group)
    splits: dict[str, Split] = {}
    for candidate in group:
        if candidate.id in known:
            continue
        splits[candidate.id] = "held-out" if held < wanted else "train"
        held += splits[candidate.id] == "held-out"
    return splits


def _together(
    alike: Iterable[tuple[str, str]], known: Mapping[str, str], splits: Mapping[str, Split]
) -> dict[str, Split]:
    """Of new documents of nearly the same text as others: the split of those that had one first;
    held-out wins among several, because held-out text must train nothing."""
    joined: dict[str, str] = {}

    def root(id_: str) -> str:
        while joined.setdefault(id_, id_) != id_:
            id_ = joined[id_]
        return id_

    for pair in alike:
        first, second = sorted(map(root, pair))
        joined[second] = first
    together: dict[str, list[str]] = {}
    for id_ in list(joined):
        together.setdefault(root(id_), []).append(id_)
    given: dict[str, Split] = {}
    for group in together.values():
        new = [id_ for id_ in group if id_ not in known]
        earlier = {known[id_] for id_ in group if id_ in known}
        among = earlier or {splits[id_] for id_ in new}
        given |= dict.fromkeys(new, "held-out" if "held-out" in among else "train")
    return given
