"""Manners, tried on real servers; only the clock that waits is the test's own."""

import multiprocessing
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import pytest

from llmtwin_assets_tests.website import Page, Website, canary, guard
from resources.addresses import ForbiddenAddressError, Guard, UnreachableError, allowed_host
from resources.hosts import HostBusyError, Hosts
from resources.polite import (
    DisallowedError,
    Manners,
    Polite,
    RefusedError,
    open_polite,
    retry_after,
)
from resources.web import TooManyRedirectsError, TooSlowError, Web


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


def guest(folder: Path, *sites: Website, clock: Clock | None = None, **manners: float) -> Polite:
    clock = clock or Clock()
    hosts = Hosts(folder, clock, clock.sleep)
    return Polite(Web(guard(*sites)), hosts, Manners(**manners))  # type: ignore[arg-type]


def in_turn(*pages: Page) -> Callable[[BaseHTTPRequestHandler], None]:
    """One answer after the other; the last one for ever."""
    left = list(pages)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        Website.answer(handler, left.pop(0) if len(left) > 1 else left[0])

    return answer


RULES = """
User-agent: *
Disallow: /

User-agent: llm-twin
User-agent: another
Disallow: /private
Allow: /private/but-not-this
Disallow: /*.pdf$
Disallow: /caf%C3%A9
Allow: /same
Disallow: /same

User-agent: LLM-Twin
Disallow: /second-group

Sitemap: https://example.com/map.xml
"""


def test_what_a_robots_txt_forbids_is_never_asked_for(tmp_path: Path) -> None:
    allowed = ["/", "/open", "/private/but-not-this", "/a.pdf.html", "/same", "/cafe", "/robots.tx"]
    forbidden = ["/private", "/private/x?y=z", "/privateer", "/deep/a.pdf", "/café", "/caf%c3%a9",
                 "/second-group/x"]  # fmt: skip
    pages = {path: Page("fine") for path in allowed}
    with Website({"/robots.txt": Page(RULES), **pages}) as site:
        polite = guest(tmp_path, site)
        for path in allowed:
            assert polite.get(site.url(path)).body == b"fine"
        for path in forbidden:
            with pytest.raises(DisallowedError, match=r"robots\.txt"):
                polite.get(site.url(path))
        assert {seen.path for seen in site.seen} == {"/robots.txt", *allowed}
        assert site.asked("/robots.txt") == 1


def test_a_redirect_to_a_forbidden_page_is_not_followed(tmp_path: Path) -> None:
    with (
        Website({"/robots.txt": Page(RULES), "/private": Page("no")}) as strict,
        Website({"/": Page(status=302, headers={"Location": strict.url("/private")})}) as site,
    ):
        with pytest.raises(DisallowedError):
            guest(tmp_path, site, strict).get(site.url())
        assert [seen.path for seen in strict.seen] == ["/robots.txt"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
def test_without_a_robots_txt_everything_is_allowed(tmp_path: Path, status: int) -> None:
    with Website({"/robots.txt": Page(RULES, status), "/private": Page("fine")}) as site:
        assert guest(tmp_path, site).get(site.url("/private")).body == b"fine"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_with_a_robots_txt_that_fails_nothing_is_allowed(tmp_path: Path, status: int) -> None:
    clock = Clock()
    with Website({"/robots.txt": Page("", status), "/": Page("no")}) as site:
        for _ in range(3):
            with pytest.raises(DisallowedError, match="cannot be had"):
                guest(tmp_path, site, clock=clock).get(site.url())
        assert [seen.path for seen in site.seen] == ["/robots.txt"] * 4  # the attempts of the first
        clock.now += 700
        site.pages["/robots.txt"] = Page("")
        assert guest(tmp_path, site, clock=clock).get(site.url()).body == b"no"


def test_a_robots_txt_that_cannot_be_reached_allows_nothing(tmp_path: Path) -> None:
    with Website({"/robots.txt": Page(status=0), "/": Page("no")}) as site:
        with pytest.raises(Exception, match="cannot be read"):
            guest(tmp_path, site).get(site.url())
        assert site.asked("/") == 0


def test_robots_txt_is_followed_over_five_redirects_and_held_to_be_none_after_that(
    tmp_path: Path,
) -> None:
    hops = {f"/{n}": Page(status=301, headers={"Location": f"/{n + 1}"}) for n in range(1, 5)}
    pages = {
        "/robots.txt": Page(status=301, headers={"Location": "/1"}), **hops,
        "/5": Page("User-agent: *\nDisallow: /"), "/page": Page("fine"),
    }  # fmt: skip
    with Website(pages) as site:
        with pytest.raises(DisallowedError):
            guest(tmp_path / "a", site).get(site.url("/page"))
        site.pages["/5"] = Page(status=301, headers={"Location": "/6"})
        assert guest(tmp_path / "b", site).get(site.url("/page")).body == b"fine"


def test_a_robots_txt_that_redirects_to_a_private_address_reaches_nobody(tmp_path: Path) -> None:
    with canary() as bird, Website({"/": Page("no")}) as site:
        place = f"http://127.0.0.1:{bird.port}/robots.txt"
        site.pages["/robots.txt"] = Page(status=301, headers={"Location": place})
        with pytest.raises(Exception, match="not on the public internet"):
            guest(tmp_path, site).get(site.url())
        assert bird.connections == 0
        assert site.asked("/") == 0


def test_a_robots_txt_is_kept_for_a_day_and_a_failing_server_does_not_change_it(
    tmp_path: Path,
) -> None:
    clock = Clock()
    with Website({"/robots.txt": Page("User-agent: *\nDisallow: /no"), "/": Page("ok")}) as site:
        for _ in range(3):
            guest(tmp_path, site, clock=clock).get(site.url())
        assert site.asked("/robots.txt") == 1
        clock.now += 25 * 3600
        site.pages["/robots.txt"] = Page("", 503)
        polite = guest(tmp_path, site, clock=clock)
        polite.get(site.url())
        assert site.asked("/robots.txt") == 5
        with pytest.raises(DisallowedError, match="asks that it is not fetched"):
            polite.get(site.url("/no"))


def test_a_robots_txt_without_end_is_read_as_far_as_it_has_to_be(tmp_path: Path) -> None:
    rules = "User-agent: *\nDisallow: /no\n" + "# and so on\n" * 100_000
    with Website({"/robots.txt": Page(rules), "/": Page("ok")}) as site:
        polite = guest(tmp_path, site)
        assert polite.get(site.url()).body == b"ok"
        with pytest.raises(DisallowedError):
            polite.get(site.url("/no"))


def test_a_host_is_left_a_pause_between_requests(tmp_path: Path) -> None:
    with Website({"/": Page("ok")}) as site:
        polite = guest(tmp_path, site, delay=0.15)
        polite.hosts = Hosts(tmp_path)  # the real clock
        polite.clock = time.time
        for _ in range(4):
            polite.get(site.url())
        gaps = [b.began - a.ended for a, b in pairwise(site.seen)]
        assert min(gaps) >= 0.14


def test_the_crawl_delay_of_a_robots_txt_is_kept(tmp_path: Path) -> None:
    clock = Clock()
    rules = "User-agent: *\nCrawl-delay: 7\n"
    with Website({"/robots.txt": Page(rules), "/": Page("ok")}) as site:
        polite = guest(tmp_path, site, clock=clock)
        for _ in range(3):
            polite.get(site.url())
        assert clock.slept == [1.0, 7.0, 7.0]
        site.pages["/robots.txt"] = Page("User-agent: *\nCrawl-delay: 99999999\n")
        with pytest.raises(HostBusyError, match="99999999 seconds between"):
            guest(tmp_path / "new", site).get(site.url())


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(tmp_path: Path, status: int) -> None:
    clock = Clock()
    busy = Page("busy", status, {"Retry-After": "40"})
    with Website({"/": in_turn(busy, busy, Page("ok"))}) as site:
        assert guest(tmp_path, site, clock=clock).get(site.url()).body == b"ok"
        assert clock.slept == [1.0, 40.0, 40.0]


def test_a_host_that_asks_for_an_hour_is_left_alone_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    with Website({"/": Page("busy", 429, {"Retry-After": "3600"})}) as site:
        for _ in range(3):
            with pytest.raises(HostBusyError, match="left alone for 3600 seconds"):
                guest(tmp_path, site, clock=clock).get(site.url())
        assert site.asked("/") == 1
        clock.now += 3601
        site.pages["/"] = Page("ok")
        assert guest(tmp_path, site, clock=clock).get(site.url()).body == b"ok"


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("120", 0) == 120
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 15) == 45
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 99) == 0
    assert retry_after("soon", 0) is None
    assert retry_after(None, 0) is None


def test_a_server_in_trouble_is_asked_more_and_more_rarely(tmp_path: Path) -> None:
    clock = Clock()
    with Website({"/": Page("oh", 500)}) as site:
        with pytest.raises(RefusedError, match="500") as refused:
            guest(tmp_path, site, clock=clock).get(site.url())
        assert refused.value.status == 500
        assert site.asked("/") == 4
        assert clock.slept == [1.0, 2.0, 4.0, 8.0]


def test_a_connection_that_breaks_is_tried_again(tmp_path: Path) -> None:
    with Website({"/": in_turn(Page(status=0), Page("ok"))}) as site:
        assert guest(tmp_path, site).get(site.url()).body == b"ok"


def test_what_will_not_get_better_is_asked_once(tmp_path: Path) -> None:
    pages = {"/404": Page("", 404), "/410": Page("", 410), "/403": Page("", 403)}
    loop = {"/loop": Page(status=302, headers={"Location": "/loop"})}
    with Website({**pages, **loop}) as site:
        polite = guest(tmp_path, site)
        for path in pages:
            with pytest.raises(RefusedError, match=path[1:]):
                polite.get(site.url(path))
            assert site.asked(path) == 1
        with pytest.raises(TooManyRedirectsError):
            polite.get(site.url("/loop"))
        assert site.asked("/loop") == 6


def test_nobody_there_is_found_out_in_the_attempts_of_one_page(tmp_path: Path) -> None:
    with Website({}) as site:
        polite = guest(tmp_path, site)
        gone = site.url()
    with pytest.raises(UnreachableError):
        polite.get(gone)


def test_a_page_as_it_was_is_answered_with_304(tmp_path: Path) -> None:
    def conditional(handler: BaseHTTPRequestHandler) -> None:
        same = handler.headers.get("If-None-Match") == '"v1"'
        Website.answer(handler, Page("", 304) if same else Page("text", headers={"ETag": '"v1"'}))

    with Website({"/": conditional}) as site:
        polite = guest(tmp_path, site)
        first = polite.get(site.url())
        second = polite.get(site.url(), {"If-None-Match": first.headers["etag"]})
        assert (second.status, second.body) == (304, b"")


def crawl(folder: Path, host: str, url: str) -> None:
    hosts = Hosts(folder)
    polite = Polite(Web(Guard((allowed_host(host),))), hosts, Manners(delay=0.05))
    for _ in range(4):
        polite.get(url)


def test_processes_take_turns_with_a_host(tmp_path: Path) -> None:
    with Website({"/": Page("ok", seconds=0.05)}) as site:
        spawn = multiprocessing.get_context("spawn")
        crawlers = [
            spawn.Process(target=crawl, args=(tmp_path, site.host, site.url())) for _ in range(3)
        ]
        for crawler in crawlers:
            crawler.start()
        for crawler in crawlers:
            crawler.join()
            assert crawler.exitcode == 0
        assert site.asked("/") == 12
        seen = sorted(site.seen, key=lambda seen: seen.began)
        gaps = [b.began - a.ended for a, b in pairwise(seen)]
        assert min(gaps) >= 0.04


def test_the_deployment_says_what_may_be_reached_and_who_asks(tmp_path: Path) -> None:
    with Website({"/": Page("ok")}) as site:
        environ = {"LLMTWIN_ALLOW_PRIVATE_HOSTS": site.host, "LLMTWIN_CONTACT": "ada@example.org"}
        with open_polite(tmp_path, environ) as polite:
            assert polite.get(site.url()).body == b"ok"
        assert site.seen[-1].headers["user-agent"].endswith("; ada@example.org)")
        with open_polite(tmp_path, {}) as polite, pytest.raises(ForbiddenAddressError):
            polite.get(site.url("/other"))


def test_after_its_time_nothing_is_asked_for_redirects_included(tmp_path: Path) -> None:
    clock = Clock()
    with Website({"/a": Page(status=302, headers={"Location": "/b"}), "/b": Page("b")}) as site:
        polite = guest(tmp_path, site, clock=clock, delay=5.0, until=clock.now + 4)
        with pytest.raises(HostBusyError, match="no time left"):
            polite.get(site.url("/a"))
        # /a was asked for at 5 s, after a pause that began in time; its redirect was not followed.
        assert [seen.path for seen in site.seen] == ["/robots.txt", "/a"]


def test_a_slow_answer_is_waited_for_as_long_as_the_manners_say(tmp_path: Path) -> None:
    with Website({"/slow": Page("late", seconds=1.0)}) as site:
        hurried = guest(tmp_path, site, answer=0.2, attempts=1)
        with pytest.raises(TooSlowError):
            hurried.get(site.url("/slow"))
        assert guest(tmp_path, site).get(site.url("/slow")).body == b"late"
