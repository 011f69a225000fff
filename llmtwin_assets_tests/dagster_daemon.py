"""Dagster's own daemon over a home whose code location is ``location.py``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def running_daemon(home: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The daemon, killed at the end with all it started, as when a machine stops."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-f", "location.py"]
    with (home / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
