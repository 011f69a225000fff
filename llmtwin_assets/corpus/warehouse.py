"""The JSON export of the LLM Engineer's Handbook's warehouse as a source, so that its users can
move here.

A folder holds ``ArticleDocument.json``, ``PostDocument.json`` and ``RepositoryDocument.json``,
lists of records with an author's full name, a platform, a link and a content mapping. The content
of an article is the text of a whole page: the frame of the site around it is taken off here.
"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import WarehouseSource, resolve_path
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

IMPORTER = "warehouse-1"
FILES = {
    "article": "ArticleDocument.json",
    "post": "PostDocument.json",
    "repository": "RepositoryDocument.json",
}
# Where a page's own text has ended: what follows is readers' comments and the site's footer.
PAGE_ENDS = re.compile(
    r"^(#{2,6} Discussion about this (post|podcast)|_*Copyright \d{4}.*|Ready for more\?)$",
    re.MULTILINE,
)
SHARE_BOX = re.compile(
    r"^Share this post\n+(?:#{2,6} [^\n]*\n+)?(?:\S+\.\w+\n+)?"
    r"(?:(?:Copy link|Facebook|Email|Notes?|Other|Share)\n+)*",
    re.MULTILINE,
)
CHROME_LINES = re.compile(
    r"SubscribeSign in|Subscribe|Sign in|Share|Copy link|Facebook|Email|Note|Notes|Other|"
    r"Comments|Restacks|Top|Latest|Discussions|No posts|Leave a comment|\d{1,4}|_{1,2}|"
    r"Author|Published"
)


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
    """Changes when a file of the export is written; reads no file."""
    root = resolve_path(source.path, context.base)
    stamps = [(path, path.stat()) for path in _files(root).values()]
    return "|".join(f"{p.name}:{s.st_size}:{s.st_mtime_ns}" for p, s in stamps) or "missing"


def _files(root: Path) -> dict[str, Path]:
    if root.is_file():
        return {kind: root for kind, name in FILES.items() if root.name == name}
    return {kind: root / name for kind, name in FILES.items() if (root / name).is_file()}


def _records(path: Path) -> list[Any]:
    try:
        records = json.loads(decode(path.read_bytes(), str(path)))
    except (json.JSONDecodeError, UnreadableItemError) as error:
        raise SourceMissingError(
            str(path), f"it is not a JSON export ({error})", "Export the warehouse again"
        ) from error
    if not isinstance(records, list):
        raise SourceMissingError(
            str(path), "it is not a list of records", "Export the warehouse again"
        )
    return records


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


def page_text(page: str, title: str, full_name: str) -> str:
    """The article in the text of a whole page: without what stands before its title and after its
    end, without share boxes, buttons and counters."""
    text = page.replace("\r\n", "\n")
    headings = list(re.finditer(rf"^#{{1,2}} {re.escape(title)}\s*$", text, re.MULTILINE))
    if headings:
        text = text[headings[-1].end() :]
    # A discussion heading near the top would be the article's own; the frame's comes late.
    endings = [match for match in PAGE_ENDS.finditer(text) if match.start() > len(text) // 4]
    if endings:
        text = text[: endings[0].start()]
    text = SHARE_BOX.sub("", text + "\n")
    lines = [
        line
        for line in text.split("\n")
        if not (CHROME_LINES.fullmatch(line.strip()) or line.strip() == full_name)
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _page_date(page: str) -> Any:
    for line in page.split("\n")[:120]:
        found = find_date(line) if len(line) < 20 else None
        if found:
            return found
    return None
