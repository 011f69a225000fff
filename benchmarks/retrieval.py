"""Retrieval of answering passages, beside the reference's retriever and each search alone.

    python -m benchmarks.retrieval --data DIR [--data DIR] [--tokens N] [--reranker MODEL]

A folder of data holds ``questions.csv`` (question, references as JSON with start_index and
end_index, corpus_id) with a ``<corpus_id>.md`` each, or ``ArticleDocument.json``, of which every
title is a question and its article the answer, or both. Every corpus is an author of their own.

Three figures per question:

- coverage: the share of the answering characters that the first 4,000 characters retrieved hold
  (of the first 4,000, when there are more). It is fair between passage sizes: who retrieves long
  passages has fewer of them;
- nDCG@10, the gain of a passage being its share of the answering characters, the best order that
  of the system's own passages;
- coverage by the first three passages, which is what a prompt holds.

The peers, with the same embedding model:

- the reference: sentences gathered into chunks of 1,000 to 2,000 characters, what is left below
  1,000 dropped; each chunk embedded as far as the model reads; by meaning only;
- by meaning, by words (BM25), and reciprocal rank fusion of both (k = 60, equal weights), over the
  passages that ours searches.

Ours is ``retrieve`` with its default steps; the rows below it switch single steps. A mean is over
corpora, so that none counts for its number of questions; a ratio's 95 % interval comes from 2,000
resamples of the questions within each corpus, the same for both systems (paired bootstrap).
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks.output import emit, goal, progress
from llmtwin_assets.features import chunk, index
from llmtwin_assets.features.clean import clean, search_form
from llmtwin_assets.features.split import sentences
from llmtwin_assets.records import Document
from llmtwin_assets.retrieval.deployed import PASSAGES
from llmtwin_assets.retrieval.search import DEFAULT, Steps, retrieve
from resources.embedder import Embedder
from resources.reranker import Reranker
from resources.vectors import EdgeVectors

BUDGET = 4_000  # characters
FIRST = 10
RESAMPLES = 2_000
SHORTEST, LONGEST = 1_000, 2_000  # characters of the reference's chunks
RRF_K = 60  # Cormack et al. 2009
ALL = 100_000  # more hits than any corpus has passages

Span = tuple[str, int, int]  # document id, start, end
Find = Callable[[str], list[Span]]
Rows = dict[str, list[tuple[float, ...]]]  # corpus -> the three figures of each question


@dataclass(frozen=True)
class Corpus:
    """Texts by document id, and questions with the spans that answer them."""

    name: str
    texts: Mapping[str, str]
    questions: Sequence[tuple[str, Sequence[Span]]]


@dataclass(frozen=True)
class System:
    """A retriever over its own passages."""

    passages: Sequence[Span]
    find: Find


def corpora(folder: Path) -> Iterator[Corpus]:
    """The corpora of a folder."""
    if (folder / "questions.csv").is_file():
        with (folder / "questions.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for name in sorted({row["corpus_id"] for row in rows}):
            text = (folder / f"{name}.md").read_text("utf-8")
            asked = [
                (row["question"],
                 [(name, r["start_index"], r["end_index"]) for r in json.loads(row["references"])])
                for row in rows if row["corpus_id"] == name
            ]  # fmt: skip
            yield Corpus(name, {name: text}, asked)
    if (folder / "ArticleDocument.json").is_file():
        articles = json.loads((folder / "ArticleDocument.json").read_text("utf-8"))
        texts = {article["_id"]: clean(article["content"]["Content"]) for article in articles}
        titles = [
            (article["content"]["Title"], [(article["_id"], 0, len(texts[article["_id"]]))])
            for article in articles
            if article["content"].get("Title")
        ]
        yield Corpus(f"{folder.name}, title to article", texts, titles)


def reference_chunks(text: str) -> list[tuple[int, int]]:
    """The reference's chunks of an article, as spans."""
    chunks: list[tuple[int, int]] = []
    begin = end = None
    for start, stop in sentences(text):
        if begin is not None and stop - begin > LONGEST:
            if end is not None and end - begin >= SHORTEST:
                chunks.append((begin, end))
            begin = None
        begin, end = (start if begin is None else begin), stop
    if begin is not None and end is not None and end - begin >= SHORTEST:
        chunks.append((begin, end))
    return chunks


def reference(corpus: Corpus, embedder: Embedder) -> System:
    """The reference's retriever."""
    passages = [
        (document, start, end)
        for document, text in corpus.texts.items()
        for start, end in reference_chunks(text)
    ]
    vectors = embedder.embed([corpus.texts[d][start:end] for d, start, end in passages])

    def find(question: str) -> list[Span]:
        scores = vectors @ embedder.embed([question])[0]
        return [passages[n] for n in np.argsort(-scores, kind="stable")]

    return System(passages, find)


class Ours:
    """The author's index of a corpus, as the graph makes it, and what searches it."""

    def __init__(self, corpus: Corpus, embedder: Embedder, tokens: int, folder: Path) -> None:
        documents = [
            Document(id_, "article", "", "", None, text, search_form(text), "", "train")
            for id_, text in corpus.texts.items()
        ]
        chunks = chunk.chunks_of("bench", documents, tokens, embedder.count_tokens)
        made = index.embed(chunks, embedder, lambda _: None)
        self.store, self.embedder = EdgeVectors(folder), embedder
        self.store.build("bench", "v1", len(next(iter(made.values()))), index.points(chunks, made))
        self.spans = {c.id: (c.document_id, c.start, c.end) for c in chunks}

    def with_steps(self, steps: Steps) -> System:
        """``retrieve``, with these steps."""

        def find(question: str) -> list[Span]:
            found = retrieve("bench", question, ALL, self.store, self.embedder, steps=steps)
            return [(p.document_id, p.start, p.end) for p in found]

        return System(list(self.spans.values()), find)

    def peers(self) -> dict[str, System]:
        """Each search alone, and both by reciprocal rank."""

        def ranked(question: str) -> tuple[list[str], list[str]]:
            asked = search_form(question)
            queries: list[Any] = [self.embedder.embed([asked])[0].tolist(), asked]
            meaning, words = self.store.search("bench", queries, len(self.spans))
            return [hit.id for hit in meaning], [hit.id for hit in words]

        def fused(question: str) -> list[Span]:
            scores: dict[str, float] = {}
            for ids in ranked(question):
                for rank, id_ in enumerate(ids, start=1):
                    scores[id_] = scores.get(id_, 0.0) + 1 / (RRF_K + rank)
            return self._spans(sorted(scores, key=lambda id_: (-scores[id_], id_)))

        finds: dict[str, Find] = {
            "by meaning": lambda question: self._spans(ranked(question)[0]),
            "by words (BM25)": lambda question: self._spans(ranked(question)[1]),
            "reciprocal rank fusion": fused,
        }
        return {name: System(list(self.spans.values()), find) for name, find in finds.items()}

    def _spans(self, ids: Sequence[str]) -> list[Span]:
        return [self.spans[id_] for id_ in ids]


def coverage(found: Sequence[Span], answers: Sequence[Span]) -> float:
    """Share of the answering characters within the first ``BUDGET`` characters found."""
    wanted = {(d, n) for d, start, end in answers for n in range(start, end)}
    covered: set[tuple[str, int]] = set()
    left = BUDGET
    for document, start, end in found:
        if left <= 0:
            break
        stop = min(end, start + left)
        left -= stop - start
        covered |= {(document, n) for n in range(start, stop)} & wanted
    return len(covered) / min(len(wanted), BUDGET)


def ndcg(found: Sequence[Span], answers: Sequence[Span], passages: Sequence[Span]) -> float:
    """Of the first ten, the gain of each being its share of the answering characters."""

    def gain(span: Span) -> float:
        return sum(
            max(0, min(end, span[2]) - max(start, span[1]))
            for document, start, end in answers
            if document == span[0]
        )

    discounts = 1 / np.log2(np.arange(2, FIRST + 2))
    got = np.asarray([gain(span) for span in found[:FIRST]])
    own = {*passages, *found}  # parents are no passages of the index
    best = np.sort(np.asarray([gain(span) for span in own]))[::-1][:FIRST]
    ideal = float(best @ discounts[: len(best)])
    return float(got @ discounts[: len(got)]) / ideal if ideal else 0.0


def ask(system: System, corpus: Corpus) -> tuple[list[tuple[float, ...]], list[float]]:
    """The figures of each question, and the milliseconds it took."""
    rows: list[tuple[float, ...]] = []
    waited = []
    for question, answers in corpus.questions:
        began = time.perf_counter()
        found = system.find(question)
        waited.append(1000 * (time.perf_counter() - began))
        rows.append(
            (
                coverage(found, answers),
                ndcg(found, answers, system.passages),
                coverage(found[:PASSAGES], answers),
            )
        )
    return rows, waited


def systems(
    corpus: Corpus, embedder: Embedder, tokens: int, reranker: str, folder: Path
) -> dict[str, System]:
    """Everything that is compared, on one corpus."""
    mine = Ours(corpus, embedder, tokens, folder)
    found = {
        "reference": reference(corpus, embedder),
        **mine.peers(),
        "ours": mine.with_steps(DEFAULT),
        "ours without neighbours": mine.with_steps(replace(DEFAULT, neighbours=False)),
        "ours without documents": mine.with_steps(replace(DEFAULT, documents=False)),
        "ours without self-query": mine.with_steps(replace(DEFAULT, self_query=False)),
        "ours and a variant": mine.with_steps(replace(DEFAULT, variants=1)),
        "ours and parents": mine.with_steps(
            replace(DEFAULT, texts=lambda _, document: corpus.texts.get(document))
        ),
    }
    if reranker:
        steps = replace(DEFAULT, reranker=Reranker(reranker))
        found["ours and the cross-encoder"] = mine.with_steps(steps)
    return found


def means(rows: Rows) -> tuple[float, ...]:
    """Each figure, the mean of the corpora's means."""
    per_corpus = [np.asarray(found).mean(axis=0) for found in rows.values()]
    return tuple(map(float, np.mean(per_corpus, axis=0)))


def ratio(mine: Rows, other: Rows, figure: int) -> tuple[float, float, float]:
    """Ours over another's mean with its paired 95 % interval; ``figure`` 0 is coverage, 1
    nDCG, 2 coverage by three passages."""
    rng = np.random.default_rng(0)
    above, below = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for corpus, found in mine.items():
        a, b = (np.asarray(rows)[:, figure] for rows in (found, other[corpus]))
        drawn = rng.integers(0, len(a), (RESAMPLES, len(a)))
        above += a[drawn].mean(axis=1)
        below += b[drawn].mean(axis=1)
    low, high = np.quantile(above / below, (0.025, 0.975))
    return means(mine)[figure] / means(other)[figure], float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--data", action="append", type=Path, required=True)
    parser.add_argument("--embedder", default="all-minilm-l6-v2")
    parser.add_argument("--tokens", type=int, help="longest passage; what the model reads")
    parser.add_argument("--reranker", default="", help="a directory or a hub id")
    options = parser.parse_args()
    embedder = Embedder(options.embedder)
    tokens = options.tokens or embedder.max_tokens
    rows: dict[str, Rows] = {}
    waited: dict[str, list[float]] = {}
    sizes: dict[str, list[int]] = {}
    names: list[str] = []
    for corpus in (c for folder in options.data for c in corpora(folder)):
        progress(f"{corpus.name}: {len(corpus.questions)} questions")
        names.append(f"{corpus.name} ({len(corpus.questions)} questions)")
        with tempfile.TemporaryDirectory() as folder:
            for name, system in systems(
                corpus, embedder, tokens, options.reranker, Path(folder)
            ).items():
                found, took = ask(system, corpus)
                rows.setdefault(name, {})[corpus.name] = found
                waited.setdefault(name, []).extend(took[1:])
                sizes.setdefault(name, []).extend(end - start for _, start, end in system.passages)
                progress(
                    "  {}: coverage {:.3f}, nDCG {:.3f}, of three {:.3f}".format(
                        name, *np.mean(found, axis=0)
                    )
                )
    emit("retrieval", ", ".join(names), figures(rows, waited, sizes), goals(rows))


def figures(
    rows: Mapping[str, Rows], waited: Mapping[str, list[float]], sizes: Mapping[str, list[int]]
) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, found in rows.items():
        coverage_, ndcg_, of_three = means(found)
        results[name] = {
            "coverage": round(coverage_, 4),
            "nDCG@10": round(ndcg_, 4),
            "coverage by three passages": round(of_three, 4),
            "coverage by corpus": {
                corpus: round(fmean(c for c, *_ in each), 4) for corpus, each in found.items()
            },
            "nDCG@10 by corpus": {
                corpus: round(fmean(n for _, n, _ in each), 4) for corpus, each in found.items()
            },
            "ms per question": round(median(waited[name]), 1),
            "characters per passage": round(fmean(sizes[name])),
        }
    return results


def goals(rows: Mapping[str, Rows]) -> dict[str, Any]:
    """Coverage over the reference's and over the best of the three; nDCG for the record."""
    three = ("by meaning", "by words (BM25)", "reciprocal rank fusion")
    best = max(three, key=lambda name: means(rows[name])[0])
    found: dict[str, Any] = {}
    for label, other, wanted in (
        ("the reference", "reference", 1.48),
        (f"the best, {best}", best, 1.05),
    ):
        value, low, high = ratio(rows["ours"], rows[other], 0)
        # No system covers more than everything.
        found[f"most that coverage over {label} can be"] = round(1 / means(rows[other])[0], 3)
        found[f"coverage over {label}"] = goal(wanted, round(value, 3), at_most=False)
        found[f"coverage over {label}, low end of its interval"] = goal(
            1.0, round(low, 3), at_most=False
        ) | {"interval": [round(low, 3), round(high, 3)]}
    value, low, high = ratio(rows["ours and parents"], rows["ours"], 2)
    found["coverage by three passages, parents over passages alone"] = goal(
        1.0, round(value, 3), at_most=False
    ) | {"interval": [round(low, 3), round(high, 3)]}
    by_ndcg = max(three, key=lambda name: means(rows[name])[1])
    value, low, high = ratio(rows["ours"], rows[by_ndcg], 1)
    found[f"nDCG@10 over the best, {by_ndcg}"] = goal(1.0, round(value, 3), at_most=False) | {
        "interval": [round(low, 3), round(high, 3)]
    }
    return found


if __name__ == "__main__":
    main()
