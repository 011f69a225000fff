import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmtwin_assets.processes import (
    Child,
    ChildFailedError,
    PortTakenError,
    answers,
    refuse_taken_port,
    run_together,
)
from llmtwin_assets.settings import PROJECT

PARENT = """
import sys
from llmtwin_assets.processes import Child, run_together
run_together([Child("one", [sys.executable, "-c", sys.argv[1]])], {})
"""
# Writes its process id, starts a grandchild that does too, and waits.
FAMILY = (
    "import os, subprocess, sys, time\n"
    "open(os.environ['PIDS'], 'a').write(f'{os.getpid()}\\n')\n"
    "if len(sys.argv) == 1:\n"
    "    subprocess.Popen([sys.executable, '-c', os.environ['SELF'], 'leaf'])\n"
    "time.sleep(60)\n"
)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(happens, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def family(tmp_path: Path):
    pids = tmp_path / "pids"
    pids.touch()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, FAMILY],
        env=os.environ | {"PIDS": str(pids), "SELF": FAMILY},
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
    )

    def members() -> list[int]:
        return [int(line) for line in pids.read_text().split()]

    assert wait_for(lambda: len(members()) == 2)
    yield parent, members
    parent.kill()
    parent.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_children_and_what_they_started(family, how) -> None:
    parent, members = family
    parent.send_signal(how)
    assert parent.wait(20) == 0
    assert not [pid for pid in members() if alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children only on Linux")
def test_a_child_does_not_outlive_a_parent_that_was_killed(family) -> None:
    parent, members = family
    parent.kill()
    assert wait_for(lambda: not alive(members()[0]))
    for pid in members():
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_child_that_was_killed_starts_again(family) -> None:
    parent, members = family
    os.kill(members()[0], signal.SIGKILL)
    assert wait_for(lambda: len(members()) == 4)
    parent.send_signal(signal.SIGTERM)
    parent.wait(20)
    assert "one ended (code -9); starting it again" in parent.stderr.read()
    assert not [pid for pid in members() if alive(pid)]


def test_a_child_that_never_starts_ends_everything() -> None:
    broken = Child("engine", [sys.executable, "-c", "raise SystemExit(3)"])
    well = Child("API", [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(ChildFailedError, match=r"engine: it ended 3 times at its start \(code 3\)"):
        run_together([well, broken], {})
    assert well.process.poll() is not None


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port}.*Choose another"):
            refuse_taken_port("127.0.0.1", port, "Choose another")
    assert not answers(f"http://127.0.0.1:{port}")
