import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.serving.guard import (
    LARGEST_BODY,
    Guard,
    PublicWithoutKeyError,
    host_name,
    is_loopback,
    refuse_public_bind,
)
from llmtwin_assets.serving.keys import Keys, create_key
from llmtwin_assets.serving.rates import Buckets, Rate
from llmtwin_assets_tests.serving.conftest import Running


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_caller_has_a_burst_and_then_a_rate() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_minute=60, burst=3), clock)
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a") == pytest.approx(1.0)
    assert buckets.take("b") == 0.0
    clock.now += 0.5
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert buckets.take("a") == 0.0
    clock.now += 3600
    assert [buckets.take("a") for _ in range(4)][2:] == [0.0, pytest.approx(1.0)]


def test_the_memory_of_callers_is_bounded() -> None:
    buckets = Buckets(Rate(), Clock(), most=100)
    for number in range(10_000):
        buckets.take(f"address {number}")
    assert len(buckets) == 100


@pytest.mark.parametrize(
    ("header", "loopback"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("[::1]:8000", True),
        ("127.8.9.1", True),
        ("evil.example", False),
        ("localhost.evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("0.0.0.0:8000", False),
        ("192.168.1.2", False),
        ("", False),
        ("[::1].evil.example", False),
    ],
)
def test_only_this_machine_s_own_names_are_loopback(header: str, loopback: bool) -> None:
    assert is_loopback(host_name(header)) is loopback


def test_a_public_address_needs_a_key(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    for host in ("127.0.0.1", "localhost", "::1"):
        refuse_public_bind(host, keys)
    for host in ("0.0.0.0", "::", "192.168.1.2", "twin.example", ""):
        with pytest.raises(PublicWithoutKeyError, match="there is no key yet"):
            refuse_public_bind(host, keys)
    create_key(keys.path, None, "x")
    refuse_public_bind("0.0.0.0", keys)


def test_a_foreign_host_name_is_refused_without_a_key(service: Running) -> None:
    for path in ("/", "/v1/models", "/healthz", "/assets/app.js"):
        reply = service.http.get(path, headers={"Host": "evil.example"})
        assert reply.status_code == 403
        assert reply.json()["error"]["code"] == "host_not_allowed"


def test_only_json_is_taken(service: Running) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        reply = service.http.post(
            "/v1/chat/completions", content=b"{}", headers={"content-type": kind}
        )
        assert reply.status_code == 415, kind
    reply = service.http.post(
        "/rag", content=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"}
    )
    assert reply.status_code == 422


def test_a_body_over_the_cap_is_refused_announced_or_not(service: Running) -> None:
    body = b'{"query": "' + b"x" * LARGEST_BODY + b'", "author": "ada"}'
    headers = {"content-type": "application/json"}
    assert service.http.post("/rag", content=body, headers=headers).status_code == 413
    parts = (body[i : i + 10_000] for i in range(0, len(body), 10_000))
    assert service.http.post("/rag", content=parts, headers=headers).status_code == 413


def test_an_endless_body_is_stopped_at_the_cap(service: Running) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"POST /rag HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n" % 60_000 + b" " * 60_000 + b"\r\n"
        sent = 0
        try:
            while sent < 100 * len(chunk):
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        connection.settimeout(5)
        reply = connection.recv(100)
    assert b" 413 " in reply or reply == b""


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def never(*_: Any) -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(never, Keys(tmp_path / "keys.json"), Rate(), body_patience=0.05)
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/rag", "headers": headers}
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == 408


def test_every_reply_carries_the_security_headers(service: Running) -> None:
    for path in ("/", "/v1/models", "/nope", "/v1/authors/zoe", "/v1/authors/ada/report"):
        reply = service.http.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'self'" in policy or "sandbox" in policy
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert not [name for name in reply.headers if name.startswith("access-control")]
    assert service.http.get("/v1/models").headers["cache-control"] == "no-store"


def test_another_site_s_page_gets_no_permission(service: Running) -> None:
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    reply = service.http.options("/v1/chat/completions", headers=asking)
    assert reply.status_code == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]
