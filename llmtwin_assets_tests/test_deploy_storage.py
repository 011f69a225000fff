"""Each dagster.yaml of deploy/ as it is, over a real PostgreSQL: what happened is read back."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.aws_server import BUCKET, aws_server, client
from llmtwin_assets_tests.dagster_daemon import running_daemon
from llmtwin_assets_tests.postgres_server import INITDB, database, postgres_server

pytestmark = pytest.mark.skipif(
    INITDB is None, reason="no PostgreSQL on this machine; .ci/run installs it"
)

ENGINES = ("docker", "ecs", "ray")
DAEMONS = ("SENSOR", "SCHEDULER", "BACKFILL", "QUEUED_RUN_COORDINATOR", "MONITORING")
LOCATION = """
import dagster as dg

@dg.sensor(minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def new_authors(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    asked = dg.DynamicPartitionsDefinition(name="author").build_add_request(["ada"])
    return dg.SensorResult(dynamic_partitions_requests=[asked], cursor="seen")

defs = dg.Definitions(sensors=[new_authors])
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(params=ENGINES)
def home(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A Dagster home with an engine's configuration, an empty database, and AWS for ECS."""
    engine = request.param
    (tmp_path / "dagster.yaml").write_text((PROJECT / f"deploy/{engine}/dagster.yaml").read_text())
    name = f"{engine}-{time.monotonic_ns()}"
    with aws_server() if engine == "ecs" else nullcontext():
        others = {
            "DAGSTER_HOME": str(tmp_path),
            "RAY_DASHBOARD_ADDRESS": "http://127.0.0.1:9",
            "LLMTWIN_BUCKET": BUCKET,
            "LLMTWIN_LOG_GROUP": "llm-twin",
        }
        for variable, value in {**database(server, name), **others}.items():
            monkeypatch.setenv(variable, value)
        yield tmp_path


@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="author"))
def words(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    print("counting the words of", context.partition_key)
    return dg.MaterializeResult(metadata={"words": 1787}, data_version=dg.DataVersion("d1"))


def test_runs_events_and_partitions_are_read_back_from_postgresql(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("author", ["ada"])
        result = dg.materialize([words], instance=instance, partition_key="ada")
        assert result.success
    # Another process of the deployment, that has nothing but the database.
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_dynamic_partitions("author") == ["ada"]
        (run,) = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": "ada"}))
        assert (run.run_id, run.status) == (result.run_id, dg.DagsterRunStatus.SUCCESS)
        event = instance.get_latest_materialization_event(words.key)
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["words"].value == 1787
        ended = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.RUN_SUCCESS}
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=ended)]
        assert {found.event_type for found in events if found} == ended
        assert "dagster_postgres" in type(instance.run_storage).__module__
    assert not list(home.rglob("*.db"))  # nothing of it is in files
    if os.environ.get("AWS_ENDPOINT_URL"):
        kept = client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"logs/storage/{run.run_id}")
        keys = [found["Key"] for found in kept["Contents"]]
        (out,) = [key for key in keys if key.endswith(".out")]
        said = client("s3").get_object(Bucket=BUCKET, Key=out)["Body"].read()
        assert said == b"counting the words of ada\n"


@pytest.mark.slow
@pytest.mark.parametrize("home", ["docker", "ecs"], indirect=True)  # test_ray_twins.py has Ray's
def test_the_daemon_starts_and_keeps_its_ticks_in_postgresql(home: Path) -> None:
    (home / "location.py").write_text(LOCATION)
    with (
        running_daemon(home, os.environ),
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        until(lambda: instance.get_dynamic_partitions("author") == ["ada"])
        (state,) = instance.all_instigator_state()
        origin, selector = state.instigator_origin_id, state.selector_id
        until(lambda: len(instance.get_ticks(origin, selector)) >= 3)
        ticks = instance.get_ticks(origin, selector)
        assert {tick.status.value for tick in ticks[1:]} == {"SKIPPED"}
        beats = instance.get_daemon_heartbeats()
        assert set(DAEMONS) <= set(beats)
        assert not [beat.errors for beat in beats.values() if beat.errors]
    assert not list(home.rglob("*.db"))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
