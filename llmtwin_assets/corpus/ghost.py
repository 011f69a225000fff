"""Ghost's export: one JSON file with every table of the site. Posts, and which author wrote which,
are read; members, settings and passwords are not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from llmtwin_assets.corpus.bylines import is_by
from llmtwin_assets.corpus.export import DRAFTS, GUESTS, Export, Item, tree_of
from llmtwin_assets.corpus.ghost_formats import lexical_html, mobiledoc_html
from llmtwin_assets.corpus.html_text import render
from llmtwin_assets.corpus.json_stream import values
from llmtwin_assets.corpus.reading import SourceMissingError, UnreadableItemError, moment
from llmtwin_assets.corpus.zip_reader import Tree, head
from llmtwin_assets.records import RawDocument

PLATFORM, IMPORTER = "ghost", "ghost-1"
KINDS = ("article",)
FILES = r"(?:[^/]+/)*[^/]+\.json"
PATHS = ("db.item.data", "data")
LOOKS = re.compile(rb'\s*\{\s*"(?:db|meta|data)"\s*:')
PUBLISHED = ("published", "sent")  # sent: by e-mail only
TYPES = ("post", "page")
SITE = "__GHOST_URL__"
CARDS = ("kg-bookmark-card", "kg-signup-card", "kg-button-card", "kg-product-card", "kg-cta-card")


def recognise(tree: Tree) -> str | None:
    """The archive's top when a file in it is Ghost's, or None."""
    for name in tree.names():
        if re.fullmatch(FILES, name) and LOOKS.match(head(tree, name)) and _path(tree, name):
            return ""
    return None


def read(export: Export) -> None:
    """List the author's published posts and pages."""
    for name, _ in export.files(FILES):
        if not LOOKS.match(head(export.tree, name)):
            continue
        try:
            path = _path(export.tree, name)
            if path:
                _read_file(export, name, path)
        except UnreadableItemError as error:
            export.listing.quarantined[name] = str(error)


def _path(tree: Tree, name: str) -> str | None:
    """Where in the file the tables are."""
    for path in PATHS:
        try:
            for post in values(tree, name, f"{path}.posts.item"):
                if isinstance(post, dict) and {"title", "status"} <= post.keys():
                    return path
                break
        except UnreadableItemError:
            continue
    return None


def _read_file(export: Export, name: str, path: str) -> None:
    own = _own_ids(export, name, path)
    authors: dict[str, set[str]] = {}
    for row in _rows(export, name, f"{path}.posts_authors.item"):
        authors.setdefault(str(row.get("post_id")), set()).add(str(row.get("author_id")))
    for post in _rows(export, name, f"{path}.posts.item"):
        item = f"{name}#{post.get('id') or post.get('uuid')}"
        hands = authors.get(str(post.get("id"))) or {str(post.get("author_id"))}
        export.listing.take(item, partial(_post, export, item, post, hands, own))


def _post(
    export: Export, item: str, post: Mapping[str, Any], hands: set[str], own: set[str]
) -> RawDocument | None:
    if str(post.get("type") or ("page" if post.get("page") else "post")) not in TYPES:
        return None
    if post.get("status") not in PUBLISHED:
        export.listing.leave_out(DRAFTS)
        return None
    if not hands <= own:
        export.listing.leave_out(GUESTS)
        return None
    visibility = str(post.get("visibility") or "public")
    visibility = visibility if visibility in ("public", "members") else "paid"
    if not export.admits(visibility):
        return None
    site = (export.source.url or "").rstrip("/")
    slug = str(post.get("slug") or "")
    canonical = str(post.get("canonical_url") or "").replace(SITE, site)
    content = _content(post, item).replace(SITE, site)
    return export.document(
        Item(
            external_id=str(post.get("id") or post.get("uuid") or slug),
            title=str(post.get("title") or ""),
            text=render(tree_of(content, item), site or None, _is_card),
            raw=content,
            url=canonical or (f"{site}/{slug}/" if site and slug else ""),
            published=_moment(post.get("published_at")),
            created=_moment(post.get("created_at")),
            updated=_moment(post.get("updated_at")),
            visibility=visibility,
            language=str(post["locale"]) if post.get("locale") else None,
        )
    )


def _content(post: Mapping[str, Any], item: str) -> str:
    """The body as HTML: as Ghost rendered it, or from what its editor keeps."""
    if isinstance(post.get("html"), str) and post["html"].strip():
        return str(post["html"])
    makers: tuple[tuple[str, Callable[[str, str], str]], ...] = (
        ("lexical", lexical_html),
        ("mobiledoc", mobiledoc_html),
    )
    for column, make in makers:
        if isinstance(post.get(column), str) and post[column].strip():
            return make(post[column], item)
    return ""


def _own_ids(export: Export, name: str, path: str) -> set[str]:
    """Ids of the author among the site's users. A site of one hand is its owner's."""
    author, own, people = export.context.author, set(), {}
    for user in _rows(export, name, f"{path}.users.item"):
        people[str(user.get("id"))] = str(user.get("name") or user.get("slug") or "?")
        names = (str(user.get("name") or ""), str(user.get("slug") or ""))
        if any(is_by(known, author) for known in names if known):
            own.add(str(user.get("id")))
    if not own and len(people) > 1:
        raise SourceMissingError(
            name,
            f"none of its authors is {author.name}: it has {', '.join(sorted(people.values()))}",
            "Add the name to the author's 'bylines' in authors.yaml",
        )
    return own or set(people)


def _rows(export: Export, name: str, path: str) -> Iterator[dict[str, Any]]:
    return (row for row in values(export.tree, name, path) if isinstance(row, dict))


def _moment(value: Any) -> Any:
    """Old exports count milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e14:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(value / 1000, UTC).replace(microsecond=0)
    return moment(value)


def _is_card(element: Any) -> bool:
    names = (element.get("class") or "").split()
    return any(name in CARDS for name in names) or "twitter-tweet" in names
