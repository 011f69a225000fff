"""Sensors: who has joined or left, whose sources changed, whose twin is due for training.

Each is a pure function from what was seen before to what to ask for, and a thin sensor around it.
"""

import json
import random
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass

import dagster as dg

from llmtwin_assets.authors import Author, AuthorsFile, authors_partition
from llmtwin_assets.automation.jobs import training_job
from llmtwin_assets.automation.reviews import reviews
from llmtwin_assets.corpus.ingest import LOCAL, fingerprint
from llmtwin_assets.settings import Settings
from resources.artifacts import ArtifactStore
from resources.errors import LlmTwinError

RAW = ("raw_articles", "raw_posts", "raw_repositories")
SECONDS = 60  # between two looks
NETWORK_SECONDS = 900  # between two looks at other people's servers
# A tick has a minute before Dagster gives it up: nothing is asked for after half of it, a host is
# waited for as long as many of them wish, and whoever is slower answers at the next look.
LOOK_SECONDS, WAIT_SECONDS, ANSWER_SECONDS = 30.0, 12.0, 10.0
TRIES = 3  # runs for one state of an author's sources, when they fail
REMEMBERED = 1_000  # failed runs that are looked at
SENSOR_TAG, RUN_KEY_TAG = "dagster/sensor_name", "dagster/run_key"
NEW_WORDS = 0.1  # share of an author's training words that must be new before training again


@dataclass(frozen=True)
class Membership:
    """Partition keys to add and to retire."""

    add: list[str]
    retire: list[str]


def membership(listed: Iterable[str], known: Iterable[str]) -> Membership:
    """How the partition keys become the authors that the file lists."""
    listed, known = list(listed), set(known)
    return Membership(
        add=[author for author in listed if author not in known],
        retire=sorted(known - set(listed)),
    )


@dataclass(frozen=True)
class Request:
    """What was asked for last for an author: the state of the sources that it was for, which
    request of the author's it was, and how often this state was asked for."""

    state: str
    number: int
    tries: int = 1

    def key(self, author: str) -> str:
        """The run key. The number makes it new even for a state that was there before."""
        return f"{author}:{self.number}:{self.state}"


def asked(
    now: Mapping[str, str], before: Mapping[str, Request], failed: Collection[str]
) -> dict[str, Request]:
    """What to ask for: authors whose sources look different from before, and those whose last run
    (by its key) failed, up to ``TRIES`` times. The same arguments give the same keys, so that a
    tick that is begun again asks for nothing twice."""
    found: dict[str, Request] = {}
    for author, state in now.items():
        last = before.get(author)
        if last is None or last.state != state:
            found[author] = Request(state, last.number + 1 if last else 1)
        elif last.key(author) in failed and last.tries < TRIES:
            found[author] = Request(state, last.number + 1, last.tries + 1)
    return found


def read_cursor(cursor: str | None) -> dict[str, Request]:
    """The last requests by author, of whoever was ever listed; none where there is no cursor."""
    return {author: Request(**fields) for author, fields in json.loads(cursor or "{}").items()}


def write_cursor(requests: Mapping[str, Request]) -> str:
    """What ``read_cursor`` reads."""
    return json.dumps({author: asdict(each) for author, each in requests.items()}, sort_keys=True)


def due(train_words: int, trained_words: int | None) -> bool:
    """Whether an author's data has grown (or shrunk) enough to train again; always without a
    checkpoint."""
    if trained_words is None:
        return True
    return abs(train_words - trained_words) >= NEW_WORDS * max(trained_words, 1)


@dg.sensor(
    name="authors_and_sources",
    asset_selection=list(RAW),
    minimum_interval_seconds=SECONDS,
    description="Adds and retires authors by authors.yaml, and reads the sources of an author "
    "again when their files change.",
)
def authors_and_sources(
    context: dg.SensorEvaluationContext, registry: dg.ResourceParam[AuthorsFile]
) -> dg.SensorResult | dg.SkipReason:
    """The authors are those of the file; one run of the raw assets per author and change."""
    try:
        authors = registry.read().authors
    except LlmTwinError as error:
        return dg.SkipReason(str(error))
    known = context.instance.get_dynamic_partitions(authors_partition.name or "author")
    keys = membership([author.id for author in authors], known)
    seen: dict[str, str] = {}
    for author in authors:
        try:
            seen[author.id] = fingerprint(author, registry.base)
        except LlmTwinError as error:
            context.log.error(str(error))
    before = read_cursor(context.cursor)
    wanted = asked(seen, before, _failed(context.instance, "authors_and_sources"))
    return dg.SensorResult(
        run_requests=_runs(wanted),
        dynamic_partitions_requests=[
            *([authors_partition.build_add_request(keys.add)] if keys.add else []),
            *([authors_partition.build_delete_request(keys.retire)] if keys.retire else []),
        ],
        cursor=write_cursor(before | wanted),
    )


def _runs(wanted: Mapping[str, Request]) -> list[dg.RunRequest]:
    return [
        dg.RunRequest(run_key=request.key(author), partition_key=author)
        for author, request in wanted.items()
    ]


def _failed(instance: dg.DagsterInstance, sensor: str) -> set[str]:
    """Keys of the sensor's newest runs that failed."""
    rows = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={SENSOR_TAG: sensor}),
        limit=REMEMBERED,
    )
    return {row.dagster_run.tags.get(RUN_KEY_TAG, "") for row in rows}


def remote(author: Author) -> Author:
    """The author with the sources that lie on the network alone."""
    kept = tuple(source for source in author.sources if source.type not in LOCAL)
    return author.model_copy(update={"sources": kept})


@dg.sensor(
    name="feeds_and_sites",
    asset_selection=list(RAW),
    minimum_interval_seconds=NETWORK_SECONDS,
    description="Asks feeds, sites and repositories whether there is anything new, and reads them "
    "again when there is.",
)
def feeds_and_sites(
    context: dg.SensorEvaluationContext,
    registry: dg.ResourceParam[AuthorsFile],
    settings: dg.ResourceParam[Settings],
) -> dg.SensorResult | dg.SkipReason:
    """One run of the raw assets per author and state of the network sources. A source that cannot
    be asked is asked again at the next look. Authors that Dagster does not know yet are left to
    ``authors_and_sources``."""
    from resources.polite import Manners, open_polite

    try:
        authors = [remote(author) for author in registry.read().authors]
    except LlmTwinError as error:
        return dg.SkipReason(str(error))
    known = context.instance.get_dynamic_partitions(authors_partition.name or "author")
    asked_for = [author for author in authors if author.sources and author.id in known]
    random.shuffle(asked_for)  # so that slow servers do not keep the same authors waiting
    manners = Manners(
        attempts=1, patience=WAIT_SECONDS, answer=ANSWER_SECONDS, until=time.time() + LOOK_SECONDS
    )
    seen: dict[str, str] = {}
    with open_polite(settings.home / "sources" / "hosts", manners=manners) as web:
        for author in asked_for:
            cache = settings.home / "sources" / author.id
            try:
                seen[author.id] = fingerprint(author, registry.base, web, cache)
            except LlmTwinError as error:
                context.log.error(str(error))
    before = read_cursor(context.cursor)
    wanted = asked(seen, before, _failed(context.instance, "feeds_and_sites"))
    return dg.SensorResult(run_requests=_runs(wanted), cursor=write_cursor(before | wanted))


@dg.sensor(
    name="training_due",
    job=training_job,
    minimum_interval_seconds=SECONDS,
    description="Trains an author's twin when a tenth of the words to train on are new.",
)
def training_due(
    context: dg.SensorEvaluationContext, artifacts: dg.ResourceParam[ArtifactStore]
) -> dg.SensorResult:
    """One training run per author and data set that is due."""
    requests = []
    for author in context.instance.get_dynamic_partitions(authors_partition.name or "author"):
        data = artifacts.current(author, "instruct_dataset")
        if data is None or not data.facts["train"]:
            continue
        sft = artifacts.current(author, "sft_checkpoint")
        trained_words = int(sft.facts["train_words"]) if sft else None
        if due(int(data.facts["train_words"]), trained_words):
            requests.append(dg.RunRequest(run_key=f"{author}:{data.digest}", partition_key=author))
    return dg.SensorResult(run_requests=requests)


follow_content = dg.AutomationConditionSensorDefinition(
    "follow_content",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=SECONDS,
    description="Makes features, data sets and tables when what they are made of has changed.",
)

sensors = [authors_and_sources, feeds_and_sites, reviews, training_due, follow_content]
