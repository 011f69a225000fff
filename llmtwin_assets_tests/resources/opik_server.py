"""A server on loopback that speaks the part of Opik's REST API that traces need.

It holds to what Opik's own server insists on: ids are UUIDs of version 7, start times are instants,
sources and types are among the known ones, a span belongs to a trace, deleting a trace deletes its
spans, a project that nobody wrote to is not found, and what is sent twice is kept once.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SOURCES = {"sdk", "experiment", "playground", "optimization", "evaluator"}
TYPES = {"general", "tool", "llm", "guardrail"}


class OpikServer(ThreadingHTTPServer):
    """What was received; ``failing`` statuses are answered first, ``hung`` holds every reply."""

    daemon_threads = True

    def __init__(self, key: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = key
        self.traces: dict[str, dict[str, Any]] = {}
        self.spans: dict[str, dict[str, Any]] = {}
        self.headers: list[dict[str, str]] = []
        self.requests: list[str] = []
        self.failing: list[tuple[int, dict[str, str]]] = []
        self.hung = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api"


class Handler(BaseHTTPRequestHandler):
    server: OpikServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(body)

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: Any) -> None:
        server, url = self.server, urlsplit(self.path)
        server.headers.append(dict(self.headers))
        server.requests.append(f"{self.command} {url.path}")
        while server.hung.is_set():
            server.hung.wait(0.01)
        if server.failing:
            return self._reply(*server.failing.pop(0))
        if server.key and self.headers.get("Authorization") != server.key:
            return self._reply(401, {}, {"code": 401, "message": "API key should be provided"})
        routes = {
            "POST /api/v1/private/traces/batch": self._write_traces,
            "POST /api/v1/private/spans/batch": self._write_spans,
            "POST /api/v1/private/traces/delete": self._delete,
            "GET /api/v1/private/traces": self._find,
        }
        route = routes.get(server.requests[-1])
        if route is None:
            return self._reply(404)
        try:
            route(body, parse_qs(url.query))
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            self._reply(400, {}, {"errors": [str(error)]})

    def _write_traces(self, body: Any, _: Any) -> None:
        assert 1 <= len(body["traces"]) <= 1000
        for trace in body["traces"]:
            checked(trace)
        self.server.traces |= {trace["id"]: trace for trace in body["traces"]}
        self._reply(204)

    def _write_spans(self, body: Any, _: Any) -> None:
        assert 1 <= len(body["spans"]) <= 1000
        for span in body["spans"]:
            checked(span)
            assert span["type"] in TYPES
            assert uuid.UUID(span["trace_id"]).version == 7, "trace id must be a version 7 UUID"
            assert all(isinstance(count, int) for count in span.get("usage", {}).values())
        self.server.spans |= {span["id"]: span for span in body["spans"]}
        self._reply(204)

    def _delete(self, body: Any, _: Any) -> None:
        assert 1 <= len(body["ids"]) <= 1000
        for id_ in body["ids"]:
            self.server.traces.pop(id_, None)
        self.server.spans = {
            id_: span
            for id_, span in self.server.spans.items()
            if span["trace_id"] not in body["ids"]
        }
        self._reply(204)

    def _find(self, _: Any, query: dict[str, list[str]]) -> None:
        project = query["project_name"][0]
        found = [t for t in self.server.traces.values() if t["project_name"] == project]
        if not found:
            return self._reply(404, {}, {"errors": ["Project not found"]})
        for where in json.loads(query["filters"][0]):
            assert (where["field"], where["operator"]) == ("metadata", "=")
            assert where["type"] == "dictionary"
            value = where["value"].lower()
            found = [t for t in found if str(t["metadata"][where["key"]]).lower() == value]
        found.sort(key=lambda trace: trace["id"], reverse=True)
        page, size = int(query["page"][0]), int(query["size"][0])
        content = found[(page - 1) * size : page * size]
        self._reply(200, {}, {"page": page, "size": len(content), "content": content})

    def _reply(self, status: int, headers: dict[str, str] | None = None, body: Any = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def checked(item: dict[str, Any]) -> None:
    """Raise for what Opik refuses in a trace or a span."""
    assert uuid.UUID(item["id"]).version == 7, "id must be a version 7 UUID"
    assert item["project_name"].strip()
    assert item["source"] in SOURCES
    start, end = (datetime.fromisoformat(item[f"{side}_time"]) for side in ("start", "end"))
    assert item["start_time"].endswith("Z")
    assert start <= end
    for name in ("input", "output", "metadata"):
        assert isinstance(item.get(name, {}), dict)
    if "error_info" in item:
        assert {"exception_type", "traceback"} <= item["error_info"].keys()


@contextmanager
def serving(key: str | None = None) -> Iterator[OpikServer]:
    """The server, until the block ends."""
    server = OpikServer(key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.hung.clear()
        server.shutdown()
        thread.join()
        server.server_close()
