"""A tree of Markdown files: a Jekyll or Hugo site, or plain files. Front matter says title, date,
author and whether a piece is out; templates' tags are taken off the body, which otherwise stays as
it was written.
"""

import html
import re
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from llmtwin_assets.corpus import front_matter
from llmtwin_assets.corpus.bylines import is_by
from llmtwin_assets.corpus.export import DRAFTS, GUESTS, Export, Item
from llmtwin_assets.corpus.reading import decode, find_date, moment
from llmtwin_assets.corpus.zip_reader import Tree, read_file
from llmtwin_assets.records import RawDocument

PLATFORM, IMPORTER = "markdown", "markdown-1"
KINDS = ("article",)
FILES = r"(?:[^/]+/)*[^/]+\.(?:md|markdown|mdown|mkd|mdx)"
# Folders of generators and tools, and of other people's work; files about the repository.
FOREIGN = {
    "_includes", "_layouts", "_site", "archetypes", "layouts", "node_modules", "public",
    "resources", "static", "themes", "vendor", ".git", ".github",
}  # fmt: skip
HOUSEKEEPING = {
    "readme", "license", "licence", "changelog", "contributing", "code_of_conduct", "security",
    "authors",
}  # fmt: skip
EARLY = {"_drafts", "drafts"}
HEADING = re.compile(r"^#{1,2} +(.+?)(?: +#+)?$", re.MULTILINE)
FENCED = re.compile(r"^(```+|~~~+)[^\n]*\n.*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
HIGHLIGHT = re.compile(
    r"\{%-?\s*highlight\s+([\w+#.-]+)[^%]*%\}\n?(.*?)\n?\{%-?\s*endhighlight\s*-?%\}"
    r"|\{\{[<%]\s*highlight\s+\"?([\w+#.-]+)\"?[^>%]*[>%]\}\}\n?(.*?)\n?"
    r"\{\{[<%]\s*/\s*highlight\s*[>%]\}\}",
    re.DOTALL,
)
HIDDEN = re.compile(
    r"\{%-?\s*comment\s*-?%\}.*?\{%-?\s*endcomment\s*-?%\}|<!--.*?-->|\{\{/\*.*?\*/\}\}", re.DOTALL
)
CAPTION = re.compile(r"\{\{[<%]\s*figure\b[^>]*?\bcaption=\"([^\"]*)\"[^>]*[>%]\}\}")
TAGS = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
ATTRIBUTES = re.compile(r"^\{:[^}\n]*\}[ \t]*$\n?", re.MULTILINE)


def recognise(tree: Tree) -> str | None:
    """The archive's top when there are Markdown files in it, or None."""
    return "" if any(re.fullmatch(FILES, name) for name in tree.names()) else None


def read(export: Export) -> None:
    """List the author's pieces."""
    for name, _ in export.files(FILES):
        path = PurePosixPath(name)
        if FOREIGN & set(path.parts[:-1]) or path.stem.casefold() in HOUSEKEEPING:
            continue
        if EARLY & set(path.parts[:-1]):
            export.listing.leave_out(DRAFTS)
            continue
        id_, stamp = export.id_of(name), export.stamp(name)
        if export.context.known.get(id_) == stamp:
            export.listing.unread.add(id_)
        else:
            export.listing.take(name, partial(_piece, export, name), stamp, id_)


def _piece(export: Export, name: str) -> RawDocument | None:
    data = read_file(export.tree, name)
    meta, body = front_matter.split(decode(data, name), name)
    meta = {str(key).casefold(): value for key, value in meta.items()}
    published = moment(meta.get("date")) or _date_in(name)
    if _is_draft(meta) or (published is not None and published > export.context.clock()):
        export.listing.leave_out(DRAFTS)
        return None
    if not _is_own(export, meta):
        export.listing.leave_out(GUESTS)
        return None
    text = template_free(body).strip("\n")
    title = meta.get("title")
    heading = HEADING.search(text)
    named = title if isinstance(title, str | int | float) else heading[1] if heading else ""
    language = meta.get("lang") or meta.get("language")
    return export.document(
        Item(
            external_id=name,
            title=str(named) or _stem(name),
            text=text,
            raw=data,
            url=_address(export, meta),
            published=published,
            updated=moment(meta.get("lastmod") or meta.get("last_modified_at")),
            language=language if isinstance(language, str) and len(language) < 12 else None,
        )
    )


def _is_draft(meta: dict[str, Any]) -> bool:
    """Front matter that says so, as a boolean or as a word."""
    draft, out = meta.get("draft", False), meta.get("published", True)
    hidden = meta.get("status")
    return (
        str(draft).casefold() in ("true", "yes", "1")
        or str(out).casefold() in ("false", "no", "0")
        or (isinstance(hidden, str) and hidden.casefold() in ("draft", "private"))
    )


def _is_own(export: Export, meta: dict[str, Any]) -> bool:
    """Whether the bylines, where there are any, are the author's alone."""
    said = meta.get("author", meta.get("authors"))
    names = said if isinstance(said, list) else [said] if said else []
    named = [name.get("name") if isinstance(name, dict) else name for name in names]
    return all(is_by(name, export.context.author) for name in named if isinstance(name, str))


def _address(export: Export, meta: dict[str, Any]) -> str:
    said = meta.get("canonical_url") or meta.get("canonical") or meta.get("permalink")
    if not isinstance(said, str):
        return ""
    if said.startswith(("http://", "https://")):
        return said
    site = (export.source.url or "").rstrip("/")
    return f"{site}/{said.lstrip('/')}" if site and ":" not in said else ""


def template_free(body: str) -> str:
    """A body without the tags of Liquid and of Hugo's shortcodes; code keeps every letter."""
    body = HIGHLIGHT.sub(_fenced, body)
    parts, at = [], 0
    for match in FENCED.finditer(body):
        parts += [_without_tags(body[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*parts, _without_tags(body[at:])])


def _without_tags(text: str) -> str:
    text = CAPTION.sub(lambda match: html.unescape(match[1]), HIDDEN.sub("", text))
    return ATTRIBUTES.sub("", TAGS.sub("", text))


def _fenced(match: re.Match[str]) -> str:
    language, code = match[1] or match[3], match[2] if match[1] else match[4]
    return f"```{language}\n{code}\n```"


def _date_in(name: str) -> datetime | None:
    """The date in a file's name or its folder's: Jekyll's ``2024-3-7-title.md``."""
    found = find_date("/".join(name.split("/")[-2:]))
    return moment(found)


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    stem = path.parent.name if path.stem in ("index", "_index") and path.parent.name else path.stem
    return re.sub(r"[-_]+", " ", re.sub(r"^\d{4}-\d{1,2}-\d{1,2}-", "", stem)).strip()
