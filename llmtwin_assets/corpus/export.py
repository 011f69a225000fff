"""What the importers of archives share: the export being read, and how its items become documents.
Knows no platform.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmtwin_assets.authors import ArchiveSource
from llmtwin_assets.corpus.html_text import UnreadableHtmlError, parse
from llmtwin_assets.corpus.reading import Context, Listing, UnreadableItemError, raw_hash
from llmtwin_assets.corpus.zip_reader import Tree
from llmtwin_assets.records import RawDocument, content_id

TITLE = 80  # characters of a title made of a post's first line
DRAFTS = "drafts"
REPLIES = "replies to others"
REPOSTS = "reposts of others"
GUESTS = "pieces by others"
RESTRICTED = "pieces for members or payers, without consent"
WORDLESS = "pieces without text"


@dataclass(frozen=True)
class Item:
    """What an importer found of one work; the rest of its record is the export's to know."""

    external_id: str
    title: str
    text: str
    raw: bytes | str
    kind: str = "article"
    url: str = ""
    published: datetime | None = None
    created: datetime | None = None
    updated: datetime | None = None
    visibility: str = "public"
    language: str | None = None


@dataclass(frozen=True)
class Export:
    """An archive of one format: its files below ``root``, the entry that named it, and the listing
    it goes to."""

    platform: str
    importer: str
    tree: Tree
    root: str  # a folder in the archive: empty, or ending in a slash
    source: ArchiveSource
    context: Context
    listing: Listing

    def files(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """(name, match) of the files whose name below the root matches wholly."""
        compiled = re.compile(pattern)
        for name in self.tree.names():
            if name.startswith(self.root):
                match = compiled.fullmatch(name[len(self.root) :])
                if match:
                    yield name, match

    def has(self, name: str) -> bool:
        """Whether there is a file of this name below the root."""
        return self.root + name in self.tree.names()

    def id_of(self, external_id: str) -> str:
        """The id of the document that an item becomes."""
        return content_id(self.context.author.id, self.platform, external_id)

    def stamp(self, name: str) -> str:
        """By which an item that is one file is known to be as it was."""
        author = self.context.author
        rules = f"{self.importer}{self.source.model_dump_json()}{author.name}{author.bylines}"
        digest = hashlib.sha256(rules.encode()).hexdigest()[:8]
        return f"{digest}:{self.tree.stamp(name)}"

    def admits(self, visibility: str) -> bool:
        """Whether a piece of this visibility may come in; counts it when not."""
        if visibility in ("public", "unlisted") or self.source.consent == "paid":
            return True
        self.listing.leave_out(RESTRICTED)
        return False

    def document(self, item: Item) -> RawDocument | None:
        """The document of an item; None, and counted, when there is no text in it."""
        if not item.text.strip():
            self.listing.leave_out(WORDLESS)
            return None
        restricted = item.visibility not in ("public", "unlisted")
        return RawDocument(
            id=self.id_of(item.external_id),
            author=self.context.author.id,
            kind=item.kind,
            source=self.platform,
            external_id=item.external_id,
            url=item.url or f"{self.source.path.rstrip('/')}#{item.external_id}",
            title=" ".join(item.title.split()) or opening(item.text),
            text=item.text,
            published=item.published.date() if item.published else None,
            importer=self.importer,
            licence=self.source.licence,
            consent=self.source.consent if restricted else None,
            visibility=item.visibility,
            language=item.language,
            created=item.created,
            updated=item.updated,
            fetched=self.context.clock(),
            raw_hash=raw_hash(item.raw),
        )


def tree_of(html: str | bytes, name: str) -> Any:
    """The parsed HTML of a file; raises ``UnreadableItemError``."""
    try:
        return parse(html)
    except UnreadableHtmlError as error:
        raise UnreadableItemError(name, error.problem, error.remedy) from error


def found(tree: Any, tag: str, **attributes: str) -> Any:
    """The first element of a tag whose ``class`` has the class ``cls``, or whose attribute ``x`` is
    the value, or None. ``data_field`` is ``data-field``."""
    return next(all_found(tree, tag, **attributes), None)


def all_found(tree: Any, tag: str, **attributes: str) -> Iterator[Any]:
    """Every element as ``found`` looks for it."""
    class_ = attributes.pop("cls", None)
    for element in tree.iter(tag):
        if class_ is not None and class_ not in classes(element):
            continue
        if all(element.get(n.replace("_", "-")) == value for n, value in attributes.items()):
            yield element


def classes(element: Any) -> set[str]:
    """The classes of an element."""
    return set((element.get("class") or "").split())


def remove(element: Any) -> None:
    """Take an element out of its tree; the text after it stays."""
    parent, tail = element.getparent(), element.tail
    if parent is None:
        return
    before = element.getprevious()
    if tail:
        if before is not None:
            before.tail = (before.tail or "") + tail
        else:
            parent.text = (parent.text or "") + tail
    parent.remove(element)


def opening(text: str) -> str:
    """The first line of a text, cut between words, as a title."""
    line = " ".join(next((part for part in text.split("\n") if part.strip()), "").split())
    line = line.lstrip("#>*- ").rstrip("*_ ") or line
    return line if len(line) <= TITLE else line[:TITLE].rsplit(" ", 1)[0] + " …"
