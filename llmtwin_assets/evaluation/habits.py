"""What a text has too much and too little of, against an author: function words, punctuation and
lengths of sentences, and the function words that sentences open with. No word of topic is told, so
the figures may be recorded anywhere."""

from collections import Counter
from collections.abc import Mapping, Sequence

from llmtwin_assets.evaluation.languages import function_words
from llmtwin_assets.evaluation.pooled import Count, Pooled, shares_of
from llmtwin_assets.evaluation.rhythm import MOST, rhythm, sentences
from llmtwin_assets.evaluation.writers import AUTHOR, Writers
from llmtwin_assets.features.words import words

EXAMPLES = 8  # habits listed on each side
OPENERS = 30  # words that sentences open with: the commonest

Habits = dict[str, dict[str, float]]  # "over" and "under": name -> spreads between writers


def habits(writers: Writers, texts: Mapping[str, str]) -> dict[str, Habits]:
    """Habits that each text has too much (``over``) or too little (``under``) of, against the
    author: name -> spreads between writers, the largest first."""
    everyone = {AUTHOR: writers.author, **writers.others}
    vocabulary = function_words(everyone, writers.language)
    opening = _commonest_openers(everyone, frozenset(vocabulary))
    measures = (
        Pooled.fit(shares_of(vocabulary), writers.author, writers.others),
        Pooled.fit(rhythm, writers.author, writers.others, MOST),
        Pooled.fit(openers(opening), writers.author, writers.others, MOST),
    )
    return {name: _habits(measures, text) for name, text in texts.items()}


def openers(vocabulary: Sequence[str]) -> Count:
    """Counts how often each of these words opens a sentence of a text, and the text's sentences."""

    def count(text: str) -> dict[str, tuple[float, float]]:
        first = _first_words(text)
        return {f"“{word}” opening": (first[word], first.total()) for word in vocabulary}

    return count


def _first_words(text: str) -> Counter[str]:
    return Counter(found[0] for each in sentences(text) if (found := words(each)))


def _commonest_openers(
    texts_by_writer: Mapping[str, Sequence[str]], known: frozenset[str]
) -> list[str]:
    """The ``known`` words that open sentences most often, each writer weighing the same."""
    share: dict[str, float] = {}
    for texts in texts_by_writer.values():
        first = sum(map(_first_words, texts), Counter[str]())
        for word in first.keys() & known:
            share[word] = share.get(word, 0.0) + first[word] / first.total()
    return sorted(share, key=lambda word: (-share[word], word))[:OPENERS]


def _habits(measures: Sequence[Pooled], text: str) -> Habits:
    found: Habits = {"over": {}, "under": {}}
    differences: dict[str, float] = {}
    for measure in measures:
        values = measure.differences(measure.prepare([text]), [0])
        differences |= dict(zip(measure.habits, values.tolist(), strict=True))
    for name, value in sorted(differences.items(), key=lambda item: -abs(item[1])):
        side = found["over" if value > 0 else "under"]
        if len(side) < EXAMPLES:
            side[name] = round(value, 2)
    return found
