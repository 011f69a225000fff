"""A browser for the pages that need one: whose text is put there by a script.

Chromium through Playwright, a new one for every page, that reaches the network only through the
guarded proxy: no direct lookups, no QUIC, no WebRTC, no service workers, no downloads, no pictures.
Knows a URL and gives back HTML.
"""

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from resources.addresses import Guard, parse_url, shown
from resources.errors import LlmTwinError
from resources.proxy import proxy
from resources.web import MEBIBYTE, USER_AGENT

SECONDS = 45.0  # for one page, in total
SETTLES = 5.0  # seconds that scripts are given after the page is there
TRAFFIC = 50 * MEBIBYTE  # bytes for one page with all that it loads
LARGEST = 10 * MEBIBYTE  # characters of the page that is given back
SYSTEM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
VARIABLE = "LLMTWIN_BROWSER"
NEEDED = ("document", "script", "xhr", "fetch", "stylesheet")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-pings",
    # WebRTC speaks UDP past any proxy. The flag has two names: with a window, and without one.
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    # Names are for the proxy to look up.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class BrowserMissingError(LlmTwinError):
    """There is no Playwright, or no browser that it can start."""


class BrowserFailedError(LlmTwinError):
    """A page that the browser could not show."""


@dataclass(frozen=True)
class Rendered:
    """A page after its scripts have run, and where its redirects ended."""

    url: str
    html: str


def render(url: str, guard: Guard, user_agent: str = USER_AGENT) -> Rendered:
    """A page as a browser shows it. Raises ``ForbiddenUrlError``, ``ForbiddenAddressError``,
    ``BrowserMissingError`` and ``BrowserFailedError``."""
    parsed = parse_url(url)
    guard.check(parsed.host, parsed.port)
    # In a thread of its own: Playwright refuses to work beside a running event loop.
    with proxy(guard, TRAFFIC, SECONDS) as door, ThreadPoolExecutor(1) as worker:
        return worker.submit(_render, str(parsed), door.url, user_agent).result()


def _render(url: str, door: str, user_agent: str) -> Rendered:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise BrowserMissingError(
            "playwright", "it is not installed", "pip install 'llm-twin[browser]'"
        ) from error
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=executable(),
                args=[*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])],
                proxy={"server": door, "bypass": "<-loopback>"},
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
        except Error as error:
            raise BrowserMissingError(
                "chromium",
                f"it does not start ({_first_line(error)})",
                f"Install it (playwright install chromium), or name it in {VARIABLE}",
            ) from error
        try:
            return _shown(browser, url, user_agent)
        except Error as error:
            raise BrowserFailedError(
                shown(url), f"the browser cannot show it ({_first_line(error)})", "Use an archive"
            ) from error
        finally:
            browser.close()


def _shown(browser: Any, url: str, user_agent: str) -> Rendered:
    from playwright.sync_api import TimeoutError as TooLate

    context = browser.new_context(
        user_agent=user_agent, service_workers="block", accept_downloads=False
    )
    context.set_default_timeout(SECONDS * 1000)
    context.route("**/*", _only_what_is_needed)
    page = context.new_page()
    page.goto(url, wait_until="domcontentloaded")
    with suppress(TooLate):  # what never settles has had its time
        page.wait_for_load_state("networkidle", timeout=SETTLES * 1000)
    html = page.evaluate(f"document.documentElement.outerHTML.slice(0, {LARGEST})")
    return Rendered(page.url, str(html))


def _only_what_is_needed(route: Any) -> None:
    request = route.request
    plain = request.url.startswith(("http://", "https://"))
    if plain and request.resource_type in NEEDED and request.method in ("GET", "POST"):
        route.continue_()
    else:
        route.abort()


def executable(environ: Mapping[str, str] = os.environ) -> str | None:
    """The browser to start: the one that is named, the system's, or None for Playwright's own."""
    return environ.get(VARIABLE) or next(filter(None, map(shutil.which, SYSTEM)), None)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
