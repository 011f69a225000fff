"""The pages of one author's sources: asked for politely, remembered between runs.

Joins the client with manners and the memory of pages for the readers of feeds, sites and single
pages. Knows neither what is on a page nor whose it is.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from llmtwin_assets.corpus.reading import Context, SourceMissingError
from resources.errors import LlmTwinError
from resources.hosts import HostBusyError
from resources.pages import Pages, Stored
from resources.polite import DisallowedError, Polite, RefusedError
from resources.web import Limits, Response

DAY = 24 * 3600.0
RESUMED = DAY  # seconds after which a crawl that was killed is begun anew
CONSECUTIVE = 5  # pages in a row that get no answer; then the host is held to be away
GONE = (404, 410)


class Fetcher:
    """Fetches pages for one source; a context manager.

    ``since`` is a time (seconds since the epoch) from which on an answer is new enough, so that
    nothing is asked for twice in one crawl, killed or not.
    """

    def __init__(self, context: Context, item: str) -> None:
        if not isinstance(context.web, Polite) or context.cache is None:
            raise SourceMissingError(
                item, "it is on the network, and no client was given", "Materialise the raw assets"
            )
        self.polite = context.web
        self.clock: Callable[[], float] = lambda: context.clock().timestamp()
        self.pages = Pages(context.cache / "pages.sqlite", self.clock)
        self._failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.pages.__exit__(*error)

    def page(self, url: str, since: float, limits: Limits | None = None) -> Stored:
        """A page, asked for if it was not since then. Raises ``RefusedError``, ``DisallowedError``,
        ``HostBusyError`` and what the client raises; every one but the last two is remembered with
        the page, so that it is not asked for again either."""
        stored = self.pages.page(url)
        if stored is not None and stored.checked >= since:
            return _usable(stored)
        try:
            response = self.polite.get(url, stored.validators if stored else None, limits)
        except (DisallowedError, HostBusyError):
            raise
        except LlmTwinError as error:
            status = error.status if isinstance(error, RefusedError) else 0
            self.pages.keep(_failed(stored, url, self.clock(), status, error))
            self._count(status, error)
            raise
        self._failures = 0
        kept = _answered(stored, url, response, self.clock())
        self.pages.keep(kept)
        return kept

    def shown(self, page: Stored) -> Stored:
        """A page as a browser shows it; rendered once for every change of the page itself. Raises
        what ``Polite.render`` raises."""
        key, version = f"shown {page.url}", digest(page.body)
        stored = self.pages.page(key)
        if stored is not None and stored.etag == version:
            return replace(stored, url=page.url)
        rendered = self.polite.render(page.location)
        found = replace(
            page, location=rendered.url, body=rendered.html.encode(), charset="utf-8", etag=version
        )
        self.pages.keep(replace(found, url=key))
        return found

    def _count(self, status: int, error: LlmTwinError) -> None:
        """Give the host up when it answers nothing at all."""
        self._failures = self._failures + 1 if not status else 0
        if self._failures >= CONSECUTIVE:
            raise HostBusyError(
                error.item,
                f"it and the {CONSECUTIVE - 1} pages before it got no answer ({error.problem})",
                "Run again later; it goes on where it stopped",
            ) from error


def digest(data: bytes) -> str:
    """A short digest of a body, 16 hex digits."""
    return hashlib.sha256(data).hexdigest()[:16]


def _usable(stored: Stored) -> Stored:
    if stored.problem is None:
        return stored
    problem, _, remedy = stored.problem.partition("\n")
    raise RefusedError(stored.url, problem, remedy, stored.status)


def _failed(
    stored: Stored | None, url: str, now: float, status: int, error: LlmTwinError
) -> Stored:
    before = stored or Stored(url, url, b"", "", None, None, None, 0.0, 0.0, 0)
    problem = f"{error.problem}\n{error.remedy}"
    return replace(before, checked=now, status=status, problem=problem)


def _answered(stored: Stored | None, url: str, response: Response, now: float) -> Stored:
    if response.status == 304 and stored is not None:
        return replace(stored, checked=now, status=200, problem=None)
    return Stored(
        url=url,
        location=response.url,
        body=response.body,
        kind=response.content_type,
        charset=response.charset,
        etag=response.headers.get("etag"),
        modified=response.headers.get("last-modified"),
        fetched=now,
        checked=now,
        status=response.status,
    )
