"""A folder of text and Markdown files as a source: one file, one document.

Front matter gives title, date and draft state; without it the title is the first heading or the
file's name. Files with an editor's frame say so in the registry (``header_ends``, ``drop_lines``):
the frame gives title and date and is not part of the text.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import FolderSource, resolve_path
from llmtwin_assets.corpus import front_matter
from llmtwin_assets.corpus.reading import (
    Context,
    Listing,
    SourceMissingError,
    UnreadableItemError,
    decode,
    find_date,
    raw_hash,
)
from llmtwin_assets.records import RawDocument, content_id

IMPORTER = "folder-2"
HEADING = re.compile(r"^#{1,2} +(.+?)(?: +#+)?$", re.MULTILINE)


@dataclass(frozen=True)
class Parsed:
    """A file taken apart. ``text`` is the author's part, its lines as they were."""

    title: str
    published: date | None
    text: str


def read(source: FolderSource, context: Context, listing: Listing) -> None:
    """List the documents below the folder; raises ``SourceMissingError`` when there is none. A file
    whose stamp is as it was is not read."""
    if source.kind and not context.wants(source.kind):
        return
    author, root = context.author.id, resolve_path(source.path, context.base)
    if not root.is_dir():
        raise SourceMissingError(
            str(root), f"{author}'s folder is not there", "Correct its path in authors.yaml"
        )
    rules = hashlib.sha256(f"{IMPORTER}{source.model_dump_json()}".encode()).hexdigest()[:8]
    found = matching_files(source, root)
    for path in found:
        name = path.relative_to(root).as_posix()
        id_, stamp = _id(author, source, name), f"{rules}:{_stamp(path)}"
        if context.known.get(id_) == stamp:
            listing.unread.add(id_)
        else:
            listing.take(name, partial(_read, context, source, path, name), stamp, id_)
    if not found:
        raise SourceMissingError(
            str(root),
            f"no file in {author}'s folder matches {', '.join(source.include)}",
            "Put .md or .txt files there, or correct 'include' in authors.yaml",
        )


def matching_files(source: FolderSource, root: Path) -> list[Path]:
    """Files that the source includes, in a stable order. Links that leave the folder are not
    followed, so that a shared folder cannot reach other files of the machine."""
    found = {
        os.fspath(path): path
        for pattern in source.include
        for path in root.glob(pattern)
        if path.is_file()
    }
    inside = root.resolve()
    folders = {
        folder: Path(folder).resolve().is_relative_to(inside)
        for folder in set(map(os.path.dirname, found))
    }

    def stays(name: str) -> bool:
        if os.path.islink(name):
            return Path(name).resolve().is_relative_to(inside)
        return folders[os.path.dirname(name)]

    return [found[name] for name in sorted(found) if stays(name)]


def fingerprint(source: FolderSource, context: Context) -> str:
    """Changes when a file comes, goes or is written, and with the importer; reads no file."""
    root = resolve_path(source.path, context.base)
    if not root.is_dir():
        return "missing"
    files = matching_files(source, root)
    return "|".join([IMPORTER, *(f"{path.relative_to(root)}:{_stamp(path)}" for path in files)])


def _stamp(path: Path) -> str:
    stat = os.stat(path)
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _id(author: str, source: FolderSource, name: str) -> str:
    return content_id(author, "folder", source.path, name)


def _read(context: Context, source: FolderSource, path: Path, name: str) -> RawDocument | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableItemError(
            name, f"it cannot be read ({error.strerror})", "Check the file's permissions"
        ) from error
    parsed = parse(decode(data, name), name, source)
    if parsed is None:
        return None
    if not parsed.text.strip():
        raise UnreadableItemError(name, "there is no text in it", "Remove it from the folder")
    return RawDocument(
        id=_id(context.author.id, source, name),
        author=context.author.id,
        kind=source.kind,
        source="folder",
        external_id=name,
        url=f"{source.path.rstrip('/')}/{name}",
        title=parsed.title,
        text=parsed.text,
        published=parsed.published,
        importer=IMPORTER,
        licence=source.licence,
        fetched=context.clock(),
        raw_hash=raw_hash(data),
    )


def parse(text: str, name: str, source: FolderSource) -> Parsed | None:
    """Title, date and the author's text of one file; None for a draft.

    Raises ``UnreadableItemError`` when the front matter is not a mapping or the editor's header
    does not end.
    """
    meta, body = front_matter.split(text, name)
    if meta.get("draft") is True or meta.get("published") is False:
        return None
    header, body = _cut_header(body, name, source)
    if source.drop_lines:
        dropped = [re.compile(pattern) for pattern in source.drop_lines]
        body = "\n".join(
            line
            for line in body.split("\n")
            if not any(pattern.fullmatch(line.strip()) for pattern in dropped)
        )
    title = str(meta.get("title") or "") or _header_title(header) or _heading(body) or _stem(name)
    published = _day(meta.get("date")) or find_date(header) or find_date(name)
    return Parsed(" ".join(title.split()), published, body.strip("\n"))


def _cut_header(body: str, name: str, source: FolderSource) -> tuple[str, str]:
    if source.header_ends is None:
        return "", body
    match = re.search(source.header_ends, body, re.MULTILINE)
    if not match:
        raise UnreadableItemError(
            name,
            f"no line matches header_ends '{source.header_ends}'",
            "Correct the pattern in authors.yaml",
        )
    line_end = body.find("\n", match.end())
    return body[: match.start()], body[line_end:] if line_end >= 0 else ""


def _header_title(header: str) -> str:
    """The header's first paragraph, with a second one in brackets, which names a continued
    subject."""
    paragraphs = [" ".join(part.split()) for part in header.split("\n\n") if part.strip()]
    if len(paragraphs) > 1 and paragraphs[1].startswith("(") and paragraphs[1].endswith(")"):
        return f"{paragraphs[0]} {paragraphs[1]}"
    return paragraphs[0] if paragraphs else ""


def _heading(body: str) -> str:
    match = HEADING.search(body)
    return match[1] if match else ""


def _stem(name: str) -> str:
    return re.sub(r"[-_]+", " ", Path(name).stem).strip()


def _day(value: Any) -> date | None:
    """The day of a date in front matter, as it is written there."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return find_date(value) if isinstance(value, str) else None
