"""The other authors of the instance as writers to tell an author from: people who write of the same
things today are harder to tell apart than the dead of the reference writers.

Their cleaned texts are read as they are stored when a report is made, so that no author's report
hangs on another's partition; what was read is recorded by digest. They have no names here: a report
is sent on, and erasing an author must not have to look into others' reports.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmtwin_assets.evaluation.writers import ENOUGH_OF_OTHERS
from llmtwin_assets.features.assets import DOCUMENTS
from llmtwin_assets.steps import read_table
from resources.artifacts import ArtifactStore, DamagedArtifactError, Version

CLEANED = "cleaned_documents"
MOST = 8  # other authors: each costs the scorer as much as a reference writer
ENOUGH = 100_000  # characters of each, about 20,000 words: more would say the same


@dataclass(frozen=True)
class Impostors:
    """Other authors' texts by a name that tells nobody who they are, and the digests of the
    versions they are from, in the same order."""

    texts: Mapping[str, list[str]]
    digests: tuple[str, ...]


def impostors(artifacts: ArtifactStore, author: str) -> Impostors:
    """The texts of at most eight other authors whose main language is the ``author``'s. One whose
    stored text is damaged is left out."""
    own = _current(artifacts, author)
    spoken = _language(own.facts) if own else None
    found = []
    for name in artifacts.authors(CLEANED):
        version = _current(artifacts, name) if name != author else None
        if version and _fits(version.facts, spoken):
            found.append(version)
    texts: dict[str, list[str]] = {}
    digests = []
    for version in sorted(found, key=lambda each: each.digest):
        if len(texts) < MOST and (read := _texts(version)):
            texts[f"another author {len(texts) + 1}"] = read
            digests.append(version.digest)
    return Impostors(texts, tuple(digests))


def _current(artifacts: ArtifactStore, author: str) -> Version | None:
    try:
        return artifacts.current(author, CLEANED)
    except DamagedArtifactError:
        return None


def _fits(facts: Mapping[str, Any], spoken: str | None) -> bool:
    return facts.get("words", 0) >= ENOUGH_OF_OTHERS and _language(facts) == spoken


def _language(facts: Mapping[str, Any]) -> str | None:
    return next(iter(facts.get("languages", ())), None)


def _texts(version: Version) -> list[str]:
    """Prose of a version, by id (which is as good as by chance), until it is enough."""
    try:
        table = read_table(version, DOCUMENTS, ("id", "kind", "text")).sort("id")
    except DamagedArtifactError:
        return []
    texts, size = [], 0
    for kind, text in table.select("kind", "text").iter_rows():
        if kind != "repository" and size < ENOUGH:
            texts.append(text[: ENOUGH - size])
            size += len(text)
    return texts
