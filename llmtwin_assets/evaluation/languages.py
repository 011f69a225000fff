"""Function words by language, from the lists of ``stop-words`` (33 languages).

Which language a text is in is told by the same lists: by the one that covers most of its running
words. A sentence of Danish may pass for Norwegian, a page does not. A language without a list is
said to be none. Only counts of words are known here.
"""

from collections.abc import Mapping
from functools import cache

COVERED = 0.25  # of running words, at least, are in the list of a text's language; prose has .4 up
COMMONEST = 300  # words of a text that are looked up; the rest are hardly function words


@cache
def lists() -> Mapping[str, frozenset[str]]:
    """Language (ISO 639-1) -> its function words, case folded."""
    from stop_words import LANGUAGE_MAPPING, get_stop_words

    return {
        code: frozenset(
            word.casefold().replace("’", "'") for word in get_stop_words(LANGUAGE_MAPPING[code])
        )
        for code in sorted(LANGUAGE_MAPPING)
    }


def language_of(counts: Mapping[str, float]) -> str | None:
    """The language of a text with these words, case folded, and how often each stands in it; None
    if no list covers a quarter of it."""
    common = sorted(counts, key=lambda word: (-counts[word], word))[:COMMONEST]
    total = sum(counts.values())
    covered = {
        code: sum(counts[word] for word in common if word in listed)
        for code, listed in lists().items()
    }
    best = max(covered, key=lambda code: covered[code])
    return best if total and covered[best] >= COVERED * total else None
