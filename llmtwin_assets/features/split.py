"""Splitting a document into chunks by its own structure: headings, blocks (paragraph, list, code),
then sentences or lines, then words. Every chunk is a span of the text, none is longer than the
embedder reads, and nothing between the first and the last visible character is left out.

Tokens are counted once for every sentence or line, with the blanks that follow it: tokens do not
reach over blanks, so a chunk has at most the sum of what its parts have.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from llmtwin_assets.features.clean import search_form

VERSION = "split-7"

MATCH = 128  # tokens of a chunk: small enough to match one question (benchmarks.chunking)

CountTokens = Callable[[Sequence[str]], list[int]]

PARAGRAPH_GAP = re.compile(r"\n[ \t]*\n+")
SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9À-ÞА-Я])"
    r"|(?<=[。！？])(?![。！？])[」』”’）]*\s*"  # where nothing stands between sentences
    r"|\n"
)
# Markdown's headings, and a wiki's.
HEADING = re.compile(r"#{1,6} |={1,6} [^\n]*=[ \t]*$", re.MULTILINE)
HEADINGS = re.compile(r"^(#{1,6}|[ \t]*={1,6}(?=[^\n]*=[ \t]*$)) +(.*)$", re.MULTILINE)
FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S)
INDENTED = re.compile(r"(?:(?: {4}|\t)[^\n]*(?:\n|\Z))+")
# Where long code is cut: before a line at the margin that follows an empty one; else at any line.
CODE_BLOCK = re.compile(r"\n[ \t]*\n(?=[^\s)\]}])")
LINE_END = re.compile(r"\n")
WORD = re.compile(r"\s*\S+")
MOST_WORDS = 500_000  # remembered; about 50 MB
LETTERS = 4  # characters of code in a token, at most


@dataclass(frozen=True)
class Span:
    """Characters ``[start, end)`` of a text, their tokens, whether a heading begins there, the
    headings they stand under (outermost first), whether most of them is code, and whether they
    begin a line."""

    start: int
    end: int
    tokens: int
    heading: bool = False
    headings: tuple[str, ...] = ()
    code: bool = False
    line: bool = False


@dataclass(frozen=True)
class _Block:
    """A paragraph, list or piece of code ``[start, end)``, and where its own parts begin."""

    start: int
    end: int
    code: bool
    heading: bool


def chunk_spans(text: str, limit: int, count_tokens: CountTokens) -> list[Span]:
    """Spans of at most ``limit`` tokens that cover the text.

    Neighbouring blocks share a chunk while they fit; a heading begins a new one and stays with
    what follows it; a block over the limit is cut into parts of about equal length. Tokens are
    counted on the search form of the text, which is what gets embedded.
    """
    fences = code_spans(text)
    blocks = list(_blocks(text, fences, limit))
    parts = [_parts(text, block) for block in blocks]
    counts = iter(_counts(text, [part for each in parts for part in each], count_tokens))
    units = [
        [
            Span(start, end, next(counts), code=block.code, line=_begins_line(text, start))
            for start, end in each
        ]
        for block, each in zip(blocks, parts, strict=True)
    ]
    sections = _with_headings(blocks, units)
    fitting = [(heading, _fitting(text, each, limit, count_tokens)) for heading, each in sections]
    return _under_headings(text, fences, list(_packed(fitting, limit)))


class WordTokens(dict[str, int]):
    """Token counts by word, remembered: most words of a text have been counted before.

    A word is counted with the blanks before it, as tokenizers see it; tokens do not reach over
    blanks, so a text has as many as its words.
    """

    def __init__(self, count_tokens: CountTokens) -> None:
        super().__init__()
        self._count = count_tokens

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        words = [WORD.findall(text) for text in texts]
        if len(self) > MOST_WORDS:
            self.clear()
        new = [word for word in set(chain.from_iterable(words)) if word not in self]
        self.update(zip(new, self._count(new), strict=True))
        return [sum(map(self.__getitem__, each)) for each in words]


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Spans of the sentences in ``text[start:end]``, blanks between them left out."""
    return list(_pieces(text, start, len(text) if end is None else end, SENTENCE_END))


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Spans of the paragraphs, blank lines between them left out."""
    return list(_pieces(text, 0, len(text), PARAGRAPH_GAP))


def code_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the code between fences; a fence that is never closed reaches to the end."""
    if "```" not in text and "~~~" not in text:
        return []
    return [match.span() for match in FENCED.finditer(text)]


def coverage(text: str, spans: Iterable[Span]) -> float:
    """Share of the text's visible characters that lie in a span; 1.0 for a text without any."""
    seen = _visible(text)
    covered = sum(_visible(text[span.start : span.end]) for span in spans)
    return covered / seen if seen else 1.0


def _visible(text: str) -> int:
    return len("".join(text.split()))


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


def _blocks(text: str, fences: Sequence[tuple[int, int]], limit: int) -> Iterator[_Block]:
    """Paragraphs; code between fences is one block, or one for each of its own when it is surely
    over the limit."""
    begin = 0
    for start, end in [*fences, (len(text), len(text))]:
        for first, last in _pieces(text, begin, start, PARAGRAPH_GAP):
            line = text.rfind("\n", 0, first) + 1
            indented = INDENTED.fullmatch(text, line, last) is not None
            yield _Block(first, last, indented, HEADING.match(text, first) is not None)
        whole = end - start <= LETTERS * limit
        code = _trimmed(text, start, end) if whole else _pieces(text, start, end, CODE_BLOCK)
        yield from (_Block(*span, True, False) for span in code)
        begin = end


def _parts(text: str, block: _Block) -> list[tuple[int, int]]:
    gap = LINE_END if block.code else SENTENCE_END
    return list(_pieces(text, block.start, block.end, gap))


def _begins_line(text: str, start: int) -> bool:
    return not text[text.rfind("\n", 0, start) + 1 : start].strip()


def _counts(text: str, spans: Sequence[tuple[int, int]], count_tokens: CountTokens) -> list[int]:
    """Tokens of each span with the blanks after it."""
    ends = [after for after, _ in spans[1:]] + [end for _, end in spans[-1:]]
    return count_tokens(
        [search_form(text[start:end]) for (start, _), end in zip(spans, ends, strict=True)]
    )


def _with_headings(
    blocks: Sequence[_Block], units: Sequence[list[Span]]
) -> Iterator[tuple[bool, list[Span]]]:
    """The units of each block, those of a heading's with what follows it: (whether a heading
    begins them, units)."""
    waiting: list[Span] = []
    for block, each in zip(blocks, units, strict=True):
        alone = block.heading and len(each) == 1
        if alone:
            waiting += each
            continue
        begins = bool(waiting) or block.heading
        yield begins, _glued([*waiting, *each], len(waiting) + block.heading)
        waiting = []
    if waiting:
        yield True, _glued(waiting, len(waiting))


def _glued(units: list[Span], headings: int) -> list[Span]:
    """The units, the first ``headings`` of them on one line with the next: they stay together."""
    return [
        replace(unit, line=False) if 0 < number <= headings else unit
        for number, unit in enumerate(units)
    ]


def _fitting(text: str, units: Sequence[Span], limit: int, count_tokens: CountTokens) -> list[Span]:
    """The units, those over the limit cut into runs of words, or of letters."""
    done: list[Span] = []
    for unit in units:
        if unit.tokens <= limit or unit.end - unit.start < 2:
            done.append(unit)
            continue
        halves = _halves(text, unit.start, unit.end)
        counts = _counts(text, halves, count_tokens)
        cut = [
            replace(unit, start=start, end=end, tokens=tokens, line=unit.line and not number)
            for number, ((start, end), tokens) in enumerate(zip(halves, counts, strict=True))
        ]
        done += _fitting(text, cut, limit, count_tokens)
    return done


def _halves(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Two halves of a span, cut at the blank nearest its middle, or in the middle of a word that
    has none."""
    blanks = [match.end() for match in re.finditer(r"\s+", text[start:end])]
    middle = (end - start) // 2
    if blanks:
        at = bisect_right(blanks, middle)
        near = [blanks[i] for i in (at - 1, at) if 0 <= i < len(blanks)]
        middle = min(near, key=lambda blank: abs(blank - middle))
    return [*_trimmed(text, start, start + middle), *_trimmed(text, start + middle, end)]


def _packed(sections: Iterable[tuple[bool, list[Span]]], limit: int) -> Iterator[Span]:
    """Chunks: as many whole blocks as fit; of a longer block as many whole lines; of a longer line
    sentences."""
    open_: list[Span] = []
    for heading, units in sections:
        if open_ and (heading or _tokens(open_) + _tokens(units) > limit):
            yield _joined(open_)
            open_ = []
        open_ += units
        if _tokens(open_) > limit:
            *whole, open_ = _cut(units, limit)
            yield from map(_joined, whole)
    if open_:
        yield _joined(open_)


def _cut(units: Sequence[Span], limit: int) -> list[list[Span]]:
    """The units of a block over the limit in runs within it."""
    lines: list[list[Span]] = []
    for unit in units:
        if unit.line or not lines:
            lines.append([])
        lines[-1].append(unit)
    if len(lines) == 1:
        return _even(units, limit)
    runs: list[list[Span]] = [[]]
    for line in lines:
        if runs[-1] and _tokens(runs[-1]) + _tokens(line) > limit:
            runs.append([])
        runs[-1] += line
        if _tokens(runs[-1]) > limit:
            runs[-1:] = _even(line, limit)
    return runs


def _even(units: Sequence[Span], limit: int) -> list[list[Span]]:
    """Units in as few runs within the limit as there can be, of about equal length."""
    total = sum(unit.tokens for unit in units)
    wanted = total / -(-total // limit)
    runs: list[list[Span]] = [[]]
    used = 0
    for unit in units:
        size = used + unit.tokens
        if runs[-1] and (size > limit or size - unit.tokens / 2 > wanted):
            runs.append([])
            used = 0
        runs[-1].append(unit)
        used += unit.tokens
    return runs


def _tokens(units: Iterable[Span]) -> int:
    return sum(unit.tokens for unit in units)


def _joined(units: Sequence[Span]) -> Span:
    tokens = _tokens(units)
    code = sum(unit.tokens for unit in units if unit.code)
    return Span(units[0].start, units[-1].end, tokens, code=2 * code > tokens)


def _under_headings(text: str, fences: Sequence[tuple[int, int]], spans: list[Span]) -> list[Span]:
    """The spans, each with the headings in force where it begins."""
    if "# " not in text and "= " not in text:
        return spans
    found = [
        match
        for match in HEADINGS.finditer(text)
        if not any(start <= match.start() < end for start, end in fences)
    ]
    path: list[tuple[int, str]] = []
    done: list[Span] = []
    upcoming = iter([*found, None])
    after = next(upcoming)
    for span in spans:
        begins = False
        while after is not None and after.start() <= span.start:
            begins = after.start() == span.start
            level = len(after[1].strip())
            path = [each for each in path if each[0] < level] + [(level, after[2].strip("#= \t"))]
            after = next(upcoming)
        done.append(replace(span, heading=begins, headings=tuple(name for _, name in path)))
    return done
