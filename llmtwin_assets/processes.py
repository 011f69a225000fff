"""Programs that run side by side and end together: the engine, the API, the Dagster UI.

Each child is a session of its own, so that ending one ends whatever it started; a child that dies
is started again. What the children do is not known here.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resources.errors import LlmTwinError

PATIENCE = 15.0  # seconds a child gets to end by itself
SHORT_LIFE = 5.0  # seconds; a child that dies sooner has not started at all
FAILED_STARTS = 3  # in a row, after which everything ends


class PortTakenError(LlmTwinError):
    """A port that something else listens on."""


class ChildFailedError(LlmTwinError):
    """A program that does not start."""


@dataclass
class Child:
    """A program to keep running: its name, command line, and what its environment has beside
    ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: Any = None
    started: float = 0.0
    failures: int = 0

    def start(self) -> None:
        """Start it, in a session of its own."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            start_new_session=True,
            preexec_fn=_become_child,  # noqa: PLW1509 -- there are no threads here
        )

    def restart_if_dead(self) -> None:
        """Start it again if it has ended; raises ``ChildFailedError`` when that is no use."""
        code = self.process.poll()
        if code is None:
            return
        short = time.monotonic() - self.started < SHORT_LIFE
        self.failures = self.failures + 1 if short else 0
        if self.failures >= FAILED_STARTS:
            raise ChildFailedError(
                self.name,
                f"it ended {FAILED_STARTS} times at its start (code {code})",
                "Read what it printed above",
            )
        self.stop(signal.SIGKILL)  # what it left behind
        print(f"{self.name} ended (code {code}); starting it again", file=sys.stderr, flush=True)
        self.start()

    def stop(self, how: int) -> None:
        """Send a signal to it and to all it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)


def run_together(children: Sequence[Child], ready: Mapping[str, str]) -> None:
    """Keep the children running until SIGINT or SIGTERM, then end them all. ``ready`` maps a URL to
    what is printed once it answers."""
    stopping: list[int] = []
    awaited = dict(ready)
    before = {
        how: signal.signal(how, lambda number, _: stopping.append(number))
        for how in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        for child in children:
            child.start()
        while not stopping:
            time.sleep(0.2)
            for child in children:
                if not stopping:
                    child.restart_if_dead()
            for url in [url for url in awaited if answers(url)]:
                print(awaited.pop(url), flush=True)
    finally:
        end(children)
        for how, handler in before.items():
            signal.signal(how, handler)


def end(children: Sequence[Child]) -> None:
    """Ask every child to end, wait, and kill what has not."""
    for child in children:
        child.stop(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    for child in children:
        if child.process is None:
            continue
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.1, deadline - time.monotonic()))
    for child in children:
        child.stop(signal.SIGKILL)  # also what a child left behind
        if child.process is not None:
            child.process.wait()


def refuse_taken_port(host: str, port: int, remedy: str) -> None:
    """Raises ``PortTakenError`` when something listens on ``port`` already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTakenError(f"port {port}", "something else listens on it", remedy) from error


def answers(url: str) -> bool:
    """Whether something answers at ``url``, with any status."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _become_child() -> None:
    """SIGINT works in a child even when we were started in the background, where it is ignored; and
    on Linux a child ends even when its parent is killed without a chance to say so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG
