"""What the service knows of each author: the name, what serves, the report, the documents.

``Twins.open`` is the one place that decides whether a caller may see an author: everything of an
author hangs on the ``Twin`` it returns. Reads the stores and writes nothing.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets.authors import AuthorsFile, Registry
from llmtwin_assets.records import Document, from_frame
from llmtwin_assets.serving.endpoint import ENDPOINT, Endpoint, serving
from llmtwin_assets.serving.keys import Caller
from llmtwin_assets.serving.refusals import ApiError
from llmtwin_assets.settings import Settings
from resources.artifacts import ArtifactStore, DamagedArtifactError, Version, open_artifacts

AUTHOR_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DOCUMENTS, DATA, REPORT = "cleaned_documents", "instruct_dataset", "eval_report"
log = logging.getLogger("llmtwin.api")


@dataclass(frozen=True)
class Twin:
    """One author that the caller may see."""

    author: str
    name: str
    _artifacts: ArtifactStore

    def serving(self) -> Endpoint:
        """What serves the author; raises ``NoTwinError``."""
        return serving(self._artifacts, self.author)

    def card(self) -> dict[str, Any]:
        """The author as a page shows them; raises ``NoTwinError``."""
        endpoint = self.serving()
        version = self._artifacts.version(self.author, ENDPOINT, endpoint.version)
        report = self._artifacts.current(self.author, REPORT)
        documents = self._artifacts.current(self.author, DOCUMENTS)
        return {
            "author": self.author,
            "name": self.name,
            "version": endpoint.version,
            "twin": endpoint.twin,
            "report": _figures(report.facts) if report else {},
            "previous": self._artifacts.previous(self.author, ENDPOINT) is not None,
            "documents": int(_figures(documents.facts).get("documents", 0)) if documents else 0,
            "made": version.made.isoformat(timespec="seconds") if version else None,
        }

    def report(self) -> str:
        """The evaluation report as HTML; raises ``ApiError`` (404) when there is none."""
        report = self._artifacts.current(self.author, REPORT)
        if report is None or not (report.path / "report.html").is_file():
            raise _missing("report", "this author has none yet", "Materialise eval_report")
        return (report.path / "report.html").read_text("utf-8")

    def document(self, document_id: str) -> dict[str, Any]:
        """A cleaned document; raises ``ApiError`` (404)."""
        import polars as pl

        version = self._artifacts.current(self.author, DOCUMENTS)
        if version is not None:
            rows = pl.scan_parquet(version.file("documents.parquet"))
            found = from_frame(Document, rows.filter(pl.col("id") == document_id).collect())
            if found:
                return _shown(found[0])
        raise _missing("document", "this author has none of this id", "Use an id from a citation")

    def data_set(self) -> tuple[Version, Version]:
        """The data set and the documents that it is from; raises ``ApiError`` (404) when there is
        none."""
        data = self._artifacts.current(self.author, DATA)
        documents = self._artifacts.current(self.author, DOCUMENTS)
        if data is None or documents is None:
            raise _missing("data set", "this author has none yet", "Run 'llmtwin dataset make'")
        return data, documents


class Twins:
    """The authors of the registry, as a caller may see them."""

    def __init__(self, settings: Settings) -> None:
        self._file = AuthorsFile(settings.authors_file)
        self._artifacts = open_artifacts(settings.artifacts_url)
        self._seen: tuple[int, int] | None = None
        self._registry: Registry | None = None

    def open(self, caller: Caller, author: str) -> Twin:
        """An author by id. Raises ``ApiError``: 403 when the caller's key is for another author,
        404 when there is no such author; nothing of the id reaches a path before that."""
        if not caller.may(author):
            raise ApiError(
                403,
                "other_author",
                "this key",
                "it is for another author",
                "Use a key for this one",
            )
        for twin in self.all(caller):
            if twin.author == author and AUTHOR_ID.fullmatch(author):
                return twin
        raise _missing("author", "there is none of this id", "See /v1/models for those there are")

    def open_serving(self, caller: Caller, author: str) -> tuple[Twin, Endpoint]:
        """An author by id and what serves them; raises as ``open`` and ``Twin.serving`` do."""
        twin = self.open(caller, author)
        return twin, twin.serving()

    def all(self, caller: Caller) -> list[Twin]:
        """Every author that the caller may see, with a twin or without."""
        return [
            Twin(author.id, author.name, self._artifacts)
            for author in self._current().authors
            if caller.may(author.id)
        ]

    def serving(self, caller: Caller) -> list[tuple[Twin, Endpoint]]:
        """Those that have a twin. One whose record cannot be read is left out."""
        ready, found = set(self._artifacts.authors(ENDPOINT)), []
        for twin in self.all(caller):
            try:
                if twin.author in ready:
                    found.append((twin, twin.serving()))
            except DamagedArtifactError as error:
                log.error("%s is left out: %s", twin.author, error)
        return found

    def learning(self, caller: Caller) -> list[Twin]:
        """Those that have a data set, with a twin or without."""
        ready = set(self._artifacts.authors(DATA))
        return [twin for twin in self.all(caller) if twin.author in ready]

    def _current(self) -> Registry:
        """The registry, read anew when its file changed."""
        path: Path = self._file.path
        state = path.stat() if path.exists() else None
        seen = (state.st_mtime_ns, state.st_size) if state else None
        if self._registry is None or seen != self._seen:
            self._registry = self._file.read()
            self._seen = seen
        return self._registry


def _figures(facts: Mapping[str, Any]) -> dict[str, Any]:
    return dict(facts.get("figures", {}))


def _shown(document: Document) -> dict[str, Any]:
    row = asdict(document)
    names = ("id", "title", "url", "published", "kind", "text")
    row["published"] = document.published.isoformat() if document.published else None
    return {name: row[name] for name in names}


def _missing(what: str, problem: str, remedy: str) -> ApiError:
    return ApiError(404, f"{what.replace(' ', '_')}_not_found", what, problem, remedy)
