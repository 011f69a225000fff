"""Versioned directories of files, per author and asset, with one pointer to the current version.

A version is built in a temporary directory, sealed with a manifest (sizes and SHA-256 of every
file, and the facts recorded about it) and renamed into place; then the pointer moves. Both steps
are atomic, so a reader sees the old version or the new one, and a killed build leaves only a
temporary directory that the next build of the same asset removes. What the files mean is not
known here; ``artifacts_s3`` keeps the same things in a bucket.

Layout below the root::

    <author>/<asset>/<digest>/manifest.json + files
    <author>/<asset>/current.json            {"digest": …, "previous": …}
    <author>/<asset>/.work-<digest>/         what an unfinished build wants to find again
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from resources.errors import LlmTwinError, UnknownSchemeError

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}")
MANIFEST, POINTER = ("facts", "files"), ("digest", "previous")  # what must be in them
EPOCH = datetime.fromtimestamp(0, UTC)
CURRENT, HISTORY = "current.json", "history.jsonl"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NoRoomError(LlmTwinError):
    """The disk (or a quota) is full; what was stored before is untouched."""


class DamagedArtifactError(LlmTwinError):
    """A stored file is missing or differs from its manifest."""


class BadNameError(LlmTwinError):
    """An author or asset name that cannot be a directory of its own."""


@dataclass(frozen=True)
class Version:
    """One immutable version of one author's asset: what is known of it, when it was sealed (UTC),
    and the folder of its files. ``fetch`` brings them there where they are kept elsewhere."""

    author: str
    asset: str
    digest: str
    folder: Path
    facts: Mapping[str, Any]
    made: datetime = EPOCH
    fetch: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """The folder, with its files."""
        if self.fetch is not None:
            self.fetch()
        return self.folder

    def file(self, name: str) -> Path:
        """Path of a file of this version; raises ``DamagedArtifactError`` when it is gone."""
        path = self.path / name
        if not path.is_file():
            raise DamagedArtifactError(
                str(path), "the file is missing", f"Materialise {self.asset} of {self.author} again"
            )
        return path


@dataclass(frozen=True)
class Stored:
    """A small file of a store, and when it was written (UTC)."""

    data: bytes
    written: datetime


class ArtifactStore:
    """Versions as directories below ``root``. Safe for many processes; one builds, any read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def current(self, author: str, asset: str) -> Version | None:
        """The version the pointer names, or None before the first one."""
        pointer = self._pointer(author, asset)
        return self.version(author, asset, pointer["digest"]) if pointer else None

    def previous(self, author: str, asset: str) -> Version | None:
        """The version that was current before, when it is still stored."""
        pointer = self._pointer(author, asset)
        if not pointer or not pointer["previous"]:
            return None
        return self.version(author, asset, pointer["previous"])

    def version(self, author: str, asset: str, digest: str) -> Version | None:
        """A stored version by digest, or None."""
        folder = self._folder(author, asset) / _safe(digest)
        name = f"{digest}/manifest.json"
        stored = self._load(author, asset, name)
        if stored is None:
            return None
        remedy = f"Delete its directory and materialise {asset} of {author} again"
        manifest = _record(self._place(author, asset, name), stored.data, MANIFEST, remedy)
        return Version(author, asset, digest, folder, manifest["facts"], stored.written)

    def publish(
        self, author: str, asset: str, digest: str, build: Callable[[Path], Mapping[str, Any]]
    ) -> Version:
        """Build a version and make it current.

        ``build`` fills an empty directory and returns the facts to record (JSON values). A version
        that is stored already is not built again; the pointer moves to it. Raises ``NoRoomError``
        when the disk is full; the version that was current then stays so.
        """
        version = self.version(author, asset, digest)
        with self._room_for(author, asset):
            if version is None:
                version = self._build(author, asset, digest, build)
                shutil.rmtree(self._work(author, asset, digest), ignore_errors=True)
            self.point(author, asset, digest)
        return version

    def work(self, author: str, asset: str, digest: str) -> Path:
        """A directory for what a killed build of this version should find when it is tried again
        (training checkpoints). It goes when the version is published."""
        path = self._work(author, asset, digest)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def point(self, author: str, asset: str, digest: str) -> None:
        """Move the pointer to a stored version; the one it leaves becomes the previous one."""
        if self.version(author, asset, digest) is None:
            raise DamagedArtifactError(
                f"{asset} of {author}", f"version {digest} is not stored", "Materialise it again"
            )
        pointer = self._pointer(author, asset) or {"digest": None, "previous": None}
        if pointer["digest"] == digest:
            return
        withdrawn = [each for each in pointer.get("withdrawn", []) if each != digest]
        moved = {"digest": digest, "previous": pointer["digest"], "withdrawn": withdrawn}
        self._move(author, asset, moved)

    def withdraw(self, author: str, asset: str) -> Version | None:
        """Make the previous version current again and remember the one it replaces as withdrawn:
        ``withdrawn`` knows it until it is pointed at again. None when no previous one is stored."""
        pointer, previous = self._pointer(author, asset), self.previous(author, asset)
        if pointer is None or previous is None:
            return None
        withdrawn = [each for each in pointer.get("withdrawn", []) if each != previous.digest]
        self._move(
            author,
            asset,
            {
                "digest": previous.digest,
                "previous": pointer["digest"],
                "withdrawn": [*withdrawn, pointer["digest"]],
            },
        )
        return previous

    def withdrawn(self, author: str, asset: str) -> list[str]:
        """Digests of the versions that a person took back."""
        return list((self._pointer(author, asset) or {}).get("withdrawn", []))

    def note(self, author: str, asset: str, row: Mapping[str, Any]) -> None:
        """Add a row (JSON values) to an asset's history, unless it has it already. The history
        outlives the versions it tells of."""
        rows = self.history(author, asset)
        if row in rows:
            return
        lines = "".join(json.dumps(each) + "\n" for each in [*rows, row])
        self._save(author, asset, HISTORY, lines.encode("ascii"))

    def history(self, author: str, asset: str) -> list[dict[str, Any]]:
        """The rows that were noted, oldest first."""
        stored = self._load(author, asset, HISTORY)
        return [json.loads(line) for line in stored.data.splitlines()] if stored else []

    def forget(self, author: str, asset: str, digest: str) -> None:
        """Delete one stored version, so that publishing it builds it again; the pointer stays."""
        shutil.rmtree(self._folder(author, asset) / _safe(digest), ignore_errors=True)

    def verify(self, version: Version) -> None:
        """Compare every file with the manifest; raises ``DamagedArtifactError`` at the first
        that differs."""
        manifest = json.loads((version.path / "manifest.json").read_text("utf-8"))
        for name, expected in manifest["files"].items():
            path = version.file(name)
            if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
                raise DamagedArtifactError(
                    str(path),
                    "the file differs from what was stored",
                    f"Materialise {version.asset} of {version.author} again",
                )

    def prune(self, author: str, asset: str) -> list[str]:
        """Delete all but the current and the previous version, and what abandoned builds left;
        returns the digests deleted."""
        pointer = self._pointer(author, asset)
        if not pointer:
            return []
        kept = {pointer["digest"], pointer["previous"]}
        stale = sorted(set(self._digests(author, asset)) - kept)
        for digest in stale:
            self.forget(author, asset, digest)
        for unfinished in self._folder(author, asset).glob(".work-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        return stale

    def authors(self, asset: str) -> list[str]:
        """Authors that have a current version of ``asset``."""
        return sorted(path.parent.parent.name for path in self.root.glob(f"*/{asset}/{CURRENT}"))

    def _digests(self, author: str, asset: str) -> list[str]:
        """Names of the stored versions, those without a manifest included."""
        folder = self._folder(author, asset)
        return [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]

    def _place(self, author: str, asset: str, name: str) -> str:
        """What a small file is called in an error."""
        return str(self._folder(author, asset) / name)

    def _load(self, author: str, asset: str, name: str) -> Stored | None:
        path = self._folder(author, asset) / name
        try:
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            return Stored(path.read_bytes(), written)
        except FileNotFoundError:
            return None
        except OSError as error:
            remedy = f"Delete it and materialise {asset} of {author} again"
            raise DamagedArtifactError(str(path), "it cannot be read", remedy) from error

    def _save(self, author: str, asset: str, name: str, data: bytes) -> None:
        write_atomically(self._folder(author, asset) / name, data)

    def _folder(self, author: str, asset: str) -> Path:
        return self.root / _safe(author) / _safe(asset)

    def _work(self, author: str, asset: str, digest: str) -> Path:
        return self._folder(author, asset) / f".work-{_safe(digest)}"

    def _pointer(self, author: str, asset: str) -> dict[str, Any] | None:
        stored = self._load(author, asset, CURRENT)
        if stored is None:
            return None
        remedy = f"Delete the file and materialise {asset} of {author} again"
        return _record(self._place(author, asset, CURRENT), stored.data, POINTER, remedy)

    def _move(self, author: str, asset: str, pointer: Mapping[str, Any]) -> None:
        self._save(author, asset, CURRENT, json.dumps(dict(pointer)).encode("utf-8"))

    def _build(
        self, author: str, asset: str, digest: str, build: Callable[[Path], Mapping[str, Any]]
    ) -> Version:
        folder = self._folder(author, asset)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f".{digest}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{digest}-", dir=folder))
        try:
            facts = dict(build(work))
            files = {
                str(path.relative_to(work)): {
                    "bytes": path.stat().st_size,
                    "sha256": sha256(path),
                }
                for path in sorted(work.rglob("*"))
                if path.is_file()
            }
            manifest = {"author": author, "asset": asset, "facts": facts, "files": files}
            text = json.dumps(manifest, indent=1)
            write_atomically(work / "manifest.json", text.encode("utf-8"))
            work.chmod(0o755)
            self._keep(author, asset, digest, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        version = self.version(author, asset, digest)
        assert version is not None
        return version

    def _keep(self, author: str, asset: str, digest: str, sealed: Path) -> None:
        """Make a sealed directory a stored version; one that is stored already stays."""
        rename_unless_there(sealed, self._folder(author, asset) / digest)

    @contextmanager
    def _room_for(self, author: str, asset: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise NoRoomError(
                f"{asset} of {author}",
                f"there is no room left at {self.root}",
                "Free some space, or move the store with LLMTWIN_ARTIFACTS_URL, and run again; "
                "everything stored before is intact",
            ) from error


def open_artifacts(url: str) -> ArtifactStore:
    """The store a URL names: ``file:///path`` or ``s3://bucket/prefix``. Raises
    ``UnknownSchemeError``."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        from resources.artifacts_s3 import S3Artifacts

        return S3Artifacts(url)
    if parts.scheme != "file":
        raise UnknownSchemeError(url, ("file:///", "s3://"))
    return ArtifactStore(Path(unquote(parts.path)))


def link_files(source: Path, target: Path) -> None:
    """Give a version its own copy of another's directory; hard links where the file system
    allows."""

    def place(original: str, copy: str) -> None:
        try:
            os.link(original, copy)
        except OSError:
            shutil.copy2(original, copy)

    shutil.copytree(source, target, copy_function=place)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def rename_unless_there(source: Path, target: Path) -> None:
    """Rename a directory; where another process was faster, its directory stays."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _record(item: str, data: bytes, names: Iterable[str], remedy: str) -> dict[str, Any]:
    """A JSON object that has these names; ``DamagedArtifactError`` for anything else."""
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or not set(names) <= set(found):
            raise ValueError
    except ValueError as error:
        raise DamagedArtifactError(item, "it cannot be read", remedy) from error
    return found


def _safe(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadNameError(
            repr(name), "not a usable name", "Use lower-case letters, digits, '-', '_' and '.'"
        )
    return name
