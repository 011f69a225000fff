"""How much of an article, and how little else, is taken from a web page; and how fast.

    python -m benchmarks.extraction --data DIR [--rounds 1]

``DIR`` is a folder of the public article-extraction benchmark: ``ground-truth.json`` (id ->
``articleBody``, ``url``) and ``html/<id>.html.gz``. Beside ours: trafilatura (default and fast,
each with readers' comments, as it comes, and without, as we call it), readability-lxml, html2text
and BeautifulSoup's text, on the same bytes, taking turns page by page, and at being first.
Install the peers with ``pip install -e '.[bench]'``.

- Precision, recall and F1 over runs of four words, every page counting the same. Half of the pages,
  by the hash of their id, were never looked at while the extractor was written: their figures stand
  under ``kept``, the others' under ``tuned``. The difference to trafilatura's better mode has a
  paired bootstrap interval (95 %) over pages.
- Pages per CPU-second, imports and decompression apart; the median round.
- Structure: the share that arrives as Markdown, kind by kind, on pages made here with a site's
  frame around them (``benchmarks.structure``). Peers: trafilatura's and html2text's Markdown.
"""

import argparse
import gzip
import hashlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.output import emit, goal, progress
from benchmarks.structure import structure
from llmtwin_assets.corpus.extract import extract

RUN = 4  # words
DRAWS = 2_000
WORD = re.compile(r"\w+")
IMAGE, LINK = re.compile(r"!\[[^\]]*\]\([^)]*\)"), re.compile(r"\[([^\]]*)\]\([^)\s]*\)")
NUMBER = re.compile(r"^\s*\d+\. ", re.MULTILINE)
BEST = 0.970  # the best F1 published for the whole public set

Extract = Callable[[bytes, str], str]
Shares = tuple[float, float, float]  # of a page's runs: found rightly, found wrongly, missed


def ours(body: bytes, url: str) -> str:
    """Our Markdown without the addresses of links and the numbers of items: the truth is text."""
    return NUMBER.sub("", LINK.sub(r"\1", IMAGE.sub("", extract(body, url).text)))


def systems() -> dict[str, Extract]:
    """Every system by name."""
    import html2text
    import readability
    import trafilatura
    from bs4 import BeautifulSoup
    from lxml import html

    def markdown(body: bytes, url: str) -> str:
        reader = html2text.HTML2Text(baseurl=url)
        reader.ignore_links = reader.ignore_images = True
        return str(reader.handle(body.decode("utf-8", "replace")))

    def readable(body: bytes, url: str) -> str:
        summary = readability.Document(body.decode("utf-8", "replace"), url=url).summary()
        return str(html.fromstring(summary).text_content())

    return {
        "ours": ours,
        "trafilatura": lambda body, url: trafilatura.extract(body, url=url) or "",
        "trafilatura fast": lambda body, url: trafilatura.extract(body, url=url, fast=True) or "",
        "trafilatura, no comments": lambda body, url: (
            trafilatura.extract(body, url=url, include_comments=False) or ""
        ),
        "trafilatura fast, no comments": lambda body, url: (
            trafilatura.extract(body, url=url, fast=True, include_comments=False) or ""
        ),
        "readability-lxml": readable,
        "html2text": markdown,
        "BeautifulSoup": lambda body, url: BeautifulSoup(body, "lxml").get_text(" "),
    }


def shares(text: str, truth: str) -> Shares:
    """Runs of four words that are right, wrong and missing, in shares of all of the page's."""
    got, wanted = runs(text), runs(truth)
    right = sum((got & wanted).values())
    wrong, missed = sum(got.values()) - right, sum(wanted.values()) - right
    total = max(right + wrong + missed, 1)
    return right / total, wrong / total, missed / total


def runs(text: str) -> "Counter[tuple[str, ...]]":
    """Runs of four words, or the whole of a shorter text."""
    words = WORD.findall(text)
    if 0 < len(words) < RUN:
        return Counter([tuple(words)])
    return Counter(zip(*(words[start:] for start in range(RUN)), strict=False))


def f1(pages: Sequence[Shares]) -> dict[str, float]:
    """Precision, recall and F1 over pages."""
    right, wrong, missed = (sum(column) for column in zip(*pages, strict=True))
    precision, recall = right / max(right + wrong, 1e-9), right / max(right + missed, 1e-9)
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
    }


def difference(one: Sequence[Shares], other: Sequence[Shares]) -> dict[str, float]:
    """F1 of one less that of the other, with its interval over pages drawn again."""
    draw = random.Random(0)
    found = []
    for _ in range(DRAWS):
        rows = [draw.randrange(len(one)) for _ in one]
        found.append(f1([one[r] for r in rows])["f1"] - f1([other[r] for r in rows])["f1"])
    found.sort()
    return {
        "value": round(f1(one)["f1"] - f1(other)["f1"], 4),
        "low": round(found[int(0.025 * DRAWS)], 4),
        "high": round(found[int(0.975 * DRAWS)], 4),
    }


def measure(folder: Path, rounds: int) -> tuple[dict[str, dict[str, Shares]], dict[str, float]]:
    """System -> page -> shares, and system -> pages per CPU-second."""
    truth = json.loads((folder / "ground-truth.json").read_text("utf-8"))
    bodies = {page: gzip.decompress((folder / "html" / f"{page}.html.gz").read_bytes())
              for page in truth}  # fmt: skip
    running = systems()
    for work in running.values():
        work(next(iter(bodies.values())), "https://example.org/")  # imports are not the page's cost
    found: dict[str, dict[str, Shares]] = {name: {} for name in running}
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(rounds):
        spent = dict.fromkeys(running, 0.0)
        for number, (page, body) in enumerate(bodies.items(), start=1):
            first = number % len(
                running
            )  # who reads a page first finds nothing of it in the caches
            for name, work in [*running.items()][first:] + [*running.items()][:first]:
                began = time.process_time()
                text = work(body, truth[page]["url"])
                spent[name] += time.process_time() - began
                found[name][page] = shares(text, truth[page]["articleBody"])
            if number % 20 == 0:
                progress(f"round {turn + 1}: {number} of {len(bodies)} pages")
        for name, cost in spent.items():
            seconds[name].append(cost)
    return found, {name: round(len(bodies) / median(each), 1) for name, each in seconds.items()}


def is_kept(page: str) -> bool:
    """Whether this page was kept from tuning."""
    return hashlib.sha256(page.encode()).digest()[0] % 2 == 1


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark and print its object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(argv)
    found, speed = measure(options.data, options.rounds)
    kept = [page for page in found["ours"] if is_kept(page)]
    results: dict[str, Any] = {
        name: {
            "kept": f1([pages[page] for page in kept]),
            "tuned": f1([share for page, share in pages.items() if page not in kept]),
            "pages per CPU-second": speed[name],
        }
        for name, pages in found.items()
    }
    rivals = [name for name in results if name.startswith("trafilatura")]
    best = max(rivals, key=lambda name: results[name]["kept"]["f1"])
    ahead = difference([found["ours"][p] for p in kept], [found[best][p] for p in kept])
    results["ours less the better trafilatura"] = {"peer": best, **ahead}
    results["structure"] = structure()
    emit(
        "extraction",
        f"{len(found['ours'])} pages, {len(kept)} of them kept from tuning",
        results,
        {
            "F1 on pages kept from tuning, above trafilatura's by the interval": goal(
                0.0, ahead["low"], at_most=False
            ),
            "best published F1": goal(BEST, results["ours"]["kept"]["f1"], at_most=False),
            "pages per CPU-second, as a share of trafilatura fast's": goal(
                1.0, round(speed["ours"] / speed["trafilatura fast"], 3), at_most=False
            ),
            "structure that arrives": goal(1.0, results["structure"]["ours"]["all"], at_most=False),
        },
    )


if __name__ == "__main__":
    main()
