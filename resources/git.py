"""Git repositories of others, read without trusting them.

A repository is fetched bare, with its whole history and without files over a mebibyte, over https
through the guarded proxy; nothing is ever checked out, so no hook, link, filter or submodule of it
comes to life. The commands run without the user's configuration, credentials and environment. Knows
commits, paths and lines, and nothing of what they mean.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from signal import SIGKILL
from typing import IO

from resources.addresses import ForbiddenUrlError, Guard, parse_url, shown
from resources.errors import LlmTwinError
from resources.proxy import proxy

LARGEST_FILE = 1024 * 1024  # bytes
LARGEST = 1024 * 1024 * 1024  # bytes over the network for one repository
FETCH_SECONDS = 1800.0
HEAD_SECONDS = 20.0  # for the one small request that asks what is new
READ_SECONDS = 600.0  # for one command that reads what was fetched
LARGEST_OUTPUT = 256 * 1024 * 1024  # bytes of one such command
MOST_FILES = 50_000
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# The first safe release of each series; all of later series are.
SAFE = {(2, 39): (2, 39, 4), (2, 40): (2, 40, 2), (2, 41): (2, 41, 1), (2, 42): (2, 42, 2),
        (2, 43): (2, 43, 4), (2, 44): (2, 44, 1), (2, 45): (2, 45, 1)}  # fmt: skip
ORDINARY = ("100644", "100755")  # modes of files; links and submodules have others

BRANCH = "refs/heads/main-branch"  # whatever it is called where it comes from
FETCH = ("fetch", "--quiet", "--prune", "--no-tags", "--no-recurse-submodules",
         "--no-auto-maintenance", "--no-write-fetch-head")  # fmt: skip

# What no repository and no configuration may change.
SETTINGS = (
    "credential.helper=", "core.hooksPath=/dev/null", "core.fsmonitor=false",
    "core.symlinks=false", "core.bigFileThreshold=1m", "core.quotePath=false",
    "fetch.recurseSubmodules=false", "fetch.writeCommitGraph=false",
    "gc.auto=0", "maintenance.auto=false", "init.templateDir=", "log.mailmap=false",
    "mailmap.file=/dev/null", "mailmap.blob=HEAD:.no-mailmap", "pack.threads=1",
    "protocol.allow=never", "submodule.recurse=false", "transfer.bundleURI=false",
    "http.lowSpeedLimit=1000", "http.lowSpeedTime=60", "http.sslVerify=true",
    "http.followRedirects=initial",
)  # fmt: skip


class ForbiddenRepositoryError(LlmTwinError):
    """An address of a repository that is never fetched."""


class RepositoryUnreachableError(LlmTwinError):
    """A repository that could not be fetched."""


class RepositoryUnreadableError(LlmTwinError):
    """A repository, or a part of one, that git cannot read."""


class GitMissingError(LlmTwinError):
    """There is no git on this machine."""


@dataclass(frozen=True)
class File:
    """A file at a commit. ``size`` in bytes; None when it is too large to have been fetched."""

    path: str
    blob: str
    size: int | None


@dataclass(frozen=True)
class Line:
    """A line of a file with its end, and who committed it."""

    name: str
    email: str
    text: bytes


@dataclass(frozen=True)
class Age:
    """When a path was first and last changed, seconds since the epoch."""

    first: int
    last: int


class Repository:
    """A bare repository on this disk, which is only read."""

    def __init__(self, folder: Path, item: str) -> None:
        self.folder = folder
        self.item = item  # what it is called in refusals

    def head(self) -> str:
        """The commit that the repository's main branch is at."""
        out = self._read("rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
        if not COMMIT.fullmatch(out):
            raise RepositoryUnreadableError(self.item, "it has no commits", "Commit something")
        return out

    def hands(self, commit: str) -> set[tuple[str, str]]:
        """Names and e-mail addresses of everybody who wrote a commit of the history."""
        out = self._read("log", "--no-mailmap", "--format=%an%x00%ae", commit)
        rows = (line.partition("\0") for line in out.decode("utf-8", "replace").splitlines())
        return {(name, email) for name, _, email in rows}

    def files(self, commit: str) -> list[File]:
        """The ordinary files at a commit: no links, no submodules."""
        listed = self._read("ls-tree", "-r", "-z", "--full-tree", commit)
        rows = []
        for row in listed.decode("utf-8", "surrogateescape").split("\0"):
            kind, _, path = row.partition("\t")
            if kind.split(" ")[0] in ORDINARY:
                rows.append((path, kind.split(" ")[2]))
        if len(rows) > MOST_FILES:
            raise RepositoryUnreadableError(
                self.item, f"it has more than {MOST_FILES} files", "Narrow it by 'include'"
            )
        sizes = self._sizes(commit, {blob for _, blob in rows})
        return [File(path, blob, sizes.get(blob)) for path, blob in rows]

    def blobs(self, blobs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The contents of files that were fetched, one at a time."""
        with self._process(["cat-file", "--batch"], stdin=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for blob in blobs:
                process.stdin.write(f"{blob}\n".encode())
                process.stdin.flush()
                head = process.stdout.readline().decode().split(" ")
                if len(head) != 3:
                    raise RepositoryUnreadableError(
                        self.item, f"file {blob[:12]} is missing in it", "Delete its copy"
                    )
                yield blob, process.stdout.read(int(head[2]))
                process.stdout.read(1)

    def blame(self, commit: str, path: str) -> list[Line]:
        """The lines of a file with who last changed more than their white space. Raises
        ``RepositoryUnreadableError``, also where an older version is too large to be here."""
        out = self._read("blame", "--porcelain", "-w", commit, "--", path)
        people: dict[bytes, dict[bytes, bytes]] = {}
        lines, person = [], dict[bytes, bytes]()
        for row in out.split(b"\n"):
            if row.startswith(b"\t"):
                name, mail = person.get(b"author", b""), person.get(b"author-mail", b"")
                lines.append(Line(_text(name), _text(mail).strip("<>"), row[1:] + b"\n"))
                continue
            key, _, value = row.partition(b" ")
            if COMMIT.fullmatch(key.decode("ascii", "replace")):
                person = people.setdefault(key, {})
            else:
                person.setdefault(key, value)
        return lines

    def ages(self, commit: str) -> dict[str, Age]:
        """When each path of the history was first and last changed."""
        ages: dict[str, Age] = {}
        command = ["log", "--no-mailmap", "--format=%x01%at", "--name-only", "-z", "--no-renames",
                   commit]  # fmt: skip
        when = 0
        for part in self._read(*command).decode("utf-8", "surrogateescape").split("\0"):
            text = part.lstrip("\n")
            if text.startswith("\x01"):
                stamp, _, text = text[1:].partition("\n")
                when = int(stamp) if re.fullmatch(r"\d{1,12}", stamp) else 0
            if text:
                last = ages[text].last if text in ages else when
                ages[text] = Age(when, last)
        return ages

    def _sizes(self, commit: str, blobs: set[str]) -> dict[str, int]:
        listed = self._read("rev-list", "--objects", "--missing=print", "--no-walk", commit)
        missing = {row[1:41].decode() for row in listed.split(b"\n") if row.startswith(b"?")}
        sizes: dict[str, int] = {}
        with self._process(["cat-file", "--batch-check"], stdin=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for blob in sorted(blobs - missing):
                process.stdin.write(f"{blob}\n".encode())
                process.stdin.flush()
                row = process.stdout.readline().decode().split(" ")
                if len(row) == 3:
                    sizes[blob] = int(row[2])
        return sizes

    def _read(self, *command: str) -> bytes:
        """The output of a command that must not touch the network."""
        with self._process(list(command)) as process:
            assert process.stdout is not None
            out = process.stdout.read(LARGEST_OUTPUT + 1)
            if len(out) > LARGEST_OUTPUT:
                raise RepositoryUnreadableError(
                    self.item, f"git {command[0]} says too much", "Leave it out"
                )
        return bytes(out)

    @contextmanager
    def _process(
        self, command: list[str], stdin: bool = False
    ) -> Iterator["subprocess.Popen[bytes]"]:
        git = ["--no-replace-objects", f"--git-dir={self.folder}", *command]
        with _running(git, {"GIT_ALLOW_PROTOCOL": "none"}, READ_SECONDS, stdin) as (process, said):
            yield process
            if process.stdin is not None:
                process.stdin.close()
            if process.wait() != 0:
                why = _last_words(said)
                if "promisor remote" in why:
                    why = "an older version of it is over 1 MiB"
                raise RepositoryUnreadableError(
                    self.item, f"git {command[0]} failed ({why})", "Leave it out"
                )


def fetch(url: str, folder: Path, guard: Guard) -> Repository:
    """The repository at an https address, fetched into ``folder`` or brought up to date there.

    Raises ``ForbiddenRepositoryError`` for any other kind of address, ``ForbiddenAddressError`` for
    one that is not on the public internet, and ``RepositoryUnreachableError``.
    """
    address, protocol = _address(url, guard)
    with proxy(guard, LARGEST, FETCH_SECONDS) as door:
        network = {"GIT_ALLOW_PROTOCOL": protocol}
        through = ["-c", f"http.proxy={door.url}"]
        try:
            _fetch(address, folder, network, through, url)
        except RepositoryUnreachableError as error:
            if not door.refused:
                raise
            raise RepositoryUnreachableError(
                shown(url), door.refused[0].removesuffix("."), error.remedy
            ) from error
    return Repository(folder, shown(url))


def copy(path: Path, folder: Path) -> Repository:
    """A copy of a repository on this machine, which the user named as their own."""
    if not (path / ".git").exists() and not (path / "HEAD").is_file():
        raise RepositoryUnreachableError(
            str(path), "there is no git repository", "Correct its path in authors.yaml"
        )
    _fetch(path.resolve().as_uri(), folder, {"GIT_ALLOW_PROTOCOL": "file"}, [], str(path))
    return Repository(folder, str(path))


def remote_head(url: str, guard: Guard) -> str:
    """The commit that the main branch of a remote repository is at; one small request."""
    address, protocol = _address(url, guard)
    with proxy(guard, LARGEST_FILE * 16, HEAD_SECONDS) as door:
        git = ["-c", f"http.proxy={door.url}", "ls-remote", "--", address, "HEAD"]
        with _running(git, {"GIT_ALLOW_PROTOCOL": protocol}, HEAD_SECONDS) as (process, said):
            assert process.stdout is not None
            out = process.stdout.read(LARGEST_FILE).decode("ascii", "replace")
            if process.wait() != 0:
                why = door.refused[0].removesuffix(".") if door.refused else _last_words(said)
                raise RepositoryUnreachableError(shown(url), why, "Check the address")
    return out.partition("\t")[0]


def _address(url: str, guard: Guard) -> tuple[str, str]:
    """The address as git is told it, and the one protocol that it may use."""
    if url != url.strip() or url.startswith("-"):
        raise _forbidden(url, "it is not an address")
    try:
        parsed = parse_url(url)
    except ForbiddenUrlError as error:
        raise _forbidden(url, error.problem) from error
    addresses = guard.check(parsed.host, parsed.port)
    if parsed.scheme != "https" and not guard.excepts(parsed.host, addresses, parsed.port):
        raise _forbidden(url, "it is not https")
    return str(parsed), parsed.scheme


def _forbidden(url: str, problem: str) -> ForbiddenRepositoryError:
    return ForbiddenRepositoryError(
        shown(url), problem, "Use the https:// address without a user name"
    )


def _fetch(
    address: str, folder: Path, network: Mapping[str, str], through: list[str], item: str
) -> None:
    """Bring the repository in ``folder`` up to date; a new one is made beside it, and takes its
    place when it is whole."""

    def update(place: Path) -> None:
        where = [*through, "-c", f"remote.origin.url={address}", f"--git-dir={place}"]
        what = [f"--filter=blob:limit={LARGEST_FILE}", "--", "origin", f"+HEAD:{BRANCH}"]
        _network([*where, *FETCH, *what], network, item)

    if (folder / "HEAD").is_file():
        update(folder)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as workshop:
        made = Path(workshop) / "repository"
        _network(["init", "--quiet", "--bare", "--", str(made)], network, item)
        _network([f"--git-dir={made}", "symbolic-ref", "HEAD", BRANCH], network, item)
        update(made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def _network(git: list[str], network: Mapping[str, str], item: str) -> None:
    with _running(git, network, FETCH_SECONDS) as (process, said):
        assert process.stdout is not None
        process.stdout.read()
        if process.wait() != 0:
            raise RepositoryUnreachableError(
                shown(item), f"git could not fetch it ({_last_words(said)})", "Check the address"
            )


@contextmanager
def _running(
    git: Sequence[str], environment: Mapping[str, str], seconds: float, stdin: bool = False
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
    """A git command that ends with the block, and after ``seconds`` at the latest."""
    program = _program()
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [program, *settings, *git],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=_environment(home, environment),
            cwd=home,
            start_new_session=True,
        )
        alarm = threading.Timer(seconds, _kill, [process])
        alarm.start()
        try:
            yield process, said
        finally:
            alarm.cancel()
            _kill(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            process.wait()


@cache
def _program() -> str:
    """The git of this machine. Raises ``GitMissingError`` for one without the security fixes of May
    2024, which ``GIT_NO_LAZY_FETCH`` came with."""
    program = shutil.which("git")
    if program is None:
        raise GitMissingError("git", "it is not installed on this machine", "Install git")
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    major, minor, patch = (int(part) for part in match.groups()) if match else (0, 0, 0)
    version = (major, minor, patch)
    if version < SAFE.get((major, minor), (2, 46, 0)):
        raise GitMissingError(
            f"git {'.'.join(map(str, version))}", "it lacks the security fixes of May 2024",
            "Update git",
        )  # fmt: skip
    return program


def _environment(home: str, more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the user's: no configuration, no credentials, no proxy, no agent."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS": "false",
        "GIT_SSH_COMMAND": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        # A file that was left out stays out: git would fetch it when it meets it, and a hostile
        # server can make it do so without end.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PAGER": "cat",
        **more,
    }


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a command and its helpers."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, SIGKILL)


def _last_words(said: IO[bytes]) -> str:
    """What git said of its failure; nothing, if it was killed."""
    said.seek(0)
    text = said.read(4096).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    words = (
        fatal[0].partition(": ")[2] or fatal[0]
        if fatal
        else "it was ended: it took too long, or too much"
    )
    return re.sub(r"(https?://)[^/@\s]*@", r"\1", words)[:200]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
