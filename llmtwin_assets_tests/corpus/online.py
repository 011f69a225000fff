"""What readers of sources on the network are given in tests: a real client, allowed to reach the
test's own servers, without pauses, and a clock that the test moves."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import Author
from llmtwin_assets.corpus.reading import Context, Listing
from llmtwin_assets_tests.corpus.sources import MOMENT, author
from llmtwin_assets_tests.website import Website, guard
from resources.addresses import Guard
from resources.hosts import Hosts
from resources.polite import Manners, Polite
from resources.web import Web


class Online:
    """An author whose sources are read again and again, and what is stored of them."""

    def __init__(self, folder: Path, *websites: Website, rule: Guard | None = None) -> None:
        self.folder = folder
        self.web = Polite(
            Web(rule or guard(*websites)),
            Hosts(folder / "hosts"),
            Manners(delay=0, backoff=0.01, attempts=2),
        )
        self.now = MOMENT
        self.author: Author = author()
        self.known: dict[str, str] = {}
        self.memory: dict[str, Any] = {}
        self.documents: dict[str, Any] = {}

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.now = self.now + timedelta(**by)

    def context(self, **options: Any) -> Context:
        """The context of the next reading."""
        return Context(
            author=self.author, base=self.folder, known=self.known, memory=self.memory,
            web=self.web, cache=self.folder / "cache", clock=self._clock, **options,
        )  # fmt: skip

    def read(self, module: Any, source: Any, **options: Any) -> Listing:
        """Read a source as ingestion does, and store what it lists."""
        listing = Listing(self._store)
        module.read(source, self.context(**options), listing)
        if listing.memory is not None and not listing.unchanged:
            self.memory = dict(listing.memory)
        if listing.complete and not listing.unchanged:
            there = listing.listed | listing.unread
            self.documents = {i: d for i, d in self.documents.items() if i in there}
            self.known = {i: s for i, s in self.known.items() if i in there}
        return listing

    def titles(self) -> list[str]:
        """The titles of what is stored, sorted."""
        return sorted(document.title for document in self.documents.values())

    def _store(self, document: Any, stamp: str | None) -> None:
        self.documents[document.id] = document
        if stamp:
            self.known[document.id] = stamp

    def _clock(self) -> datetime:
        return self.now
