"""Sites and single pages as sources: one page, one document.

A site's pages are those that its sitemaps list; without a sitemap, those that links lead to. What
was fetched is remembered, so that a crawl that was killed goes on where it stopped, and the next
one asks only for what may have changed.
"""

import re
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from llmtwin_assets.authors import PageSource, SiteSource
from llmtwin_assets.corpus import html_text
from llmtwin_assets.corpus.articles import HTML, IMPORTER, Rules, document, own_sites, text_of_page
from llmtwin_assets.corpus.canonical import canonical_url, clean_url, same_site
from llmtwin_assets.corpus.extract import decode_html
from llmtwin_assets.corpus.fetching import DAY, GONE, RESUMED, Fetcher, digest
from llmtwin_assets.corpus.reading import Context, Listing, SourceMissingError
from llmtwin_assets.corpus.sitemaps import LARGEST, Entry, pages_of
from llmtwin_assets.records import RawDocument, content_id
from resources.addresses import parse_url
from resources.errors import LlmTwinError
from resources.hosts import HostBusyError
from resources.pages import Stored
from resources.polite import DisallowedError, RefusedError
from resources.web import Limits, TooManyRedirectsError

HOUR = 3600.0
REVISITED = DAY  # a page that no sitemap dates is asked for again after that
MOST = 10_000  # pages of one site
PLACES = ("/sitemap.xml", "/sitemap_index.xml", "/wp-sitemap.xml")
NO_PAGE = re.compile(
    r"\.(?:pdf|jpe?g|png|gif|webp|avif|svg|ico|css|js|mjs|json|xml|rss|atom|gz|zip|tar|tgz|mp[34]|"
    r"m4a|ogg|wav|webm|mov|avi|woff2?|ttf|eot|epub|mobi|docx?|xlsx?|pptx?|csv|txt|exe|dmg|iso)$",
    re.IGNORECASE,
)
SITEMAP = re.compile(r"sitemap[^/]*\.(?:xml|txt)(?:\.gz)?$|\.xml(?:\.gz)?$", re.IGNORECASE)


class TooManyPagesError(LlmTwinError):
    """A site with more pages than one author writes."""


def read(source: SiteSource | PageSource, context: Context, listing: Listing) -> None:
    """List the author's pages. Raises ``SourceMissingError`` when there are none, and what keeps
    the whole site from being listed."""
    kind = source.kind if isinstance(source, PageSource) else "article"
    if not context.wants(kind):
        return
    with _fetcher(source, context) as fetcher:
        if isinstance(source, PageSource):
            _read_pages(source, context, listing, fetcher)
        else:
            _Site(source, context, listing, fetcher).read()


def fingerprint(source: SiteSource | PageSource, context: Context) -> str:
    """Changes when the site's sitemaps do, or the links of its start page without one, or the text
    of a single page, and with the importer. Asks at most once an hour."""
    with _fetcher(source, context) as fetcher:
        if isinstance(source, SiteSource):
            return _Site(source, context, Listing(), fetcher).fingerprint()
        pages = [fetcher.page(url, fetcher.clock() - HOUR) for url in source.urls]
        return digest("\n\n".join([IMPORTER, *map(text_of_page, pages)]).encode())


def _fetcher(source: SiteSource | PageSource, context: Context) -> Fetcher:
    return Fetcher(context, source.url if isinstance(source, SiteSource) else source.urls[0])


def _read_pages(source: PageSource, context: Context, listing: Listing, fetcher: Fetcher) -> None:
    rules = Rules("page", source.kind, source.licence, own=own_sites(context.author.sources))
    crawl = f"page {source.urls[0]}"
    since = fetcher.pages.begin(crawl, RESUMED)
    for url in source.urls:
        reading = _Page(url, fetcher, rules, context, listing)
        try:
            reading.take(since)
        except DisallowedError as error:
            listing.quarantined[url] = str(error)
            listing.unread.add(reading.id)
    fetcher.pages.end(crawl)


class _Page:
    """One page on its way to the listing."""

    def __init__(
        self, url: str, fetcher: Fetcher, rules: Rules, context: Context, listing: Listing
    ) -> None:
        self.url = url
        self.fetcher, self.rules, self.context, self.listing = fetcher, rules, context, listing
        self.id = content_id(context.author.id, rules.source, canonical_url(url))

    def take(self, since: float) -> Stored | None:
        """Fetch and list the page; what cannot be read is quarantined. Raises ``DisallowedError``
        and ``HostBusyError``."""
        try:
            page = self.fetcher.page(self.url, since)
        except (DisallowedError, HostBusyError):
            raise
        except LlmTwinError as error:
            if isinstance(error, RefusedError) and error.status in GONE:
                self.listing.leave_out("no longer there")
            else:
                self.listing.quarantined[self.url] = str(error)
                self.listing.unread.add(self.id)
            return None
        stamp = self.rules.stamp(self.context.author, page)
        if self.context.known.get(self.id) == stamp:
            self.listing.unread.add(self.id)
        else:
            self.listing.take(self.url, partial(self._document, page), stamp, self.id)
        return page

    def _document(self, page: Stored) -> RawDocument | None:
        return document(page, self.id, self.rules, self.context, self.listing, self.fetcher)


class _Site:
    def __init__(
        self, source: SiteSource, context: Context, listing: Listing, fetcher: Fetcher
    ) -> None:
        self.source, self.context, self.listing, self.fetcher = source, context, listing, fetcher
        self.rules = Rules(
            "site",
            licence=source.licence,
            only_articles=True,
            own=own_sites(context.author.sources),
        )
        path = urlsplit(source.url).path
        self.is_sitemap = bool(SITEMAP.search(path))
        # The pages below the address: '/blog' and '/blog/' take '/blog/…', '/index.html' takes all.
        folder = path if "." not in path.rpartition("/")[2] else path.rpartition("/")[0]
        self.below = "" if self.is_sitemap else folder.rstrip("/")

    def read(self) -> None:
        """List the site's pages."""
        crawl = f"site {self.source.url}"
        began = self.fetcher.pages.begin(crawl, RESUMED)
        entries = self.listed(began)
        if entries is None:
            self._follow(began)
        else:
            state = self.state(entries)
            checked = self.fetcher.pages.checked()
            due = [entry for entry in entries if self._due(entry, began, checked.get(entry.url))]
            if not due and self.context.memory.get("state") == state:
                self.listing.unchanged = True
            else:
                wanted = {entry.url for entry in due}
                for entry in entries:
                    self._take(entry.url, began if entry.url in wanted else 0.0)
                self.listing.memory = {"state": state}
        self.fetcher.pages.end(crawl)
        self._refuse_nothing()

    def listed(self, since: float) -> list[Entry] | None:
        """The wanted pages that the site's sitemaps list; None when there is no sitemap."""
        starts = [self.source.url] if self.is_sitemap else self._sitemaps(since)
        if not starts:
            return None
        fetch = partial(self._sitemap, since=since)
        entries = [entry for entry in pages_of(starts, fetch) if self._wanted(entry.url)]
        if len(entries) > MOST:
            raise TooManyPagesError(
                self.source.url, f"it lists {len(entries)} pages", "Narrow it by 'include'"
            )
        if not entries:
            raise SourceMissingError(
                self.source.url,
                "its sitemaps list no page that is wanted",
                "Correct 'include' in authors.yaml, or name another sitemap",
            )
        return entries

    def fingerprint(self) -> str:
        """See above."""
        since = self.fetcher.clock() - HOUR
        entries = self.listed(since)
        if entries is not None:
            return self.state(entries)
        start = self.fetcher.page(clean_url(self.source.url), since)
        return self.state([Entry(link, None) for link in sorted(set(self._links(start)))])

    def state(self, entries: list[Entry]) -> str:
        """Changes when pages come, go, are dated anew, or are read by other rules."""
        said = "\n".join(f"{entry.url} {entry.changed}" for entry in entries)
        rules = f"{IMPORTER}{self.rules}{sorted(self.rules.own)}{self.source}{self.context.author}"
        return digest(f"{said}\n{rules}".encode())

    def _sitemaps(self, since: float) -> list[str]:
        """Where the site's sitemaps are: where its robots.txt says, or at one of the usual
        places."""
        origin = parse_url(self.source.url)
        named = [urljoin(str(origin), url) for url in self.fetcher.polite.robots(origin).sitemaps]
        named = [url for url in named if same_site(url, self.source.url)]
        there = [url for url in named if self._is_there(url, since)]
        if there:
            return there
        usual = (origin.origin + place for place in PLACES)
        return next(([url] for url in usual if self._is_there(url, since)), [])

    def _is_there(self, url: str, since: float) -> bool:
        """Whether a sitemap may be had; raises when the site fails to say."""
        try:
            page = self.fetcher.page(url, since, Limits(body=LARGEST))
        except (DisallowedError, TooManyRedirectsError):
            return False
        except RefusedError as error:
            if 400 <= error.status < 500:
                return False
            raise
        return page.kind not in HTML[:2]

    def _sitemap(self, url: str, since: float) -> bytes:
        return self.fetcher.page(url, since, Limits(body=LARGEST)).body

    def _wanted(self, url: str) -> bool:
        """Whether an address is of a page of this site that the entry takes."""
        if not same_site(url, self.source.url):
            return False
        path = urlsplit(url).path or "/"
        return (
            (path == self.below or path.startswith(f"{self.below}/"))
            and not NO_PAGE.search(path)
            and any(fnmatchcase(path, pattern) for pattern in self.source.include)
            and not any(fnmatchcase(path, pattern) for pattern in self.source.exclude)
        )

    def _due(self, entry: Entry, began: float, last: tuple[float, bool] | None) -> bool:
        """Whether a page may have changed since it was last asked for, in this crawl or before."""
        if last is None:
            return True
        checked, failed = last
        if failed:
            return checked < began
        if entry.changed is None:
            return checked < self.fetcher.clock() - REVISITED
        until = entry.changed + timedelta(days=1) if entry.day_only else entry.changed
        return until > datetime.fromtimestamp(checked, UTC)

    def _take(self, url: str, since: float) -> Stored | None:
        try:
            return _Page(url, self.fetcher, self.rules, self.context, self.listing).take(since)
        except DisallowedError:
            self.listing.leave_out("its robots.txt asks that it is not fetched")
            return None

    def _follow(self, began: float) -> None:
        """The pages that links lead to, breadth first, from the site's address on."""
        waiting = deque([clean_url(self.source.url)])
        seen = {canonical_url(self.source.url)}
        while waiting:
            url = waiting.popleft()
            page = self._take(url, self._since(url, began))
            for link in self._links(page) if page else ():
                key = canonical_url(link)
                if key not in seen and self._wanted(link):
                    seen.add(key)
                    waiting.append(clean_url(link))
            if len(seen) > MOST:
                raise TooManyPagesError(
                    self.source.url, f"its links lead to over {MOST} pages", "Narrow it by "
                    "'include', or name its sitemap",
                )  # fmt: skip

    def _since(self, url: str, began: float) -> float:
        """An article is asked for again after a while only; what lists articles, every time."""
        id_ = content_id(self.context.author.id, self.rules.source, canonical_url(url))
        return began - REVISITED if id_ in self.context.known else began

    def _links(self, page: Stored) -> Iterable[str]:
        if page.kind not in HTML or not same_site(page.location, self.source.url):
            return []
        try:
            tree = html_text.parse(decode_html(page.body, page.charset))
        except html_text.UnreadableHtmlError:
            return []
        return _hrefs(tree, page.location)

    def _refuse_nothing(self) -> None:
        """A site without one page of the author's is misread, and not empty."""
        listing = self.listing
        if listing.unchanged or listing.listed or listing.unread:
            return
        counts = {**listing.left_out, "unreadable": len(listing.quarantined)}
        found = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
        raise SourceMissingError(
            self.source.url,
            f"none of its pages is an article of {self.context.author.name} ({found or 'none'})",
            "Add the name that the site uses to 'bylines', or correct the address",
        )


def _hrefs(tree: Any, base: str) -> list[str]:
    """The addresses of pages that a page links to."""
    found = []
    for link in tree.iter("a"):
        href = (link.get("href") or "").strip()
        if not href or href.startswith("#") or "nofollow" in (link.get("rel") or ""):
            continue
        try:
            url = urljoin(base, href)
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            found.append(url)
    return found
