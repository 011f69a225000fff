"""A small world to serve: three authors with documents, an index, a report and a twin, made
directly in the stores; and programs on loopback: a server in a thread, and another kind of engine.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, StreamingResponse

from llmtwin_assets.datasets import instruct, quality
from llmtwin_assets.datasets.reviewing import Pairs, open_pairs
from llmtwin_assets.features import chunk, index
from llmtwin_assets.features.assets import read_documents
from llmtwin_assets.records import Document, InstructSample, to_frame
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.writing import essay
from resources.artifacts import link_files, open_artifacts
from resources.embedder import Embedder
from resources.vectors import open_vectors

AUTHORS = ("ada", "byron", "cleo")
Text = Callable[[str, int], str]


def canary(author: str, number: int) -> str:
    """A word that stands in one document of one author and nowhere else."""
    return f"zq{author}{number:03d}x"


def plain_text(author: str, number: int) -> str:
    body = essay(number + 1000 * AUTHORS.index(author)).split("---\n")[2].strip()
    return f"{body}\n\nHere {author} mentions the {canary(author, number)} by name."


def build_world(
    home: Path, model: Path, authors: tuple[str, ...] = AUTHORS, text: Text = plain_text,
    documents: int = 8,
) -> Settings:  # fmt: skip
    """Settings of a home with these authors, each with a twin that is a copy of ``model``."""
    home.mkdir(parents=True, exist_ok=True)
    entries = "".join(
        f"  - id: {a}\n    name: {a.title()} Writer\n    sources: [{{type: folder, path: /tmp}}]\n"
        for a in (*authors, "nobody-yet")
    )
    (home / "authors.yaml").write_text(f"authors:\n{entries}", "utf-8")
    settings = from_environment(
        {
            "LLMTWIN_HOME": str(home),
            "LLMTWIN_AUTHORS": str(home / "authors.yaml"),
            "LLMTWIN_BASE_MODEL": str(model),
        }
    )
    embedder = Embedder(settings.embedder)
    for author in authors:
        rows = [
            Document(
                id=f"{author}-{n}", kind="article", url=f"https://{author}.example/{n}",
                title=f"Essay {n} of {author}", published=date(2024, 1, n % 28 + 1),
                text=text(author, n), search=text(author, n), raw_hash=str(n), split="train",
            )
            for n in range(documents)
        ]  # fmt: skip
        add_author(settings, author, rows, embedder, model)
    return settings


def add_author(
    settings: Settings, author: str, rows: list[Document], embedder: Embedder, model: Path
) -> None:
    """Put an author's documents, index, report and twin into the stores."""

    store = open_artifacts(settings.artifacts_url)

    def report(folder: Path) -> dict[str, Any]:
        (folder / "report.html").write_text(f"<h1>The twin of {author}</h1>", "utf-8")
        return {"twin": "t1", "figures": {"style gain (Delta)": 0.5}}

    def endpoint(folder: Path) -> dict[str, Any]:
        link_files(model, folder / "model")
        return {"name": f"{author.title()} Writer", "twin": "t1", "report": "r1"}

    add_documents(settings, author, rows)
    store.publish(author, "eval_report", "r1", report)
    store.publish(author, "endpoint", f"{author}-v1", endpoint)
    chunks = chunk.chunks_of(author, rows, embedder.max_tokens, embedder.count_tokens)
    made = index.embed(chunks, embedder, lambda _: None)
    vectors = open_vectors(settings.vectors_url)
    vectors.build(author, "v1", 384, index.points(chunks, made))


def add_documents(settings: Settings, author: str, rows: list[Document]) -> None:
    """Put an author's cleaned documents into the store."""

    def build(folder: Path) -> dict[str, Any]:
        to_frame(Document, rows).write_parquet(folder / "documents.parquet")
        return {"rows": len(rows), "figures": {"documents": len(rows)}}

    open_artifacts(settings.artifacts_url).publish(author, "cleaned_documents", "d1", build)


def add_pairs(settings: Settings, author: str, given: list[InstructSample] | None = None) -> Pairs:
    """Make an author's data set of their documents, by rules, or of ``given`` rows whatever they
    say; give what there is to review."""
    store = open_artifacts(settings.artifacts_url)
    documents = store.current(author, "cleaned_documents")
    assert documents is not None
    rows = instruct.candidates(read_documents(documents))
    found = quality.judged(to_frame(InstructSample, rows), [])
    if given is not None:
        found = replace(found, kept=to_frame(InstructSample, given))

    def build(folder: Path) -> dict[str, Any]:
        found.kept.write_parquet(folder / quality.SAMPLES)
        found.dropped.write_parquet(folder / quality.DROPPED)
        return {"rows": found.kept.height, "train_words": 1}

    return open_pairs(store.publish(author, "instruct_dataset", "p1", build), documents)


def small_model(folder: Path) -> Path:
    """The random two-layer model."""
    return tiny_model.build(folder)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Run an app on a free loopback port, in a thread; gives its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@dataclass
class OtherEngine:
    """An OpenAI-compatible engine that is not ours: no window size, no version, words of its own.

    ``pieces`` is what it writes; ``parrots`` makes it write what it was asked, as a model would
    that obeys whatever it reads. ``longest`` is the characters of chat it takes, and ``counts``
    whether it tells how many there were. ``fails`` is a status it answers with; ``stalls`` makes it
    write its first piece and then nothing; ``breaks`` cuts the stream in the middle.
    """

    pieces: list[str] = field(default_factory=lambda: ["The ", "answer", " is here. "])
    longest: int = 10**9
    counts: bool = True
    fails: int = 0
    parrots: bool = False
    stalls: bool = False
    breaks: bool = False
    usage: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    writing: int = 0
    left: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            return {"object": "list", "data": [{"id": "whatever", "object": "model"}]}

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Any:
            body = await request.json()
            self.asked.append(body)
            self.keys.append(request.headers.get("authorization", ""))
            if self.fails:
                return JSONResponse({"error": {"message": "SECRET stack"}}, self.fails)
            size = sum(len(message["content"]) for message in body["messages"])
            if size > self.longest:
                message = (  # as vLLM says it
                    f"This model's maximum context length is {self.longest} tokens. However, your "
                    f"request has {size} input tokens. Please reduce the length of the input."
                )
                if not self.counts:
                    message = "The context length is exceeded."
                return JSONResponse({"error": {"message": message}}, 400)
            pieces = parroted(body["messages"][-1]["content"]) if self.parrots else self.pieces
            return StreamingResponse(self._events(pieces), media_type="text/event-stream")

        return app

    async def _events(self, pieces: list[str]) -> Any:
        self.writing += 1
        try:
            for position, piece in enumerate(pieces):
                if self.stalls and position == 1:
                    await asyncio.sleep(3600)
                if self.breaks and position == 1:
                    raise RuntimeError("the engine dies")
                yield _event({"choices": [{"index": 0, "delta": {"content": piece}}]})
            yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if self.usage:
                yield _event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.writing -= 1


def parroted(text: str) -> list[str]:
    """A text in pieces of one to seven characters, cut as nobody would cut it."""
    pieces, size = [], 0
    while text:
        size = size * 5 % 7 + 1
        pieces, text = [*pieces, text[:size]], text[size:]
    return pieces


def _event(data: Any) -> str:
    return f"data: {json.dumps(data)}\n\n"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
