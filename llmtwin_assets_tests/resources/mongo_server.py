"""MongoDB servers for tests: programs from the package index that speak its wire protocol, each run
as a process of its own with a directory of its own. No mongod is in that index; where
``MONGODB_URL`` names one, as in the project's CI, it is a server too."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = {"secantus": "secantusd-py", "nx": "nx-27017"}
MONGOD = os.environ.get("MONGODB_URL", "")  # without a database
SERVERS = (*PROGRAMS, *(["mongod-of-MONGODB_URL"] if MONGOD else []))
SECONDS = 60  # to start on a busy machine


def there(server: str) -> bool:
    """Whether the server can be used."""
    return server not in PROGRAMS or _program(server) is not None


def _program(server: str) -> Path | None:
    """The server's program in this environment, if it is installed."""
    found = shutil.which(PROGRAMS[server], path=str(Path(sys.executable).parent))
    return Path(found) if found else None


@contextmanager
def running(server: str, folder: Path) -> Iterator[str]:
    """A server over ``folder``; gives its URL, without a database."""
    if server not in PROGRAMS:
        yield MONGOD
        return
    path = _program(server)
    assert path is not None
    port = _free_port()
    arguments = {
        "secantus": ["--port", str(port), "--storage-path", str(folder), "--sync-on-commit"],
        "nx": ["--port", str(port), "--data-dir", str(folder), "--pid-file", str(folder / "pid")],
    }[server]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [path, "--host", "127.0.0.1", *arguments],
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            _wait(process, port, folder / "server.log")
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text('utf-8', 'replace')[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
