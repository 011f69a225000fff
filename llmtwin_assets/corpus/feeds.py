"""RSS and Atom feeds as sources: one entry, one document.

A feed shows an author's newest pieces, whole or as summaries; for summaries the page is fetched. An
entry that has left the feed is still there. Hostile XML (entities) is refused before it is parsed.
"""

import calendar
import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from llmtwin_assets.authors import FeedSource
from llmtwin_assets.corpus import articles, html_text
from llmtwin_assets.corpus.articles import OTHERS, Rules, document, own_sites
from llmtwin_assets.corpus.bylines import is_by
from llmtwin_assets.corpus.canonical import clean_url, site_of
from llmtwin_assets.corpus.content import WORDS
from llmtwin_assets.corpus.extract import decode_html, without_title
from llmtwin_assets.corpus.fetching import DAY, GONE, Fetcher, digest
from llmtwin_assets.corpus.page_facts import feeds_of
from llmtwin_assets.corpus.reading import (
    Context,
    Listing,
    SourceMissingError,
    UnreadableItemError,
    raw_hash,
)
from llmtwin_assets.corpus.tidy import text_of, tidied
from llmtwin_assets.records import RawDocument, content_id
from resources.errors import LlmTwinError
from resources.hosts import HostBusyError
from resources.polite import RefusedError
from resources.web import Limits, Response

IMPORTER = "feed-1"
LARGEST = 8 * 1024 * 1024  # bytes
ENTRIES = 2000  # that are read of one feed
POLLED = 600.0  # seconds that a server's last answer is new enough for a sensor
ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)
XML_CHARSET = re.compile(rb"""^\s*<\?xml[^>]{0,100}encoding\s*=\s*["']([\w.:-]{2,40})""")
DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
# What a feed says of itself before its first entry: many are dated anew at every request.
HEAD = re.compile(rb"\A.*?<(?:item|entry)\b", re.DOTALL)
DATED = re.compile(
    rb"<((?:\w+:)?(?:lastBuildDate|pubDate|updated|modified|date))\b[^>]*>[^<]*</\1\s*>"
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# The link that a summary ends with.
MORE = re.compile(
    r"\W*(?:read|continue|keep|view|see|show|find out|learn)\b.{0,80}|\W*more\W*|"
    r"full (?:post|story)|weiterlesen.{0,40}|mehr\W*|lire la suite.{0,40}|leer más.{0,40}|"
    r"seguir leyendo.{0,40}|leia mais.{0,40}|leggi tutto.{0,40}",
    re.IGNORECASE,
)
CUT = re.compile(r"(?:\[\s*(?:…|\.\.\.)\s*\]|…|\.\.\.)\W*\Z")
CUT_WORDS = 400  # a text of as many words is no summary, however it ends
WHOLE_WORDS = 250  # a description of as many words is the content


class UnreadableFeedError(LlmTwinError):
    """A feed that is not one, or is hostile."""


@dataclass(frozen=True)
class Entry:
    """An entry of a feed. ``html`` is its content, or its summary."""

    id: str
    url: str
    title: str
    authors: tuple[str, ...]
    published: datetime | None
    updated: datetime | None
    html: str
    base: str
    whole: bool  # the feed says that it is the content, and it does not end as a summary does
    language: str | None


def read(source: FeedSource, context: Context, listing: Listing) -> None:
    """List the entries that are the author's. Raises ``UnreadableFeedError``, and
    ``SourceMissingError`` when all are by others."""
    if not context.wants(source.kind):
        return
    listing.complete = False
    with Fetcher(context, source.url) as fetcher:
        _read(source, context, listing, fetcher)


def fingerprint(source: FeedSource, context: Context) -> str:
    """Changes when the feed or the importer does. Asks at most every ten minutes."""
    with Fetcher(context, source.url) as fetcher:
        since = fetcher.clock() - POLLED
        body = fetcher.page(source.url, since, Limits(body=LARGEST)).body
    return f"{_readers()} {_state(body)}"


def _readers() -> str:
    """The importers of what is in the feed and of what is on the pages of its summaries."""
    return f"{IMPORTER}+{articles.IMPORTER}"


def _state(body: bytes) -> str:
    """Changes when the feed does, and not with the time at which it was made."""
    head = HEAD.match(body)
    end = head.end() if head else 0
    return digest(DATED.sub(b"", body[:end]) + body[end:])


def _read(source: FeedSource, context: Context, listing: Listing, fetcher: Fetcher) -> None:
    rules = Rules(
        "feed",
        source.kind,
        source.licence,
        paid=source.consent == "paid",
        own=own_sites(context.author.sources),
    )
    state = digest(f"{_readers()}{rules}{sorted(rules.own)}{context.author}".encode())
    memory = context.memory if context.memory.get("state") == state else {}
    response = fetcher.polite.get(source.url, _conditions(memory), Limits(body=LARGEST))
    if response.status == 304 or _state(response.body) == memory.get("body"):
        listing.unchanged = True
        return
    entries = parse(response)
    _Feed(source, context, listing, fetcher, rules).take(entries)
    if not listing.quarantined:  # with something to try again, the feed is asked for whole
        listing.memory = {
            "state": state,
            "body": _state(response.body),
            "etag": response.headers.get("etag"),
            "modified": response.headers.get("last-modified"),
        }


def parse(response: Response) -> list[Entry]:
    """The entries of a feed, newest first as a rule. Raises ``UnreadableFeedError``."""
    import feedparser  # type: ignore[import-untyped]

    text = _decoded(response)
    if ENTITY.search(text):
        raise UnreadableFeedError(
            response.url, "it declares entities, which no feed needs", "Tell the site's owner"
        )
    headers = {"content-type": "application/xml; charset=utf-8", "content-location": response.url}
    data = io.BytesIO(CONTROL.sub("", text).encode("utf-8", "replace"))
    found = feedparser.parse(
        data, response_headers=headers, sanitize_html=False, resolve_relative_uris=False
    )
    if not found.get("version"):
        raise UnreadableFeedError(response.url, *_no_feed(response, text))
    language = (found.feed.get("language") or "")[:2].lower() or None
    return [_entry(entry, response.url, language) for entry in found.entries[:ENTRIES]]


def _conditions(memory: Any) -> dict[str, str]:
    named = {"If-None-Match": memory.get("etag"), "If-Modified-Since": memory.get("modified")}
    return {name: value for name, value in named.items() if value}


def _decoded(response: Response) -> str:
    """The text of a feed, without its XML declaration, whose encoding is not true any more."""
    body = response.body
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"), (b"<\x00?\x00", "utf-16-le"),
        (b"\x00<\x00?", "utf-16-be"),
    ):  # fmt: skip
        if body.startswith(mark):
            return DECLARATION.sub("", body.decode(name, "replace").lstrip("\ufeff"))
    said = XML_CHARSET.match(body)
    proposals = [response.charset, said[1].decode("ascii") if said else None, "utf-8"]
    for proposed in filter(None, proposals):
        try:
            if codecs.lookup(proposed).name != "utf-7":
                return DECLARATION.sub("", body.decode(proposed))
        except (LookupError, UnicodeDecodeError):
            continue
    return DECLARATION.sub("", body.decode("windows-1252", "replace"))


def _no_feed(response: Response, text: str) -> tuple[str, str]:
    if "html" in response.content_type or "<html" in text[:2000].lower():
        try:
            feeds = feeds_of(html_text.parse(decode_html(response.body)), response.url)
        except html_text.UnreadableHtmlError:
            feeds = []
        remedy = f"It names the feed {feeds[0]}" if feeds else "Use it as a 'site' or a 'page'"
        return "it is a page, not a feed", remedy
    return "it is neither RSS nor Atom", "Check its address"


def _entry(entry: Any, base: str, language: str | None) -> Entry:
    contents = [part for part in entry.get("content", []) if part.get("value", "").strip()]
    content = max(contents, key=lambda part: len(part["value"]), default=None)
    said = content or entry.get("summary_detail") or {}
    html = said.get("value", "") or ""
    if said.get("type") == "text/plain":
        html = "".join(f"<p>{_escaped(part)}</p>" for part in re.split(r"\n\s*\n", html))
    link = entry.get("feedburner_origlink") or entry.get("link") or ""
    names = [person.get("name") or "" for person in entry.get("authors", [])]
    title = entry.get("title", "") or ""
    if "<" in title or "&" in title:
        title = text_of(html_text.parse(title))
    return Entry(
        id=entry.get("id") or link or digest(f"{title}{html}".encode()),
        url=link,
        title=" ".join(title.split()),
        authors=tuple(name for name in names if name.strip() and "@" not in name),
        published=_time(entry.get("published_parsed") or entry.get("updated_parsed")),
        updated=_time(entry.get("updated_parsed")),
        html=html,
        # Where the feed names no base, links are meant from the entry's own page.
        base=said["base"] if said.get("base", base) != base else link or base,
        whole=(content is not None or len(html.split()) > WHOLE_WORDS) and not is_cut(html),
        language=(said.get("language") or "")[:2].lower() or language,
    )


def is_cut(html: str) -> bool:
    """Whether a piece of HTML is the beginning of a longer text, by how it ends: with dots, or with
    a link to the rest."""
    try:
        tree = html_text.parse(html)
    except html_text.UnreadableHtmlError:
        return False
    text = text_of(tree)
    if len(WORDS.findall(text)) >= CUT_WORDS:
        return False
    last = next((text_of(link) for link in reversed(list(tree.iter("a")))), "")
    to_more = bool(last) and text.rstrip(" .»→>").endswith(last.rstrip(" .»→>"))
    return bool(CUT.search(text)) or (to_more and bool(MORE.fullmatch(last)))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>")


def _time(parsed: Any) -> datetime | None:
    """feedparser gives UTC as a tuple."""
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC) if parsed else None
    except (ValueError, OverflowError, TypeError):
        return None


class _Feed:
    """The entries of one feed on their way to the listing."""

    def __init__(
        self,
        source: FeedSource,
        context: Context,
        listing: Listing,
        fetcher: Fetcher,
        rules: Rules,
    ) -> None:
        self.source, self.context, self.listing = source, context, listing
        self.fetcher, self.rules = fetcher, rules

    def take(self, entries: list[Entry]) -> None:
        """List the author's entries."""
        for entry in self._theirs(entries):
            id_ = content_id(self.context.author.id, "feed", self.source.url, entry.id)
            by = IMPORTER if entry.whole else _readers()
            stamp = f"{by}:{digest(f'{self.rules}{entry}'.encode())}"
            if self.context.known.get(id_) == stamp:
                self.listing.unread.add(id_)
            else:
                item = entry.url or entry.id
                self.listing.take(item, partial(self._document, entry, id_), stamp, id_)

    def _theirs(self, entries: list[Entry]) -> Iterator[Entry]:
        """Entries that do not name others. Raises ``SourceMissingError`` when all do."""
        author = self.context.author
        theirs = [entry for entry in entries if all(is_by(name, author) for name in entry.authors)]
        if entries and not theirs:
            names = sorted({name for entry in entries for name in entry.authors})
            raise SourceMissingError(
                self.source.url,
                f"all its entries are by others: {', '.join(names[:5])}",
                f"If one of them is {author.name}, add that name to 'bylines'",
            )
        if len(entries) > len(theirs):
            self.listing.leave_out(OTHERS, len(entries) - len(theirs))
        yield from theirs

    def _document(self, entry: Entry, id_: str) -> RawDocument | None:
        if not entry.whole:
            return self._from_page(entry, id_)
        try:
            tree = tidied(html_text.parse(entry.html))
        except html_text.UnreadableHtmlError as error:
            raise UnreadableItemError(entry.url, error.problem, error.remedy) from error
        text = without_title(html_text.render(tree, entry.base), entry.title)
        if not text.strip():
            raise UnreadableItemError(entry.url or entry.id, "there is no text in it", "Leave it")
        return RawDocument(
            id=id_,
            author=self.context.author.id,
            kind=self.source.kind,
            source="feed",
            external_id=entry.id,
            url=clean_url(entry.url) if entry.url else self.source.url,
            title=entry.title or "Untitled",
            text=text,
            published=entry.published.date() if entry.published else None,
            importer=IMPORTER,
            licence=self.source.licence,
            language=entry.language,
            created=entry.published,
            updated=entry.updated,
            fetched=self.context.clock(),
            raw_hash=raw_hash(entry.html),
        )

    def _from_page(self, entry: Entry, id_: str) -> RawDocument | None:
        """The document on the page of an entry that is only a summary."""
        there = site_of(entry.url)
        if not there:
            raise UnreadableItemError(entry.id, "it is a summary without a page", "Leave it out")
        if there != site_of(self.source.url) and there not in self.rules.own:
            self.listing.leave_out("a summary of something on another site")
            return None
        try:
            page = self.fetcher.page(entry.url, self.fetcher.clock() - DAY)
        except HostBusyError:
            raise
        except LlmTwinError as error:
            if isinstance(error, RefusedError) and error.status in GONE:
                self.listing.leave_out("no longer there")
                return None
            raise UnreadableItemError(entry.url, error.problem, error.remedy) from error
        found = document(page, id_, self.rules, self.context, self.listing, self.fetcher)
        if found is None:
            return None
        return replace(
            found,
            external_id=entry.id,
            title=entry.title or found.title,
            published=entry.published.date() if entry.published else found.published,
            created=entry.published or found.created,
        )
