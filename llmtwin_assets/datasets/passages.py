"""The passages of a document that are worth learning from: prose paragraphs, long ones cut between
sentences. Every passage is a span of the document's text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmtwin_assets.features.split import paragraphs, sentences
from llmtwin_assets.features.words import length, ngrams, words

FEWEST_WORDS, MOST_WORDS = 30, 180
NOT_PROSE = re.compile(r"^(#{1,6} |[|>]|[-*+] |\d{1,3}[.)] |\[\d+\])")
FENCED = re.compile(r"^(```|~~~).*?(^\1|\Z)", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
INDENT = re.compile(r"( {4}|\t)\s*")
QUOTED = 6  # words in a row that nobody else would write of themselves
LETTERS = 0.6  # least share of letters in prose


@dataclass(frozen=True)
class Span:
    """Characters ``[start, end)`` of a text."""

    start: int
    end: int


def passages(text: str) -> Iterator[Span]:
    """Prose passages of 30 to 180 words, in order; the whole text when it is a short post."""
    if length(text) < FEWEST_WORDS:
        yield from (Span(start, end) for start, end in [_trim(text)] if _is_prose(text, 3))
        return
    fenced = [match.span() for match in FENCED.finditer(text)]
    for start, end in paragraphs(text):
        code = _is_indented(text, start) or any(a <= start < b for a, b in fenced)
        if not code and _is_prose(text[start:end], FEWEST_WORDS):
            yield from _cut(text, start, end)


def quotes(text: str, passage: str) -> bool:
    """Whether a text has six words in a row of a passage."""
    return not set(ngrams(words(passage), QUOTED)).isdisjoint(ngrams(words(text), QUOTED))


def prose(text: str) -> str:
    """A text without its fenced and its indented code."""
    return CODE.sub("", FENCED.sub("", text))


def _cut(text: str, start: int, end: int) -> Iterator[Span]:
    """A paragraph in parts of about equal length, none over the most words if its sentences
    allow."""
    whole = length(text[start:end])
    parts = -(-whole // MOST_WORDS)
    wanted = whole / parts
    begin, count = start, 0
    pieces = sentences(text, start, end)
    for number, (first, last) in enumerate(pieces):
        count += length(text[first:last])
        after = pieces[number + 1] if number + 1 < len(pieces) else None
        if after is None:
            yield from _long_enough(text, begin, last)
        elif count + length(text[after[0] : after[1]]) / 2 > wanted:
            yield from _long_enough(text, begin, last)
            begin, count = after[0], 0


def _long_enough(text: str, start: int, end: int) -> Iterator[Span]:
    if length(text[start:end]) >= FEWEST_WORDS:
        yield Span(start, end)


def _is_prose(text: str, fewest: int) -> bool:
    if NOT_PROSE.match(text) or length(text) < fewest:
        return False
    letters = sum(character.isalpha() for character in text)
    return letters >= LETTERS * len(text)


def _is_indented(text: str, start: int) -> bool:
    """Whether the line that has its first visible character at ``start`` is indented as code is."""
    return INDENT.fullmatch(text, text.rfind("\n", 0, start) + 1, start) is not None


def _trim(text: str) -> tuple[int, int]:
    return len(text) - len(text.lstrip()), len(text.rstrip())
