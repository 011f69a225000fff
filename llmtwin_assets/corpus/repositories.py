"""Git repositories as sources: README and docs are articles, source files repository documents.

With several hands in a repository only the author's lines are read, by the whole history. The
commit that was read is the version, in each document's address.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from llmtwin_assets.authors import RepositorySource, resolve_path
from llmtwin_assets.corpus import front_matter
from llmtwin_assets.corpus.bylines import is_by
from llmtwin_assets.corpus.fetching import digest
from llmtwin_assets.corpus.html_text import code_block
from llmtwin_assets.corpus.reading import (
    Context,
    Listing,
    SourceMissingError,
    UnreadableItemError,
    raw_hash,
)
from llmtwin_assets.corpus.source_files import (
    is_generated,
    is_text,
    kind_of,
    language_of,
    notebook,
)
from llmtwin_assets.records import RawDocument, content_id
from resources import git
from resources.polite import Polite

IMPORTER = "repository-1"
FEWEST_WORDS = 20  # of an article
FEWEST_LINES = 3  # of the author's in a source file that others wrote, too
POLLED = 600.0  # seconds that a server's last answer is new enough for a sensor
HEADING = re.compile(r"^#{1,2} +(.+?)(?: +#+)?$|^(.+)\n(?:={3,}|-{3,})$", re.MULTILINE)
WORDS = re.compile(r"\w+")
# Where a file at a commit is shown, by host.
SHOWN = {
    "github.com": "{repository}/blob/{commit}/{path}",
    "gitlab.com": "{repository}/-/blob/{commit}/{path}",
    "codeberg.org": "{repository}/src/commit/{commit}/{path}",
    "bitbucket.org": "{repository}/src/{commit}/{path}",
}


@dataclass(frozen=True)
class Reading:
    """A repository being read at a commit. ``alone``: everything in it is the author's."""

    source: RepositorySource
    context: Context
    repository: git.Repository
    commit: str
    alone: bool


@dataclass(frozen=True)
class Item:
    """A file on its way to the listing."""

    id: str
    path: str
    data: bytes
    age: git.Age | None


def read(source: RepositorySource, context: Context, listing: Listing) -> None:
    """List the author's files. Raises ``SourceMissingError`` when nothing in the history is theirs,
    and what ``git.fetch`` raises."""
    if not (context.wants("article") or context.wants("repository")):
        return
    repository = _fetched(source, context)
    commit = repository.head()
    hands = repository.hands(commit)
    theirs = {hand for hand in hands if _is_theirs(source, context, *hand)}
    if not theirs:
        names = sorted({name for name, _ in hands})
        raise SourceMissingError(
            place(source),
            f"nothing in its history is by {context.author.name}, but by {', '.join(names[:5])}",
            "Add the author's e-mail addresses to 'emails', or the name to 'bylines'",
        )
    rules = digest(f"{IMPORTER}{source}{context.author}{theirs == hands}".encode())
    state = {"commit": commit, "rules": rules}
    if dict(context.memory) == state:
        listing.unchanged = True
        return
    _list(Reading(source, context, repository, commit, theirs == hands), rules, listing)
    listing.memory = state


def fingerprint(source: RepositorySource, context: Context) -> str:
    """Changes with the repository's last commit and with the importer. Asks a server at most every
    ten minutes."""
    return f"{IMPORTER} {_head(source, context)}"


def _head(source: RepositorySource, context: Context) -> str:
    if source.url is None:
        return _local_head(resolve_path(str(source.path), context.base))
    web, cache = _online(source, context)
    note = _copy(source, cache).with_suffix(".head")
    now = context.clock().timestamp()
    # The note's age is when the server answered; a note that a killed look left empty is none.
    if note.is_file() and note.stat().st_mtime > now - POLLED:
        commit = note.read_text("ascii")
        if commit:
            return commit
    web.refuse_late(source.url)
    commit = git.remote_head(source.url, web.web.guard)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(commit, "ascii")
    os.utime(note, (now, now))
    return commit


def place(source: RepositorySource) -> str:
    """Where the repository is, as the entry says."""
    return source.url or str(source.path)


def _local_head(path: Path) -> str:
    """Changes when something is committed, or another branch is checked out; runs no git."""
    folder = path / ".git" if (path / ".git").is_dir() else path
    notes = [folder / "HEAD", folder / "logs" / "HEAD", folder / "packed-refs"]
    return "|".join(str(note.stat().st_mtime_ns) for note in notes if note.is_file()) or "missing"


def _fetched(source: RepositorySource, context: Context) -> git.Repository:
    if source.url is None:
        if context.cache is None:
            raise _offline(source)
        path = resolve_path(str(source.path), context.base)
        return git.copy(path, _copy(source, context.cache))
    web, cache = _online(source, context)
    return git.fetch(source.url, _copy(source, cache), web.web.guard)


def _online(source: RepositorySource, context: Context) -> tuple[Polite, Path]:
    if context.cache is None or not isinstance(context.web, Polite):
        raise _offline(source)
    return context.web, context.cache


def _offline(source: RepositorySource) -> SourceMissingError:
    return SourceMissingError(
        place(source), "it was read without a client and a cache", "Materialise the raw assets"
    )


def _copy(source: RepositorySource, cache: Path) -> Path:
    return cache / "repositories" / f"{digest(place(source).encode())}.git"


def _is_theirs(source: RepositorySource, context: Context, name: str, email: str) -> bool:
    emails = {address.casefold() for address in source.emails}
    return email.casefold() in emails or is_by(name, context.author)


def _list(reading: Reading, rules: str, listing: Listing) -> None:
    wanted = []
    for file in reading.repository.files(reading.commit):
        what = kind_of(file.path)
        kind = "repository" if what == "source" else "article"
        if what is None or not reading.context.wants(kind) or not _is_included(reading, file.path):
            continue
        if file.size is None or file.size > git.LARGEST_FILE:
            listing.leave_out("files over 1 MiB")
            continue
        id_ = content_id(reading.context.author.id, "repository", place(reading.source), file.path)
        stamp = f"{rules}:{file.blob[:16]}"
        if reading.context.known.get(id_) == stamp:
            listing.unread.add(id_)
        else:
            wanted.append((file, id_, stamp))
    if not wanted:
        return
    ages = reading.repository.ages(reading.commit)
    contents = reading.repository.blobs(file.blob for file, _, _ in wanted)
    for (file, id_, stamp), (_, data) in zip(wanted, contents, strict=True):
        item = Item(id_, file.path, data, ages.get(file.path))
        take = partial(_document, reading, item, listing)
        listing.take(f"{place(reading.source)} {file.path}", take, stamp, id_)


def _is_included(reading: Reading, path: str) -> bool:
    source = reading.source
    return any(fnmatchcase(path, pattern) for pattern in source.include) and not any(
        fnmatchcase(path, pattern) for pattern in source.exclude
    )


def _document(reading: Reading, item: Item, listing: Listing) -> RawDocument | None:
    """A file as a document; None, counted in ``listing``, when it is nobody's writing or not the
    author's."""
    if not is_text(item.data):
        listing.leave_out("binary files, and text that is not UTF-8")
        return None
    whole = re.sub(r"\r+\n|\r", "\n", item.data.decode("utf-8-sig"))
    what = kind_of(item.path)
    if what == "source" and is_generated(whole):
        listing.leave_out("generated files")
        return None
    lines = None if reading.alone else _lines(reading, item.path, whole)
    if lines is not None and not any(wanted and row.strip() for row, wanted in lines):
        listing.leave_out("files by others")
        return None
    if what == "source":
        return _source(reading, item, _text(whole, lines), listing)
    text = _notebook(item.path, whole, lines) if what == "notebook" else _text(whole, lines)
    return _article(reading, item, text, listing)


def _source(reading: Reading, item: Item, text: str, listing: Listing) -> RawDocument | None:
    written = sum(bool(line.strip()) for line in text.splitlines())
    if not written or (not reading.alone and written < FEWEST_LINES):
        listing.leave_out("files with hardly a line of the author's")
        return None
    language = language_of(item.path)
    block = code_block(text.removesuffix("\n"), language or "")
    return _record(reading, item, "repository", item.path, block, language)


def _article(reading: Reading, item: Item, text: str, listing: Listing) -> RawDocument | None:
    head, body = front_matter.split(text, item.path)
    if head.get("draft") is True or head.get("published") is False:
        listing.leave_out("drafts")
        return None
    if len(WORDS.findall(body)) < FEWEST_WORDS:
        listing.leave_out("texts too short for an article")
        return None
    title = str(head.get("title") or "") or _title(body, item.path, reading.source)
    return _record(reading, item, "article", title, body.strip("\n"), None)


def _record(
    reading: Reading, item: Item, kind: str, title: str, text: str, language: str | None
) -> RawDocument:
    first = datetime.fromtimestamp(item.age.first, UTC) if item.age else None
    last = datetime.fromtimestamp(item.age.last, UTC) if item.age else None
    return RawDocument(
        id=item.id,
        author=reading.context.author.id,
        kind=kind,
        source="repository",
        external_id=item.path,
        url=address(reading.source, reading.commit, item.path),
        title=title,
        text=text,
        published=first.date() if first else None,
        importer=IMPORTER,
        licence=reading.source.licence,
        language=language,
        created=first,
        updated=last,
        fetched=reading.context.clock(),
        raw_hash=raw_hash(item.data),
    )


def address(source: RepositorySource, commit: str, path: str) -> str:
    """Where a file at a commit is shown; where its host shows files in a way that is not known, the
    repository's address with commit and path as a fragment."""
    where = place(source)
    repository = where.removesuffix("/").removesuffix(".git")
    pattern = SHOWN.get((urlsplit(where).hostname or "").removeprefix("www."))
    escaped = quote(path.encode("utf-8", "surrogateescape"))
    if pattern is None:
        return f"{where}#{commit}:{escaped}"
    return pattern.format(repository=repository, commit=commit, path=escaped)


def _lines(reading: Reading, path: str, whole: str) -> list[tuple[str, bool]]:
    """The lines of a file, and whether each is the author's."""
    try:
        blamed = reading.repository.blame(reading.commit, path)
    except git.RepositoryUnreadableError as error:
        raise UnreadableItemError(path, error.problem, error.remedy) from error
    rows = whole.split("\n")
    rows = [f"{row}\n" for row in rows[:-1]] + [row for row in rows[-1:] if row]
    if len(rows) != len(blamed):
        raise UnreadableItemError(
            path, "its lines end in several ways, so that they cannot be told apart", "Mend it"
        )
    return [
        (row, _is_theirs(reading.source, reading.context, line.name, line.email))
        for row, line in zip(rows, blamed, strict=True)
    ]


def _text(whole: str, lines: Sequence[tuple[str, bool]] | None) -> str:
    """The wanted lines as they stand, with an empty line where others were between them."""
    if lines is None:
        return whole
    kept: list[str] = []
    gap = False
    for row, wanted in lines:
        if not wanted:
            gap = True
            continue
        if gap and kept and kept[-1].strip() and row.strip():
            kept.append("\n")
        gap = False
        kept.append(row)
    return "".join(kept)


def _notebook(path: str, whole: str, lines: Iterable[tuple[str, bool]] | None) -> str:
    try:
        return notebook(whole, None if lines is None else list(lines))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableItemError(path, "it is not a Jupyter notebook", "Mend it") from error


def _title(text: str, path: str, source: RepositorySource) -> str:
    match = HEADING.search(text)
    if match:
        return (match[1] or match[2]).strip()
    parts = PurePosixPath(path)
    if parts.stem.lower() == "readme":
        folder = parts.parent.name
        return folder or PurePosixPath(urlsplit(place(source)).path).stem
    return re.sub(r"[-_]+", " ", parts.stem).strip()
