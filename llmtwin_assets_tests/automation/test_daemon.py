"""The sensors under Dagster's own daemon, which is killed in the middle of its ticks."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from llmtwin_assets.automation.lost_runs import end_lost_runs
from llmtwin_assets.automation.sensors import TRIES
from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.dagster_daemon import running_daemon
from llmtwin_assets_tests.writing import authors_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TICKS, PER_TICK = 10, 100
SENSOR = "authors_and_sources"
# The graph as it is, but for a sensor that looks every second instead of every minute.
LOCATION = f"""
from llmtwin_assets.automation import sensors
sensors.{SENSOR}._min_interval = 1
from llmtwin_assets.definitions import defs
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Dagster home with the sensor switched on, and an author whose folder is empty."""
    folder = tmp_path / "ada"
    folder.mkdir()
    authors_yaml(tmp_path / "authors.yaml", ada=folder)
    (tmp_path / "location.py").write_text(LOCATION)
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    command = [sys.executable, "-m", "dagster", "sensor", "start", SENSOR, "-f", "location.py"]
    subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, check=True)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    return os.environ | {
        "DAGSTER_HOME": str(home),
        "LLMTWIN_HOME": str(home / "twin"),
        "LLMTWIN_AUTHORS": str(home / "authors.yaml"),
    }


@contextmanager
def daemon(home: Path) -> Iterator[None]:
    """Dagster's daemon, after what a machine does that starts again."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        end_lost_runs(instance)
    with running_daemon(home, environment(home)):
        yield


def stored(home: Path) -> int:
    """Documents in the store, counted from outside."""
    path = home / "twin" / "documents.sqlite"
    if not path.exists():
        return 0
    db = sqlite3.connect(path)
    try:
        return int(
            db.execute(
                "SELECT count(*) FROM documents WHERE author='ada' AND NOT deleted"
            ).fetchone()[0]
        )
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def states(runs: Iterable[dg.DagsterRun], status: dg.DagsterRunStatus | None = None) -> list[str]:
    """The states of the sources that runs were for, newest first."""
    wanted = [run for run in runs if status in (None, run.status)]
    return [run.tags["dagster/run_key"].split(":")[2] for run in wanted]


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def write(home: Path, tick: int) -> None:
    for number in range(PER_TICK * tick, PER_TICK * (tick + 1)):
        text = f"# Note {number}\n\nThis is what note {number} says of harbour {number * 7}.\n"
        (home / "ada" / f"note-{number:04d}.md").write_text(text)


def test_every_change_is_asked_for_once_though_the_daemon_is_killed_in_its_ticks(
    home: Path,
) -> None:
    rng = random.Random(3)
    for tick in range(0, TICKS, 2):
        with daemon(home):
            write(home, tick)
            until(lambda wanted=PER_TICK * (tick + 1): stored(home) == wanted)
            write(home, tick + 1)
            time.sleep(rng.uniform(0, 3))  # and it is killed, wherever it is
    with daemon(home), dg.DagsterInstance.from_config(str(home)) as instance:
        until(lambda: stored(home) == TICKS * PER_TICK)
        until(lambda: all(run.is_finished for run in instance.get_runs()))
        done = len(instance.get_runs())
        time.sleep(5)  # several looks at what has not changed
        runs = instance.get_runs()
    assert len(runs) == done
    keys = Counter(run.tags["dagster/run_key"] for run in runs)
    assert max(keys.values()) == 1
    assert len(keys) >= TICKS // 2  # a tick that is killed early leaves its change to the next
    assert states(runs, dg.DagsterRunStatus.SUCCESS)[0] == states(runs)[0]


def test_what_comes_back_is_asked_for_again_and_what_failed_is_tried_again(home: Path) -> None:
    note, away = home / "ada" / "note.md", home / "away"
    write(home, 0)
    with daemon(home), dg.DagsterInstance.from_config(str(home)) as instance:
        until(lambda: stored(home) == PER_TICK)

        def made() -> list[str]:
            return states(instance.get_runs(), dg.DagsterRunStatus.SUCCESS)

        def failed() -> list[str]:
            return states(instance.get_runs(), dg.DagsterRunStatus.FAILURE)

        until(lambda: len(made()) == 1)
        (first,) = made()
        note.write_text("One more thought on the harbour and the orchard.")
        until(lambda: stored(home) == PER_TICK + 1)
        note.rename(away)
        until(lambda: stored(home) == PER_TICK)
        until(lambda: made().count(first) == 2)
        (home / "ada").rename(home / "gone")
        until(lambda: len(failed()) == TRIES)
        time.sleep(3)
        assert (len(failed()), len(set(failed()))) == (TRIES, 1)
        (home / "gone").rename(home / "ada")
        until(lambda: made().count(first) == 3)
        assert stored(home) == PER_TICK
