"""A bucket of an object store that speaks S3: Amazon's, MinIO's, or another.

Address, region and credentials are found as boto3 finds them everywhere (``AWS_ENDPOINT_URL``,
``AWS_PROFILE``, the machine's role, …) and are never read or logged here. What the objects mean is
not known here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from resources.errors import LlmTwinError

MISSING = {"404", "NoSuchKey"}
BATCH = 1000  # keys that one request may delete


class BucketError(LlmTwinError):
    """The object store cannot be reached, or refuses."""


class DamagedObjectError(LlmTwinError):
    """An object is missing, or its bytes are not those that were stored."""


@dataclass(frozen=True)
class Found:
    """An object's bytes, and when it was written (UTC)."""

    data: bytes
    written: datetime


class Bucket:
    """Objects below ``s3://bucket/prefix``; keys are relative to it. Safe for many threads."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        prefix = unquote(parts.path).strip("/")
        if parts.scheme != "s3" or not parts.hostname:
            raise BucketError(url, "it names no bucket", "Write it as s3://bucket/prefix")
        self.name = parts.netloc
        self.prefix = f"{prefix}/" if prefix else ""

    def url(self, key: str) -> str:
        """The whole address of a key."""
        return f"s3://{self.name}/{self.prefix}{key}"

    def read(self, key: str) -> Found | None:
        """A small object, or None where there is none."""
        with self._asking(key):
            try:
                answer = self._client.get_object(Bucket=self.name, Key=self.prefix + key)
            except self._client.exceptions.NoSuchKey:
                return None
            return Found(answer["Body"].read(), answer["LastModified"].astimezone(UTC))

    def write(self, key: str, data: bytes) -> None:
        """Put a small object in the place of what was there; a reader finds one or the other."""
        with self._asking(key):
            self._client.put_object(Bucket=self.name, Key=self.prefix + key, Body=data)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of every object whose key begins with ``prefix``, by key."""
        with self._asking(prefix):
            return {
                row["Key"].removeprefix(self.prefix): row["Size"]
                for page in self._pages(prefix)
                for row in page.get("Contents", [])
            }

    def folders(self, prefix: str) -> list[str]:
        """Names that follow ``prefix`` (empty, or ending in a slash) up to the next slash."""
        with self._asking(prefix):
            return [
                row["Prefix"].removeprefix(self.prefix + prefix).rstrip("/")
                for page in self._pages(prefix, Delimiter="/")
                for row in page.get("CommonPrefixes", [])
            ]

    def delete(self, prefix: str) -> None:
        """Delete every object whose key begins with ``prefix``."""
        keys = [{"Key": self.prefix + key} for key in self.sizes(prefix)]
        with self._asking(prefix):
            for start in range(0, len(keys), BATCH):
                wanted = {"Objects": keys[start : start + BATCH], "Quiet": True}
                refused = self._client.delete_objects(Bucket=self.name, Delete=wanted)
                if refused.get("Errors"):
                    raise self._refusal(prefix, str(refused["Errors"][0].get("Code")))

    def upload(self, path: Path, key: str) -> None:
        """Store a file, in parts when it is large."""
        with self._asking(key):
            self._client.upload_file(str(path), self.name, self.prefix + key)

    def download(self, key: str, path: Path, size: int, digest: str) -> None:
        """Fetch an object into a new file. Raises ``DamagedObjectError`` unless it has ``size``
        bytes and the SHA-256 ``digest``; the file is then not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._asking(key), path.open("xb") as file:
                try:
                    self._client.download_fileobj(self.name, self.prefix + key, file)
                except self._client.exceptions.ClientError as error:
                    if error.response["Error"]["Code"] in MISSING:
                        raise _damaged(self.url(key), "it is missing") from error
                    raise
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if (path.stat().st_size, found) != (size, digest):
                got = f"it has {path.stat().st_size} bytes"
                raise _damaged(self.url(key), f"{got}, and not the {size} that were stored")
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @cached_property
    def _client(self) -> Any:
        return aws_client("s3")

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        return iter(pages.paginate(Bucket=self.name, Prefix=self.prefix + prefix, **options))

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Failures of the client become refusals that name the object and no secret."""
        client = self._client
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError
        from s3transfer.exceptions import RetriesExceededError

        try:
            yield
        except client.exceptions.ClientError as error:
            raise self._refusal(key, error.response["Error"]["Code"]) from error
        except (BotoCoreError, Boto3Error, RetriesExceededError) as error:
            raise self._refusal(key, type(error).__name__) from error

    def _refusal(self, key: str, reason: str) -> BucketError:
        return BucketError(
            self.url(key),
            f"the object store does not do what was asked ({reason})",
            "Check the bucket's name, AWS_ENDPOINT_URL, the region and the credentials",
        )


def inside(folder: Path, name: str) -> Path:
    """A path below a folder; raises ``DamagedObjectError`` for one that would leave it."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DamagedObjectError(repr(name), "it leaves its folder", "Do not use this bucket")
    return folder / name


def aws_client(service: str) -> Any:
    """A boto3 client; raises ``BucketError`` where its package or a region is missing."""
    if find_spec("boto3") is None:
        raise BucketError("boto3", "it is not installed", "pip install 'llm-twin[aws]'")
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session().client(service)
    except BotoCoreError as error:
        problem = f"no client can be made ({type(error).__name__})"
        remedy = "Set AWS_DEFAULT_REGION, or name a profile with AWS_PROFILE"
        raise BucketError(f"AWS {service}", problem, remedy) from error


def _damaged(item: str, problem: str) -> DamagedObjectError:
    return DamagedObjectError(item, problem, "Make again what it belongs to")
