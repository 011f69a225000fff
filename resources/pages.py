"""The pages of one author's sources as they were last answered: what lets a crawl go on where it
stopped, and a site be asked only for what is new.

One SQLite file. A page's row holds its body (compressed) and validators, or why it could not be
had. Everything here may be deleted: it is fetched again. Knows no HTTP beyond the two headers.
"""

import sqlite3
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from resources.sqlite import use_write_ahead_log

SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
    url TEXT PRIMARY KEY, location TEXT NOT NULL, body BLOB NOT NULL, kind TEXT NOT NULL,
    charset TEXT, etag TEXT, modified TEXT, fetched REAL NOT NULL, checked REAL NOT NULL,
    status INTEGER NOT NULL, problem TEXT);
CREATE TABLE IF NOT EXISTS crawls (
    crawl TEXT PRIMARY KEY, began REAL NOT NULL, ended REAL);
"""


@dataclass(frozen=True)
class Stored:
    """A page as it was last answered. With a ``problem`` the body is what it was before, or empty.
    Times are seconds since the epoch."""

    url: str
    location: str  # where its redirects ended
    body: bytes
    kind: str  # media type
    charset: str | None
    etag: str | None
    modified: str | None
    fetched: float  # when this body came
    checked: float  # when the server was last asked
    status: int  # 0: it did not answer
    problem: str | None = None

    @property
    def validators(self) -> dict[str, str]:
        """Headers that ask for the page only if it is another one by now."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in headers.items() if value and self.body}


class Pages:
    """The pages in the file at ``path``; a context manager, which closes it."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.clock = clock
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name='crawls'").fetchone():
            use_write_ahead_log(self._db)
            self._db.executescript(SCHEMA)
        # Deleted pages leave nothing behind; a power cut may lose the last ones.
        self._db.execute("PRAGMA secure_delete=ON")
        self._db.execute("PRAGMA synchronous=NORMAL")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def page(self, url: str) -> Stored | None:
        """A page by the address that it was asked for by."""
        row = self._db.execute("SELECT * FROM pages WHERE url=?", (url,)).fetchone()
        if row is None:
            return None
        return Stored(row[0], row[1], zlib.decompress(row[2]), *row[3:])

    def checked(self) -> dict[str, tuple[float, bool]]:
        """url -> when its server was last asked, and whether that failed; of all pages."""
        rows = self._db.execute("SELECT url, checked, problem IS NOT NULL FROM pages").fetchall()
        return {url: (checked, bool(failed)) for url, checked, failed in rows}

    def keep(self, page: Stored) -> None:
        """Remember a page as it is now."""
        self._db.execute(
            "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (page.url, page.location, zlib.compress(page.body), page.kind, page.charset, page.etag,
             page.modified, page.fetched, page.checked, page.status, page.problem),
        )  # fmt: skip

    def begin(self, crawl: str, lasts: float) -> float:
        """When the crawl of this name began: now, or earlier if it was killed before it ended, less
        than ``lasts`` seconds ago. What was asked for since then need not be asked for again."""
        now = self.clock()
        row = self._db.execute(
            "SELECT began FROM crawls WHERE crawl=? AND ended IS NULL AND began > ?",
            (crawl, now - lasts),
        ).fetchone()
        if row:
            return float(row[0])
        self._db.execute("INSERT OR REPLACE INTO crawls VALUES (?, ?, NULL)", (crawl, now))
        return now

    def end(self, crawl: str) -> None:
        """The crawl has got to its end."""
        self._db.execute("UPDATE crawls SET ended=? WHERE crawl=?", (self.clock(), crawl))
