"""Archives read in tests."""

from pathlib import Path
from typing import Any

from llmtwin_assets.authors import ArchiveSource
from llmtwin_assets.corpus import archives
from llmtwin_assets.corpus.reading import Listing
from llmtwin_assets_tests.corpus.sources import author, context


def listed(path: Path, kind: str | None = None, **options: Any) -> Listing:
    """What an archive holds for Ada Writer; options of the context are known, memory, bylines."""
    bylines = options.pop("bylines", ())
    given = {name: options.pop(name) for name in ("known", "memory") if name in options}
    listing = Listing()
    source = ArchiveSource(type="archive", path=str(path), **options)
    whose = author("ada", "Ada Writer", bylines=bylines)
    archives.read(source, context(author=whose, kind=kind, **given), listing)
    return listing


def texts(listing: Listing) -> dict[str, str]:
    """External id -> text."""
    return {document.external_id: document.text for document in listing.documents}
