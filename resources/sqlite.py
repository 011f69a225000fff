"""What every SQLite file here is opened with. Touches nothing but the connection it is given."""

import sqlite3
import time

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
