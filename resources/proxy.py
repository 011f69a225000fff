"""A forward proxy on loopback for programs that a guard in Python cannot see: git and the browser.

It connects where ``addresses.py`` allows, counts the bytes, and ends with the block that opened it.
Knows CONNECT and plain requests, and nothing of what is in a tunnel.
"""

import re
import selectors
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from resources.addresses import Guard, Url, parse_url
from resources.errors import LlmTwinError

HEAD = 64 * 1024  # bytes of a request's or reply's headers, at most
PIECE = 64 * 1024
CONNECTIONS = 64  # at once
# What one connection says to the next and not to the server.
_HOP = re.compile(rb"(?im)^(connection|keep-alive|proxy-[a-z-]+|upgrade|expect):[^\r\n]*\r\n")


@dataclass
class Proxy:
    """A running proxy: where it is, what came through, and what it refused."""

    port: int
    limit: int  # bytes that may come through in total
    ends: float  # on the monotonic clock
    received: int = 0
    refused: list[str] = field(default_factory=list)  # reasons, for the error of who used it

    @property
    def url(self) -> str:
        """What a program is told as its proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def over(self) -> str | None:
        """Which limit has been reached, if one has."""
        if self.received > self.limit:
            return f"it sends more than {self.limit} bytes"
        return "it took too long" if time.monotonic() > self.ends else None


class _RefusedError(Exception):
    """Why a request is not passed on, for its reply."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@contextmanager
def proxy(guard: Guard, limit: int, seconds: float) -> Iterator[Proxy]:
    """A proxy that passes on at most ``limit`` bytes from servers for at most ``seconds``."""
    server = _Server(guard)
    running = Proxy(server.server_address[1], limit, time.monotonic() + seconds)
    server.running = running
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.close_all()
        server.server_close()
        thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    running: Proxy

    def __init__(self, guard: Guard) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.guard = guard
        self.slots = threading.BoundedSemaphore(CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is its two ends' affair."""

    @contextmanager
    def kept(self, connection: socket.socket) -> Iterator[socket.socket]:
        """A connection that is closed with the server at the latest."""
        with self._lock:
            self._open.add(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def close_all(self) -> None:
        """End every connection, whoever waits on it."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(socketserver.BaseRequestHandler):
    """One connection of a client: one request or one tunnel."""

    server: _Server

    def handle(self) -> None:
        client: socket.socket = self.request
        with self.server.slots, self.server.kept(client):
            client.settimeout(30)
            try:
                self._serve(client)
            except _RefusedError as error:
                self.server.running.refused.append(str(error))
                body = f"{error}\n".encode()
                head = (
                    f"HTTP/1.1 {error.status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                client.sendall(head.encode() + body)

    def _serve(self, client: socket.socket) -> None:
        line, headers, rest = _read_head(client)
        try:
            method, target, version = line.decode("ascii").split(" ")
        except ValueError as error:
            raise _RefusedError("400 Bad Request", "it is not an HTTP request") from error
        if method == "CONNECT":
            with self._connected(_parsed(f"https://{target}")) as upstream:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                upstream.sendall(rest)
                self._splice(client, upstream)
            return
        url = _parsed(target)
        if url.scheme != "http":
            raise _RefusedError("400 Bad Request", "https goes through CONNECT")
        asked = f"{method} {url.target} {version}".encode()
        with self._connected(url) as upstream:
            # One request per connection: the next one may be for a host that was not checked.
            upstream.sendall(_closing(asked, headers) + rest)
            answered, headers, rest = _read_head(upstream)
            client.sendall(_closing(answered, headers) + rest)
            self.server.running.received += len(headers) + len(rest)
            self._splice(client, upstream)

    @contextmanager
    def _connected(self, url: Url) -> Iterator[socket.socket]:
        if self.server.running.over:
            raise _RefusedError("403 Forbidden", self.server.running.over)
        try:
            upstream = self.server.guard.connect(url.host, url.port, 20)
        except LlmTwinError as error:
            raise _RefusedError("403 Forbidden", str(error)) from error
        with self.server.kept(upstream):
            yield upstream

    def _splice(self, client: socket.socket, upstream: socket.socket) -> None:
        """Pass bytes both ways until one side ends or a limit is reached."""
        running = self.server.running
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, upstream)
            ready.register(upstream, selectors.EVENT_READ, client)
            while not running.over:
                for key, _ in ready.select(1.0):
                    source, sink = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    data = source.recv(PIECE)
                    if not data:
                        return
                    sink.sendall(data)
                    running.received += len(data) * (source is upstream)
        running.refused.append(str(running.over))


def _parsed(target: str) -> Url:
    try:
        return parse_url(target)
    except LlmTwinError as error:
        raise _RefusedError("403 Forbidden", str(error)) from error


def _read_head(connection: socket.socket) -> tuple[bytes, bytes, bytes]:
    """The first line, the header lines with their ends, and what has come after the headers."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(PIECE)
        data += piece
        if not piece or len(data) > HEAD:
            raise _RefusedError("502 Bad Gateway", "it does not speak HTTP")
    head, _, rest = data.partition(b"\r\n\r\n")
    line, _, headers = head.partition(b"\r\n")
    return line, headers + b"\r\n", rest


def _closing(line: bytes, headers: bytes) -> bytes:
    """A head that says that the connection ends with this request."""
    return line + b"\r\nConnection: close\r\n" + _HOP.sub(b"", headers).lstrip() + b"\r\n"
