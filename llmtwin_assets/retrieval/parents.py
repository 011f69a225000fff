"""From a small passage, which is good to find, to the passage around it, which is good to read.

The parent is computed from the document's structure: whole paragraphs around the passage, within
its section, as many as fit, or whole sentences where one paragraph alone is too long. It is a span
of the same text, so a citation stays verbatim.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from llmtwin_assets.features.split import HEADING, paragraphs, sentences
from llmtwin_assets.records import Passage
from resources.artifacts import ArtifactStore, DamagedArtifactError

ROOM = 1500  # characters of a parent: a screen of text

Texts = Callable[[str, str], str | None]  # author, document id -> its text, if there is one


def expand(
    author: str, passages: Iterable[Passage], texts: Texts, limit: int, room: int = ROOM
) -> list[Passage]:
    """The first ``limit`` parents of the passages, best first and numbered from 1; passages of one
    parent become one. A passage that its document's text does not have as it was indexed stays as
    it is."""
    grown: list[Passage] = []
    for passage in passages:
        if len(grown) == limit:
            break
        text = texts(author, passage.document_id)
        parent = passage
        if text is not None and text[passage.start : passage.end] == passage.text:
            start, end = parent_span(text, passage.start, passage.end, room)
            found = (passage.start, passage.end)
            parent = replace(passage, start=start, end=end, text=text[start:end], found=found)
        if not any(_holds(other, parent) for other in grown):
            grown.append(parent)
    return [replace(passage, number=n) for n, passage in enumerate(grown, start=1)]


def current_texts(artifacts: ArtifactStore) -> Texts:
    """The texts of the documents as they are cleaned now. What is damaged has none: what was found
    is in the index, and needs no more."""

    def text(author: str, document_id: str) -> str | None:
        import polars as pl

        try:
            version = artifacts.current(author, "cleaned_documents")
            if version is None:
                return None
            rows = pl.scan_parquet(version.file("documents.parquet")).filter(id=document_id)
            return next(iter(rows.select("text").collect()["text"]), None)
        except (DamagedArtifactError, pl.exceptions.PolarsError):
            return None

    return text


def parent_span(text: str, start: int, end: int, room: int) -> tuple[int, int]:
    """The span of whole paragraphs around ``[start, end)`` within its section, or of whole
    sentences of a paragraph that is too long, of at most ``room`` characters unless the passage
    itself is longer. What follows is taken before what precedes."""
    spans = paragraphs(text)
    first, last = _around(spans, start, end)
    begin, stop = min(start, spans[first][0]), max(end, spans[last][1])
    if stop - begin > room:
        spans = sentences(text, begin, stop)
        first, last = _around(spans, start, end)
        begin, stop = min(start, spans[first][0]), max(end, spans[last][1])
    if stop - begin > room:
        return start, end
    while True:
        after = last + 1 < len(spans) and not HEADING.match(text, spans[last + 1][0])
        before = first > 0 and not HEADING.match(text, spans[first][0])
        if after and spans[last + 1][1] - begin <= room:
            last += 1
            stop = spans[last][1]
        elif before and stop - spans[first - 1][0] <= room:
            first -= 1
            begin = spans[first][0]
        else:
            return begin, stop


def _around(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The places of the first and the last span that ``[start, end)`` lies in."""
    first = next((i for i, (_, stop) in enumerate(spans) if stop > start), 0)
    last = next((i for i, (_, stop) in enumerate(spans) if stop >= end), len(spans) - 1)
    return first, last


def _holds(one: Passage, other: Passage) -> bool:
    same = one.document_id == other.document_id
    return same and one.start <= other.start and other.end <= one.end
