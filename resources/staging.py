"""Which fields of a script's spec are files, and how they travel to another machine and back.

One description serves all scripts: a field in ``INPUTS`` names a file or folder that is read, one
in ``OUTPUTS`` a folder that is written, and may hold what an earlier try left. Inputs that belong
to a version in the bucket are there already. Whatever else is an author's lies below the author, in
folders that pruning deletes; only what is outside the store, such as a base model, is kept, under
its digest. What the scripts do is not known here.

In the bucket, beside the artifacts::

    <author>/<asset>/.job-<id>/job.json      what ``staged.py`` reads on the other machine
    <author>/<asset>/.work-<digest>/…        outputs, by their own place
    .staged/files/<sha256>                   inputs from outside the store
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.artifacts import sha256
from resources.artifacts_s3 import SEAL, S3Artifacts
from resources.errors import LlmTwinError
from resources.s3 import Bucket, DamagedObjectError, inside

INPUTS: tuple[str, ...] = ("base", "model", "samples", "pairs", "contexts", "accelerate")
INPUTS += ("systems.*.model", "earlier.*", "tasks_folder")
OUTPUTS = ("output", "work")
FILES, INDEX = ".staged/files", ".index.json"

Spec = Mapping[str, Any]
Files = dict[str, dict[str, Any]]  # name -> bytes, sha256, key


class NotInTheStoreError(LlmTwinError):
    """An output of a script that lies outside the artifact store."""


@dataclass(frozen=True)
class Job:
    """A script that is ready to run elsewhere: its id, the key in the bucket that all that only
    it needs is below, and where its outputs will be."""

    id: str
    key: str
    outputs: Mapping[Path, str]  # folder here -> key in the bucket


def mapped(spec: Spec, fields: tuple[str, ...], change: Callable[[str], str]) -> dict[str, Any]:
    """The spec with every path that is named by ``fields`` changed; empty ones stay."""
    for field in fields:
        spec = _mapped(spec, field.split("."), change)
    return dict(spec)


def paths(spec: Spec, fields: tuple[str, ...]) -> list[Path]:
    """The paths that a spec has in these fields, each once."""
    found: dict[str, None] = {}

    def note(path: str) -> str:
        found[path] = None
        return path

    mapped(spec, fields, note)
    return [Path(path) for path in found]


def send(store: S3Artifacts, module: str, spec: Spec, kept: str = "") -> Job:
    """Put everything that a script needs where ``resources.staged`` finds it.

    ``kept`` is a folder of the other machine that its platform saves in the place of ``work``.
    Raises ``NotInTheStoreError``, ``BucketError``, and what a missing input raises.
    """
    outputs = {path: _place(store, path) for path in paths(spec, OUTPUTS)}
    for path, key in outputs.items():
        if any(path.rglob("*")):
            Mirror(store.bucket, key, path).save()
    job = {
        "module": module,
        "spec": dict(spec),
        "inputs": {str(path): _listed(store, path) for path in paths(spec, INPUTS)},
        "outputs": {str(path): key for path, key in outputs.items()},
        "kept": {str(spec["work"]): kept} if kept and spec.get("work") else {},
    }
    id_ = uuid.uuid4().hex
    key = f"{Path(outputs[Path(spec['output'])]).parent}/.job-{id_}"
    store.bucket.write(f"{key}/job.json", json.dumps(job).encode("utf-8"))
    return Job(id_, key, outputs)


def collect(store: S3Artifacts, job: Job, output: Path) -> None:
    """Bring the outputs here; each file is compared with its digest. Raises
    ``DamagedObjectError``."""
    Mirror(store.bucket, job.outputs[output], output).restore(strict=True)


def refusal(store: S3Artifacts, job: Job, output: Path) -> bytes | None:
    """What a script left in ``error.json``, when it left one in this try."""
    key = job.outputs[output]
    index = store.bucket.read(f"{key}/{INDEX}")
    left = store.bucket.read(f"{key}/error.json") if index else None
    return left.data if left and index and "error.json" in json.loads(index.data) else None


def clear(store: S3Artifacts, job: Job) -> None:
    """Delete what only this job needed."""
    store.bucket.delete(f"{job.key}/")


class Mirror:
    """A folder and its copy in the bucket. An index of digests is written after the files, so that
    whatever it lists was whole."""

    def __init__(self, bucket: Bucket, key: str, folder: Path) -> None:
        self._bucket, self._key, self._folder = bucket, key, folder
        self._known: dict[str, tuple[tuple[int, int], str]] = {}

    def save(self) -> None:
        """Upload what has changed since the last call."""
        listed: Files = {}
        for name, path in visible(self._folder):
            stamp = _stamp(path)
            if self._known.get(name, ("", ""))[0] != stamp:
                digest = sha256(path)
                self._bucket.upload(path, f"{self._key}/{name}")
                self._known[name] = (stamp, digest)
            listed[name] = {"bytes": stamp[0], "sha256": self._known[name][1]}
        self._bucket.write(f"{self._key}/{INDEX}", json.dumps(listed).encode("utf-8"))

    def restore(self, strict: bool = False) -> None:
        """Fetch what was saved. What differs from its digest is left out, for the script to make
        again, or refused when ``strict``."""
        found = self._bucket.read(f"{self._key}/{INDEX}")
        listed: Files = json.loads(found.data) if found else {}
        for name, file in listed.items():
            path = inside(self._folder, name)
            path.unlink(missing_ok=True)
            try:
                self._bucket.download(f"{self._key}/{name}", path, file["bytes"], file["sha256"])
                self._known[name] = (_stamp(path), file["sha256"])
            except DamagedObjectError:
                if strict:
                    raise


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def visible(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of a folder with their names in it, but for hidden ones, which are being written."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield str(name), path


def fetch(bucket: Bucket, files: Files, folder: Path) -> Path:
    """Bring an input to ``folder``; returns its path: the folder, or its one file."""
    for name, file in files.items():
        target = inside(folder, name or "file")
        bucket.download(file["key"], target, file["bytes"], file["sha256"])
    return folder / "file" if "" in files else folder


def _mapped(value: Any, field: list[str], change: Callable[[str], str]) -> Any:
    if not field:
        return change(value) if value else value
    head, *rest = field
    if isinstance(value, list):
        return [_mapped(each, rest, change) for each in value] if head == "*" else value
    if not isinstance(value, Mapping):
        return value
    names = list(value) if head == "*" else [head] if head in value else []
    return {**value, **{name: _mapped(value[name], rest, change) for name in names}}


def _place(store: S3Artifacts, path: Path) -> str:
    if not path.is_relative_to(store.root):
        raise NotInTheStoreError(
            str(path), "it is outside the artifact store", "Let the store name the folder"
        )
    return str(path.relative_to(store.root))


def _listed(store: S3Artifacts, path: Path) -> Files:
    """The files of an input (the empty name for a single file) with their keys in the bucket,
    where they are put unless they are there."""
    files = {"": path} if path.is_file() else dict(visible(path))
    sealed = _sealed(store, path)
    return {name: sealed.get(file) or _put(store, file) for name, file in files.items()}


def _sealed(store: S3Artifacts, path: Path) -> dict[Path, dict[str, Any]]:
    """Files of the version that a path is in, as the bucket has them."""
    for folder in (path, *path.parents):
        if (folder / SEAL).is_file() and folder.is_relative_to(store.root):
            manifest = json.loads((folder / SEAL).read_text("utf-8"))
            key = folder.relative_to(store.root)
            return {
                folder / name: {**file, "key": f"{key}/{name}"}
                for name, file in manifest["files"].items()
            }
    return {}


def _put(store: S3Artifacts, path: Path) -> dict[str, Any]:
    digest, size = sha256(path), path.stat().st_size
    own = path.is_relative_to(store.root)
    key = _place(store, path) if own else f"{FILES}/{digest}"
    if own or store.bucket.sizes(key).get(key) != size:
        store.bucket.upload(path, key)
    return {"bytes": size, "sha256": digest, "key": key}
