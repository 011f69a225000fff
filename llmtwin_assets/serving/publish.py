"""A twin that serves, on a model hub: its 16-bit weights, its adapter, what is served, its card.

Only what passed its gates and serves goes up. How a hub takes it is not known here.
"""

from pathlib import Path

from llmtwin_assets.serving import endpoint
from resources import hub
from resources.artifacts import ArtifactStore, Version
from resources.errors import LlmTwinError

FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "README.md")


class TwinMovedOnError(LlmTwinError):
    """The checkpoint that a serving twin was made of is not stored any more."""


def push(artifacts: ArtifactStore, author: str, repository: str) -> tuple[str, str]:
    """Upload the twin that serves ``author``; returns repository and revision.

    ``{author}`` in ``repository`` stands for the author. Raises ``hub.NoRepositoryError``,
    ``TwinMovedOnError``, ``endpoint.NoTwinError`` and ``hub.PushRefusedError``.
    """
    name = hub.repository_of(author, repository, "LLMTWIN_HUB_REPOSITORY")
    return name, hub.push(files(artifacts, author), name, "A twin that passed its gates")


def files(artifacts: ArtifactStore, author: str) -> dict[str, Path]:
    """Path in the repository -> file: the model at the top, ``adapter/`` and GGUF beside it."""
    serving = endpoint.serving(artifacts, author)
    checkpoint = _checkpoint(artifacts, author, serving.twin)
    found = {path.name: path for form in FILES for path in (checkpoint.path / "model").glob(form)}
    adapter = checkpoint.path / "adapter"
    found |= {f"adapter/{path.name}": path for form in FILES for path in adapter.glob(form)}
    found |= {path.name: path for path in serving.model.glob("*.gguf")}
    return found


def _checkpoint(artifacts: ArtifactStore, author: str, twin: str) -> Version:
    """The checkpoint whose weights were quantised to ``twin``."""
    made_of = None
    served = artifacts.version(author, "quantized_checkpoint", twin)
    if served is not None:
        made_of = served.facts.get("made_of")
    for version in (
        artifacts.current(author, "dpo_checkpoint"),
        artifacts.previous(author, "dpo_checkpoint"),
    ):
        if version is not None and made_of and version.facts.get("made_of") == made_of:
            return version
    raise TwinMovedOnError(
        f"the twin {twin} of {author}",
        "the checkpoint that it was made of is not stored any more",
        "Materialise the twin again, so that the newest one serves",
    )
