"""What a chat model answered, by prompt, and what every one of its replies cost.

One SQLite file that several processes may share. A reply is kept if it can be used; a reply is paid
for whether it can be used or not, and by the endpoint that gave it: the same model may have two
prices at two addresses. What a prompt is, and what makes a reply usable, is not known here.
"""

import sqlite3
import threading
from pathlib import Path

from resources.sqlite import use_write_ahead_log

SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    name TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS payments (
    url TEXT NOT NULL, model TEXT NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS payments_by_endpoint ON payments (url, model);
"""


class KeptReplies:
    """The replies of one endpoint (``url`` and ``model``) in a file. Use it as a context."""

    def __init__(self, path: Path, url: str, model: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.url, self.model = url, model
        self.lock = threading.Lock()
        self.connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
        use_write_ahead_log(self.connection)
        # A power cut, and nothing less, may undo the newest replies: no flush for each.
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(SCHEMA)

    def __enter__(self) -> "KeptReplies":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def find(self, name: str) -> tuple[str, int, int] | None:
        """Text, tokens read and tokens written of what is kept under a name."""
        row: tuple[str, int, int] | None = self.connection.execute(
            "SELECT text, tokens_in, tokens_out FROM replies WHERE name = ?", (name,)
        ).fetchone()
        return row

    def pay(self, tokens_in: int, tokens_out: int, name: str | None = None, text: str = "") -> None:
        """Record what a reply cost and, under its ``name``, the reply itself: both or neither.
        What was kept there before is replaced."""
        with self.lock, self.connection:
            self.connection.execute(
                "INSERT INTO payments VALUES (?, ?, ?, ?)",
                (self.url, self.model, tokens_in, tokens_out),
            )
            if name is not None:
                self.connection.execute(
                    "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)",
                    (name, self.model, text, tokens_in, tokens_out),
                )

    def totals(self) -> tuple[int, int, int]:
        """Replies paid for, tokens read and tokens written, over all runs."""
        calls, read, written = self.connection.execute(
            "SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0) "
            "FROM payments WHERE url = ? AND model = ?",
            (self.url, self.model),
        ).fetchone()
        return int(calls), int(read), int(written)
