"""The passages that an answer was given, as a reply lists them, as data or as the end of a text."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from llmtwin_assets.records import Passage
from llmtwin_assets.serving.citations import MARKER
from llmtwin_assets.serving.links import WithoutLinks

BLANKS_AND_MARKER = re.compile(rf"[ \t]*{MARKER.pattern}")
SOURCE_LINES = re.compile(r"\n\nSources:\n\[1\] .*\Z", re.DOTALL)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def sources(passages: Sequence[Passage], cited: Collection[int]) -> list[dict[str, Any]]:
    """The passages as a reply lists them; ``cited`` tells whether the answer has their marker."""
    return [
        {
            "number": p.number,
            "title": p.title,
            "url": shown_url(p.url),
            "document_id": p.document_id,
            "chunk_id": p.chunk_id,
            "start": p.start,
            "end": p.end,
            "text": p.text,
            "cited": p.number in cited,
        }
        for p in passages
    ]


def shown_url(url: str) -> str:
    """A source's address (a web page, a file, a place in a package), or nothing when it is of a
    kind that runs something instead of leading somewhere."""
    scheme = SCHEME.match(url.strip())
    runs = scheme is not None and scheme[1].lower() not in ("http", "https", "package")
    return "" if runs or "\n" in url else url


def source_lines(passages: Sequence[Passage]) -> str:
    """The sources as the end of a plain text; nothing without any."""
    if not passages:
        return ""
    lines = []
    for passage in passages:
        links = WithoutLinks(())
        title = " ".join(f"{links.feed(passage.title)}{links.close()}".split())
        url = shown_url(passage.url)
        lines.append(
            f"[{passage.number}] {title} — {url}" if url else f"[{passage.number}] {title}"
        )
    return "\n\nSources:\n" + "\n".join(lines)


def without_sources(text: str) -> str:
    """An answer as it was before ``source_lines`` and markers were added to it: what a model should
    see of its earlier turns, whose numbers mean other passages."""
    return BLANKS_AND_MARKER.sub("", SOURCE_LINES.sub("", text)).strip()
