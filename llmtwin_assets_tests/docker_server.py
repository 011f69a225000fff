"""A Docker engine as its HTTP API shows it, on loopback. Its containers are processes here."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from llmtwin_assets.settings import PROJECT


class Engine:
    """Containers by id; what each was asked for, and its process."""

    def __init__(self, images: set[str]) -> None:
        self.images = images
        self.pulled: list[str] = []
        self.asked: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.signals: list[str] = []
        self.removed: list[str] = []

    def start(self, id_: str) -> None:
        asked = self.asked[id_]
        inside = dict(pair.split("=", 1) for pair in asked["Env"])
        command = [sys.executable if part == "python" else part for part in asked["Cmd"]]
        self.processes[id_] = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **inside},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stop(self, id_: str, patience: float) -> None:
        """As the engine stops a container: by its own signal, then by SIGKILL."""
        process, how = self.processes[id_], self.asked[id_]["StopSignal"]
        if process.poll() is not None:
            return
        self.signals.append(how)
        process.send_signal(getattr(signal, how))
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill(id_)

    def kill(self, id_: str) -> None:
        process = self.processes.get(id_)
        if process is not None and process.poll() is None:
            self.signals.append("SIGKILL")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def code(self, id_: str) -> int:
        code = self.processes[id_].wait()
        return 128 - code if code < 0 else code

    def mounted(self) -> dict[Path, str]:
        """What the last container sees of this machine, and how."""
        binds = list(self.asked.values())[-1]["HostConfig"]["Binds"]
        return {Path(inside): mode for _, inside, mode in (bind.split(":") for bind in binds)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def log_message(self, *_: Any) -> None:
        return

    def _json(self, status: int, value: Any) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if value is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _path(self) -> str:
        return re.sub(r"^/v[0-9.]+", "", self.path)

    def do_GET(self) -> None:
        path = self._path()
        if path == "/version":
            self._json(200, {"ApiVersion": "1.44", "Version": "25.0"})
        elif match := re.match(r"/containers/(\w+)/json", path):
            tty = {"Tty": False}
            self._json(200, {"Id": match[1], "Config": tty, "State": {"Status": "running"}})
        elif match := re.match(r"/containers/(\w+)/logs", path):
            self._logs(match[1])
        elif match := re.match(r"/images/(.+)/json", path):
            self._json(200, {"Id": "sha256:1", "RepoTags": [match[1]]})
        else:
            self._json(404, {"message": f"no such thing: {path}"})

    def _logs(self, id_: str) -> None:
        """The engine's own framing of two streams in one."""
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.multiplexed-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        output = self.engine.processes[id_].stdout
        assert output is not None
        for line in output:
            self.wfile.write(b"\x01\0\0\0" + len(line).to_bytes(4, "big") + line)
        self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, engine = self._path(), self.engine
        if path.startswith("/containers/create"):
            asked = json.loads(body)
            if asked["Image"] not in engine.images:
                self._json(404, {"message": f"No such image: {asked['Image']}"})
                return
            id_ = f"c{len(engine.asked)}"
            engine.asked[id_] = asked
            self._json(201, {"Id": id_, "Warnings": []})
        elif path.startswith("/images/create"):
            image = re.search(r"fromImage=([^&]+)", path)
            assert image is not None
            engine.pulled.append(image[1])
            if image[1] != "unknown":
                engine.images.add(f"{image[1]}:1")
            self._json(200, {"status": "Pull complete"})
        elif match := re.match(r"/containers/(\w+)/start", path):
            engine.start(match[1])
            self._json(204, None)
        elif match := re.match(r"/containers/(\w+)/wait", path):
            self._json(200, {"StatusCode": engine.code(match[1])})
        elif match := re.match(r"/containers/(\w+)/stop\?t=(\d+)", path):
            engine.stop(match[1], float(match[2]))
            self._json(204, None)
        else:
            self._json(404, {"message": f"no such thing: {path}"})

    def do_DELETE(self) -> None:
        match = re.match(r"/containers/(\w+)", self._path())
        assert match is not None
        self.engine.kill(match[1])
        self.engine.removed.append(match[1])
        self._json(204, None)


@contextmanager
def docker_server(images: set[str]) -> Iterator[tuple[str, Engine]]:
    """The value of DOCKER_HOST, and the engine behind it."""
    engine = Engine(images)
    handler = type("Handler", (Handler,), {"engine": engine})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{server.server_address[1]}", engine
    finally:
        for id_ in engine.processes:
            engine.kill(id_)
        server.shutdown()
        server.server_close()
