"""What sequences of words give away: copied text, and text that runs in circles.

Copies are counted in runs of eight words. It knows no model and no file.
"""

from collections.abc import Iterable, Sequence

from llmtwin_assets.features.words import EIGHT, ngrams, words

LOOP = 3  # words of a sequence whose return counts as repetition


def copied_share(texts: Iterable[str], source: Iterable[str], n: int = EIGHT) -> float:
    """Share (0 to 1) of the word ``n``-grams of ``texts`` that stand verbatim in ``source``; 0 when
    the texts are too short to have any."""
    written = [gram for text in texts for gram in ngrams(words(text), n)]
    wanted = set(written)
    copied = {gram for text in source for gram in ngrams(words(text), n) if gram in wanted}
    return sum(gram in copied for gram in written) / len(written) if written else 0.0


def longest_run(texts: Iterable[str], source: Iterable[str]) -> int:
    """Length in words of the longest run of ``texts`` that stands verbatim in ``source``.

    A run of n words holds one of n - 1, so the length is found by halving: about ten passes over
    the source, of which nothing is kept.
    """
    written = [words(text) for text in texts]
    origin = [words(text) for text in source]
    shortest, beyond = 0, max(map(len, written), default=0) + 1
    while beyond - shortest > 1:
        middle = (shortest + beyond) // 2
        if _shares_a_run(written, origin, middle):
            shortest = middle
        else:
            beyond = middle
    return shortest


def degenerate(texts: Sequence[str]) -> dict[str, float]:
    """Health of generated texts: ``empty`` (share without a word), ``distinct`` (share of 3-grams
    that are new within their text: 1 says nothing comes back, near 0 a loop) and ``words`` (mean
    length). Distinct n-grams after Li et al. 2016."""
    written = [words(text) for text in texts]
    grams = [list(ngrams(text, LOOP)) for text in written]
    total = sum(map(len, grams))
    return {
        "empty": sum(not text for text in written) / max(len(written), 1),
        "distinct": sum(len(set(each)) for each in grams) / total if total else 0.0,
        "words": sum(map(len, written)) / max(len(written), 1),
    }


def _shares_a_run(written: list[list[str]], origin: list[list[str]], length: int) -> bool:
    wanted = {gram for text in written for gram in ngrams(text, length)}
    return any(gram in wanted for text in origin for gram in ngrams(text, length))
