"""LinkedIn's export: posts in ``Shares.csv``, articles as HTML. Messages, connections, e-mail and
telephone files are other people's data: what is read is a list of two, and never the rest.
"""

import re
from functools import partial
from typing import Any

from llmtwin_assets.corpus.export import DRAFTS, REPOSTS, Export, Item, classes, found, tree_of
from llmtwin_assets.corpus.html_text import plain, render
from llmtwin_assets.corpus.reading import UnreadableItemError, find_date, moment, raw_hash
from llmtwin_assets.corpus.tables import header, rows
from llmtwin_assets.corpus.zip_reader import Tree, head, read_file
from llmtwin_assets.records import RawDocument

PLATFORM, IMPORTER = "linkedin", "linkedin-1"
KINDS = ("article", "post")
SHARES = r"Shares(?:_[\w-]+)?\.csv"
ARTICLES = r"Articles/(?:Articles/)?([^/]+)\.html"
ANY_SHARES = re.compile(rf"((?:.*/)?){SHARES}")
ANY_ARTICLES = re.compile(rf"((?:.*/)?){ARTICLES}")
COLUMNS = {"Date", "ShareLink", "ShareCommentary"}
URN = re.compile(r"(?:share|ugcPost|activity|groupPost)(?::|%3A|-)(\d+(?:-\d+)?)", re.IGNORECASE)
BROKEN_LINE = '"\n"'  # what a line break within a post is after decoding
PUBLIC = ("", "member_network", "public", "anyone", "all")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2})?")


def recognise(tree: Tree) -> str | None:
    """The folder that holds the shares or the articles, or None."""
    for name in tree.names():
        match = ANY_SHARES.fullmatch(name)
        if match and set(header(head(tree, name))) >= COLUMNS:
            return match[1]
    for name in tree.names():
        match = ANY_ARTICLES.fullmatch(name)
        if match and _is_article(tree_of(head(tree, name, 16_384), name)):
            return match[1]
    return None


def read(export: Export) -> None:
    """List posts and articles."""
    if export.context.wants("post"):
        for name, _ in export.files(SHARES):
            _shares(export, name)
    if export.context.wants("article"):
        for name, match in export.files(ARTICLES):
            id_, stamp = export.id_of(match[1]), export.stamp(name)
            if export.context.known.get(id_) == stamp:
                export.listing.unread.add(id_)
            else:
                export.listing.take(name, partial(_article, export, name, match[1]), stamp, id_)


def _shares(export: Export, name: str) -> None:
    listing = export.listing
    try:
        for number, row in enumerate(rows(export.tree, name), start=2):
            listing.take(f"{name}#{number}", partial(_share, export, row))
    except UnreadableItemError as error:
        listing.quarantined[name] = str(error)


def _share(export: Export, row: dict[str, str]) -> RawDocument | None:
    text = row.get("ShareCommentary", "").replace("\r\n", "\n").replace(BROKEN_LINE, "\n").strip()
    if not text:
        export.listing.leave_out(REPOSTS)
        return None
    said = row.get("Visibility", "").strip().casefold()
    visibility = "public" if said in PUBLIC else "connections"
    if not export.admits(visibility):
        return None
    link = row.get("ShareLink", "").strip()
    urn = URN.search(link)
    return export.document(
        Item(
            external_id=urn[1] if urn else link or raw_hash(text),
            title="",
            text=text,
            raw="\x1f".join(row.values()),
            kind="post",
            url=link,
            published=moment(row.get("Date", "")),
            visibility=visibility,
        )
    )


def _article(export: Export, name: str, stem: str) -> RawDocument | None:
    data = read_file(export.tree, name)
    tree = tree_of(data, name)
    if not _is_article(tree):
        raise UnreadableItemError(name, "it is no article of LinkedIn's", "Leave it out")
    published = found(tree, "p", cls="published")
    when = TIME.search(plain(published)) if published is not None else None
    if published is not None and when is None and find_date(plain(published)) is None:
        export.listing.leave_out(DRAFTS)
        return None
    created = found(tree, "p", cls="created")
    heading = next(tree.iter("h1"))
    link = next(heading.iter("a"), None)
    bodies = [box for box in heading.getparent().iterchildren("div") if not _is_newsletter(box)]
    return export.document(
        Item(
            external_id=stem,
            title=plain(heading),
            text=render(bodies[-1]) if bodies else "",
            raw=data,
            url=(link.get("href") or "") if link is not None else "",
            published=_moment(published) or _moment(created),
            created=_moment(created),
        )
    )


def _is_article(tree: Any) -> bool:
    heading = next(tree.iter("h1"), None)
    dated = any(classes(p) & {"created", "published"} for p in tree.iter("p"))
    return heading is not None and dated


def _is_newsletter(box: Any) -> bool:
    return any("newsletter" in name for name in classes(box))


def _moment(paragraph: Any) -> Any:
    if paragraph is None:
        return None
    text = plain(paragraph)
    match = TIME.search(text)
    return moment(match[0] if match else text)
