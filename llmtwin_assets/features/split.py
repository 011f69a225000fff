"""Splitting a document into chunks by its own structure: headings, then paragraphs, then
sentences, then words. Every chunk is a span of the text, none is longer than the embedder reads,
and nothing between the first and the last visible character is left out.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llmtwin_assets.features.clean import search_form

VERSION = "split-2"

CountTokens = Callable[[Sequence[str]], list[int]]

PARAGRAPH_GAP = re.compile(r"\n[ \t]*\n+")
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9À-ÞА-Я])|\n")
HEADING = re.compile(r"#{1,6} ")


@dataclass(frozen=True)
class Span:
    """Characters ``[start, end)`` of a text, their tokens, and whether a heading begins there."""

    start: int
    end: int
    tokens: int
    heading: bool = False


def chunk_spans(text: str, limit: int, count_tokens: CountTokens) -> list[Span]:
    """Spans of at most ``limit`` tokens that cover the text.

    Neighbouring paragraphs share a chunk while they fit; a heading begins a new one. Tokens are
    counted on the search form of the text, which is what gets embedded.
    """
    return list(_merge(_atoms(text, limit, count_tokens), limit))


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Spans of the sentences in ``text[start:end]``, blanks between them left out."""
    return list(_pieces(text, start, len(text) if end is None else end, SENTENCE_END))


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Spans of the paragraphs, blank lines between them left out."""
    return list(_pieces(text, 0, len(text), PARAGRAPH_GAP))


def coverage(text: str, spans: Sequence[Span]) -> float:
    """Share of the text's visible characters that lie in a span; 1.0 for a text without any."""
    seen = sum(not character.isspace() for character in text)
    covered = sum(
        not character.isspace() for span in spans for character in text[span.start : span.end]
    )
    return covered / seen if seen else 1.0


def _pieces(text: str, start: int, end: int, gap: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    begin = start
    for match in gap.finditer(text, start, end):
        yield from _trimmed(text, begin, match.end())
        begin = match.end()
    yield from _trimmed(text, begin, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    right = len(piece.rstrip())
    if right > left:
        yield start + left, start + right


def _atoms(text: str, limit: int, count_tokens: CountTokens) -> list[Span]:
    """The largest pieces that fit: whole paragraphs, else sentences, else runs of words."""
    spans = _counted(text, paragraphs(text), count_tokens)
    spans = _refine(text, spans, limit, count_tokens, sentences)
    return _refine(text, spans, limit, count_tokens, _halves)


def _refine(
    text: str,
    spans: list[Span],
    limit: int,
    count_tokens: CountTokens,
    cut: Callable[[str, int, int], list[tuple[int, int]]],
) -> list[Span]:
    """Replace spans over the limit by their pieces, as long as ``cut`` makes progress."""
    done: list[Span] = []
    for span in spans:
        if span.tokens <= limit:
            done.append(span)
            continue
        pieces = cut(text, span.start, span.end)
        smaller = _counted(text, pieces, count_tokens)
        if len(pieces) > 1:
            smaller = _refine(text, smaller, limit, count_tokens, cut)
        done.extend(smaller)
    return done


def _counted(text: str, pieces: Sequence[tuple[int, int]], count_tokens: CountTokens) -> list[Span]:
    counts = count_tokens([search_form(text[start:end]) for start, end in pieces])
    return [
        Span(start, end, tokens, bool(HEADING.match(text, start)))
        for (start, end), tokens in zip(pieces, counts, strict=True)
    ]


def _halves(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Two halves of a span, cut at the blank nearest its middle, or in the middle of a word that
    has none."""
    if end - start < 2:
        return [(start, end)]
    blanks = [match.end() for match in re.finditer(r"\s+", text[start:end])]
    middle = (end - start) // 2
    if blanks:
        at = bisect_right(blanks, middle)
        near = [blanks[i] for i in (at - 1, at) if 0 <= i < len(blanks)]
        middle = min(near, key=lambda blank: abs(blank - middle))
    return [*_trimmed(text, start, start + middle), *_trimmed(text, start + middle, end)]


def _merge(spans: Sequence[Span], limit: int) -> Iterator[Span]:
    open_span: Span | None = None
    for span in spans:
        if open_span is not None and not span.heading and open_span.tokens + span.tokens <= limit:
            open_span = Span(
                open_span.start, span.end, open_span.tokens + span.tokens, open_span.heading
            )
            continue
        if open_span is not None:
            yield open_span
        open_span = span
    if open_span is not None:
        yield open_span
