"""What a web page says about itself: title, who wrote it, when, its address, its language, who may
read it. Reads JSON-LD, meta elements and the marks that templates put on bylines and dates; decides
nothing about whose the page is.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urljoin

from llmtwin_assets.corpus.reading import moment
from llmtwin_assets.corpus.tidy import text_of

ARTICLES = frozenset(
    "article blogposting newsarticle techarticle scholarlyarticle opinionnewsarticle report "
    "analysisnewsarticle reportagenewsarticle reviewnewsarticle socialmediaposting "
    "discussionforumposting advertisercontentarticle satiricalarticle howto".split()
)
AUTHOR_METAS = ("author", "article:author", "og:article:author", "citation_author", "dc.creator",
                "dcterms.creator", "parsely-author", "sailthru.author", "byl")  # fmt: skip
PUBLISHED_METAS = ("article:published_time", "og:published_time", "citation_publication_date",
                   "citation_date", "dc.date", "dcterms.created", "dc.date.issued", "date",
                   "parsely-pub-date", "sailthru.date", "pubdate", "publish-date")  # fmt: skip
UPDATED_METAS = ("article:modified_time", "og:updated_time", "dcterms.modified", "last-modified")
TITLE_METAS = ("og:title", "twitter:title", "citation_title", "dc.title", "parsely-title")
BYLINE = re.compile(
    r"(?:^|[\s_-])(?:byline|p-author|author-name|authorname|entry-author|post-author|by-author|"
    r"article-author|author__name|post__author|posted-by|written-by|author|authors)(?:$|[\s_-])"
)
ASIDE = re.compile(r"comment|respons|related|sidebar|recommend|footer|widget|disqus|discuss")
WALLS = re.compile(
    r"(?:^|\s)(?:paywall|gh-post-upgrade-cta|gh-cta|post-upgrade-cta|memberful-upsell|paid-only|"
    r"meteredContent-wall)(?:$|\s|-)"
)
LISTED = 3  # pieces on a page that make it a list
LANGUAGE = re.compile(r"([a-zA-Z]{2,3})(?:$|[-_])")
SITE_SUFFIX = re.compile(r"\s+[|·•»–—-]\s+[^|·•»–—]{1,60}$")


@dataclass(frozen=True)
class Facts:
    """A page's own word on itself; empty where it says nothing."""

    title: str
    authors: tuple[str, ...]  # as its data names them
    byline: str  # as its text names them
    published: datetime | None
    updated: datetime | None
    declared: str | None  # what it says its address is
    language: str | None
    walled: bool  # it says that not everybody may read it
    article: bool  # it says that it is an article
    lists: bool  # it lists pieces, as a start page does


def facts_of(tree: Any, url: str) -> Facts:
    """The facts of a parsed page. ``url`` is where it was found."""
    nodes = _articles(tree)
    metas = _metas(tree)
    published = _first_moment([_text(node.get("datePublished")) for node in nodes]) or (
        _first_moment([metas.get(name, "") for name in PUBLISHED_METAS]) or _marked_moment(tree)
    )
    updated = _first_moment([_text(node.get("dateModified")) for node in nodes]) or _first_moment(
        [metas.get(name, "") for name in UPDATED_METAS]
    )
    authors = [name for node in nodes for name in _names(node.get("author"))]
    stated = [metas[name] for name in AUTHOR_METAS if metas.get(name)]
    return Facts(
        title=_title(tree, nodes, metas),
        authors=tuple(dict.fromkeys(authors)) or tuple(name for name in stated[:1] if _name(name)),
        byline=_byline(tree),
        published=published,
        updated=updated,
        declared=_declared(tree, metas, url),
        language=_language(tree, metas),
        walled=_walled(tree, nodes),
        article=bool(nodes)
        or metas.get("og:type", "").lower() in ("article", "blog", "post")
        or "article:published_time" in metas
        or _is_entry(tree),
        lists=_lists(tree),
    )


def feeds_of(tree: Any, url: str) -> list[str]:
    """The addresses of the feeds that a page names, those of comments left out."""
    found = []
    for link in tree.iter("link"):
        kind = (link.get("type") or "").lower()
        named = "alternate" in (link.get("rel") or "").lower().split()
        is_feed = kind in ("application/rss+xml", "application/atom+xml")
        address = link.get("href")
        if named and is_feed and address and "comment" not in (link.get("title") or "").lower():
            found.append(urljoin(url, address))
    return [feed for feed in found if "/comments/" not in feed]


def day_of(when: datetime | None) -> date | None:
    """The day of a time."""
    return when.date() if when else None


def _articles(tree: Any) -> list[dict[str, Any]]:
    """The nodes of the page's JSON-LD that are articles, with their authors filled in."""
    nodes = []
    for script in tree.iter("script"):
        if (script.get("type") or "").strip().lower() == "application/ld+json":
            nodes += list(_nodes(_json(script.text or "")))
    by_id = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str)}
    articles = [node for node in nodes if _types(node) & ARTICLES]
    return [{**node, "author": _resolved(node.get("author"), by_id)} for node in articles]


def _json(text: str) -> Any:
    cleaned = re.sub(r"^\s*(?:<!--|<!\[CDATA\[|//\s*<!\[CDATA\[)|(?:-->|//\s*\]\]>|\]\]>)\s*$", "",
                     text.strip())  # fmt: skip
    try:
        return json.loads(cleaned, strict=False)
    except (ValueError, RecursionError):
        return None


def _nodes(data: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 5:
        return
    if isinstance(data, list):
        for item in data:
            yield from _nodes(item, depth + 1)
    elif isinstance(data, dict):
        yield data
        for key in ("@graph", "mainEntity", "mainEntityOfPage"):
            if isinstance(data.get(key), list | dict):
                yield from _nodes(data[key], depth + 1)


def _types(node: dict[str, Any]) -> set[str]:
    kinds = node.get("@type")
    return {str(kind).rpartition("/")[2].lower()
            for kind in (kinds if isinstance(kinds, list) else [kinds])}  # fmt: skip


def _resolved(author: Any, by_id: dict[str, dict[str, Any]]) -> Any:
    if isinstance(author, list):
        return [_resolved(one, by_id) for one in author if not isinstance(one, list)]
    if isinstance(author, dict) and not author.get("name"):
        return by_id.get(str(author.get("@id")), author)
    return author


def _names(author: Any) -> Iterator[str]:
    for one in author if isinstance(author, list) else [author]:
        name = _text(one.get("name") if isinstance(one, dict) else one)
        if _name(name):
            yield " ".join(name.split())


def _name(text: str) -> bool:
    """Whether it can be somebody's name, and is not the address of their profile."""
    return 0 < len(text.strip()) < 200 and not re.match(r"\s*https?:", text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _metas(tree: Any) -> dict[str, str]:
    """The page's meta elements by lower-case name; the first of a name counts."""
    found: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or ""
        content = (meta.get("content") or "").strip()
        if name and content:
            found.setdefault(name.strip().lower(), content)
    return found


def _title(tree: Any, nodes: list[dict[str, Any]], metas: dict[str, str]) -> str:
    headings = [text_of(heading) for heading in tree.iter("h1")]
    headings = [heading for heading in headings if heading]
    page = next((text_of(title) for title in tree.iter("title")), "")
    stated = [metas[name] for name in TITLE_METAS if metas.get(name)]
    told = [_text(node.get("headline")) for node in nodes] + stated
    # Of what the data tell, what also stands on the page is meant as the title.
    for title in (title.strip() for title in told):
        if title and title in headings:
            return title
    for heading in headings:
        if any(title.startswith(heading) for title in [*told, page]):
            return heading
    told = [" ".join(title.split()) for title in told if title.strip()]
    if told:
        return SITE_SUFFIX.sub("", told[0])
    return headings[0] if len(headings) == 1 else SITE_SUFFIX.sub("", page)


def _byline(tree: Any) -> str:
    """The first thing that is marked as naming the author of the page."""
    for element in tree.iter("a", "span", "p", "div", "address", "cite", "li", "strong", "em"):
        marks = f"{element.get('class') or ''} {element.get('itemprop') or ''}".lower()
        marked = "author" in (element.get("rel") or "").split() or BYLINE.search(marks)
        if not marked or _is_aside(element):
            continue
        text = text_of(element)
        if 1 < len(text) <= 120:
            return text
    return ""


def _is_aside(element: Any) -> bool:
    for around in (element, *element.iterancestors()):
        if around.tag in ("aside", "footer", "nav"):
            return True
        if ASIDE.search(f"{around.get('class') or ''} {around.get('id') or ''}".lower()):
            return around.tag not in ("html", "body")
    return False


def _first_moment(texts: list[str]) -> datetime | None:
    return next(filter(None, (moment(text) for text in texts if text)), None)


def _marked_moment(tree: Any) -> datetime | None:
    """The date that the page's text marks as its own: the first ``time`` outside of asides."""
    for element in tree.iter("time"):
        found = moment(element.get("datetime") or text_of(element))
        if found and not _is_aside(element):
            return found
    return None


def _declared(tree: Any, metas: dict[str, str], url: str) -> str | None:
    for link in tree.iter("link"):
        if "canonical" in (link.get("rel") or "").lower().split() and link.get("href"):
            return urljoin(url, str(link.get("href")).strip())
    return urljoin(url, metas["og:url"]) if metas.get("og:url") else None


def _language(tree: Any, metas: dict[str, str]) -> str | None:
    root = next(tree.iter("html"), None)
    said = (root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
            if root is not None else "")  # fmt: skip
    for text in (said, metas.get("og:locale", ""), metas.get("language", "")):
        match = LANGUAGE.match(text.strip())
        if match:
            return match[1].lower()
    return None


def _walled(tree: Any, nodes: list[dict[str, Any]]) -> bool:
    said = [str(node.get("isAccessibleForFree")).lower() for node in nodes]
    if any(answer.rpartition("/")[2] == "false" for answer in said):
        return True
    return any(
        WALLS.search(element.get("class") or "") is not None
        or element.get("data-testid") == "paywall"
        for element in tree.iter("div", "section", "aside")
    )


def _is_entry(tree: Any) -> bool:
    entries = [e for e in tree.iter("article", "div") if "h-entry" in (e.get("class") or "")]
    return len(entries) == 1


def _lists(tree: Any) -> bool:
    """Whether a page shows several pieces, or headings that do nothing but lead to pieces."""
    if sum(1 for element in tree.iter("article") if not _is_aside(element)) >= LISTED:
        return True
    leading = 0
    for heading in tree.iter("h1", "h2", "h3"):
        links = [link for link in heading.iter("a") if not link.get("href", "").startswith("#")]
        if links and text_of(links[0]) == text_of(heading) and not _is_aside(heading):
            leading += 1
            if leading == LISTED:
                return True
    return False
