"""Whom an author can be compared with: other writers of the same language who are not the author
under another name. How they are compared is not known here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmtwin_assets.evaluation.languages import language
from llmtwin_assets.features.words import EIGHT, ngrams, words
from resources.errors import LlmTwinError

AUTHOR = "author"  # the author's name among the writers
ENOUGH_WORDS = 1_000  # of the author: with fewer, rare function words are counted by luck
ENOUGH_OF_OTHERS = 500  # words of another writer, for the same reason
ENOUGH_WRITERS = 3  # besides the author: z-scores over fewer say nothing
SAME_WRITER = 0.2  # share of common 8-grams from which two names are one person's texts

Texts = Mapping[str, Sequence[str]]


class StyleNotMeasurableError(LlmTwinError):
    """Nothing can be said of how near texts are to this author's style."""


class TooLittleTextError(StyleNotMeasurableError):
    """The author's text is too short to have a measurable style."""


class TooFewWritersError(StyleNotMeasurableError):
    """There are too few other writers for z-scores."""


@dataclass(frozen=True)
class Writers:
    """An author's documents and, by name, those of the writers to compare with; ``same`` are names
    left out because they are the author; ``language`` (ISO 639-1) is everyone's, None where it
    cannot be told."""

    author: Sequence[str]
    others: Texts
    same: tuple[str, ...]
    language: str | None


def comparable(author: Sequence[str], others: Texts) -> Writers:
    """The author among those of the ``others`` who write the same language, are not the author, and
    have 500 words; one who is there under two names counts once. Raises ``TooLittleTextError``
    under 1,000 words of the author and ``TooFewWritersError`` where fewer than three are left."""
    found = _length(author)
    if found < ENOUGH_WORDS:
        raise TooLittleTextError(
            "the author's text",
            f"{found} words are too few to measure a style by",
            f"Add sources until there are {ENOUGH_WORDS:,} words to train on",
        )
    spoken = language(author)
    alike = {name: others[name] for name in sorted(others) if _fits(others[name], spoken)}
    same, left = _told_apart(author, alike)
    if len(left) < ENOUGH_WRITERS:
        raise TooFewWritersError(
            "reference writers",
            f"{len(left)} of {len(others)} write the author's language ({spoken or 'unknown'}), "
            f"are someone else and have {ENOUGH_OF_OTHERS} words: too few to compare with",
            f"Set LLMTWIN_REFERENCE_WRITERS to a folder with texts of at least {ENOUGH_WRITERS} "
            "other writers of that language",
        )
    return Writers(author, left, same, spoken)


def _told_apart(
    author: Sequence[str], others: Texts
) -> tuple[tuple[str, ...], dict[str, Sequence[str]]]:
    """Names in ``others`` that are the author's, and the rest, each once. Two are the same where a
    fifth or more of the 8-grams of the one who wrote less stand in the other's. Quotations between
    two people stay far below that."""
    own, same = _runs(author), []
    left: dict[str, Sequence[str]] = {}
    seen: list[set[int]] = []
    for name, texts in others.items():
        runs = _runs(texts)
        if _overlap(own, runs) >= SAME_WRITER:
            same.append(name)
        elif all(_overlap(runs, other) < SAME_WRITER for other in seen):
            left[name] = texts
            seen.append(runs)
    return tuple(same), left


def _fits(texts: Sequence[str], spoken: str | None) -> bool:
    return language(texts) in (spoken, None) and _length(texts) >= ENOUGH_OF_OTHERS


def _length(texts: Sequence[str]) -> int:
    return sum(len(words(text)) for text in texts)


def _runs(texts: Sequence[str]) -> set[int]:
    return {hash(gram) for text in texts for gram in ngrams(words(text), EIGHT)}


def _overlap(one: set[int], other: set[int]) -> float:
    return len(one & other) / max(min(len(one), len(other)), 1)
