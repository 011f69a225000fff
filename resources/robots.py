"""robots.txt by RFC 9309: what a site asks of crawlers, from the answer to a request for the file.

Knows the rules and neither fetches nor waits: ``polite.py`` does both.
"""

from dataclasses import dataclass
from functools import cached_property

from protego import Protego

from resources.addresses import Url

TOKEN = "llm-twin"  # the name that a robots.txt calls us by
READ = 500 * 1024  # bytes of the file that have to be read; the rest may be ignored
PATH = "/robots.txt"


@dataclass(frozen=True)
class Robots:
    """What one origin's file says. ``readable`` is False when the server failed to answer; then
    nothing may be fetched."""

    text: str = ""
    readable: bool = True

    @cached_property
    def _rules(self) -> Protego:
        return Protego.parse(self.text)

    def allows(self, url: Url) -> bool:
        """Whether a page may be asked for."""
        return self.readable and self._rules.can_fetch(str(url), TOKEN)

    @property
    def delay(self) -> float | None:
        """Seconds between two requests, if the file asks for some."""
        return self._rules.crawl_delay(TOKEN)

    @property
    def sitemaps(self) -> list[str]:
        """The sitemaps that the file names."""
        return list(self._rules.sitemaps)


def robots(status: int, body: bytes) -> Robots:
    """What an answer to the request for the file means.

    A success gives its rules, a refusal (4xx) says that there are none, and anything else that the
    file could not be had: then the site is not to be crawled.
    """
    if 200 <= status < 300:
        return Robots(body[:READ].decode("utf-8-sig", "replace"))
    return Robots(readable=400 <= status < 500)
