"""One document more, from its file to the searchable index, beside a full build.

    python -m benchmarks.incremental [--sizes 100,1000,10000]

For each size a corpus of so many generated essays is built once; then a document is added, five
times, and everything that depends on it is made anew (``benchmarks.orchestration.one_more``). Wall
seconds, medians; the training data are counted apart. The copy is the floor of a new version: the
files of index and tables. Growth is also told in CPU-seconds, which other programs on the machine
disturb less.

Most of the time is spent on embedding the largest corpus: two minutes on an idle core. What each
size cost goes to standard error as soon as it is known.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.orchestration import one_more
from benchmarks.output import emit, goal, progress

COPY = 1.0  # seconds per 10,000 chunks
GROWTH = 1.2  # of the rest, from the smallest corpus to the largest


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--sizes", default="100,1000,10000", help="corpora to add a document to")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    results: dict[str, Any] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            found = one_more(Path(home), size)
        found["times faster than a full build"] = (
            found["full build, wall seconds"] / found["wall seconds"]
        )
        results[f"one document into {size}"] = found
        progress(json.dumps({size: found}))
    smallest, largest = (results[f"one document into {size}"] for size in (sizes[0], sizes[-1]))
    cpu, rest, copy = (
        "CPU seconds",
        "wall seconds but for the copy",
        "copy of the files, wall seconds",
    )
    emit(
        "incremental",
        "generated corpora; one chunk per document",
        results,
        {
            f"growth from {sizes[0]} to {sizes[-1]}": goal(GROWTH, largest[rest] / smallest[rest]),
            f"growth from {sizes[0]} to {sizes[-1]}, CPU": goal(
                GROWTH, largest[cpu] / smallest[cpu]
            ),
            "copy, seconds per 10,000 chunks": goal(COPY, largest[copy] * 10_000 / sizes[-1]),
        },
    )


if __name__ == "__main__":
    main()
