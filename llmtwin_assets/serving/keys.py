"""Keys of the service: who may ask which author's twin. A file holds their hashes, never a key.

It knows no HTTP. A key is for one author or for all; it is shown once, when it is made.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from resources.artifacts import write_atomically
from resources.errors import LlmTwinError

PREFIX = "lt_"
BYTES = 32  # random bytes of a key


class KeysFileError(LlmTwinError):
    """The file of keys cannot be read."""


class UnknownKeyError(LlmTwinError):
    """No key has this id."""


@dataclass(frozen=True)
class Key:
    """What is kept of a key: an id to revoke it by, its hash, whose twin it opens (None: all), and
    what a person called it."""

    id: str
    hash: str
    author: str | None
    label: str
    created: str  # ISO, UTC


@dataclass(frozen=True)
class Caller:
    """Who asks: the author that their key is for, or None for all of them. ``id`` tells callers
    apart, for counting."""

    id: str
    author: str | None = None

    def may(self, author: str) -> bool:
        """Whether the caller may see this author's twin."""
        return self.author is None or self.author == author


class Keys:
    """The keys in a file, read anew when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def all(self) -> tuple[Key, ...]:
        """Every key, oldest first; raises ``KeysFileError`` rather than letting everybody in."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._seen, self._keys = None, ()
            return ()
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen != self._seen:
            self._keys = _read(self.path)
            self._seen = seen
        return self._keys

    def caller(self, token: str) -> Caller | None:
        """Who a key belongs to, or None for no key of ours. Takes as long for any token."""
        given = _hash(token)
        found = None
        for key in self.all():
            if hmac.compare_digest(key.hash, given):
                found = key
        return Caller(found.id, found.author) if found else None


def create_key(
    path: Path,
    author: str | None,
    label: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[str, Key]:
    """Make a key for one author, or for all (None), and keep its hash. Returns the key itself,
    which cannot be had again, and what is kept."""
    token = PREFIX + secrets.token_urlsafe(BYTES)
    created = now().isoformat(timespec="seconds")
    key = Key(secrets.token_hex(4), _hash(token), author, label.strip(), created)
    with _changing(path) as kept:
        kept.append(key)
    return token, key


def list_keys(path: Path) -> list[Key]:
    """Every key, oldest first."""
    return list(Keys(path).all())


def revoke_key(path: Path, key_id: str) -> Key:
    """Take a key back by its id; raises ``UnknownKeyError``. It opens nothing from the next request
    on."""
    with _changing(path) as kept:
        for key in kept:
            if key.id == key_id:
                kept.remove(key)
                return key
        raise UnknownKeyError(f"key {key_id}", "there is none of this id", "See 'llmtwin key list'")


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, to be changed in place; written at the end unless something was raised. One process
    at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = list_keys(path)
        yield kept
        text = json.dumps({"keys": [asdict(key) for key in kept]}, indent=1, ensure_ascii=False)
        write_atomically(path, text.encode("utf-8"))  # creates with mode 0600
    finally:
        os.close(lock)


def _read(path: Path) -> tuple[Key, ...]:
    try:
        return tuple(Key(**entry) for entry in json.loads(path.read_text("utf-8"))["keys"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeysFileError(
            path.name,
            "the file of keys cannot be read",
            "Mend it, or delete it and make new keys with 'llmtwin key create'",
        ) from error


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
