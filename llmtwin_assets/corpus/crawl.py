"""An address alone as a source: what is there is told by its host.

One dispatcher, on the parsed host and never on the text of the address, so that no address can pass
for another platform's. Platforms that forbid crawling are refused with the way to get the archive.
"""

import re
from urllib.parse import urlsplit

from llmtwin_assets.authors import (
    FeedSource,
    PageSource,
    RepositorySource,
    SiteSource,
    UrlSource,
)
from llmtwin_assets.corpus import feeds, repositories, sites
from llmtwin_assets.corpus.reading import Context, Listing
from resources.addresses import parse_url, shown
from resources.errors import LlmTwinError

Routed = FeedSource | PageSource | RepositorySource | SiteSource

ARCHIVES = {
    "linkedin.com": "On LinkedIn, open Settings & Privacy, Data privacy, Get a copy of your data, "
    "choose the larger archive, and name the zip as an 'archive' in authors.yaml",
    "lnkd.in": "Name the archive that LinkedIn gives you (Settings & Privacy, Data privacy, Get a "
    "copy of your data) as an 'archive' in authors.yaml",
    "x.com": "On X, open Settings, Your account, Download an archive of your data, and name the "
    "zip as an 'archive' in authors.yaml",
    "facebook.com": "Name an export as an 'archive' or a 'folder' in authors.yaml",
    "instagram.com": "Name an export as an 'archive' or a 'folder' in authors.yaml",
    "threads.net": "Name an export as an 'archive' or a 'folder' in authors.yaml",
}
ARCHIVES["twitter.com"] = ARCHIVES["t.co"] = ARCHIVES["x.com"]
# First parts of a path on GitHub that are no user.
GITHUB_PAGES = frozenset(
    "about apps collections contact customer-stories enterprise events explore features issues "
    "login marketplace new notifications orgs organizations pricing pulls search security settings "
    "sponsors stars team topics trending users".split()
)
FORGES = ("gitlab.com", "codeberg.org", "bitbucket.org")
GIST = re.compile(r"[0-9a-f]{20,40}(?:\.git)?")
NAME = re.compile(r"[\w.-]+")
FEED = re.compile(r"/(?:feed|rss|atom)/?$|\.(?:rss|atom)$|/(?:feed|rss|atom|index)\.xml$")


class PlatformRefusedError(LlmTwinError):
    """An address on a platform that is not to be crawled."""


class NotASourceError(LlmTwinError):
    """An address of a platform at which no writing is."""


def read(source: UrlSource, context: Context, listing: Listing) -> None:
    """List what is at the address; see the reader it is dispatched to."""
    routed = dispatch(source)
    if isinstance(routed, FeedSource):
        feeds.read(routed, context, listing)
    elif isinstance(routed, RepositorySource):
        repositories.read(routed, context, listing)
    else:
        sites.read(routed, context, listing)


def fingerprint(source: UrlSource, context: Context) -> str:
    """Changes when what is at the address does."""
    routed = dispatch(source)
    if isinstance(routed, FeedSource):
        return feeds.fingerprint(routed, context)
    if isinstance(routed, RepositorySource):
        return repositories.fingerprint(routed, context)
    return sites.fingerprint(routed, context)


def dispatch(source: UrlSource) -> Routed:
    """What kind of source is at an address. Raises ``PlatformRefusedError``, ``NotASourceError``
    and ``ForbiddenUrlError``."""
    url = parse_url(source.url)
    host, licence = url.host.removeprefix("www."), source.licence
    for domain, remedy in ARCHIVES.items():
        if _of(host, domain):
            raise PlatformRefusedError(
                shown(source.url), f"{domain} does not let its pages be crawled", remedy
            )
    parts = [part for part in urlsplit(source.url).path.split("/") if part]
    if _of(host, "medium.com"):
        return _medium(source, host, parts)
    if _of(host, "substack.com"):
        return _substack(source, host, parts)
    if _of(host, "github.com") or host in FORGES or (parts and parts[-1].endswith(".git")):
        return _repository(source, host, parts)
    if FEED.search(urlsplit(source.url).path):
        return FeedSource(type="feed", url=source.url, licence=licence)
    if not parts or sites.SITEMAP.search(urlsplit(source.url).path):
        return SiteSource(type="site", url=source.url, licence=licence)
    return _page(source, source.url)


def _medium(source: UrlSource, host: str, parts: list[str]) -> Routed:
    """Somebody's profile or publication is their feed, anything below it a story."""
    if host == "medium.com":
        if not parts or parts[0] in ("tag", "me", "search", "topics", "about"):
            raise NotASourceError(
                shown(source.url), "it is nobody's page", "Name https://medium.com/@you"
            )
        if parts[0] == "feed":
            return FeedSource(type="feed", url=source.url, licence=source.licence)
        if len(parts) == 1 and NAME.fullmatch(parts[0].removeprefix("@")):
            feed = f"https://medium.com/feed/{parts[0]}"
            return FeedSource(type="feed", url=feed, licence=source.licence)
    elif not parts or parts == ["feed"]:
        feed = f"https://{host}/feed"
        return FeedSource(type="feed", url=feed, licence=source.licence)
    return _page(source, source.url)


def _substack(source: UrlSource, host: str, parts: list[str]) -> Routed:
    """A publication's posts are in its sitemap; its feed has the newest ones only."""
    if host == "open.substack.com" and len(parts) == 4 and parts[0] == "pub" and parts[2] == "p":
        return _page(source, f"https://{parts[1]}.substack.com/p/{parts[3]}")
    if host in ("substack.com", "open.substack.com"):
        raise NotASourceError(
            shown(source.url),
            "it is a profile, not a publication",
            "Name the publication, such as https://you.substack.com",
        )
    if parts[:1] == ["feed"]:
        return FeedSource(type="feed", url=source.url, licence=source.licence)
    if parts[:1] == ["p"] and len(parts) > 1:
        return _page(source, source.url)
    return SiteSource(
        type="site",
        url=f"https://{host}/sitemap.xml",
        include=("/p/*",),
        licence=source.licence,
    )


def _repository(source: UrlSource, host: str, parts: list[str]) -> Routed:
    if host == "gist.github.com" and parts and GIST.fullmatch(parts[-1]):
        return _git(source, f"https://gist.github.com/{parts[-1].removesuffix('.git')}.git")
    if parts and parts[-1].endswith(".git"):
        return _git(source, source.url)
    on_forge = host == "github.com" or host in FORGES
    if not on_forge:  # somebody's pages, a raw file
        return _page(source, source.url) if parts else SiteSource(
            type="site", url=source.url, licence=source.licence
        )  # fmt: skip
    if len(parts) < 2 or parts[0] in GITHUB_PAGES:
        raise NotASourceError(
            shown(source.url),
            "it is no repository",
            f"Name each of your repositories, such as https://{host}/you/project",
        )
    if host == "gitlab.com":  # groups within groups; what follows "-" is a view of the project
        parts = parts[: parts.index("-")] if "-" in parts else parts
    else:
        parts = parts[:2]
    return _git(source, f"https://{host}/{'/'.join(parts)}.git")


def _git(source: UrlSource, url: str) -> RepositorySource:
    return RepositorySource(type="repository", url=url, licence=source.licence)


def _page(source: UrlSource, url: str) -> PageSource:
    return PageSource(type="page", urls=(url,), licence=source.licence)


def _of(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")
