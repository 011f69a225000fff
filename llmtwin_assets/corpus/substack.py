"""Substack's export: ``posts.csv`` says what was published and for whom, ``posts/`` holds the
bodies. The lists of subscribers and what they opened are never read.
"""

import html
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from llmtwin_assets.corpus.export import DRAFTS, Export, Item, classes, remove, tree_of
from llmtwin_assets.corpus.html_text import plain, render
from llmtwin_assets.corpus.reading import UnreadableItemError, moment
from llmtwin_assets.corpus.tables import header, rows
from llmtwin_assets.corpus.zip_reader import Tree, head, read_file
from llmtwin_assets.records import RawDocument

PLATFORM, IMPORTER = "substack", "substack-1"
KINDS = ("article",)
TABLE = "posts.csv"
COLUMNS = {"post_id", "post_date", "is_published"}
BODY = r"posts/([^/]+)\.html"
BODYLESS = ("podcast", "thread")  # pieces that may have no text at all
VISIBILITY = {"everyone": "public", "only_free": "members"}  # anything else is for payers
# Widgets, and other people's words: posts, notes and posts of other platforms shown in a piece.
WIDGETS = re.compile(
    r"subscription-widget\S*|subscribe-widget|button-wrapper|button-link|captioned-button-wrap|"
    r"poll-embed|embedded-post\S*|embedded-publication\S*|digest-post-embed|tweet|twitter-embed|"
    r"instagram|bluesky-wrap|comment|comment-list|install-substack-app-embed|community-chat|"
    r"paywall-jump|header-anchor-parent|header-anchor-widget|directMessage|file-embed-\S*|"
    r"share-dialog|youtube-wrap|spotify-wrap|image-link-expand"
)


def recognise(tree: Tree) -> str | None:
    """The folder that holds ``posts.csv``, or None."""
    for name in tree.names():
        folder, slash, base = name.rpartition("/")
        if base == TABLE and set(header(head(tree, name))) >= COLUMNS:
            return folder + slash
    return None


def read(export: Export) -> None:
    """List the published pieces."""
    bodies: dict[str, tuple[str, str]] = {}
    for name, match in export.files(BODY):
        number, _, slug = match[1].partition(".")
        bodies[number] = (name, slug)
    for row in rows(export.tree, export.root + TABLE):
        number, _, slug = row["post_id"].partition(".")
        name, body_slug = bodies.pop(number, ("", ""))
        _take(export, row, number, name, slug or body_slug)
    for number, (name, _) in bodies.items():
        export.listing.quarantined[name] = str(
            UnreadableItemError(
                name,
                f"{TABLE} has no row {number}, so that nothing says whether it was published",
                "Download the export again",
            )
        )


def _take(export: Export, row: Mapping[str, str], number: str, name: str, slug: str) -> None:
    listing = export.listing
    visibility = VISIBILITY.get(row.get("audience") or "everyone", "paid")
    if row["is_published"].strip().lower() != "true":
        listing.leave_out(DRAFTS)
        return
    if not export.admits(visibility):
        return
    if not name:
        if row.get("type") in BODYLESS:
            listing.leave_out("pieces without text")
        else:
            listing.quarantined[f"{TABLE}#{number}"] = (
                f"{TABLE}#{number}: the export has no body for it. Download the export again."
            )
        return
    id_, stamp = export.id_of(number), export.stamp(name) + ":" + _row_stamp(row)
    if export.context.known.get(id_) == stamp:
        listing.unread.add(id_)
    else:
        read_ = partial(_piece, export, row, number, name, slug, visibility)
        listing.take(name, read_, stamp, id_)


def _piece(
    export: Export, row: Mapping[str, str], number: str, name: str, slug: str, visibility: str
) -> RawDocument | None:
    data = read_file(export.tree, name)
    tree = tree_of(data, name)
    url = _address(tree, slug, export.source.url)
    _mark_footnotes(tree)
    _show_formulas(tree)
    text = render(tree, export.source.url, _is_widget)
    subtitle = html.unescape(row.get("subtitle", "")).strip()
    if text and subtitle and not plain(tree).startswith(subtitle):
        text = f"{subtitle}\n\n{text}"
    return export.document(
        Item(
            external_id=number,
            title=html.unescape(row.get("title", "")),
            text=text,
            raw=data,
            url=url,
            published=moment(row["post_date"]),
            visibility=visibility,
        )
    )


def _address(tree: Any, slug: str, publication: str | None) -> str:
    """Where the piece stands: the export does not say, but its buttons link to it."""
    if publication and slug:
        return f"{publication.rstrip('/')}/p/{slug}"
    own = re.compile(rf"(https://[\w.-]+/p/{re.escape(slug)})(?:[?#/].*)?") if slug else None
    for link in tree.iter("a"):
        match = own.fullmatch(link.get("href") or "") if own else None
        if match and "button" in classes(link):
            return match[1]
    return ""


def _is_widget(element: Any) -> bool:
    return any(WIDGETS.fullmatch(name) for name in classes(element))


def _mark_footnotes(tree: Any) -> None:
    """Footnotes as Markdown has them: ``[^1]`` where one is called, ``[^1]: …`` where it stands."""
    for link in list(tree.iter("a")):
        names = classes(link)
        if "footnote-anchor" in names:
            link.text = f"[^{plain(link)}]"
            del link.attrib["href"]
        elif "footnote-number" in names:
            number, body = plain(link), link.getnext()
            remove(link)
            first = next(body.iter("p"), body) if body is not None else None
            if first is not None:
                first.text = f"[^{number}]: {first.text or ''}"


def _show_formulas(tree: Any) -> None:
    """Formulas are drawn by a script from an attribute."""
    for box in list(tree.iter("div", "span")):
        if "latex-rendered" in classes(box):
            try:
                formula = json.loads(box.get("data-attrs") or "{}").get("persistentExpression")
            except (ValueError, AttributeError, RecursionError):
                continue
            if isinstance(formula, str):
                box.text = f"$${formula}$$"


def _row_stamp(row: Mapping[str, str]) -> str:
    return "|".join(row.get(name, "") for name in ("title", "subtitle", "audience", "post_date"))
