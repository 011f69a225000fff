"""Key phrases of a passage without a model: runs of content words, ranked by how often their words
meet in it (after Rose et al. 2010, "Automatic keyword extraction from individual documents").

A passage is all it looks at, so that one new document changes no other document's phrases.
"""

import re
from collections import Counter
from functools import lru_cache

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
BREAK = re.compile(r"[.!?;:,()\[\]\"“”—–\n]")
LONGEST = 3  # words


def key_phrases(text: str, count: int) -> list[str]:
    """The ``count`` best phrases of a text, best first, in lower case; fewer if it has fewer."""
    runs = [run for part in BREAK.split(text) for run in _content_runs(part)]
    frequency = Counter(word for run in runs for word in run)
    degree: Counter[str] = Counter()
    for run in runs:
        for word in run:
            degree[word] += len(run)
    scores = {
        " ".join(part): sum(degree[word] * frequency[word] for word in part) / len(part)
        for run in runs
        for part in _parts(run)
    }
    ranked = sorted(scores, key=lambda phrase: (-scores[phrase], phrase))
    return _distinct(ranked, count)


def content_words(text: str) -> list[str]:
    """The words that carry a text's subject, in order, in lower case."""
    return [word for part in BREAK.split(text) for run in _content_runs(part) for word in run]


def _content_runs(part: str) -> list[tuple[str, ...]]:
    runs: list[tuple[str, ...]] = []
    run: list[str] = []
    for word in [match[0].lower() for match in WORD.finditer(part)] + [""]:
        if len(word) > 3 and word not in _stop_words():
            run.append(word)
        elif run:
            runs.append(tuple(run))
            run = []
    return runs


def _parts(run: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A run of content words, or its pairs when it is too long to be a phrase."""
    if len(run) <= LONGEST:
        return [run]
    return [run[start : start + 2] for start in range(0, len(run), 2)]


def _distinct(ranked: list[str], count: int) -> list[str]:
    """The first phrases that share no word with a better one."""
    chosen: list[str] = []
    used: set[str] = set()
    for phrase in ranked:
        words = set(phrase.split())
        if not words & used:
            chosen.append(phrase)
            used |= words
        if len(chosen) == count:
            break
    return chosen


@lru_cache(maxsize=1)
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)
