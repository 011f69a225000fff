"""The JSON export of a document warehouse as a source: the LLM Engineer's Handbook's, so that its
users can move here, or our own (``warehouse_export``).

A folder holds ``ArticleDocument.json``, ``PostDocument.json`` and ``RepositoryDocument.json``,
lists of records with an author's full name, a platform, a link and a content mapping. The content
of an article is the text of a whole page: the frame of the site around it is taken off here.
"""

import json
import re
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import WarehouseSource, resolve_path
from llmtwin_assets.corpus.json_stream import values
from llmtwin_assets.corpus.page_dump import page_text
from llmtwin_assets.corpus.reading import (
    Context,
    Listing,
    SourceMissingError,
    UnreadableItemError,
    find_date,
    moment,
    raw_hash,
)
from llmtwin_assets.corpus.warehouse_export import FILES
from llmtwin_assets.corpus.zip_reader import FileTree
from llmtwin_assets.records import Alias, RawDocument, content_id

IMPORTER = "warehouse-2"


def read(source: WarehouseSource, context: Context, listing: Listing) -> None:
    """List the author's documents of an export; raises ``SourceMissingError`` when there is no
    export, or nothing of theirs in it."""
    root = resolve_path(source.path, context.base)
    files = _files(root)
    if not files:
        raise SourceMissingError(
            str(root),
            f"{context.author.id}'s export is not there",
            "Correct its path in authors.yaml; the folder must hold ArticleDocument.json",
        )
    name = source.full_name or context.author.name
    theirs = False
    for kind, path in files.items():
        for number, record in enumerate(_records(path)):
            theirs = theirs or _is_by(record, name)
            if context.wants(kind):
                item = f"{path.name}#{number}"
                listing.take(item, partial(_read, context, name, source, kind, record, item))
    if not theirs:
        raise SourceMissingError(
            str(root),
            f"no record in it is by '{name}'",
            "Set full_name in authors.yaml to the name that the export uses",
        )


def fingerprint(source: WarehouseSource, context: Context) -> str:
    """Changes when a file of the export is written, and with the importer; reads no file."""
    root = resolve_path(source.path, context.base)
    stamps = [(path, path.stat()) for path in _files(root).values()]
    return "|".join([IMPORTER, *(f"{p.name}:{s.st_size}:{s.st_mtime_ns}" for p, s in stamps)])


def _files(root: Path) -> dict[str, Path]:
    if root.is_file():
        return {kind: root for kind, name in FILES.items() if root.name == name}
    return {kind: root / name for kind, name in FILES.items() if (root / name).is_file()}


def _records(path: Path) -> Iterator[Any]:
    """The records of a file, one after another; raises ``SourceMissingError``."""
    with path.open("rb") as file:
        begins = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begins.startswith(b"["):
        raise SourceMissingError(
            str(path), "it is not a list of records", "Export the warehouse again"
        )
    try:
        yield from values(FileTree(path), path.name, "item")
    except UnreadableItemError as error:
        raise SourceMissingError(
            str(path), f"it is not a JSON export ({error.problem})", "Export the warehouse again"
        ) from error


def _is_by(record: Any, name: str) -> bool:
    named = record.get("author_full_name", "") if isinstance(record, dict) else ""
    return str(named).casefold() == name.casefold()


def _read(
    context: Context, full_name: str, source: WarehouseSource, kind: str, record: Any, item: str
) -> RawDocument | None:
    if not isinstance(record, dict) or not isinstance(record.get("content"), dict | str):
        raise UnreadableItemError(item, "it is not a record with a content", "Export it again")
    if not _is_by(record, full_name):
        return None
    if isinstance(record.get("provenance"), dict):
        return _own_record(context, record, item)
    content = record["content"] if isinstance(record["content"], dict) else {}
    page = _text(record["content"])
    title = _title(content, record, full_name)
    text = page_text(page, title, full_name) if kind == "article" else page.strip()
    if not text:
        raise UnreadableItemError(item, "there is no text in it", "Export it again")
    link = str(record.get("link") or record.get("_id") or item)
    return RawDocument(
        id=content_id(context.author.id, "warehouse", link),
        author=context.author.id,
        kind=kind,
        source="warehouse",
        external_id=str(record.get("_id") or link),
        url=link,
        title=title,
        text=text,
        published=find_date(link) or _page_date(page),
        importer=IMPORTER,
        licence=source.licence,
        fetched=context.clock(),
        raw_hash=raw_hash(json.dumps(record, sort_keys=True)),
    )


def _own_record(context: Context, record: dict[str, Any], item: str) -> RawDocument:
    """A record that we exported: the document as it was, under the id it had."""
    provenance, content, author = record["provenance"], record["content"], context.author.id
    id_ = str(record["_id"])
    try:
        return RawDocument(
            id=id_ if provenance["author"] == author else content_id(author, "warehouse", id_),
            author=author,
            kind=str(provenance["kind"]),
            source=str(provenance["source"]),
            external_id=str(provenance["external_id"]),
            url=str(record["link"]),
            title=str(content["Title"]),
            text=str(content["Content"]),
            published=_day(provenance["published"]),
            importer=str(provenance["importer"]),
            licence=provenance["licence"],
            consent=provenance["consent"],
            visibility=str(provenance["visibility"]),
            language=content["language"],
            created=moment(provenance["created"]),
            updated=moment(provenance["updated"]),
            fetched=moment(provenance["fetched"]),
            raw_hash=str(provenance["raw_hash"]),
            aliases=tuple(Alias(**alias) for alias in provenance["aliases"]),
        )
    except (KeyError, TypeError) as error:
        raise UnreadableItemError(
            item, f"its provenance is not whole ({error})", "Export it again"
        ) from error


def _day(value: Any) -> date | None:
    when = moment(value)
    return when.date() if when else None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if "Content" in content:
        return str(content["Content"] or "")
    # Posts and repositories are mappings from a name (a field, a file) to text.
    return "\n\n".join(str(value) for value in content.values() if isinstance(value, str))


def _title(content: dict[str, Any], record: dict[str, Any], full_name: str) -> str:
    title = str(content.get("Title") or record.get("name") or "").strip()
    name = re.escape(full_name)
    return re.sub(rf"^{name}\s*-\s*|\s*-\s*{name}$", "", title) or "Untitled"


def _page_date(page: str) -> Any:
    for line in page.split("\n")[:120]:
        found = find_date(line) if len(line) < 20 else None
        if found:
            return found
    return None
