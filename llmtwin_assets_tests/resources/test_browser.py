"""A real browser against pages that try to get out of their box."""

import socket
import threading
import time
from pathlib import Path

import pytest

from llmtwin_assets_tests.website import Page, Website, canary, guard
from resources.addresses import (
    ForbiddenAddressError,
    ForbiddenUrlError,
    Guard,
    allowed_host,
)
from resources.browser import BrowserFailedError, BrowserMissingError, render

pytestmark = pytest.mark.slow


def html(body: str) -> Page:
    return Page(f"<html><body>{body}</body></html>", headers={"Content-Type": "text/html"})


SCRIPT = """<div id="root"></div><script>
fetch('/data').then(r => r.text()).then(t => { document.getElementById('root').innerText = t; });
</script>"""


def test_the_text_that_a_script_puts_there_is_seen() -> None:
    data = Page("from the script", headers={"Content-Type": "text/plain"})
    moved = Page(status=302, headers={"Location": "/page"})
    with Website({"/": moved, "/page": html(SCRIPT), "/data": data}) as site:
        shown = render(site.url(), guard(site))
        assert "from the script" in shown.html
        assert shown.url == site.url("/page")
        assert site.seen[0].headers["user-agent"].startswith("llm-twin/")


ESCAPES = """
<img src="http://127.0.0.1:{port}/a"><img src="http://[::1]:{port}/b">
<iframe src="http://localhost:{port}/c"></iframe>
<link rel="stylesheet" href="http://127.0.0.1:{port}/d">
<link rel="preconnect" href="http://127.0.0.1:{port}"><link rel="dns-prefetch" href="//canary.test">
<link rel="prefetch" href="http://127.0.0.1:{port}/e"><script src="//127.0.0.1:{port}/f"></script>
<video src="http://127.0.0.1:{port}/g"></video><object data="http://127.0.0.1:{port}/h"></object>
<form id="form" action="http://127.0.0.1:{port}/i" method="post"></form>
<a id="link" href="http://127.0.0.1:{port}/j" ping="http://127.0.0.1:{port}/k">x</a>
<p id="done">not yet</p>
<script>
const u = 'http://127.0.0.1:{port}/l';
fetch(u, {{mode: 'no-cors'}}).catch(() => 0);
fetch('http://2130706433:{port}/m', {{mode: 'no-cors'}}).catch(() => 0);
fetch('/hop', {{mode: 'no-cors'}}).catch(() => 0);
try {{ new WebSocket('ws://127.0.0.1:{port}/n'); }} catch (e) {{}}
try {{ new EventSource(u); }} catch (e) {{}}
try {{ navigator.sendBeacon(u, 'x'); }} catch (e) {{}}
try {{ window.open(u); }} catch (e) {{}}
try {{
  const peer = new RTCPeerConnection({{iceServers: [
    {{urls: 'stun:127.0.0.1:{port}'}},
    {{urls: 'turn:127.0.0.1:{port}?transport=tcp', username: 'a', credential: 'b'}}]}});
  peer.createDataChannel('x'); peer.createOffer().then(o => peer.setLocalDescription(o));
}} catch (e) {{}}
try {{ const t = new WebTransport('https://127.0.0.1:{port}/o'); t.ready.catch(() => 0); }}
catch (e) {{}}
try {{ navigator.serviceWorker.register('/worker.js'); }} catch (e) {{}}
fetch('file:///etc/passwd').then(r => r.text()).then(t => {{ document.title = t; }})
  .catch(() => 0);
setTimeout(() => {{ document.getElementById('done').innerText = 'all tried'; }}, 500);
</script>"""


def test_no_way_out_of_the_browser_reaches_a_private_address() -> None:
    with canary() as bird, Website({}) as site, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", bird.port))
        datagrams.setblocking(False)
        site.pages["/"] = html(ESCAPES.format(port=bird.port))
        there = f"http://127.0.0.1:{bird.port}/"
        site.pages["/hop"] = Page(status=302, headers={"Location": there})
        shown = render(site.url(), guard(site))
        assert "all tried" in shown.html
        assert "root:" not in shown.html
        assert site.asked("/hop") == 1
        assert bird.connections == 0
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)


def test_the_canary_would_have_been_reached() -> None:
    """Where the guard lets the same page through, the canary sings."""
    with canary() as bird, Website({}) as site:
        site.pages["/"] = html(ESCAPES.format(port=bird.port))
        render(site.url(), Guard((allowed_host("127.0.0.1"),)))
        assert bird.connections > 0


@pytest.mark.parametrize("way", ["location.href = '{there}'", "document.forms[0].submit()"])
def test_a_page_that_leaves_for_a_private_address_does_not_get_there(way: str) -> None:
    with canary() as bird, Website({}) as site:
        there = f"http://127.0.0.1:{bird.port}/"
        form = f"<form action='{there}' method=post></form>"
        site.pages["/"] = html(f"{form}<p>here</p><script>{way.format(there=there)}</script>")
        try:
            shown = render(site.url(), guard(site)).html
        except BrowserFailedError:
            shown = ""
        assert "here" in shown or "not on the public internet" in shown or not shown
        assert bird.connections == 0


def test_the_page_itself_is_checked_before_a_browser_is_started() -> None:
    with pytest.raises(ForbiddenAddressError):
        render("http://169.254.169.254/latest/meta-data", Guard())
    for url in ("file:///etc/passwd", "chrome://settings", "javascript:alert(1)"):
        with pytest.raises(ForbiddenUrlError):
            render(url, Guard())


def test_a_page_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.browser.SECONDS", 3.0)
    with Website({"/": Page("late", seconds=20)}) as site:
        began = time.monotonic()
        with pytest.raises(BrowserFailedError, match="cannot show it"):
            render(site.url(), guard(site))
        assert time.monotonic() - began < 15


def test_without_a_browser_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMTWIN_BROWSER", str(tmp_path / "nothing"))
    with Website({}) as site, pytest.raises(BrowserMissingError, match="LLMTWIN_BROWSER"):
        render(site.url(), guard(site))


def test_nothing_is_left_running() -> None:
    with Website({"/": html("x")}) as site:
        render(site.url(), guard(site))
    assert not [t for t in threading.enumerate() if "playwright" in t.name.lower()]
