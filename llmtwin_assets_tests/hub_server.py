"""A hub on the loopback interface, as far as pushes and the pull of a model need one.

It speaks the real protocol: repositories, the question which files are large, Git LFS's batch and
upload, the commit as JSON lines, and downloads by revision. It keeps everything in memory.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import yaml

TOKEN = "hf_a-token-for-tests"


class Hub:
    """What the server has been given."""

    def __init__(self) -> None:
        self.url = ""
        self.private: dict[str, bool] = {}  # by repository
        self.kinds: dict[str, str] = {}  # model or dataset, by repository
        self.uploads = 0  # of large files
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.commits: dict[str, dict[str, bytes]] = {}  # revision -> path -> content
        self.fail_commits = False

    def commit(self, lines: list[dict[str, Any]]) -> str:
        """Apply the JSON lines of a commit; returns its revision."""
        head = dict(list(self.commits.values())[-1]) if self.commits else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                head[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                head[value["path"]] = self.large[value["oid"]]
        listed = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in head.items()})
        revision = hashlib.sha1(listed.encode()).hexdigest()
        self.commits[revision] = head
        return revision


@contextmanager
def hub() -> Iterator[Hub]:
    """A running hub."""
    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _oid(data: bytes, large: bool) -> str:
    """What git calls a file: its SHA-256 in LFS, the SHA-1 of a blob otherwise."""
    if large:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _wrong(card: str) -> list[dict[str, str]]:
    """What is wrong with the head of a card, if it has one."""
    try:
        head = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---\n") else {}
    except (yaml.YAMLError, IndexError) as error:
        return [{"message": str(error)}]
    return [] if isinstance(head, dict) else [{"message": "the head is no mapping"}]


def _handler(state: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:  # noqa: PLR0911
            body, path = self._body(), self.path.partition("?")[0]
            if "oid" not in path and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self._say(401, {"error": "Invalid credentials"})
            if path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked.get('organization') or 'me'}/{asked['name']}"
                state.kinds[name] = asked.get("type") or "model"
                state.private.setdefault(name, asked.get("visibility") == "private")
                return self._say(200, {"url": f"{state.url}/{name}", "name": name, "id": name})
            if path == "/api/validate-yaml":
                wrong = _wrong(json.loads(body)["content"])
                return self._say(400 if wrong else 200, {"errors": wrong, "warnings": []})
            if "/preupload/" in path:
                files = json.loads(body)["files"]
                return self._say(200, {"files": [self._mode(file) for file in files]})
            if path.endswith("/info/lfs/objects/batch"):
                wanted = json.loads(body)["objects"]
                return self._say(
                    200, {"transfer": "basic", "objects": [*map(self._upload, wanted)]}
                )
            if "/commit/" in path:
                if state.fail_commits:
                    return self._say(403, {"error": "Forbidden"})
                revision = state.commit([json.loads(line) for line in body.splitlines() if line])
                name = path.removeprefix("/api/models").partition("/commit/")[0]
                name = name.removeprefix("/api")
                url = f"{state.url}{name}/commit/{revision}"
                return self._say(200, {"commitUrl": url, "commitOid": revision, "success": True})
            return self._say(404, {"error": path})

        def do_PUT(self) -> None:
            body = self._body()
            state.uploads += 1
            state.large[hashlib.sha256(body).hexdigest()] = body
            self._say(200, {})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
            if parts[0] == "api" and parts[1] in ("models", "datasets"):
                revision = self._revision(parts[5] if len(parts) > 5 else "main")
                if revision is None:
                    return self._say(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
                if "tree" in parts:
                    rows = [
                        {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                        for name, data in state.commits[revision].items()
                    ]
                    return self._say(200, rows)
                files = [{"rfilename": name} for name in state.commits[revision]]
                name = "/".join(parts[2:4])
                return self._say(200, {"id": name, "sha": revision, "siblings": files})
            if parts[2:3] == ["resolve"]:
                revision = self._revision(parts[3])
                data = state.commits.get(revision or "", {}).get("/".join(parts[4:]))
                if data is None:
                    return self._say(404, {}, {"X-Error-Code": "EntryNotFound"})
                etag = hashlib.sha256(data).hexdigest()
                return self._send(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": str(revision)})
            return self._say(404, {"error": self.path})

        def _revision(self, name: str) -> str | None:
            if name == "main":
                return next(reversed(state.commits), None)
            return name if name in state.commits else None

        def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
            large = file["path"].endswith((".safetensors", ".gguf", ".parquet"))
            mode = "lfs" if large else "regular"
            head = list(state.commits.values())[-1] if state.commits else {}
            data = head.get(file["path"])
            there = {} if data is None else {"oid": _oid(data, large)}
            return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False} | there

        def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
            if wanted["oid"] in state.large:
                return wanted
            href = f"{state.url}/lfs/{wanted['oid']}"
            return {**wanted, "authenticated": True, "actions": {"upload": {"href": href}}}

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def _say(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            kind = {"Content-Type": "application/json"}
            self._send(status, json.dumps(value).encode(), kind | (headers or {}))

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler
