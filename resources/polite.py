"""Fetching as a guest: what robots.txt asks, one request at a time per host with a pause between,
``Retry-After``, backing off from a server in trouble.

Every request to a site that is read for an author goes through here; ``web.py`` below it makes the
connection. Knows neither what a page is nor whose it is.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from resources.addresses import UnreachableError, Url, guard_from_environment, parse_url, shown
from resources.browser import Rendered, render
from resources.errors import LlmTwinError
from resources.hosts import HostBusyError, Hosts, RobotsFile, Turn
from resources.robots import PATH, READ, TOKEN, Robots, robots
from resources.web import (
    USER_AGENT,
    BrokenResponseError,
    Limits,
    Response,
    TooManyRedirectsError,
    TooSlowError,
    Web,
)

PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may better
DAY = 24 * 3600.0


class DisallowedError(LlmTwinError):
    """A page that its site's robots.txt asks not to be fetched."""


class RefusedError(LlmTwinError):
    """A page that was answered with an error."""

    def __init__(self, item: str, problem: str, remedy: str, status: int = 0) -> None:
        super().__init__(item, problem, remedy)
        self.status = status


@dataclass(frozen=True)
class Manners:
    """How patient to be. All times in seconds."""

    delay: float = 1.0  # from the end of a request to the next to the same host, at least
    patience: float = 300.0  # what a host may ask to wait before a run gives it up
    attempts: int = 4
    backoff: float = 2.0  # before the second attempt; doubled before every further one
    robots_kept: float = DAY
    robots_failed: float = 600.0  # before a robots.txt that could not be had is asked for again
    answer: float = 60.0  # what a request may take, its redirects included
    until: float = math.inf  # nothing is asked for after this time (since the epoch)


class Polite:
    """A ``Web`` with manners. Threads and processes may share the memory of hosts."""

    def __init__(self, web: Web, hosts: Hosts, manners: Manners | None = None) -> None:
        self.web = web
        self.hosts = hosts
        self.manners = manners or Manners()
        self.clock = hosts.clock
        self._robots: dict[str, tuple[float, Robots]] = {}

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, limits: Limits | None = None
    ) -> Response:
        """GET a page; the answer is a success or 304.

        Raises ``DisallowedError``, ``HostBusyError``, ``RefusedError`` for an answer that is an
        error (``status`` says which), and what ``Web.fetch`` raises; those that may pass only after
        all attempts.
        """
        self.robots(parse_url(url))
        return _accepted(self._tried(url, headers, limits, obeying=True), url)

    def render(self, url: str) -> Rendered:
        """A page as a browser shows it, in its host's turn and if its robots.txt lets it. Raises
        what ``get`` raises, ``BrowserMissingError`` and ``BrowserFailedError``."""
        parsed = parse_url(url)
        delay = max(self.manners.delay, self._allowed(parsed).delay or 0.0)
        with self.hosts.turn(parsed.host, delay, self.manners.patience):
            return render(url, self.web.guard, self.web.user_agent)

    def robots(self, url: Url) -> Robots:
        """What the site of a URL asks of crawlers; fetched once a day."""
        kept = self._robots.get(url.origin)
        if kept and self.clock() < kept[0]:
            return kept[1]
        stored = self.hosts.robots(url.origin)
        if stored is None or self.clock() > stored.fetched + self._lasts(stored.status):
            fetched = self._fetch_robots(url)
            # Of a server that fails, the last word holds.
            if fetched.status < 500 or stored is None or stored.status >= 300:
                stored = fetched
                self.hosts.keep_robots(url.origin, stored)
        asked = robots(stored.status, stored.body)
        self._robots[url.origin] = (self.clock() + self.manners.robots_failed, asked)
        return asked

    def refuse_late(self, item: str) -> None:
        """Raises ``HostBusyError`` when the time for asking is over."""
        if self.clock() >= self.manners.until:
            raise HostBusyError(
                item, "there was no time left to ask for it", "It is asked for at the next look"
            )

    def _tried(
        self, url: str, headers: Mapping[str, str] | None, limits: Limits | None, obeying: bool
    ) -> Response:
        """The first answer that another attempt would not better, or the last one."""
        attempt = 0
        while True:
            pause = self.manners.backoff * 2**attempt
            attempt += 1
            last = attempt == self.manners.attempts
            try:
                response = self._once(url, headers, limits, obeying, pause)
            except (UnreachableError, TooSlowError, BrokenResponseError):
                if last:
                    raise
                self.hosts.sleep(pause)
                continue
            if response.status not in PASSING or last:
                return response

    def _once(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        limits: Limits | None,
        obeying: bool,
        pause: float,
    ) -> Response:
        """One attempt: every hop in its host's turn, if the host's robots.txt lets it."""
        with ExitStack() as turns:
            turn = Turn()

            def before(hop: Url) -> None:
                nonlocal turn
                turns.pop_all().close()
                self.refuse_late(shown(str(hop)))
                delay = self.manners.delay
                if obeying:
                    delay = max(delay, self._allowed(hop).delay or 0.0)
                taken = self.hosts.turn(hop.host, delay, self.manners.patience)
                turn = turns.enter_context(taken)

            limits = limits or self.web.limits
            limits = replace(limits, seconds=min(limits.seconds, self.manners.answer))
            response = self.web.fetch(url, headers, limits, before)
            if response.status in PASSING:
                asked_for = retry_after(response.headers.get("retry-after"), self.clock())
                turn.free_at = self.clock() + max(pause, asked_for or 0.0)
            return response

    def _allowed(self, url: Url) -> Robots:
        asked = self.robots(url)
        if asked.allows(url):
            return asked
        if asked.readable:
            problem = "its site's robots.txt asks that it is not fetched"
            remedy = f"Use an archive, or let '{TOKEN}' in by the site's robots.txt"
        else:
            problem = "its site's robots.txt cannot be had, so it is not asked for"
            remedy = "Try again later"
        raise DisallowedError(shown(str(url)), problem, remedy)

    def _fetch_robots(self, url: Url) -> RobotsFile:
        try:
            response = self._tried(
                url.origin + PATH, None, Limits(body=READ, cut=True), obeying=False
            )
        except TooManyRedirectsError:
            return RobotsFile(404, b"", self.clock())  # RFC 9309, 2.3.1.2: as if there were none
        return RobotsFile(response.status, response.body, self.clock())

    def _lasts(self, status: int) -> float:
        return self.manners.robots_failed if status >= 500 else self.manners.robots_kept


@contextmanager
def open_polite(
    folder: Path, environ: Mapping[str, str] = os.environ, manners: Manners | None = None
) -> Iterator[Polite]:
    """The client of this deployment, with the memory of hosts below ``folder``; closed with the
    block.

    ``LLMTWIN_ALLOW_PRIVATE_HOSTS`` names what else than the public internet it may reach,
    ``LLMTWIN_CONTACT`` an address under which site owners find who runs it.
    """
    contact = environ.get("LLMTWIN_CONTACT", "").strip()
    agent = f"{USER_AGENT.removesuffix(')')}; {contact})" if contact else USER_AGENT
    with Web(guard_from_environment(environ), agent) as web:
        yield Polite(web, Hosts(folder), manners)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a ``Retry-After`` asks for, which is a number or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (zoned - datetime.fromtimestamp(now, UTC)).total_seconds())


def _accepted(response: Response, url: str) -> Response:
    if response.status == 304 or 200 <= response.status < 300:
        return response
    remedies = {
        401: "It needs a login: use an archive",
        403: "Use an archive or a feed instead",
        404: "Check the address",
        410: "Check the address",
    }
    remedy = remedies.get(response.status, "Try again later")
    raise RefusedError(
        shown(url), f"the server answered {response.status}", remedy, response.status
    )
