"""Real git repositories for tests, made commit by commit, and served over http on loopback by git's
own backend or as plain files."""

import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

from llmtwin_assets_tests.website import Page, Website

ADA = ("Ada Writer", "ada@example.org")
BOB = ("Bob Other", "bob@example.org")


class Work:
    """A repository that people commit to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=trunk")
        self.when = 1_700_000_000

    def commit(self, who: tuple[str, str] = ADA, **files: str | bytes | None) -> str:
        """Write files (names with / as __, dots as they are by ``put``) and commit them."""
        for name, content in files.items():
            self.put(name.replace("__", "/").replace("_dot_", "."), content)
        self.git("add", "--all")
        self.when += 86_400
        self.git("commit", "--quiet", "--allow-empty", "--message", "change", who=who)
        return self.git("rev-parse", "HEAD").strip()

    def put(self, name: str, content: str | bytes | None) -> None:
        """Write a file, or delete it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def git(self, *command: str, who: tuple[str, str] = ADA) -> str:
        """Run git in it, as somebody."""
        name, email = who
        people = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email), ("DATE", f"{self._when()} +0000"))
        }
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *command],
            cwd=self.folder, check=True, capture_output=True, text=True,
            env={**os.environ, **people, **quiet},
        ).stdout  # fmt: skip

    def _when(self) -> int:
        return getattr(self, "when", 0)


class GitSite(Website):
    """Serves the repositories below a folder: ``/NAME/…`` by git's smart protocol, with
    ``dumb`` as plain files."""

    def __init__(self, folder: Path, dumb: bool = False) -> None:
        self.folder = folder
        super().__init__({})
        self.pages = _Served(self._plain if dumb else self._smart)

    def publish(self, work: Work, name: str = "project.git") -> str:
        """Put a work's repository on the site, or bring it up to date; its address."""
        bare = self.folder / name
        if not bare.exists():
            work.git("init", "--quiet", "--bare", str(bare))
            settings = {"uploadpack.allowFilter": "true", "http.getanyfile": "true"}
            for key, value in settings.items():
                work.git("--git-dir", str(bare), "config", key, value)
        work.git("push", "--quiet", "--force", str(bare), "HEAD:refs/heads/trunk")
        work.git("--git-dir", str(bare), "symbolic-ref", "HEAD", "refs/heads/trunk")
        work.git("--git-dir", str(bare), "repack", "-adq")
        work.git("--git-dir", str(bare), "update-server-info")
        return self.url(f"/{name}")

    def _smart(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        size = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(size)
        if handler.headers.get("Transfer-Encoding") == "chunked":
            body = _unchunked(handler)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "REQUEST_METHOD": handler.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": handler.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol") or "",
        }
        out = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            input=body, env=environment, capture_output=True, check=True,
        ).stdout  # fmt: skip
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split(" ")[0])
        Website.answer(handler, Page(rest, status, headers))

    def _plain(self, handler: BaseHTTPRequestHandler) -> None:
        path = self.folder / unquote(urlsplit(handler.path).path).lstrip("/")
        found = Page(path.read_bytes()) if path.is_file() else Page("", 404)
        Website.answer(handler, found)


class _Served(dict):
    """One answer for every path."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def get(self, key, default=None):
        return dict.get(self, key) or self.answer


def _unchunked(handler: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while size := int(handler.rfile.readline().strip() or b"0", 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body
