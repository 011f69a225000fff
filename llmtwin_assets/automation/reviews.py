"""The sensor that tells the graph what reviewers decided: the data version of ``review_decisions``,
an author at a time. ``follow_content`` does the rest."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from llmtwin_assets.authors import authors_partition
from llmtwin_assets.datasets import review
from llmtwin_assets.datasets.assets import review_decisions
from resources.interactions import Interactions

SECONDS = 60  # between two looks
# A reviewer decides every few seconds. Nothing is made of it before they have paused for so long.
PAUSE = timedelta(minutes=3)


def paused(decisions: Iterable[review.Decision], now: datetime) -> bool:
    """Whether the last decision was made long enough ago."""
    newest = max((str(made["given"]) for made in decisions), default="")
    return not newest or now - datetime.fromisoformat(newest) >= PAUSE


def told(decisions: review.Decisions, author: str) -> dg.AssetMaterialization:
    """What the graph hears of an author's decisions: how many there are, and none of their text."""
    verdicts = [made["verdict"] for made in decisions.values()]
    return dg.AssetMaterialization(
        review_decisions.key,
        partition=author,
        metadata={verdict: verdicts.count(verdict) for verdict in review.VERDICTS},
        tags={"dagster/data_version": review.state(decisions)},
    )


def look(
    authors: Iterable[str], interactions: Interactions, seen: Mapping[str, str], now: datetime
) -> tuple[list[dg.AssetMaterialization], dict[str, str]]:
    """What to tell of the authors whose decisions are not as they were ``seen`` (author -> state),
    and what has been seen then."""
    events, states = [], dict(seen)
    for author in authors:
        decisions = review.holding(interactions.decisions(author))
        state = review.state(decisions)
        if state != seen.get(author, review.state({})) and paused(decisions.values(), now):
            states[author] = state
            events.append(told(decisions, author))
    return events, states


@dg.sensor(
    name="reviews",
    minimum_interval_seconds=SECONDS,
    description="Tells when somebody has reviewed an author's pairs, so that the data set follows.",
)
def reviews(
    context: dg.SensorEvaluationContext, interactions: dg.ResourceParam[Interactions]
) -> dg.SensorResult:
    """One data version of review_decisions per author and state of what was decided."""
    known = context.instance.get_dynamic_partitions(authors_partition.name or "author")
    seen: dict[str, Any] = json.loads(context.cursor or "{}")
    events, states = look(known, interactions, seen, datetime.now(UTC))
    return dg.SensorResult(asset_events=events, cursor=json.dumps(states, sort_keys=True))
