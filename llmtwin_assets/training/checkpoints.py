"""Checkpoints of a training that survive a kill, in a work directory of exactly one set of inputs.

They hold optimiser state in torch's own format, are read by the process that wrote them alone, and
never reach the output. A checkpoint counts once it is sealed: a list of its files and their sizes,
written last. What the trainer optimises is not known here.
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts
from llmtwin_assets.training.recipes import Recipe
from resources import base_model
from resources.artifacts import sha256, write_atomically
from resources.errors import LlmTwinError

SAVES = 4  # checkpoints per training, at least
MOST_STEPS = 100  # between two checkpoints, at most
SEAL = "whole.json"
DIGITS = 16
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


class NothingToTrainError(LlmTwinError):
    """The data set has no row to train on."""


def made_of(model: Path, data: Path, author_name: str, recipe: Recipe) -> dict[str, str]:
    """Digests of what decides a training's result: base, data, recipe and code, 16 hex digits each.

    Raises ``NothingToTrainError`` when there is no data file, and what ``base_model.check`` raises.
    """
    base_model.check(model)
    if not data.is_file():
        raise NothingToTrainError(str(data), "the file is missing", "Materialise the data set")
    return {
        "base": base_model.fingerprint(model),
        "data": sha256(data)[:DIGITS],
        "recipe": _digest(repr(recipe), author_name),
        "code": code(),
    }


def code() -> str:
    """Digest of the training room, the prompts, and the versions of the libraries they use."""
    room = Path(__file__).parent
    files = [*room.glob("*.py"), *prompts.TEMPLATES.glob("*.jinja"), Path(prompts.__file__)]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return _digest(*(f"{path.name} {sha256(path)}" for path in sorted(files)), *versions)


def claim(work: Path, inputs: Mapping[str, str]) -> None:
    """Make ``work`` belong to these inputs; checkpoints of other inputs in it are removed."""
    label, text = work / "inputs.json", json.dumps(dict(inputs))
    if not label.is_file() or label.read_text("utf-8") != text:
        shutil.rmtree(work, ignore_errors=True)
        write_atomically(label, text.encode("utf-8"))


def interval(steps: int) -> int:
    """Steps between two checkpoints."""
    return max(1, min(-(-steps // SAVES), MOST_STEPS))


def seal(checkpoint: Path) -> None:
    """Note the size of every file, so that a cut one is noticed."""
    sizes = {
        str(path.relative_to(checkpoint)): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    write_atomically(checkpoint / SEAL, json.dumps(sizes).encode("utf-8"))


def newest(work: Path) -> Path | None:
    """The newest whole checkpoint, or None. Torn ones, left by a kill, are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        if is_whole(path):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether every file of a sealed checkpoint is there in its full size."""
    try:
        sizes = json.loads((checkpoint / SEAL).read_text("utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def sealing() -> Any:
    """A trainer callback that seals each checkpoint when its last file is written."""
    from transformers import TrainerCallback

    class Seal(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return Seal()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8")).hexdigest()[:DIGITS]
