"""The door to the network, against servers that do not behave."""

import gzip
import json
import shutil
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import brotli
import pytest
from backports import zstd

from llmtwin_assets.settings import PROJECT
from llmtwin_assets_tests.website import Page, Website, guard
from resources.addresses import Guard, UnreachableError, allowed_host
from resources.web import (
    BrokenResponseError,
    Limits,
    TooLargeError,
    TooManyRedirectsError,
    TooSlowError,
    Web,
)

MEBIBYTE = 1024 * 1024
ZEROS = bytes(MEBIBYTE)


def gzip_bomb() -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    yield from (packer.compress(ZEROS) for _ in range(1024))
    yield packer.flush()


def br_bomb() -> Iterator[bytes]:
    packer = brotli.Compressor(quality=5)
    yield from (packer.process(ZEROS) for _ in range(1024))
    yield packer.finish()


def zstd_bomb() -> Iterator[bytes]:
    packer = zstd.ZstdCompressor()
    yield from (packer.compress(ZEROS) for _ in range(1024))
    yield packer.flush()


def endless_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"100000\r\n" + ZEROS + b"\r\n")


def endless_nothing(handler: BaseHTTPRequestHandler) -> None:
    """Compressed data without end that unpacks to nothing."""
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    while True:
        handler.wfile.write(gzip.compress(b"") * 1000)


def endless_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-More: and more\r\n")


def another_protocol(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    handler.close_connection = True


def slow_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    drip(handler, b"x")


def slow_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(handler, b"x")


def endless_information(handler: BaseHTTPRequestHandler) -> None:
    drip(handler, b"HTTP/1.1 103 Early Hints\r\n\r\n")


def drip(handler: BaseHTTPRequestHandler, drop: bytes) -> None:
    while True:
        handler.wfile.write(drop)
        time.sleep(0.05)


def packed(pieces: Callable[[], Iterator[bytes]], coding: str) -> Page:
    return Page(b"".join(pieces()), headers={"Content-Encoding": coding})


# What a process of its own does, so that its memory can be measured.
MEASURE = """
import json, resource, sys
from resources.addresses import Guard, allowed_host
from resources.errors import LlmTwinError
from resources.web import Web
url, host = sys.argv[1:]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Web(Guard((allowed_host(host),))) as web:
    web.fetch(url.rpartition("/")[0] + "/warm")
    before = peak()
    try:
        web.fetch(url)
        why = "no refusal"
    except LlmTwinError as error:
        why = type(error).__name__
print(json.dumps({"why": why, "kilobytes": peak() - before}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "chunks"])
def test_a_bomb_of_a_gibibyte_takes_little_memory_and_is_stopped(coding: str) -> None:
    bombs = {"gzip": gzip_bomb, "br": br_bomb, "zstd": zstd_bomb}
    answer = packed(bombs[coding], coding) if coding in bombs else endless_chunks
    with Website({"/bomb": answer, "/warm": Page("warm")}) as site:
        out = subprocess.run(
            [sys.executable, "-c", MEASURE, site.url("/bomb"), site.host],
            capture_output=True,
            text=True,
            check=True,
            cwd=PROJECT,
            timeout=60,
        ).stdout
    measured = json.loads(out)
    assert measured["why"] == "TooLargeError"
    assert measured["kilobytes"] < 100 * 1024


def test_a_body_is_stopped_at_the_limit_whatever_its_coding() -> None:
    body = bytes(3 * MEBIBYTE)
    pages = {
        "/plain": Page(body),
        "/gzip": Page(gzip.compress(body), headers={"Content-Encoding": "gzip"}),
        "/twice": Page(
            gzip.compress(gzip.compress(body)), headers={"Content-Encoding": "gzip, gzip"}
        ),
        "/br": Page(brotli.compress(body), headers={"Content-Encoding": "br"}),
        "/zstd": Page(zstd.compress(body), headers={"Content-Encoding": "zstd"}),
        "/endless": endless_chunks,
        "/nothing": endless_nothing,
    }
    limits = Limits(body=2 * MEBIBYTE)
    with Website(pages) as site, Web(guard(site), limits=limits) as web:
        for path in pages:
            with pytest.raises(TooLargeError, match="2097152"):
                web.fetch(site.url(path))


def test_a_body_comes_out_as_it_was_before_it_was_packed() -> None:
    body = "Grüße, ".encode() * 50_000
    pages = {
        "/gzip": Page(gzip.compress(body[:9]) + gzip.compress(body[9:]), 200,
                      {"Content-Encoding": "gzip"}),
        "/deflate": Page(zlib.compress(body), headers={"Content-Encoding": "deflate"}),
        "/br": Page(brotli.compress(body), headers={"Content-Encoding": "br"}),
        "/zstd": Page(zstd.compress(body), headers={"Content-Encoding": "zstd"}),
        "/none": Page(body, headers={"Content-Encoding": "identity"}),
    }  # fmt: skip
    with Website(pages) as site, Web(guard(site)) as web:
        for path in pages:
            assert web.fetch(site.url(path)).body == body, path


@pytest.mark.parametrize(
    "answer", [slow_body, slow_headers, endless_information, Page("late", seconds=3)]
)
def test_a_slow_server_is_given_up_in_the_time_that_was_set(answer) -> None:
    limits = Limits(seconds=0.6, idle=0.5)
    with Website({"/": answer}) as site, Web(guard(site), limits=limits) as web:
        began = time.monotonic()
        with pytest.raises(TooSlowError):
            web.fetch(site.url())
        assert time.monotonic() - began < 1.5


def test_the_time_is_for_all_redirects_together() -> None:
    pages = {
        f"/{n}": Page(status=302, headers={"Location": f"/{n + 1}"}, seconds=0.3) for n in range(5)
    }
    with Website(pages) as site, Web(guard(site), limits=Limits(seconds=0.7)) as web:
        with pytest.raises(TooSlowError):
            web.fetch(site.url("/0"))
        assert len(site.seen) == 3


def test_five_redirects_are_followed_and_not_six() -> None:
    pages = {f"/{n}": Page(status=301, headers={"Location": f"{n + 1}"}) for n in range(5)}
    with Website({**pages, "/5": Page("here")}) as site, Web(guard(site)) as web:
        response = web.fetch(site.url("/0"))
        assert (response.url, response.body) == (site.url("/5"), b"here")
        assert response.redirected == (301,) * 5
        site.pages["/start"] = Page(status=302, headers={"Location": "/0"})
        with pytest.raises(TooManyRedirectsError, match="beyond 5"):
            web.fetch(site.url("/start"))
        site.pages["/start"] = Page(status=302)
        with pytest.raises(TooManyRedirectsError, match="without saying where"):
            web.fetch(site.url("/start"))


@pytest.mark.parametrize(
    "answer",
    [
        Page(b"not gzip", headers={"Content-Encoding": "gzip"}),
        Page(gzip.compress(b"cut off" * 99)[:-9], headers={"Content-Encoding": "gzip"}),
        Page(brotli.compress(b"cut off" * 99)[:-4], headers={"Content-Encoding": "br"}),
        Page(zstd.compress(b"cut off" * 99)[:-4], headers={"Content-Encoding": "zstd"}),
        Page(b"?", headers={"Content-Encoding": "rot13"}),
        Page(b"?", headers={"Content-Encoding": "gzip, gzip, gzip"}),
        Page(status=0),
        endless_headers,
        another_protocol,
    ],
)
def test_a_reply_that_is_not_what_it_says_is_refused(answer) -> None:
    with (
        Website({"/": answer}) as site,
        Web(guard(site)) as web,
        pytest.raises(BrokenResponseError, match=r"cannot be read"),
    ):
        web.fetch(site.url())


def test_nobody_at_the_port_is_unreachable() -> None:
    with Website({}) as site:
        gone = site.url()
        rule = guard(site)
    with Web(rule) as web, pytest.raises(UnreachableError, match="no connection"):
        web.fetch(gone)


def test_it_says_who_it_is_and_carries_nothing_from_one_answer_to_the_next() -> None:
    pages = {
        "/": Page(status=302, headers={"Location": "/next", "Set-Cookie": "a=b"}),
        "/next": Page("here", headers={"Set-Cookie": "c=d"}),
    }
    with Website(pages) as site, Web(guard(site)) as web:
        web.fetch(site.url(), {"If-None-Match": '"x"'})
        web.fetch(site.url("/next"))
    for seen in site.seen:
        assert seen.headers["user-agent"].startswith("llm-twin/")
        assert not seen.headers.keys() & {"cookie", "referer", "authorization"}


def test_proxy_settings_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Website({}) as proxy, Website({"/": Page("direct")}) as site, Web(guard(site)) as web:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert web.fetch(site.url()).body == b"direct"
        assert proxy.seen == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for blog.example that it signed itself, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate of this test")
    file = tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
               "/CN=blog.example", "-addext", "subjectAltName=DNS:blog.example",
               "-keyout", str(tmp_path / "key.pem"), "-out", str(file)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return file


def test_a_certificate_is_checked_against_the_name_and_not_the_address(certificate: Path) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate, certificate.with_name("key.pem"))
    trusting = ssl.create_default_context(cafile=str(certificate))
    with Website({"/": Page("secret page")}, serving) as site:
        names = ("blog.example", "other.example")
        rule = Guard(
            tuple(allowed_host(f"{name}:{site.port}") for name in names),
            resolve=lambda host, port: ["127.0.0.1"],
        )
        with Web(rule, ssl_context=trusting) as web:
            assert web.fetch(f"https://blog.example:{site.port}/").body == b"secret page"
            with pytest.raises(UnreachableError, match="certificate"):
                web.fetch(f"https://other.example:{site.port}/")
        with Web(rule) as web, pytest.raises(UnreachableError, match="certificate"):
            web.fetch(f"https://blog.example:{site.port}/")
        assert site.asked("/") == 1


def test_every_url_can_be_refused_before_it_is_asked_for() -> None:
    pages = {"/": Page(status=302, headers={"Location": "/private"}), "/private": Page("no")}

    def before(url) -> None:
        if url.target == "/private":
            raise BrokenResponseError(str(url), "not wanted", "Stop")

    with Website(pages) as site, Web(guard(site)) as web:
        with pytest.raises(BrokenResponseError, match="not wanted"):
            web.fetch(site.url(), before=before)
        assert site.asked("/private") == 0
