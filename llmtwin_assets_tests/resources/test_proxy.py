import socket
import time

import pytest

from llmtwin_assets_tests.website import Page, Website, canary, guard
from resources.addresses import Guard
from resources.proxy import proxy


def ask(port: int, request: str) -> bytes:
    """Everything a proxy sends for a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def test_a_plain_request_is_passed_on_without_what_is_meant_for_the_proxy() -> None:
    with Website({"/a?b=c": Page("hello")}) as site, proxy(guard(site), 10**6, 30) as door:
        answer = ask(
            door.port,
            f"GET {site.url('/a?b=c')} HTTP/1.1\r\nHost: {site.host}\r\n"
            "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eHg6eXk=\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"hello")
        assert b"Connection: close" in answer
        (seen,) = site.seen
        assert seen.headers["connection"] == "close"
        assert not any(name.startswith("proxy-") for name in seen.headers)


def test_a_tunnel_carries_what_is_sent_through_it() -> None:
    with Website({"/": Page("hello")}) as site, proxy(guard(site), 10**6, 30) as door:
        answer = ask(
            door.port,
            f"CONNECT {site.host} HTTP/1.1\r\nHost: {site.host}\r\n\r\n"
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200")
        assert answer.endswith(b"hello")


@pytest.mark.parametrize(
    "request_line",
    [
        "CONNECT 127.0.0.1:{port} HTTP/1.1",
        "CONNECT [::1]:{port} HTTP/1.1",
        "CONNECT localhost:{port} HTTP/1.1",
        "CONNECT 2130706433:{port} HTTP/1.1",
        "CONNECT 169.254.169.254:80 HTTP/1.1",
        "CONNECT [::ffff:127.0.0.1]:{port} HTTP/1.1",
        "GET http://127.0.0.1:{port}/ HTTP/1.1",
        "GET http://[::1]:{port}/ HTTP/1.1",
        "GET http://a@127.0.0.1:{port}/ HTTP/1.1",
        "GET ftp://127.0.0.1:{port}/ HTTP/1.1",
        "GET https://127.0.0.1:{port}/ HTTP/1.1",
        "GET /etc/passwd HTTP/1.1",
        "nonsense",
    ],
)
def test_the_proxy_connects_only_where_the_guard_does(request_line: str) -> None:
    with canary() as bird, proxy(Guard(), 10**6, 30) as door:
        line = request_line.format(port=bird.port)
        answer = ask(door.port, f"{line}\r\nHost: example.com\r\n\r\n")
        assert answer[:12] in (b"HTTP/1.1 403", b"HTTP/1.1 400"), answer
        assert len(door.refused) == 1
        assert bird.connections == 0


def test_a_second_request_on_a_connection_goes_nowhere() -> None:
    with (
        canary() as bird,
        Website({"/": Page("first")}) as site,
        proxy(guard(site), 10**6, 30) as door,
    ):
        first = f"GET {site.url()} HTTP/1.1\r\nHost: x\r\n\r\n"
        second = f"GET http://127.0.0.1:{bird.port}/ HTTP/1.1\r\nHost: y\r\n\r\n"
        assert ask(door.port, first + second).count(b"HTTP/1.1") == 1
        assert bird.connections == 0


def test_bytes_and_time_are_limited() -> None:
    pages = {"/large": Page(bytes(20_000_000)), "/slow": Page("late", seconds=5)}
    with Website(pages) as site:
        with proxy(guard(site), 1_000_000, 30) as door:
            answer = ask(door.port, f"GET {site.url('/large')} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert len(answer) < 2_000_000
            assert "more than 1000000 bytes" in door.refused[0]
            again = ask(door.port, f"GET {site.url('/large')} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert again.startswith(b"HTTP/1.1 403")
        began = time.monotonic()
        with proxy(guard(site), 10**6, 0.1) as door:
            time.sleep(0.2)
            answer = ask(door.port, f"CONNECT {site.host} HTTP/1.1\r\n\r\n")
            assert b"took too long" in answer
        assert time.monotonic() - began < 3


def test_nothing_stays_open_when_the_block_ends() -> None:
    with Website({"/slow": Page("late", seconds=1)}) as site:
        with proxy(guard(site), 10**6, 30) as door:
            client = socket.create_connection(("127.0.0.1", door.port), timeout=10)
            client.sendall(f"CONNECT {site.host} HTTP/1.1\r\n\r\n".encode())
            assert b"200" in client.recv(100)
        assert client.recv(100) == b""
        client.close()
        with pytest.raises(ConnectionRefusedError):
            ask(door.port, "GET / HTTP/1.1\r\n\r\n")
