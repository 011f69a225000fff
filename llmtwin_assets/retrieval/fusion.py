"""From what each search found to one ranking.

Ranks alone (reciprocal rank fusion) let the weaker search overrule the stronger one: on questions
that share words with their answer, equal-weight fusion of ranks finds less than BM25 alone. So
scores are fused: each search's own, scaled to 0..1 over its candidates, because only within one
search do they mean something. Then a passage gains from where it stands: from its neighbours,
because what answers a question stands where the text is about it, and from its document's best
passages, because some questions are about a whole document (Callan 1994, "Passage-level evidence
in document retrieval").
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from resources.vectors import Hit

MEANING = 0.5  # weight of the search by meaning; words have the rest
NEIGHBOUR = 0.3  # what the passage before and the one after add; those beyond them half of it
REACH = 2  # passages in each direction
USUAL = 0.5  # a neighbour's usual score, of the passage's own
DOCUMENT = 0.5  # what the mean of its document's best passages adds
BEST = 3  # of them


@dataclass(frozen=True)
class Found:
    """What one search found, best first, and how much it counts. ``zero`` is the score of a
    passage that has nothing in common with the query, where that is known."""

    hits: Sequence[Hit]
    weight: float
    zero: float | None = None


def fuse(searches: Iterable[Found]) -> list[Hit]:
    """Every passage found, best first, with the weighted sum of its scaled scores."""
    hits: dict[str, Hit] = {}
    scores: dict[str, float] = {}
    for found in searches:
        for hit, share in zip(found.hits, _scaled(found), strict=True):
            hits.setdefault(hit.id, hit)
            scores[hit.id] = scores.get(hit.id, 0.0) + found.weight * share
    return _ranked(replace(hit, score=scores[id_]) for id_, hit in hits.items())


def with_neighbours(hits: Sequence[Hit]) -> list[Hit]:
    """The same passages, each with a part of the scores of those around it in its document.

    One that stands around it and was not found counts 0. One that is not there, because the
    document begins, ends or is short, counts as neighbours usually do: a short document is not
    worse than a long one.
    """
    at = {(hit.payload["document_id"], hit.payload["position"]): hit.score for hit in hits}

    def around(hit: Hit) -> float:
        total = 0.0
        for step in range(1, REACH + 1):
            for position in (hit.payload["position"] - step, hit.payload["position"] + step):
                usual = USUAL * hit.score
                there = 0 <= position < hit.payload["passages"]
                found = at.get((hit.payload["document_id"], position), 0.0) if there else usual
                total += found / step
        return total

    return _ranked(replace(hit, score=hit.score + NEIGHBOUR * around(hit)) for hit in hits)


def with_documents(hits: Sequence[Hit]) -> list[Hit]:
    """The same passages, each with a part of the mean score of the best in its document."""
    scores: dict[str, list[float]] = {}
    for hit in sorted(hits, key=lambda hit: -hit.score):
        scores.setdefault(hit.payload["document_id"], []).append(hit.score)

    def mean(hit: Hit) -> float:
        best = scores[hit.payload["document_id"]][:BEST]
        return sum(best) / min(BEST, int(hit.payload["passages"]))

    return _ranked(replace(hit, score=hit.score + DOCUMENT * mean(hit)) for hit in hits)


def _scaled(found: Found) -> list[float]:
    """Scores as shares of the way from the worst (or from ``zero``) to the best."""
    scores = [hit.score for hit in found.hits]
    if not scores:
        return []
    best = max(scores)
    worst = min(scores) if found.zero is None else found.zero
    return [(score - worst) / (best - worst) if best > worst else 1.0 for score in scores]


def _ranked(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))
