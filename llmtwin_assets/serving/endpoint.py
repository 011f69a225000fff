"""The record of what serves an author: one directory that holds the model itself, so that nothing
that happens to other versions can change or remove it. No Dagster here."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from resources.artifacts import ArtifactStore, DamagedArtifactError, Version
from resources.errors import LlmTwinError

ENDPOINT = "endpoint"


class NoTwinError(LlmTwinError):
    """The author has no twin that serves."""


class NothingToRollBackError(LlmTwinError):
    """There is no previous twin to return to."""


class WithdrawnError(LlmTwinError):
    """The twin at hand was taken back by a person."""


class NotEvaluatedError(LlmTwinError):
    """The model at hand is not the one that was evaluated, or its report did not pass."""


@dataclass(frozen=True)
class Endpoint:
    """A twin that serves: its version, its model's directory, and the report that let it."""

    author: str
    name: str
    version: str
    model: Path
    twin: str
    report: str
    made: datetime  # UTC


def serving(artifacts: ArtifactStore, author: str) -> Endpoint:
    """What serves this author now; raises ``NoTwinError``, ``DamagedArtifactError``."""
    version = artifacts.current(author, ENDPOINT)
    if version is None:
        raise NoTwinError(
            author, "no twin of this author serves yet", f"Run 'make twin AUTHOR={author}'"
        )
    return _endpoint(version)


def rollback(artifacts: ArtifactStore, author: str) -> Endpoint:
    """Make the previous twin serve again; the one it replaces is not promoted again by itself, but
    a second rollback returns to it. Raises ``NothingToRollBackError``."""
    serving(artifacts, author)
    previous = artifacts.withdraw(author, ENDPOINT)
    if previous is None:
        raise NothingToRollBackError(
            author, "no earlier twin is stored", "Materialise a new one instead"
        )
    return _endpoint(previous)


def _endpoint(version: Version) -> Endpoint:
    facts = version.facts
    try:
        return Endpoint(
            author=version.author,
            name=facts["name"],
            version=version.digest,
            model=version.path / "model",
            twin=facts["twin"],
            report=facts["report"],
            made=version.made,
        )
    except (KeyError, TypeError) as error:
        raise DamagedArtifactError(
            str(version.path),
            "its facts are not those of an endpoint",
            f"Run 'llmtwin rollback {version.author}', or materialise endpoint again",
        ) from error
