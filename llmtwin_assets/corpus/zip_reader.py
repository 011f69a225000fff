"""Files of an export, read where they are: in a zip, in a folder, or one alone. Nothing is ever
extracted: a member is read into memory or as a stream, up to a cap, and only when it is asked for.

A name that leads out of the archive, a link, an encrypted member, a name that stands in it twice:
such members are refused with the reason, and the others are read. An archive whose members lie over
one another, or with a directory larger than any export has, is refused as a whole. Knows no format
of exports.
"""

import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from llmtwin_assets.corpus.reading import SourceMissingError, UnreadableItemError, and_more
from resources.errors import LlmTwinError

LARGEST_FILE = 64 * 2**20  # bytes of a file that is read as a whole
LARGEST_STREAM = 8 * 2**30  # bytes of a file that is read as a stream
LARGEST_DIRECTORY = 32 * 2**20  # bytes of a zip's directory: 300,000 members
MOST_REFUSED = 100  # members named one by one; the others are one item that tells their number
TAIL = 22 + 65_535  # bytes in which a zip's last record lies
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1 | 0x40


class HostileArchiveError(LlmTwinError):
    """A zip that no platform makes."""


class Tree(Protocol):
    """Files by name. ``refused`` are those that are not read, with the reason."""

    path: Path
    refused: dict[str, str]

    def names(self) -> list[str]:
        """Names of the files that may be read, sorted, with ``/`` between folders."""

    def stamp(self, name: str) -> str:
        """A text that changes when the file does, got without reading it."""

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """The file's bytes; ``UnreadableItemError`` is raised for what is wrong with them."""

    def close(self) -> None:
        """Let go of the archive."""


class ZipTree:
    """A zip."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _refuse_large_directory(path)
        try:
            self._archive = zipfile.ZipFile(path)
            members = self._archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, zlib.error) as error:
            raise SourceMissingError(
                str(path), f"it is not a whole zip ({_first_line(error)})", "Download it again"
            ) from error
        try:
            _refuse_overlapping(path, members)
        except HostileArchiveError:
            self._archive.close()
            raise
        self.refused: dict[str, str] = {}
        self._members: dict[str, zipfile.ZipInfo] = {}
        counts = Counter(member.filename for member in members)
        refused = 0
        for member in members:
            reason = _reason(member, counts[member.filename])
            if reason is None:
                if _is_wanted(member.filename):
                    self._members[member.filename] = member
            else:
                refused += 1
                if len(self.refused) < MOST_REFUSED:
                    self.refused[printable(member.filename)] = reason
        if refused > MOST_REFUSED:
            self.refused[and_more(refused - MOST_REFUSED)] = "they are refused as those above are"

    def names(self) -> list[str]:
        """Names of the files that may be read, sorted."""
        return sorted(self._members)

    def stamp(self, name: str) -> str:
        """Checksum and size."""
        member = self._members[name]
        return f"{member.CRC:08x}:{member.file_size}"

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The member's bytes; raises ``UnreadableItemError`` for what is wrong with them."""
        with _explained(name), self._archive.open(self._members[name]) as file:
            yield cast(BinaryIO, file)

    def close(self) -> None:
        """Let go of the archive."""
        self._archive.close()


class FolderTree:
    """A folder that an export was unpacked to. Links that leave it are refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        inside = path.resolve()
        for folder, subfolders, files in os.walk(path):
            subfolders.sort()
            for name in files:
                file = Path(folder) / name
                relative = file.relative_to(path).as_posix()
                if not file.resolve().is_relative_to(inside):
                    self.refused[printable(relative)] = "it is a link that leaves the folder"
                elif file.is_file() and _is_wanted(relative):
                    self._files[relative] = file

    def names(self) -> list[str]:
        """Names of the files that may be read, sorted."""
        return sorted(self._files)

    def stamp(self, name: str) -> str:
        """Size and time of the last change."""
        found = self._files[name].stat()
        return f"{found.st_size}:{found.st_mtime_ns}"

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file's bytes; raises ``UnreadableItemError``."""
        with _explained(name), self._files[name].open("rb") as file:
            yield file

    def close(self) -> None:
        """Nothing is held open."""


class FileTree(FolderTree):
    """One file alone, under its own name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused = {}
        self._files = {path.name: path}


@contextmanager
def open_tree(path: Path) -> Iterator[Tree]:
    """The files at a path; raises ``SourceMissingError`` or ``HostileArchiveError``."""
    tree = _tree(path)
    try:
        yield tree
    finally:
        tree.close()


def _tree(path: Path) -> Tree:
    if path.is_dir():
        return FolderTree(path)
    if not path.is_file():
        raise SourceMissingError(str(path), "it is not there", "Correct its path in authors.yaml")
    return ZipTree(path) if is_zip(path) else FileTree(path)


def is_zip(path: Path) -> bool:
    """Whether a file says that it is a zip, by its name or its first bytes."""
    with path.open("rb") as file:
        return file.read(2) == b"PK" or path.suffix == ".zip"


def read_file(tree: Tree, name: str, most: int = LARGEST_FILE) -> bytes:
    """A file as a whole; raises ``UnreadableItemError`` when it is larger than ``most`` bytes or
    cannot be read."""
    with tree.open(name) as file:
        data: bytes = file.read(most + 1)
    if len(data) > most:
        raise UnreadableItemError(
            printable(name), f"it has more than {most} bytes", "Leave it out, or cut it into parts"
        )
    return data


def head(tree: Tree, name: str, size: int = 4096) -> bytes:
    """The first bytes of a file; none of one that cannot be read."""
    try:
        with tree.open(name) as file:
            data: bytes = file.read(size)
            return data
    except UnreadableItemError:
        return b""


def printable(name: str) -> str:
    """A member's name as it may be shown: without control characters, and not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= 200 else shown[:200] + "…"


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what may be wrong with a file into an ``UnreadableItemError``."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ) as error:
        raise UnreadableItemError(
            printable(name), f"it is damaged ({_first_line(error)})", "Download the export again"
        ) from error


def _reason(member: zipfile.ZipInfo, times: int) -> str | None:
    """Why a member is refused, or None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    faults = (
        (not _stays_inside(member.filename), "its name leads out of the archive"),
        (kind not in (0, stat.S_IFREG, stat.S_IFDIR), "it is a link or a device"),
        (member.flag_bits & ENCRYPTED != 0, "it is encrypted"),
        (member.compress_type not in METHODS, "it is compressed as no export is"),
        (times > 1 and not member.is_dir(), f"{times} members have this name"),
    )
    return next((reason for is_so, reason in faults if is_so), None)


def _stays_inside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return bool(name) and not (
        ".." in parts or parts[0] == "" or parts[0].endswith(":") or "\x00" in name
    )


def _is_wanted(name: str) -> bool:
    """Not a folder, and not one of the shadows that macOS adds."""
    parts = name.split("/")
    return bool(parts[-1]) and "__MACOSX" not in parts and not parts[-1].startswith("._")


def _refuse_overlapping(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Members that share bytes are how a small zip unpacks to petabytes."""
    end = -1
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise HostileArchiveError(
                str(path), "its members lie over one another", "Download the export again"
            )
        end = member.header_offset + 30 + member.compress_size


def _refuse_large_directory(path: Path) -> None:
    """Look at the size of a zip's directory before anything reads it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            tail = file.read()
            at = tail.rfind(END)
            if at < 0 or len(tail) - at < 22:
                return  # no zip: its reader says so
            directory = struct.unpack_from("<L", tail, at + 12)[0]
            locator = at - 20
            if locator >= 0 and tail[locator : locator + 4] == LOCATOR64:
                file.seek(struct.unpack_from("<Q", tail, locator + 8)[0])
                record = file.read(56)
                if record[:4] == END64:
                    directory = struct.unpack_from("<Q", record, 40)[0]
    except (OSError, OverflowError, struct.error, ValueError):
        return
    if directory > LARGEST_DIRECTORY:
        raise HostileArchiveError(
            str(path),
            f"its directory has {directory} bytes, more than any export's",
            "Unpack it and give the folder, if it is yours",
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
