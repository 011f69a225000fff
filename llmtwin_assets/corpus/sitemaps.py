"""What a site's sitemaps list (sitemaps.org): addresses and when each was last changed.

Reads XML as a stream and resolves no entities: a sitemap that declares any is refused. Fetches
nothing itself.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from xml.parsers import expat

from llmtwin_assets.corpus.reading import moment
from resources.decoding import NotDecodableError, decoded
from resources.errors import LlmTwinError

LARGEST = 50 * 1024 * 1024  # bytes after decompression: the protocol's own limit
URLS = 50_000  # in one file: the protocol's own limit
FILES = 200  # that one site may name
DEEPEST = 3  # indexes within indexes
GZIP = b"\x1f\x8b"


class UnreadableSitemapError(LlmTwinError):
    """A sitemap that is not one, or is hostile."""


@dataclass(frozen=True)
class Entry:
    """A page that a sitemap lists."""

    url: str
    changed: datetime | None
    day_only: bool = False  # ``changed`` is a day, without a time


@dataclass(frozen=True)
class Sitemap:
    """What one file says: pages, and further sitemaps."""

    pages: tuple[Entry, ...]
    sitemaps: tuple[str, ...]


def pages_of(starts: list[str], fetch: Callable[[str], bytes]) -> list[Entry]:
    """All pages that the sitemaps at ``starts`` list, those of further sitemaps included; each once
    and in order. Raises what ``fetch`` raises and ``UnreadableSitemapError``: with a part missing,
    pages would seem to be gone."""
    found: dict[str, Entry] = {}
    seen: set[str] = set()
    level = starts
    for _ in range(DEEPEST):
        below: list[str] = []
        for url in level:
            if url in seen:
                continue
            seen.add(url)
            if len(seen) > FILES:
                raise UnreadableSitemapError(
                    starts[0], f"there are more than {FILES} sitemaps", "Name one of them"
                )
            sitemap = parse(fetch(url), url)
            for entry in sitemap.pages:
                found.setdefault(entry.url, entry)
            below += sitemap.sitemaps
        level = below
    return list(found.values())


def parse(body: bytes, url: str) -> Sitemap:
    """A sitemap or an index of them, as XML, gzipped or not, or as lines of addresses."""
    data = _unpacked(body, url)
    if b"<" not in data.lstrip()[:8]:  # a byte-order mark may stand before it
        lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
        urls = [line for line in lines if line.startswith(("http://", "https://"))]
        return Sitemap(tuple(Entry(line, None) for line in urls[:URLS]), ())
    reader = _Reader(url)
    reader.read(data)
    return Sitemap(tuple(reader.pages), tuple(reader.sitemaps))


def _unpacked(body: bytes, url: str) -> bytes:
    if not body.startswith(GZIP):
        return body
    data = bytearray()
    try:
        for piece in decoded([body], "gzip"):
            data += piece
            if len(data) > LARGEST:
                raise UnreadableSitemapError(
                    url, f"it unpacks to more than {LARGEST} bytes", "Name another sitemap"
                )
    except (NotDecodableError, zlib.error) as error:
        raise UnreadableSitemapError(url, f"it cannot be unpacked ({error})", "Tell the site's "
                                     "owner") from error  # fmt: skip
    return bytes(data)


class _Reader:
    """One file being read: the element we are in, and what it has said."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: list[Entry] = []
        self.sitemaps: list[str] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._said: dict[str, str] = {}

    def read(self, data: bytes) -> None:
        """Read the whole file; raises ``UnreadableSitemapError``."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.EntityDeclHandler = self._entity
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise UnreadableSitemapError(
                self.url, f"it is not XML ({error})", "Check that it is a sitemap"
            ) from error
        if self._root not in ("urlset", "sitemapindex"):
            raise UnreadableSitemapError(
                self.url, f"it is a '{self._root}', not a sitemap", "Check its address"
            )

    _root = ""

    def _start(self, name: str, _: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._root = self._root or local
        self._path.append(local)
        self._text.clear()
        if local in ("url", "sitemap"):
            self._said = {}
        if len(self._path) > 100:
            raise UnreadableSitemapError(self.url, "it is nested too deep", "Check its address")

    def _end(self, name: str) -> None:
        local = self._path.pop()
        if local in ("loc", "lastmod") and self._path[-1:] in (["url"], ["sitemap"]):
            self._said[local] = "".join(self._text).strip()
        if local == "url" and self._said.get("loc") and len(self.pages) < URLS:
            when = self._said.get("lastmod", "")
            self.pages.append(Entry(self._said["loc"], moment(when), "T" not in when))
        if local == "sitemap" and self._said.get("loc"):
            self.sitemaps.append(self._said["loc"])

    def _entity(self, *_: object) -> None:
        raise UnreadableSitemapError(
            self.url, "it declares entities, which no sitemap needs", "Tell the site's owner"
        )
