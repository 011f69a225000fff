"""The only door to the network for an untrusted URL.

One GET at a time, over connections that the guard of ``addresses.py`` made, with limits on the size
of the body after decompression, on the time in total and on redirects. Sends no cookies, no
credentials and no referrer, reads no proxy settings. Knows nothing of robots.txt and of waiting:
that is ``polite.py``.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urljoin

import httpcore2

from resources.addresses import Guard, UnreachableError, Url, parse_url, shown
from resources.decoding import NotDecodableError, accepted, decoded
from resources.errors import LlmTwinError

USER_AGENT = "llm-twin/0.1 (archives an author's own writing)"
REDIRECTS = (301, 302, 303, 307, 308)
MEBIBYTE = 1024 * 1024


class TooLargeError(LlmTwinError):
    """A body that goes on beyond the limit."""


class TooSlowError(LlmTwinError):
    """A request that takes longer than the limit, waiting and dripping included."""


class TooManyRedirectsError(LlmTwinError):
    """A chain of redirects longer than the limit, or one that leads nowhere."""


class BrokenResponseError(LlmTwinError):
    """A reply that is not HTTP, or a body that is not what its coding says."""


@dataclass(frozen=True)
class Limits:
    """What one request may cost."""

    body: int = 10 * MEBIBYTE  # bytes after decompression, and bytes on the wire
    seconds: float = 60.0  # in total, over all redirects
    idle: float = 20.0  # seconds without a byte
    redirects: int = 5
    cut: bool = False  # a longer body is cut off instead of refused


@dataclass(frozen=True)
class Response:
    """What a server answered. ``url`` is where the redirects ended."""

    url: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    redirected: tuple[int, ...] = field(default=())  # the status of every redirect on the way

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset that the header names, if it names one."""
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'").lower() or None
        return None


Before = Callable[[Url], None]


class Web:
    """The client. Threads may share one; use it as a context manager to close its connections."""

    def __init__(
        self,
        guard: Guard,
        user_agent: str = USER_AGENT,
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.guard = guard
        self.user_agent = user_agent
        self.limits = limits or Limits()
        self._deadline = _Deadline()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=16,
            keepalive_expiry=15.0,
            network_backend=_GuardedBackend(guard, self._deadline),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._pool.close()

    def fetch(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        before: Before | None = None,
    ) -> Response:
        """GET a URL and follow its redirects; any status that is not a redirect is an answer.

        ``before`` is called with every URL before it is asked for, redirects included, and may
        refuse it by raising. Raises ``ForbiddenUrlError``, ``ForbiddenAddressError``,
        ``UnreachableError``, ``TooLargeError``, ``TooSlowError``, ``TooManyRedirectsError`` and
        ``BrokenResponseError``.
        """
        limits = limits or self.limits
        target, redirected = parse_url(url), list[int]()
        spent = 0.0
        while True:
            if before:
                before(target)
            began = time.monotonic()
            response = self._once(target, headers or {}, limits, limits.seconds - spent)
            # What ``before`` waits is politeness and not the server's slowness.
            spent += time.monotonic() - began
            if response.status not in REDIRECTS:
                return Response(
                    str(target), response.status, response.headers, response.body, tuple(redirected)
                )
            location = response.headers.get("location")
            redirected.append(response.status)
            if not location or len(redirected) > limits.redirects:
                raise TooManyRedirectsError(
                    shown(url),
                    f"its redirects go beyond {limits.redirects}"
                    if location
                    else "it redirects without saying where to",
                    "Use the address that a browser ends at",
                )
            target = parse_url(urljoin(str(target), _text(location)))

    def _once(
        self, url: Url, headers: Mapping[str, str], limits: Limits, seconds: float
    ) -> Response:
        sent = {
            "Host": url.authority,
            "User-Agent": self.user_agent,
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Encoding": accepted(),
            **headers,
        }
        waits = {"connect": limits.idle, "read": limits.idle, "write": limits.idle, "pool": seconds}
        address = httpcore2.URL(
            scheme=url.scheme, host=url.host, port=url.port, target=url.target.encode()
        )
        with (
            self._deadline.within(seconds),
            _refusals(str(url)),
            self._pool.stream(
                "GET",
                address,
                headers=[
                    (name.encode(), value.encode("latin-1", "replace"))
                    for name, value in sent.items()
                ],
                extensions={"timeout": waits},
            ) as answer,
        ):
            received = _joined(answer.headers)
            body = b""
            if answer.status not in REDIRECTS:
                pieces = capped(answer.iter_stream(), limits, str(url))
                codings = received.get("content-encoding", "")
                body = b"".join(capped(decoded(pieces, codings), limits, str(url)))
            return Response(str(url), answer.status, received, body)


def capped(pieces: Iterable[bytes], limits: Limits, item: str) -> Iterator[bytes]:
    """The pieces as far as the limit of a body; raises ``TooLargeError`` where it says so."""
    left = limits.body
    for piece in pieces:
        if len(piece) > left and not limits.cut:
            raise TooLargeError(
                shown(item), f"its body is over {limits.body} bytes", "It is left out"
            )
        yield piece[:left]
        left -= len(piece)
        if left < 0:
            return


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; the values of one that comes several times joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("ascii").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def _text(header: str) -> str:
    """A header's value with the letters that its bytes stand for in UTF-8, if they do."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return header


class _OverError(Exception):
    """The deadline has passed."""


class _Deadline(threading.local):
    """When the request that this thread is making has to be over."""

    at = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.at = time.monotonic() + seconds
        try:
            yield
        finally:
            self.at = float("inf")

    def left(self, wanted: float | None) -> float:
        """Seconds that one network operation may take; raises ``_OverError`` when none are left."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise _OverError()
        return left if wanted is None else min(left, wanted)


@contextmanager
def _refusals(url: str) -> Iterator[None]:
    """Failures of the network library as refusals of ours."""
    item = shown(url)
    try:
        yield
    except (_OverError, TimeoutError, httpcore2.TimeoutException) as error:
        raise TooSlowError(item, "it took too long", "Try again later") from error
    except (httpcore2.ProtocolError, NotDecodableError) as error:
        raise BrokenResponseError(
            item, f"its reply cannot be read ({error})", "Look at it in a browser"
        ) from error
    except (httpcore2.NetworkError, OSError) as error:
        raise UnreachableError(
            item, f"the connection failed ({error})", "Try again later"
        ) from error


class _GuardedBackend(httpcore2.NetworkBackend):
    """Connects through the guard, and nowhere else."""

    def __init__(self, guard: Guard, deadline: _Deadline) -> None:
        self._guard = guard
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        connection = self._guard.connect(host, port, self._deadline.left(timeout))
        return _Stream(connection, self._deadline)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        raise UnreachableError(path, "it is not a host", "Use http or https")


class _Stream(httpcore2.NetworkStream):
    """A connected socket of which every operation keeps to the deadline."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._connection.settimeout(self._deadline.left(timeout))
        return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        while rest:
            self._connection.settimeout(self._deadline.left(timeout))
            try:
                rest = rest[self._connection.send(rest) :]
            except ConnectionError as error:  # a server may answer and close before it has read all
                raise httpcore2.WriteError(error) from error

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        self._connection.settimeout(self._deadline.left(timeout))
        try:
            secured = ssl_context.wrap_socket(self._connection, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # an idle connection that can be read has been closed
            events = select.poll()
            events.register(self._connection, select.POLLIN)
            return bool(events.poll(0))
        return None
