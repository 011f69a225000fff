"""What is remembered of the hosts that were asked: when each may be asked again, its robots.txt.

One SQLite file and one lock file per host below a folder, shared by every process of this machine,
so that two crawls of one host take turns. Nothing of an author's is in it, and all of it may be
deleted at any time. Knows no HTTP.
"""

import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resources.errors import LlmTwinError

SCHEMA = """
CREATE TABLE IF NOT EXISTS hosts (host TEXT PRIMARY KEY, free_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS robots (
    origin TEXT PRIMARY KEY, status INTEGER NOT NULL, body BLOB NOT NULL, fetched REAL NOT NULL);
"""
LOOK = 0.05  # seconds between two looks at a lock


class HostBusyError(LlmTwinError):
    """A host that asks for more patience than a run has."""


@dataclass(frozen=True)
class RobotsFile:
    """A robots.txt as it was answered, and when (seconds since the epoch)."""

    status: int
    body: bytes
    fetched: float


@dataclass
class Turn:
    """A host's one request at a time. ``free_at`` becomes the earliest time of the next."""

    free_at: float = 0.0


class Hosts:
    """The memory of hosts below ``folder``."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.sleep = sleep

    @contextmanager
    def turn(self, host: str, delay: float, patience: float) -> Iterator[Turn]:
        """This process's turn with a host, as soon as nobody else has it and the host's pause is
        over. The next turn is at least ``delay`` seconds after the end of this one.

        Raises ``HostBusyError`` when that takes over ``patience`` seconds, at once where it is
        known.
        """
        if delay > patience:
            raise HostBusyError(
                host, f"it asks for {delay:.0f} seconds between two requests", "Use an archive"
            )
        gives_up = self.clock() + patience
        with self._locked(host, gives_up):
            wait = self._free_at(host) - self.clock()
            if wait > patience:
                raise HostBusyError(
                    host, f"it asks to be left alone for {wait:.0f} seconds", "Run again after that"
                )
            if wait > 0:
                self.sleep(wait)
            turn = Turn()
            try:
                yield turn
            finally:
                free_at = max(turn.free_at, self.clock() + delay)
                with self._database() as db:
                    db.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?)", (host, free_at))

    def robots(self, origin: str) -> RobotsFile | None:
        """The robots.txt that was last stored for an origin."""
        with self._database() as db:
            row = db.execute(
                "SELECT status, body, fetched FROM robots WHERE origin=?", (origin,)
            ).fetchone()
        return RobotsFile(*row) if row else None

    def keep_robots(self, origin: str, file: RobotsFile) -> None:
        """Remember an origin's robots.txt."""
        with self._database() as db:
            db.execute(
                "INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)",
                (origin, file.status, file.body, file.fetched),
            )

    def _free_at(self, host: str) -> float:
        with self._database() as db:
            row = db.execute("SELECT free_at FROM hosts WHERE host=?", (host,)).fetchone()
        return float(row[0]) if row else 0.0

    @contextmanager
    def _locked(self, host: str, gives_up: float) -> Iterator[None]:
        """A lock that the system takes back from a process that is killed."""
        folder = self.folder / "turns"
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(host.encode()).hexdigest()[:32]
        file = os.open(folder / name, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self.clock() > gives_up:
                        raise HostBusyError(
                            host, "another run has been asking it all the time", "Run again later"
                        ) from None
                    self.sleep(LOOK)
            yield
        finally:
            os.close(file)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        path = self.folder / "hosts.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=60, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous=OFF")  # it may be lost, and is not worth a flush
            db.executescript(SCHEMA)
            yield db
        finally:
            db.close()
