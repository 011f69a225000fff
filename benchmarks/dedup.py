"""Near-duplicate texts, beside the libraries people would use for them.

    python -m benchmarks.dedup [--documents 20000]

Documents are generated from word lists: half are originals, a third edits of an original with 5 to
30 % of its words replaced, the rest hard negatives, which share half of an original's sentences in
another order. Every system gets the texts and gives the pairs that share at least ``SAME`` of their
runs of four words; finding the words, hashing and looking up are all in its time, on one thread.
Texts are lower-case words and blanks, so that peers find the words by ``split``.

The truth is the exact share (Jaccard) of every pair that has a run in common, counted with sets of
tuples by code of this file. Peers use 128 permutations, and check what they found by their
own estimate, as their documentation shows.
Figures are medians of three turns, taken alternately.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import median
from typing import Any

from benchmarks.output import emit, goal, progress
from llmtwin_assets.features.near_duplicates import SAME, pairs
from llmtwin_assets.features.runs import runs_of
from llmtwin_assets.features.words import ngrams, words

TURNS = 3
PERMUTATIONS = 128
RUN = 4
SYLLABLES = "ba do ke li mu na po ri sa tu ve wi zo la me ni ro si ta vu".split()

Pairs = set[tuple[int, int]]


def corpus(count: int) -> list[str]:
    """Originals, edits and hard negatives, shuffled."""
    rng = random.Random(11)
    vocabulary = ["".join(rng.choices(SYLLABLES, k=rng.randrange(1, 4))) for _ in range(8_000)]
    originals = [
        [" ".join(rng.choices(vocabulary, k=12)) for _ in range(rng.randrange(4, 24))]
        for _ in range(count // 2)
    ]
    texts = [" ".join(sentences) for sentences in originals]
    for _ in range(count // 3):
        each = " ".join(rng.choice(originals)).split()
        for place in rng.sample(range(len(each)), int(rng.uniform(0.05, 0.30) * len(each) / RUN)):
            each[place] = rng.choice(vocabulary)
        texts.append(" ".join(each))
    while len(texts) < count:
        sentences = rng.choice(originals)
        kept = rng.sample(sentences, len(sentences) // 2)
        texts.append(" ".join([*kept, *rng.choice(originals)[: len(sentences) // 2]]))
    rng.shuffle(texts)
    return texts


def truth(texts: Sequence[str]) -> Pairs:
    """All pairs with at least ``SAME`` of their runs in common, by exact sets."""
    sets = [set(ngrams(words(text), RUN)) for text in texts]
    by_run: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, runs in enumerate(sets):
        for run in runs:
            by_run[run].append(number)
    near = {pair for owners in by_run.values() for pair in combinations(owners, 2)}
    return {(a, b) for a, b in near if len(sets[a] & sets[b]) >= SAME * len(sets[a] | sets[b])}


def ours(texts: Sequence[str]) -> Pairs:
    return {(a, b) for a, b, _ in pairs(runs_of(texts))}


def datasketch(texts: Sequence[str]) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=SAME, num_perm=PERMUTATIONS)
    sketches: list[Any] = []
    found: Pairs = set()
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([" ".join(run).encode() for run in ngrams(text.split(), RUN)])
        for other in index.query(sketch):
            if sketch.jaccard(sketches[other]) >= SAME:
                found.add((other, number))
        index.insert(number, sketch)
        sketches.append(sketch)
    return found


def rensa(texts: Sequence[str]) -> Pairs:
    from rensa import RMinHash, RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold=SAME, num_perm=PERMUTATIONS, use_lsh=True)
    sketches = RMinHash.from_token_sets(
        [[" ".join(run) for run in ngrams(text.split(), RUN)] for text in texts], PERMUTATIONS, 42
    )
    found: Pairs = set()
    for number, sketch in enumerate(sketches):
        for other in index.get_duplicates(sketch):
            found.add((int(other), number))
        index.add(str(number), sketch)
    return found


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=20_000)
    options = parser.parse_args()
    texts = corpus(options.documents)
    progress("the truth ...")
    expected = truth(texts)
    systems: dict[str, Callable[[Sequence[str]], Pairs]] = {
        "ours": ours, "rensa": rensa, "datasketch": datasketch,
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    found: dict[str, Pairs] = {}
    for turn in range(TURNS):
        for name, system in systems.items():
            progress(f"turn {turn + 1} of {TURNS}: {name} ...")
            began = time.process_time()
            found[name] = system(texts)
            seconds[name].append(time.process_time() - began)
    results = {
        name: {
            "CPU seconds": median(seconds[name]),
            "recall": len(found[name] & expected) / len(expected),
            "precision": len(found[name] & expected) / max(len(found[name]), 1),
        }
        for name in systems
    } | {"truth": {"documents": len(texts), "pairs": len(expected)}}
    took = {name: median(each) for name, each in seconds.items()}
    goals = {
        "times datasketch's speed": goal(5, took["datasketch"] / took["ours"], at_most=False),
        "times rensa's speed": goal(1, took["rensa"] / took["ours"], at_most=False),
        "recall": goal(0.995, results["ours"]["recall"], at_most=False),
        "precision": goal(0.99, results["ours"]["precision"], at_most=False),
    }
    emit("dedup", "generated", results, goals)


if __name__ == "__main__":
    main()
