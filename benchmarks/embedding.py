"""Embedding texts, beside sentence-transformers as it is called by default.

    python -m benchmarks.embedding [--data DIR] [--texts 384] [--model all-minilm-l6-v2]

Both embed the same texts with the same weights on the same threads (OMP_NUM_THREADS): runs of one
to nine sentences of ``--data`` (its Markdown files; default: the shipped essays). Turns alternate;
figures are medians of five.

- texts per CPU-second;
- cosine of each vector to the one of the default, mean and smallest;
- nDCG@10 where ``--data`` holds ``questions.csv`` (see benchmarks.retrieval): chunks ranked for
  a question, the gain of a chunk being its share of the answering characters.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks.chunking import pool
from benchmarks.output import emit, goal, progress
from benchmarks.retrieval import Corpus, corpora, ndcg
from llmtwin_assets.features.split import MATCH, WordTokens, chunk_spans, sentences
from resources.embedder import Embedder

TURNS = 5

Embed = Callable[[Sequence[str]], Any]


def drawn(blocks: Sequence[str], count: int) -> list[str]:
    """Runs of one to nine sentences."""
    rng = random.Random(3)
    whole = "\n\n".join(blocks)
    found = sentences(whole)
    texts = []
    for _ in range(count):
        first = rng.randrange(len(found) - 9)
        texts.append(whole[found[first][0] : found[first + rng.randrange(9)][1]])
    return texts


def quality(corpus: Corpus, embed: Embed, count: WordTokens) -> float:
    """Mean nDCG@10 of ranking a corpus's chunks by meaning."""
    passages = [
        (name, span.start, span.end)
        for name, text in corpus.texts.items()
        for span in chunk_spans(text, MATCH, count)
    ]
    vectors = embed([corpus.texts[name][start:end] for name, start, end in passages])
    asked = embed([question for question, _ in corpus.questions])
    return fmean(
        ndcg([passages[n] for n in np.argsort(-scores, kind="stable")], answers, passages)
        for (_, answers), scores in zip(corpus.questions, asked @ vectors.T, strict=True)
    )


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="a folder with texts and questions")
    parser.add_argument("--texts", type=int, default=384)
    parser.add_argument("--model", default="all-minilm-l6-v2")
    options = parser.parse_args()
    from sentence_transformers import SentenceTransformer

    embedder = Embedder(options.model)
    default = SentenceTransformer(str(embedder.path))
    systems: dict[str, Embed] = {
        "ours": embedder.embed,
        "sentence-transformers": lambda texts: default.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False
        ),
    }
    texts = drawn(pool(options.data), options.texts)
    vectors: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for name, embed in systems.items():
        vectors[name] = embed(texts)
    for turn in range(TURNS):
        progress(f"turn {turn + 1} of {TURNS} ...")
        for name, embed in systems.items():
            began = time.process_time()
            embed(texts)
            seconds[name].append(time.process_time() - began)
    results: dict[str, Any] = {
        name: {"texts per CPU-second": len(texts) / median(each)} for name, each in seconds.items()
    }
    cosines = (vectors["ours"] * vectors["sentence-transformers"]).sum(axis=1)
    results["ours"] |= {"mean cosine": float(cosines.mean()), "least": float(cosines.min())}
    times = median(seconds["sentence-transformers"]) / median(seconds["ours"])
    goals = {
        "times the default's speed": goal(2.5, times, at_most=False),
        "mean cosine": goal(0.99, float(cosines.mean()), at_most=False),
    }
    folders = {p.parent for p in options.data.rglob("questions.csv")} if options.data else set()
    asked = [corpus for folder in sorted(folders) for corpus in corpora(folder)]
    if asked:
        count = WordTokens(embedder.count_tokens)
        for name, embed in systems.items():
            progress(f"questions to {name} ...")
            results[name]["nDCG@10"] = fmean(quality(corpus, embed, count) for corpus in asked)
        ratio = results["ours"]["nDCG@10"] / results["sentence-transformers"]["nDCG@10"]
        goals["nDCG@10 of the default's"] = goal(0.995, ratio, at_most=False)
    emit("embedding", str(options.data or "shipped essays"), results, goals)


if __name__ == "__main__":
    main()
