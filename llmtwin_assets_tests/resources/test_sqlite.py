import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from resources.sqlite import use_write_ahead_log


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.sqlite"
    with closing(opened(path)) as db:
        db.execute("CREATE TABLE rows (n)")
        db.execute("INSERT INTO rows VALUES (1)")
    return path


def read_half_way(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    db.execute("SELECT n FROM rows").fetchone()


def test_the_switch_waits_for_those_who_read(path: Path) -> None:
    with closing(opened(path)) as reader, closing(opened(path)) as db:
        read_half_way(reader)
        done = threading.Timer(0.3, reader.execute, ["COMMIT"])
        done.start()
        use_write_ahead_log(db)
        done.join()
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_does_not_wait_for_ever(path: Path) -> None:
    with closing(opened(path)) as reader, closing(opened(path)) as db:
        read_half_way(reader)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_write_ahead_log(db, patience=0.1)


def test_what_is_no_database_fails_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"not a database, though long enough to be taken for one" * 100)
    with closing(opened(path)) as db, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        use_write_ahead_log(db)
