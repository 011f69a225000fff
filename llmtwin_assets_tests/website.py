"""Real servers on loopback for tests: a website made of a mapping, and a canary."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from resources.addresses import Guard, allowed_host


@dataclass
class Page:
    """What a path answers. A status of 0 closes the connection without an answer."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # before it answers


@dataclass
class Seen:
    """A request that came."""

    path: str
    headers: dict[str, str]
    began: float
    ended: float = 0.0


Answer = Page | Callable[[BaseHTTPRequestHandler], None]


class Website:
    """Answers paths from ``pages``, anything else with 404; remembers what was asked for."""

    def __init__(self, pages: dict[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.pages = pages
        self.seen: list[Seen] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.path, headers, time.monotonic())
                site.seen.append(seen)
                answer = site.pages.get(self.path, Page("not here", 404))
                if isinstance(answer, Page):
                    site.answer(self, answer)
                else:
                    answer(self)
                seen.ended = time.monotonic()

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )

    def __enter__(self) -> "Website":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, page: Page) -> None:
        time.sleep(page.seconds)
        if page.status == 0:
            handler.close_connection = True
            return
        body = page.body.encode() if isinstance(page.body, str) else page.body
        handler.send_response(page.status)
        for name, value in page.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}{path}"

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(seen.path == path for seen in self.seen)


def guard(*sites: Website, **options: Any) -> Guard:
    """A guard that lets these sites through and nothing else of this machine."""
    return Guard(tuple(allowed_host(site.host) for site in sites), **options)


@dataclass
class Canary:
    """A port on loopback, IPv4 and IPv6, that nobody may connect to."""

    port: int
    connections: int = 0


@contextmanager
def canary() -> Iterator[Canary]:
    """A canary that sings: ``connections`` counts who came."""
    listeners = [socket.socket(socket.AF_INET, socket.SOCK_STREAM)]
    listeners[0].bind(("0.0.0.0", 0))
    bird = Canary(listeners[0].getsockname()[1])
    if socket.has_ipv6:
        six = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", bird.port))
        listeners.append(six)

    def count(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            bird.connections += 1
            connection.close()

    threads = [threading.Thread(target=count, args=(listener,)) for listener in listeners]
    for listener, thread in zip(listeners, threads, strict=True):
        listener.listen()
        thread.start()
    try:
        yield bird
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in threads:
            thread.join()
