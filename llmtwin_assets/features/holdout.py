"""The one rule that decides which documents are held out, and its one owner.

A document gets its split once, at first sight, and keeps it. Of the dated documents the newest
15 % are held out, of the undated ones those with the lowest id (ids are hashes); documents with the
same text go together. Later documents join by the same rule: they fill the held-out share of
their group up to 15 % of what is there by then. With two documents or more, one is held out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from llmtwin_assets.records import Split

SHARE = 0.15


@dataclass(frozen=True)
class Candidate:
    """What the rule looks at: the id, the date if there is one, and the text."""

    id: str
    published: date | None
    text: str


def assign(candidates: Sequence[Candidate], known: Mapping[str, str]) -> dict[str, Split]:
    """Splits of the candidates that are not in ``known`` (id -> split), by the rule above."""
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
    return _together(candidates, known, splits)


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
    candidates: Sequence[Candidate], known: Mapping[str, str], splits: dict[str, Split]
) -> dict[str, Split]:
    """Give documents of the same text the split of the one that had it first; held-out wins among
    new ones, because held-out text must train nothing."""
    by_text: dict[str, list[str]] = {}
    for candidate in candidates:
        key = hashlib.sha256("".join(candidate.text.split()).casefold().encode()).hexdigest()
        by_text.setdefault(key, []).append(candidate.id)
    for ids in by_text.values():
        given = {known.get(id_) or splits[id_] for id_ in ids}
        if len(given) > 1:
            earlier = {known[id_] for id_ in ids if id_ in known}
            split: Split = "train" if earlier == {"train"} else "held-out"
            splits.update({id_: split for id_ in ids if id_ not in known})
    return splits
