import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from llmtwin_assets_tests.graph import failure
from resources.compute import SubprocessCompute

SCRIPT = "llmtwin_assets_tests.resources.a_script"


def run(output: Path, **spec: Any) -> tuple[dict[str, Any], list[str], str]:
    """The script's result, what it logged into the run, and why the run failed."""
    found: dict[str, Any] = {}

    @dg.asset
    def thing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        found.update(
            SubprocessCompute(patience=1).run(context, SCRIPT, {"output": str(output), **spec})
        )
        return dg.MaterializeResult()

    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize([thing], instance=instance, raise_on_error=False)
    records = instance.all_logs(result.run_id)
    return found, [record.user_message for record in records], failure(result)


def test_a_script_returns_its_result_and_logs_into_the_run(tmp_path: Path) -> None:
    found, logged, why = run(tmp_path, what="add", numbers=[1, 2, 3])
    assert why == ""
    assert found == {"sum": 6, "offline": "1"}
    assert "at work" in logged
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_comes_back_in_the_scripts_own_words(tmp_path: Path) -> None:
    found, _, why = run(tmp_path, what="refuse")
    assert found == {}
    assert "the corpus: it is too small. Add writing." in why


def test_a_killed_script_says_where_to_look(tmp_path: Path) -> None:
    found, _, why = run(tmp_path, what="die")
    assert found == {}
    assert "ended without a result (exit code -9)" in why
    assert "compute log" in why


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancelling_a_run_ends_its_script_and_what_that_started(
    tmp_path: Path, stubborn: bool
) -> None:
    run, pids = staying(tmp_path, stubborn)
    run.send_signal(signal.SIGINT)
    run.wait(60)
    assert not any(map(alive, pids))


def test_a_script_does_not_outlive_a_run_that_was_killed(tmp_path: Path) -> None:
    run, pids = staying(tmp_path, stubborn=False)
    run.kill()
    run.wait()
    until(lambda: not alive(pids[0]))
    if alive(pids[1]):  # nobody is left who could end what the script started
        os.kill(pids[1], signal.SIGKILL)


def staying(tmp_path: Path, stubborn: bool) -> "tuple[subprocess.Popen[bytes], list[int]]":
    """A run in a process of its own, with a script that stays; the ids of script and its child."""
    output, pids = tmp_path / "output", tmp_path / "pids"
    output.mkdir()
    code = (
        "from pathlib import Path; from llmtwin_assets_tests.resources.test_compute import run;"
        f"run(Path({str(output)!r}), what='stay', pids={str(pids)!r}, stubborn={stubborn})"
    )
    started = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until(pids.exists)
    return started, [int(pid) for pid in pids.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and is not waited for by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
