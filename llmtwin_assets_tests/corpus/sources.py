"""What readers of sources are given in tests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import Author, UrlSource
from llmtwin_assets.corpus.reading import Context

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def author(id_: str = "ada", name: str = "Ada Writer", *sources: Any, **options: Any) -> Author:
    """An author of the registry; their sources do not matter to a single reader."""
    return Author(
        id=id_, name=name, sources=sources or (UrlSource(url="https://x.org"),), **options
    )


def context(author_id: str = "ada", **options: Any) -> Context:
    """A reader's context, with a clock that stands."""
    whose = options.pop("author", None) or author(author_id)
    return Context(author=whose, base=Path(), clock=lambda: MOMENT, **options)
