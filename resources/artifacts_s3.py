"""The artifact store in a bucket, for several machines: one builds, any read.

The bucket is what is true. A version is built in a local folder and uploaded, its manifest last,
which is what makes it a version; then the pointer object is replaced. A version's files come to
another machine when their path is asked for, each compared with the manifest's digest, and stay
there as long as the version is the current or the previous one.

Layout below the URL::

    .current/<asset>/<author>.json           {"digest": …, "previous": …}
    <author>/<asset>/<digest>/manifest.json + files
    <author>/<asset>/history.jsonl
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from resources.artifacts import (
    CURRENT,
    ArtifactStore,
    DamagedArtifactError,
    Stored,
    Version,
    rename_unless_there,
)
from resources.s3 import Bucket, DamagedObjectError, inside

SEAL = "manifest.json"


class S3Artifacts(ArtifactStore):
    """``ArtifactStore`` below ``s3://bucket/prefix``, with a local folder for what is in use: by
    default below the user's cache directory (``XDG_CACHE_HOME``)."""

    def __init__(self, url: str, cache: Path | None = None) -> None:
        self.bucket = Bucket(url)
        place = Path(self.bucket.name, *self.bucket.prefix.split("/"))
        super().__init__(cache or caches() / place)

    def version(self, author: str, asset: str, digest: str) -> Version | None:
        """A stored version by digest, or None; its files are fetched when they are asked for."""
        found = super().version(author, asset, digest)
        return found and replace(found, fetch=partial(self._fetch, found))

    def verify(self, version: Version) -> None:
        """Compare every file here, and the size of every object, with the manifest; see the
        local store."""
        super().verify(version)
        key = self._key(version.author, version.asset, version.digest)
        sizes, manifest = self.bucket.sizes(f"{key}/"), _manifest(version.folder)
        for name, expected in manifest["files"].items():
            if sizes.get(f"{key}/{name}") != expected["bytes"]:
                problem = "the object is missing, or has another size than was stored"
                raise _damaged(version, self.bucket.url(f"{key}/{name}"), problem)

    def forget(self, author: str, asset: str, digest: str) -> None:
        """Delete one version, first its manifest, so that none is ever half there."""
        key = self._key(author, asset, digest)
        self.bucket.delete(f"{key}/{SEAL}")
        self.bucket.delete(f"{key}/")
        super().forget(author, asset, digest)

    def prune(self, author: str, asset: str) -> list[str]:
        """See the local store; also what machines left that had a script to run there."""
        stale = super().prune(author, asset)
        for name in self.bucket.folders(f"{author}/{asset}/"):
            if name.startswith("."):
                self.bucket.delete(f"{author}/{asset}/{name}/")
        return stale

    def authors(self, asset: str) -> list[str]:
        """Authors that have a current version of ``asset``."""
        pointers = self.bucket.sizes(f".current/{asset}/")
        return sorted(Path(key).stem for key in pointers)

    def _digests(self, author: str, asset: str) -> list[str]:
        names = self.bucket.folders(f"{author}/{asset}/")
        return [name for name in names if not name.startswith(".")]

    def _key(self, author: str, asset: str, name: str) -> str:
        self._folder(author, asset)  # refuses bad names
        if name == CURRENT:
            return f".current/{asset}/{author}.json"
        return f"{author}/{asset}/{name}"

    def _place(self, author: str, asset: str, name: str) -> str:
        return self.bucket.url(self._key(author, asset, name))

    def _load(self, author: str, asset: str, name: str) -> Stored | None:
        found = self.bucket.read(self._key(author, asset, name))
        return Stored(found.data, found.written) if found else None

    def _save(self, author: str, asset: str, name: str, data: bytes) -> None:
        self.bucket.write(self._key(author, asset, name), data)

    def _keep(self, author: str, asset: str, digest: str, sealed: Path) -> None:
        key = self._key(author, asset, digest)
        for name in _manifest(sealed)["files"]:
            self.bucket.upload(sealed / name, f"{key}/{name}")
        self.bucket.write(f"{key}/{SEAL}", (sealed / SEAL).read_bytes())
        shutil.rmtree(self._folder(author, asset) / digest, ignore_errors=True)
        super()._keep(author, asset, digest, sealed)

    def _fetch(self, version: Version) -> None:
        """Bring a version's files here, unless they are."""
        author, asset, digest = version.author, version.asset, version.digest
        stored = self._load(author, asset, f"{digest}/{SEAL}")
        if stored is None:
            raise _damaged(version, self._place(author, asset, digest), "it was deleted meanwhile")
        seal, folder = version.folder / SEAL, version.folder.parent
        if seal.is_file() and seal.read_bytes() == stored.data:
            return
        shutil.rmtree(version.folder, ignore_errors=True)  # of a version that was made again
        folder.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix=f".{digest}-", dir=folder))
        try:
            with self._room_for(author, asset):
                self._download(version, json.loads(stored.data), arriving)
                (arriving / SEAL).write_bytes(stored.data)
                arriving.chmod(0o755)
                rename_unless_there(arriving, version.folder)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        self._drop_all_but(author, asset, digest)

    def _download(self, version: Version, manifest: Mapping[str, Any], target: Path) -> None:
        key = self._key(version.author, version.asset, version.digest)
        for name, expected in manifest["files"].items():
            try:
                self.bucket.download(
                    f"{key}/{name}", inside(target, name), expected["bytes"], expected["sha256"]
                )
            except DamagedObjectError as error:
                raise _damaged(version, error.item, error.problem) from error

    def _drop_all_but(self, author: str, asset: str, digest: str) -> None:
        """Delete local copies of versions that are neither current nor previous, nor this one."""
        pointer = self._pointer(author, asset) or {"digest": None, "previous": None}
        for path in self._folder(author, asset).iterdir():
            wanted = path.name in (digest, pointer["digest"], pointer["previous"])
            if path.is_dir() and not wanted and not path.name.startswith("."):
                shutil.rmtree(path, ignore_errors=True)


def caches() -> Path:
    """Where this user's programs keep what they can fetch again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-twin"


def _manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / SEAL).read_text("utf-8"))
    return manifest


def _damaged(version: Version, item: str, problem: str) -> DamagedArtifactError:
    remedy = f"Materialise {version.asset} of {version.author} again"
    return DamagedArtifactError(item, problem, remedy)
