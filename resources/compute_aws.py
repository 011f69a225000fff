"""What scripts on machines of AWS have in common: files go through the artifact store's bucket, and
so do context and messages of Dagster Pipes."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources import staging
from resources.artifacts import ArtifactStore
from resources.artifacts_s3 import S3Artifacts
from resources.compute import BadComputeError, ScriptFailedError, reason, take_result
from resources.s3 import aws_client

POLL = 2.0  # seconds between two looks for messages


@dataclass(frozen=True)
class Channel:
    """Both ends of Pipes in the bucket, for Dagster's ``open_pipes_session``."""

    injector: Any
    reader: Any


@dataclass(frozen=True)
class Staged:
    """A script whose files are in the bucket, and how a container is told to run it."""

    store: S3Artifacts
    module: str
    job: staging.Job

    def channel(self) -> Channel:
        """Pipes for one try of the job."""
        return channel(self.store, self.job.key)

    @property
    def command(self) -> list[str]:
        """The container's command line."""
        url = f"s3://{self.store.bucket.name}/{self.store.bucket.prefix}".rstrip("/")
        return ["python", "-m", "resources.staged", url, self.job.key]


@contextmanager
def staged(
    store: S3Artifacts, module: str, spec: Mapping[str, Any], kept: str = ""
) -> Iterator[Staged]:
    """Send a script's files, and clear up after it."""
    job = staging.send(store, module, spec, kept)
    try:
        yield Staged(store, module, job)
    finally:
        staging.clear(store, job)


def finish(work: Staged, spec: Mapping[str, Any], ending: str) -> dict[str, Any]:
    """The result of a script, its outputs brought here; ``ending`` is empty, or says how it
    failed: then ``ScriptFailedError`` has the script's own reason, or that."""
    output = Path(spec["output"])
    if ending:
        raise reason(work.module, staging.refusal(work.store, work.job, output), ending)
    staging.collect(work.store, work.job, output)
    return take_result(work.module, output, 0)


def channel(store: S3Artifacts, key: str) -> Channel:
    """Pipes below a key of the store's bucket."""
    from dagster_aws.pipes import PipesS3ContextInjector, PipesS3MessageReader

    bucket, prefix, client = store.bucket.name, store.bucket.prefix + key, aws_client("s3")

    class Reader(PipesS3MessageReader):  # type: ignore[misc]
        """Messages lie beside the job, not at the bucket's root."""

        @contextmanager
        def get_params(self) -> Iterator[Mapping[str, Any]]:
            with super().get_params() as params:
                yield {**params, "key_prefix": f"{prefix}/messages-{uuid.uuid4().hex}"}

    return Channel(
        PipesS3ContextInjector(bucket=bucket, client=client, key_prefix=f"{prefix}/context-"),
        Reader(bucket=bucket, client=client, interval=POLL),
    )


def in_bucket(artifacts: ArtifactStore, url: str) -> S3Artifacts:
    """The artifact store, when other machines can reach it; raises ``BadComputeError``."""
    if isinstance(artifacts, S3Artifacts):
        return artifacts
    raise BadComputeError(
        url.split("?", maxsplit=1)[0],
        "its machines cannot read this machine's artifacts",
        "Set LLMTWIN_ARTIFACTS_URL=s3://bucket/prefix",
    )


def lost(item: str, problem: str) -> ScriptFailedError:
    """A machine that was asked for does not come, or does not stay."""
    return ScriptFailedError(
        item, problem, "Check what AWS's console says of it, and run it again: it resumes"
    )
