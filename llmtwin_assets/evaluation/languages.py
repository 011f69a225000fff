"""Function words by language, from the lists of ``stop-words`` (33 languages). Which language a
text is in is the features room's to tell; here several texts agree on one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from llmtwin_assets.features.language import language_of
from llmtwin_assets.features.words import words

FUNCTION_WORDS = 150  # Burrows' own number
KEPT = 1_000  # texts whose counts are kept: the measures of a report read the same ones ten times
LOOKED_AT = 12  # texts, at most, whose language is told
LISTED_AS = {"no": "nb"}  # what one side calls a language -> what the lists call it


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


def language(texts: Sequence[str]) -> str | None:
    """The language (ISO 639-1) most of the texts are in, long ones counting for more; None where
    that cannot be told."""
    found: Counter[str | None] = Counter()
    for text in texts[:: max(1, -(-len(texts) // LOOKED_AT))]:
        found[language_of(text)] += len(text)
    most = max(found, key=lambda code: found[code], default=None)
    return LISTED_AS.get(most, most) if most else None


def function_words(
    texts_by_writer: Mapping[str, Sequence[str]], spoken: str | None, n: int = FUNCTION_WORDS
) -> tuple[str, ...]:
    """The ``n`` commonest function words by their mean share over writers, so that no writer counts
    for more by having written more; ties in alphabetical order. Words of topic, however common, are
    left out by the list of the language ``spoken``; in a language without one, the commonest words
    that most of the writers use stand in."""
    return commonest(list(map(count_of, texts_by_writer.values())), spoken, n)


@lru_cache(maxsize=KEPT)
def word_counts(text: str) -> Mapping[str, int]:
    """How often each word stands in a text."""
    return Counter(words(text))


def count_of(texts: Sequence[str]) -> Counter[str]:
    """How often each word stands in the texts together."""
    found: Counter[str] = Counter()
    for text in texts:
        found.update(word_counts(text))
    return found


def commonest(
    counts: Sequence[Counter[str]], spoken: str | None, n: int = FUNCTION_WORDS
) -> tuple[str, ...]:
    """``function_words`` of writers whose words are counted already."""
    share: dict[str, float] = {}
    for count in counts:
        total = max(count.total(), 1)
        for word, times in count.items():
            share[word] = share.get(word, 0.0) + times / total
    listed = lists().get(spoken or "") or _of_most(counts)
    used = [word for word in share if word in listed]
    return tuple(sorted(used, key=lambda word: (-share[word], word))[:n])


def _of_most(counts: Sequence[Counter[str]]) -> set[str]:
    """Words that more than half of the writers use: what one alone writes of is left out."""
    users = Counter(word for count in counts for word in count)
    return {word for word, number in users.items() if 2 * number > len(counts)}
