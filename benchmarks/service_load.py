"""The service under a mixed load, with the engine killed again and again; in the last third it is
left alone, so that memory that grows can be seen. Used by ``benchmarks.serving``.

Three authors with documents of their own and models of their own; clients that ask, stream, leave
in the middle, ask for what does not exist or makes no sense. Every answer is compared with the one
that the same question got before the load began: the engine gives the same text for the same seed
whatever it writes at the same time, so that any difference is a fault. Words that stand in one
author's documents only (canaries) show whether anything of another author came along.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.output import progress
from llmtwin_assets.features import chunk, index
from llmtwin_assets.records import Document, to_frame
from llmtwin_assets.serving.keys import create_key
from llmtwin_assets.settings import PROJECT, Settings, from_environment
from resources import base_model
from resources.artifacts import link_files, open_artifacts
from resources.embedder import Embedder
from resources.vectors import open_vectors

CLIENTS = 6
DOCUMENTS = 12  # of each author
QUESTIONS = 4  # of each author, to the twin and to the base model
TOKENS = 24
LIFE = 25  # answers, after which the engine is killed
CALM = 1 / 3  # of the time: the last part, in which it is not
WARM = 1 / 4  # of the calm part: the engine loads its models again
PATIENCE = 300.0
AUTHORS = ("ada", "byron", "cleo")
WORDS = "lantern harbour winter letter garden engine mirror bridge candle river stone road".split()


@dataclass
class Program:
    """One of the service's programs, running."""

    url: str
    process: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    command: list[str]

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError(self.url)

    def restart(self) -> None:
        """Kill it without warning and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = subprocess.Popen(self.command, env=self.environment, cwd=PROJECT)

    def megabytes(self) -> float:
        """Memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) / 1024


@contextmanager
def program(name: str, settings: Settings, engine: Program | None = None) -> Iterator[Program]:
    """The ``engine`` or the ``api`` as its own process on a free port, until the block ends."""
    port = free_port()
    command = [
        *[sys.executable, "-m", "uvicorn", "--factory", f"llmtwin_assets.serving.apps:{name}"],
        *["--port", str(port), "--log-level", "error", "--no-access-log"],
    ]
    environment = {
        **os.environ,
        "LLMTWIN_HOME": str(settings.home),
        "LLMTWIN_AUTHORS": str(settings.authors_file),
        "LLMTWIN_BASE_MODEL": settings.base_model,
        **({"LLMTWIN_ENGINE_URL": f"{engine.url}/v1"} if engine else {}),
    }
    process = subprocess.Popen(command, env=environment, cwd=PROJECT)
    running = Program(f"http://127.0.0.1:{port}", process, environment, command)
    try:
        running.wait()
        yield running
    finally:
        running.process.terminate()
        running.process.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Question:
    """A question and the answer that it must get, every time."""

    author: str
    variant: str
    body: dict[str, Any]
    answer: str = ""


def load(home: Path, minutes: float) -> dict[str, float]:
    """Counts of a mixed load of ``minutes``, and the memory that the two programs hold while the
    engine is left alone."""
    settings = make_world(home)
    keys = [create_key(settings.keys_file, None, "load")[0] for _ in range(CLIENTS)]
    counts: Counter[str] = Counter()
    with program("engine", settings) as engine, program("api", settings, engine) as api:
        progress("what the answers must be ...")
        questions = [asked_once(api, keys[n % CLIENTS], q) for n, q in enumerate(all_questions())]
        progress(f"{minutes} minutes of load ...")
        end = time.monotonic() + 60 * minutes
        clients = [
            threading.Thread(target=client, args=(number, api, key, questions, counts, end))
            for number, key in enumerate(keys)
        ]
        for thread in clients:
            thread.start()
        calm = end - 60 * minutes * CALM
        kill_often(engine, counts, calm)
        held = watched({"API": api, "engine": engine}, calm + WARM * (end - calm), end)
        for thread in clients:
            thread.join()
        engine.wait()
        after = [asked_once(api, keys[0], question) for question in questions[::4]]
        counts["wrong answers"] += sum(
            one.answer != before.answer for one, before in zip(after, questions[::4], strict=True)
        )
    names = ("answers", "wrong answers", "empty answers", "leaks", "left", "away", "other errors")
    return {
        **{name: float(counts[name]) for name in (*names, "refused as it should be")},
        "engine restarts": float(counts["engine restarts"]),
        **{
            key: value
            for name, sizes in held.items()
            for key, value in figures(name, sizes).items()
        },
    }


def kill_often(engine: Program, counts: "Counter[str]", end: float) -> None:
    """Kill the engine after every ``LIFE`` answers."""
    killed_at = 0
    while time.monotonic() < end:
        time.sleep(0.5)
        if counts["answers"] - killed_at >= LIFE:
            killed_at = counts["answers"]
            engine.restart()
            counts["engine restarts"] += 1


def watched(programs: dict[str, Program], begin: float, end: float) -> dict[str, list[float]]:
    """Megabytes that each program held, twice a second from ``begin`` to ``end``."""
    held: dict[str, list[float]] = {name: [] for name in programs}
    time.sleep(max(begin - time.monotonic(), 0))
    while time.monotonic() < end or not all(held.values()):
        for name, running in programs.items():
            held[name].append(running.megabytes())
        time.sleep(0.5)
    return held


def figures(name: str, sizes: list[float]) -> dict[str, float]:
    """The most memory of a program, and by how much that of the last half of the samples is above
    that of the first half: what it needs for a moment comes in both."""
    middle = max(len(sizes) // 2, 1)
    first, last = max(sizes[:middle]), max(sizes[middle:], default=sizes[-1])
    return {
        f"memory of the {name}, MB": max(sizes),
        f"memory of the {name}, last half over first": last / first,
    }


def make_world(home: Path) -> Settings:
    """Authors with documents that hold canaries, and a model of its own for each."""
    settings = settings_of(home)
    stock = base_model.resolve(settings.base_model, settings.models)
    for number, author in enumerate(AUTHORS):
        progress(f"the world of {author} ...")
        own_model(stock, home / author, number)
        add_author(settings, author, home / author)
    return settings


def settings_of(home: Path) -> Settings:
    """Settings of a home with the authors of this benchmark."""
    registry = home / "authors.yaml"
    sources = f"[{{type: folder, path: {home}}}]"
    registry.write_text(
        "authors:\n"
        + "".join(f"  - id: {a}\n    name: {a.title()}\n    sources: {sources}\n" for a in AUTHORS)
    )
    return from_environment(
        {**os.environ, "LLMTWIN_HOME": str(home), "LLMTWIN_AUTHORS": str(registry)}
    )


def add_author(settings: Settings, author: str, model: Path) -> None:
    """Put an author's documents, index and twin into the stores."""
    documents = [
        Document(
            id=f"{author}-{number}", kind="article", url=f"https://{author}.example/{number}",
            title=f"Piece {number}", published=None, text=text(author, number),
            search=text(author, number), raw_hash=str(number), split="train",
        )
        for number in range(DOCUMENTS)
    ]  # fmt: skip
    embedder, store = Embedder(settings.embedder), open_artifacts(settings.artifacts_url)
    chunks = chunk.chunks_of(author, documents, embedder.max_tokens, embedder.count_tokens)
    made = index.embed(chunks, embedder, lambda _: None)
    vectors: Any = open_vectors(settings.vectors_url)
    size = embedder.embed([""]).shape[1]
    vectors.build(author, "v1", size, index.points(chunks, made))

    def written(folder: Path) -> dict[str, Any]:
        to_frame(Document, documents).write_parquet(folder / "documents.parquet")
        return {"rows": len(documents)}

    def endpoint(folder: Path) -> dict[str, str]:
        link_files(model, folder / "model")
        return {"name": author.title(), "twin": author, "report": "r"}

    store.publish(author, "cleaned_documents", "d1", written)
    store.publish(author, "endpoint", f"{author}-1", endpoint)


def canary(author: str, number: int) -> str:
    """A word that stands in one document of one author and nowhere else."""
    return f"zq{author}{number:02d}x"


def text(author: str, number: int) -> str:
    """A document of a few sentences, with its canary."""
    rng = random.Random(f"{author} {number}")
    words = [rng.choice(WORDS) for _ in range(60)]
    lines = [" ".join(words[n : n + 10]).capitalize() + "." for n in range(0, 60, 10)]
    return " ".join(lines) + f" Here we speak of {canary(author, number)} by name."


def own_model(stock: Path, target: Path, seed: int) -> None:
    """The stock model with another last norm, so that it writes other words."""
    import torch
    from safetensors.torch import load_file, save_file

    target.mkdir()
    for path in base_model.model_files(stock):
        if path.suffix != ".safetensors":
            os.link(path, target / path.name)
            continue
        tensors = load_file(path)
        norm = tensors.get("model.norm.weight")
        if norm is not None:
            torch.manual_seed(seed)
            tensors["model.norm.weight"] = norm * (1 + 0.2 * torch.randn_like(norm))
        save_file(tensors, target / path.name, metadata={"format": "pt"})


def all_questions() -> list[Question]:
    """Every author's questions, to the twin and to the base model in its place."""
    return [
        Question(
            author,
            variant,
            {
                "model": author + variant,
                "messages": [{"role": "user", "content": f"What of {canary(author, number)}?"}],
                "max_tokens": TOKENS,
                "temperature": 0.7,
                "seed": number,
            },
        )
        for author in AUTHORS
        for variant in ("", ":base")
        for number in range(QUESTIONS)
    ]


def asked_once(api: Program, key: str, question: Question) -> Question:
    """The question with the answer that it gets now."""
    reply = post(api, key, question.body)
    reply.raise_for_status()
    return replace(question, answer=content(reply.json()))


def post(api: Program, key: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{api.url}/v1/chat/completions", json=body, headers=headers, timeout=120)


def content(reply: dict[str, Any]) -> str:
    return str(reply["choices"][0]["message"]["content"])


def client(
    number: int, api: Program, key: str, questions: list[Question], counts: Counter[str], end: float
) -> None:
    """One client: mostly it asks, sometimes it leaves in the middle or asks nonsense."""
    rng = random.Random(number)
    while time.monotonic() < end:
        try:
            verdicts = asked_somehow(api, key, rng.choice(questions), rng)
        except httpx.TransportError:
            verdicts = ["other errors"]  # the API itself is never killed
        for verdict in verdicts:
            counts[verdict] += 1
        if {"away", "other errors"} & set(verdicts):
            time.sleep(1)


def asked_somehow(api: Program, key: str, question: Question, rng: random.Random) -> list[str]:
    """One thing that a client does; returns what to count."""
    kind = rng.random()
    if kind < 0.1:
        leave(api, key, question, rng)
        return ["left"]
    if kind < 0.2:
        return [nonsense(api, key, question, rng)]
    return judged(question, post(api, key, question.body))


def judged(question: Question, reply: httpx.Response) -> list[str]:
    """What to count for a reply."""
    if reply.status_code == 503:
        return ["away"]  # the engine was being started
    if reply.status_code != 200:
        return ["other errors"]
    found = ["answers"]
    if not content(reply.json()).strip():
        found.append("empty answers")
    elif content(reply.json()) != question.answer:
        found.append("wrong answers")
    others = (author for author in AUTHORS if author != question.author)
    if any(f"zq{author}" in reply.text for author in others):
        found.append("leaks")
    return found


def leave(api: Program, key: str, question: Question, rng: random.Random) -> None:
    """Ask for a stream and go after a few pieces."""
    body, headers = {**question.body, "stream": True}, {"authorization": f"Bearer {key}"}
    with (
        suppress(httpx.TransportError),
        httpx.stream(
            "POST", f"{api.url}/v1/chat/completions", json=body, headers=headers, timeout=120
        ) as reply,
    ):
        for _ in zip(range(rng.randrange(1, 12)), reply.iter_lines(), strict=False):
            pass


def nonsense(api: Program, key: str, question: Question, rng: random.Random) -> str:
    """Ask what must be refused; returns what to count."""
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"model": "nobody"}, 404),
        ({"messages": []}, 422),
        ({"temperature": 9}, 422),
        ({"messages": [{"role": "user", "content": "long " * 20_000}]}, 413),
    ]
    fields, status = rng.choice(wrong)
    reply = post(api, key, {**question.body, **fields})
    return "refused as it should be" if reply.status_code == status else "other errors"
