"""What every SQLite file here is opened with, and a file that threads and processes share. What is
stored is not known here."""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from resources.errors import LlmTwinError

PATIENCE = 60.0  # seconds


def use_write_ahead_log(db: sqlite3.Connection, patience: float = PATIENCE) -> None:
    """Let readers and a writer work in the file at once; the file keeps the mode.

    The switch needs the file to itself. SQLite does not wait for that, whatever the connection's
    timeout, so this waits up to ``patience`` seconds. Raises ``sqlite3.OperationalError``.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class SqliteFile:
    """A file for any number of threads and processes: opened when it is needed, and anew when
    another file has taken its place. Deleted rows are wiped from it.

    ``schema`` makes ``tables`` where they are not there yet; ``refusal`` makes the error to raise
    of what SQLite or the disk said.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        tables: Sequence[str],
        refusal: Callable[[Exception], LlmTwinError],
    ) -> None:
        self.path = path
        self._schema, self._tables, self._refusal = schema, set(tables), refusal
        self._idle: dict[int, deque[tuple[tuple[int, int], sqlite3.Connection]]] = {}

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection; every statement is a transaction of its own."""
        try:
            opened = self._connect()
        except (OSError, sqlite3.DatabaseError) as error:
            raise self._refusal(error) from error
        try:
            yield opened[1]
        except sqlite3.DatabaseError as error:
            raise self._refusal(error) from error
        # Closing a file's last connection costs a hundred writes, so one is kept for the next call.
        self._idle[os.getpid()].append(opened)

    @contextmanager
    def write(self, safe: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction; unless ``safe``, a power cut (nothing less) may undo the newest ones."""
        with self.read() as db:
            db.execute(f"PRAGMA synchronous={'FULL' if safe else 'NORMAL'}")
            # IMMEDIATE takes the write lock before reading, so that what was read still holds.
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _connect(self) -> tuple[tuple[int, int], sqlite3.Connection]:
        """A connection, and the file (device and number) it belongs to."""
        # By process: a connection must not be used, or closed, across a fork.
        idle = self._idle.setdefault(os.getpid(), deque(maxlen=1))
        with suppress(IndexError, FileNotFoundError):
            kept, db = idle.pop()
            if kept == _identity(self.path):
                return kept, db
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA secure_delete=ON")
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if not self._tables <= there:
            use_write_ahead_log(db)
            db.executescript(self._schema)
        return _identity(self.path), db


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
