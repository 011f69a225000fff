"""What a deployment chooses, read from the environment once. Names and defaults, nothing opened.

Every default is embedded: files below one home directory, models from installed packages.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resources.errors import LlmTwinError

PROJECT = Path(__file__).resolve().parent.parent
EVOLVE = DEPTH, BREADTH = "depth", "breadth"
BY_MEANING = HELD_OUT, DUPLICATES = "held-out", "duplicates"


class BadSettingError(LlmTwinError):
    """A setting whose value makes no sense."""


@dataclass(frozen=True)
class Settings:
    """Where things are. ``home`` holds whatever has no URL of its own."""

    home: Path
    authors_file: Path
    documents_url: str
    vectors_url: str
    artifacts_url: str
    compute_url: str  # where scripts that train and generate run
    base_model: str
    embedder: str
    names: str  # a model that finds names of people, which are masked; none without one
    reranker: str  # a cross-encoder that orders what search finds; none without one
    reference_writers: Path | None  # a folder; the packaged public-domain writers without one
    labels: Path | None  # answers that people labelled, for the report
    lm_eval: tuple[str, ...]  # lm-eval's tasks that base and twin are asked
    lm_eval_tasks: str  # a folder of tasks that lm-eval does not bring
    ragas: bool  # whether the first judge also answers what Ragas asks
    evolve: tuple[str, ...]  # which of EVOLVE the teacher makes of its instructions
    by_meaning: tuple[str, ...]  # which of BY_MEANING embeddings look for in training data
    pairs_file: str  # an existing data set to learn from too; {author} stands for the author
    recipe: str
    reporters: str  # trl reporters that training figures go to as well, by commas
    accelerate: str  # a configuration file of accelerate's, for several GPUs or machines
    hub_repository: str  # where `llmtwin push` puts a twin; {author} stands for its author
    hub_dataset: str  # where `llmtwin dataset push` puts training data
    engine_url: str  # of language models, OpenAI-compatible; our own engine is started without one
    engine_key: str
    sample: float  # share of the answers kept as an evaluation set

    @property
    def models(self) -> Path:
        """Directory of converted base models."""
        return self.home / "models"

    @property
    def interactions_url(self) -> str:
        """Where traces and feedback are kept: beside the documents when those are in SQLite."""
        if self.documents_url.startswith("sqlite:"):
            return self.documents_url
        return f"sqlite://{self.home}/interactions.sqlite"

    @property
    def keys_file(self) -> Path:
        """Where the service's keys are kept, hashed."""
        return self.home / "keys.json"


def _flag(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a setting is on; off without one. Raises ``BadSettingError``."""
    value = environ.get(name) or "false"
    if value.lower() not in ("true", "false"):
        raise BadSettingError(f"{name}={value}", "it is no answer", "Give true or false")
    return value.lower() == "true"


def _several(name: str, known: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Which of ``known`` a setting names, by commas; none without one. Raises
    ``BadSettingError``."""
    named = set(_listed(environ.get(name, "")))
    if not named <= set(known):
        wrong = ", ".join(sorted(named - set(known)))
        raise BadSettingError(name, f"it knows no {wrong}", f"Name any of {', '.join(known)}")
    return tuple(each for each in known if each in named)


def _listed(names: str) -> tuple[str, ...]:
    """Names by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the ``LLMTWIN_…`` variables name; see ``.env.example``."""
    home = Path(environ.get("LLMTWIN_HOME") or PROJECT / ".llmtwin").expanduser().resolve()

    def chosen(name: str, default: str) -> str:
        return environ.get(f"LLMTWIN_{name}") or default

    sample = environ.get("LLMTWIN_SAMPLE") or "0"
    try:
        share = float(sample)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BadSettingError(
            f"LLMTWIN_SAMPLE={sample}", "it is not a share", "Give a number from 0 to 1"
        )
    writers = environ.get("LLMTWIN_REFERENCE_WRITERS")
    labels = environ.get("LLMTWIN_LABELS")
    return Settings(
        home=home,
        authors_file=Path(chosen("AUTHORS", str(PROJECT / "authors.yaml"))).expanduser(),
        documents_url=chosen("DOCUMENTS_URL", f"sqlite://{home}/documents.sqlite"),
        vectors_url=chosen("VECTORS_URL", f"qdrant-edge://{home}/vectors"),
        artifacts_url=chosen("ARTIFACTS_URL", f"file://{home}/artifacts"),
        compute_url=chosen("COMPUTE_URL", "subprocess:"),
        base_model=chosen("BASE_MODEL", "smollm2-135m"),
        embedder=chosen("EMBEDDER", "all-minilm-l6-v2"),
        names=chosen("NAMES", ""),
        reranker=chosen("RERANKER", ""),
        reference_writers=Path(writers).expanduser() if writers else None,
        labels=Path(labels).expanduser() if labels else None,
        lm_eval=_listed(environ.get("LLMTWIN_LM_EVAL", "")),
        lm_eval_tasks=chosen("LM_EVAL_TASKS", ""),
        ragas=_flag("LLMTWIN_RAGAS", environ),
        evolve=_several("LLMTWIN_EVOLVE", EVOLVE, environ),
        by_meaning=_several("LLMTWIN_BY_MEANING", BY_MEANING, environ),
        pairs_file=chosen("PAIRS_FILE", ""),
        recipe=chosen("RECIPE", "quick"),
        reporters=chosen("REPORTERS", ""),
        accelerate=chosen("ACCELERATE_CONFIG", ""),
        hub_repository=chosen("HUB_REPOSITORY", ""),
        hub_dataset=chosen("HUB_DATASET", ""),
        engine_url=chosen("ENGINE_URL", ""),
        engine_key=chosen("ENGINE_KEY", ""),
        sample=share,
    )
