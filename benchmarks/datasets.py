"""Training data: what it is worth, and how fast it is judged, beside the tools people would use.

    python -m benchmarks.datasets --data WAREHOUSE [--rows 100000]

The first part makes the data set of the author in a warehouse's export (a folder with
``ArticleDocument.json``, whole articles by one person) without a teacher. Figures, each counted
here and not by the code that made the rows: the share of answers that stand verbatim in the
documents; duplicate instructions and answers; train rows that share eight words in a row with a
held-out document; distinct-1 and -2 of the instructions (different runs of words by all; Li et al.
2016); the share of the author's topics and of their train text that some row holds; rows per
CPU-second; memory. Beside them stand the same counts on the pairs that the LLM Engineer's Handbook
published, which are constants here.

The second part judges so many synthetic rows, on one thread: the rules beside the same rules in
pandas, near-duplicates beside datatrove's MinHash (its four steps, its defaults, words split at
blanks, which is faster than its tokenizer). A third of the rows are edits of others. Figures are
medians of three turns, taken alternately.
"""

import argparse
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.dedup import corpus
from benchmarks.output import emit, goal, progress
from llmtwin_assets.datasets import duplicates, instruct, quality, rules, topics
from llmtwin_assets.features.words import ngrams, words
from llmtwin_assets.records import Document, InstructSample, from_frame, to_frame

# Counted on the 2,500 instruction rows (250 of them test) and 402 preferences that were published.
PUBLISHED = {
    "answers": 2_500,
    "grounded": 3 / 2_500,
    "duplicate instructions": 590,
    "test instructions that stand in train": 69,
    "test instructions": 250,
    "preferences with equal sides": 56,
    "preferences": 402,
}
TURNS = 3
Rows = list[InstructSample]


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of this process for a piece of work, and its result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def documents_of(data: Path) -> list[Document]:
    """The cleaned documents, with their splits, of the author in a warehouse's export."""
    import dagster as dg

    from llmtwin_assets.automation.jobs import TWIN
    from llmtwin_assets.definitions import build_defs
    from llmtwin_assets.features.assets import read_documents
    from llmtwin_assets.overview import ASSETS
    from llmtwin_assets.settings import from_environment
    from resources.artifacts import open_artifacts

    name = _author_of(data)
    with tempfile.TemporaryDirectory() as home:
        registry = Path(home) / "authors.yaml"
        registry.write_text(
            f"authors:\n  - id: writer\n    name: {name}\n    sources:\n"
            f"      - type: warehouse\n        path: {data.resolve()}\n"
        )
        settings = from_environment({"LLMTWIN_HOME": home, "LLMTWIN_AUTHORS": str(registry)})
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("author", ["writer"])
            wanted = ASSETS[: ASSETS.index("cleaned_documents") + 1]
            build_defs(settings).resolve_job_def(TWIN).execute_in_process(
                instance=instance,
                partition_key="writer",
                asset_selection=[dg.AssetKey(asset) for asset in wanted],
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
        artifacts = open_artifacts(settings.artifacts_url)
        return read_documents(artifacts.current("writer", "cleaned_documents"))


def _author_of(data: Path) -> str:
    """The name that most articles of an export carry."""
    import json

    records = json.loads((data / "ArticleDocument.json").read_text("utf-8"))
    names = Counter(str(record["author_full_name"]) for record in records)
    return names.most_common(1)[0][0]


def made(documents: Sequence[Document], per_passage: int = instruct.PER_PASSAGE) -> Rows:
    """The rows that the graph would make, without a teacher."""
    candidates = to_frame(InstructSample, instruct.candidates(documents, per_passage=per_passage))
    return from_frame(InstructSample, quality.judged(candidates, held_out(documents)).kept)


def held_out(documents: Sequence[Document]) -> list[str]:
    """The texts that nothing may be trained on."""
    return [document.text for document in documents if document.split == "held-out"]


def worth(rows: Rows, documents: Sequence[Document]) -> dict[str, float]:
    """The figures of a data set made of these documents."""
    texts = {document.id: document.text for document in documents}
    train = [row for row in rows if row.split == "train"]
    held = {gram for d in documents if d.split == "held-out" for gram in ngrams(words(d.text))}
    shown = [words(f"{row.instruction} . {row.answer}") for row in train]
    instructions = [words(row.instruction) for row in rows]
    learned = [document for document in documents if document.split == "train"]
    ids = {row.document_id for row in train}
    used = {place for place, document in enumerate(learned) if document.id in ids}
    about = topics.topics([d.text for d in learned], [row.answer for row in train], used)
    whole = sum(len(document.text.split()) for document in learned)
    return {
        "answers": len(rows),
        "grounded": sum(row.answer in texts[row.document_id] for row in rows) / len(rows),
        "duplicate instructions": len(rows) - len({" ".join(each) for each in instructions}),
        "duplicate answers": len(rows) - len({tuple(words(row.answer)) for row in rows}),
        "train rows that leak": sum(not held.isdisjoint(ngrams(each)) for each in shown),
        "distinct-1 of instructions": distinct(instructions, 1),
        "distinct-2 of instructions": distinct(instructions, 2),
        "topic coverage": topics.coverage(about),
        "share of train text used": sum(len(row.answer.split()) for row in train) / whole,
    }


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different runs of ``n`` words by all of them."""
    runs = [run for text in texts for run in ngrams(text, n)]
    return len(set(runs)) / len(runs)


def synthetic(count: int) -> Any:
    """A frame of ``count`` rows, a third of them edits of others."""
    rng = random.Random(3)
    rows = []
    for number, text in enumerate(corpus(count)):
        asked = " ".join(rng.sample(text.split(), 3))
        rows.append(
            InstructSample(
                id=str(number),
                document_id=str(number),
                split="train",
                kind="write",
                instruction=f"Write a paragraph about {asked}.",
                answer=f"{text.capitalize()}.",
                start=0,
                end=len(text),
                origin="author",
                written_by="rules",
                language="en",
            )
        )
    return to_frame(InstructSample, rows)


def our_rules(frame: Any) -> int:
    """How many rows the rules drop."""
    measured = rules.measured(frame)
    reasons = rules.first_reason(measured, ["en"])
    return int(reasons.is_not_null().sum())


def pandas_rules(frame: Any) -> int:
    """The same rules as a pandas program has them, in the syntax of its expressions."""
    import pandas as pd

    answer, asked = frame["answer"], frame["instruction"]
    tokens = answer.str.lower().str.split()
    count, distinct_ = tokens.str.len(), tokens.map(lambda found: len(set(found)))
    visible = answer.str.len() - answer.str.count(r"\s")
    letters = visible - answer.str.count(r"[^\w\s]|[\d_]")
    lines = answer.str.count(r"(?m)^\s*\S")
    broken = rules.BROKEN.replace(r"\x{FFFD}", "\ufffd")
    wrong = {
        "empty": (asked.str.strip() == "") | (answer.str.strip() == ""),
        "broken characters": answer.str.contains(broken) | asked.str.contains(broken),
        "instructs a model": answer.str.contains(rules.INJECTION)
        | asked.str.contains(rules.INJECTION),
        "markup": answer.str.count(rules.TAG) >= rules.TAGS,
        "code": ((lines > 2) & (answer.str.count(rules.CODE_LINE) >= rules.CODE_LINES * lines))
        | (letters < rules.LETTERS * visible),
        "links": answer.str.count(rules.LINK) * rules.WORDS_PER_LINK > count,
        "too short": count < rules.SHORTEST,
        "too long": count > rules.LONGEST,
        "a model's phrases": answer.str.contains(rules.MODEL_VOICE),
        "boilerplate": answer.str.count(rules.CHROME) * rules.WORDS_PER_CHROME > count,
        "repetition": (count >= rules.TELLING) & (distinct_ < rules.VARIED * count**0.5),
        "another language": (count >= rules.TELLING) & ~frame["language"].isin(["en"]),
    }
    reasons = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    for reason, mask in reversed(wrong.items()):
        reasons[mask.to_numpy()] = reason
    return int(reasons.notna().sum())


def our_duplicates(frame: Any) -> int:
    """How many rows go as duplicates: exact and near ones."""
    return sum(each is not None for each in duplicates.repeated(frame, duplicates.likeness(frame)))


def datatrove_duplicates(texts: Sequence[str]) -> int:
    """How many rows datatrove's MinHash takes out."""
    import xxhash
    from datatrove.data import Document as Text
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster
    from datatrove.pipeline.dedup import MinhashDedupFilter as Filter
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.logging import logger
    from datatrove.utils.word_tokenizers import WordTokenizer

    logger.remove()

    class Blanks(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    def read() -> Any:
        return (Text(text=text, id=str(number)) for number, text in enumerate(texts))

    config = MinhashConfig()
    with tempfile.TemporaryDirectory() as place:
        folders = [f"{place}/{name}" for name in ("signatures", "buckets", "gone")]
        signatures = MinhashDedupSignature(folders[0], config, Blanks())
        # Its own hash function hands text to xxhash, whose releases of today take bytes alone.
        signatures._hash_func = lambda run: xxhash.xxh64_intdigest(run.encode())
        signatures.run(read())
        buckets = MinhashDedupBuckets(folders[0], folders[1], config=config)
        for rank in range(config.num_buckets):
            buckets.run(None, rank, config.num_buckets)
        MinhashDedupCluster(folders[1], folders[2], config=config).run(None, 0, 1)
        return len(texts) - sum(1 for _ in Filter(folders[2]).run(read()))


def speed(count: int) -> dict[str, dict[str, float]]:
    """Rows per CPU-second of each system, and how many rows it drops."""
    frame = synthetic(count)
    table = frame.to_pandas()
    texts = frame["answer"].to_list()
    systems: dict[str, Callable[[], int]] = {
        "rules, ours": lambda: our_rules(frame),
        "rules, pandas": lambda: pandas_rules(table),
        "near-duplicates, ours": lambda: our_duplicates(frame),
        "near-duplicates, datatrove": lambda: datatrove_duplicates(texts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    dropped = {}
    for turn in range(TURNS):
        for name, system in systems.items():
            progress(f"turn {turn + 1} of {TURNS}: {name} ...")
            took, dropped[name] = cpu(system)
            seconds[name].append(took)
    return {
        name: {
            "rows": count,
            "dropped": dropped[name],
            "CPU seconds": median(seconds[name]),
            "rows per CPU-second": count / median(seconds[name]),
        }
        for name in systems
    }


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="a warehouse's export")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    progress("the data set of the warehouse's author ...")
    documents = documents_of(options.data)
    before = _memory()
    seconds, rows = cpu(lambda: made(documents))
    ours = worth(rows, documents) | {
        "rows per CPU-second": len(rows) / seconds,
        "memory, MB": _memory() - before,
    }
    results = {"ours": ours, "as published": dict(PUBLISHED)} | speed(options.rows)

    def times(stage: str, peer: str) -> float:
        name = "rows per CPU-second"
        return float(results[f"{stage}, ours"][name] / results[f"{stage}, {peer}"][name])

    goals = {
        "grounded": goal(1.0, ours["grounded"], at_most=False),
        "duplicate instructions": goal(0, ours["duplicate instructions"]),
        "duplicate answers": goal(0, ours["duplicate answers"]),
        "train rows that leak": goal(0, ours["train rows that leak"]),
        "times datatrove's MinHash": goal(20, times("near-duplicates", "datatrove"), False),
        "times the rules in pandas": goal(5, times("rules", "pandas"), False),
    }
    emit("datasets", str(options.data), results, goals)


def _memory() -> float:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
