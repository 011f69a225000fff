"""Scripts as jobs of a Ray cluster.

    ray://HOST:8265?gpus=1&cpus=0&tries=3

HOST:8265 is the address of the cluster's dashboard. Its nodes have this project installed. A script
that gets a GPU asks for no CPU unless ``cpus`` says so: its run holds one while it waits, and where
runs hold all there are, a script that asked would wait for ever. Where artifacts are in a bucket,
files travel through it; otherwise the nodes share this machine's file system. A job whose node is
lost is started again on another, up to ``tries`` times in all, and goes on from its last
checkpoint. Cancelling the run stops the job.
"""

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.artifacts import ArtifactStore
from resources.artifacts_s3 import S3Artifacts
from resources.compute import (
    QUIET,
    BadComputeError,
    ScriptFailedError,
    read_options,
    take_result,
    write_spec,
)
from resources.compute_aws import finish, staged

if TYPE_CHECKING:
    import dagster as dg

OPTIONS = {"gpus": "1", "cpus": "", "tries": "3"}
POLL = 2.0  # seconds between two looks at a job
DEAF = 10  # looks in a row that may fail
UNREACHABLE = (RuntimeError, ConnectionError)  # what Ray's client raises for a cluster in trouble


class RayCompute:
    """``Compute`` as Ray jobs; ``url`` as above, ``poll`` in seconds. Raises
    ``BadComputeError``."""

    def __init__(self, url: str, artifacts: ArtifactStore, poll: float = POLL) -> None:
        self._address, self._options = read_options(url, OPTIONS)
        self._options["cpus"] = self._options["cpus"] or str(int(self._options["gpus"] == "0"))
        for name, value in self._options.items():
            if not value.isdigit():
                raise BadComputeError(f"{name}={value}", "it is no whole number", "Give one")
        if not self._address:
            raise BadComputeError(url, "it names no cluster", "Write it as ray://HOST:8265")
        self._artifacts = artifacts
        self._poll = poll

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a script as a job, again when its node is lost; see the protocol."""
        if isinstance(self._artifacts, S3Artifacts):
            return self._through_the_bucket(context, self._artifacts, module, spec)
        import dagster as dg

        output = Path(spec["output"])
        path, messages = write_spec(output, spec), output / ".messages.jsonl"

        def session() -> Any:
            reader = dg.PipesFileMessageReader(str(messages))
            return dg.open_pipes_session(context, dg.PipesEnvContextInjector(), reader)

        command = ["python", "-m", module, str(path)]
        ending = self._tried(context, session, command, (output / "error.json").exists)
        return take_result(module, output, 1 if ending else 0)

    def _through_the_bucket(
        self,
        context: "dg.AssetExecutionContext",
        store: S3Artifacts,
        module: str,
        spec: Mapping[str, Any],
    ) -> dict[str, Any]:
        import dagster as dg

        from resources import staging

        output = Path(spec["output"])
        with staged(store, module, spec) as work:

            def session() -> Any:
                ends = work.channel()
                return dg.open_pipes_session(context, ends.injector, ends.reader)

            def refused() -> bool:
                return staging.refusal(store, work.job, output) is not None

            return finish(work, spec, self._tried(context, session, work.command, refused))

    def _tried(
        self,
        context: "dg.AssetExecutionContext",
        session: Any,
        command: Sequence[str],
        refused: Any,
    ) -> str:
        """How a job failed that is not worth another try; empty when it did not."""
        ending = ""
        for number in range(int(self._options["tries"])):
            if number:
                context.log.warning(f"Ray job was lost ({ending}); trying it again")
            with session() as pipes:
                ending = self._job(command, QUIET | pipes.get_bootstrap_env_vars())
            if not ending or refused():
                break
        return ending

    def _job(self, command: Sequence[str], environment: Mapping[str, str]) -> str:
        """Run one job; how it failed, or nothing. One that is no longer wanted is stopped."""
        try:
            id_ = self._client.submit_job(
                entrypoint=" ".join(command),
                runtime_env={"env_vars": dict(environment)},
                entrypoint_num_cpus=int(self._options["cpus"]),
                entrypoint_num_gpus=int(self._options["gpus"]),
            )
            try:
                found = self._ended(id_)
            except BaseException:  # the run is cancelled
                with contextlib.suppress(*UNREACHABLE):
                    self._client.stop_job(id_)
                raise
            with contextlib.suppress(*UNREACHABLE):
                sys.stderr.write(self._client.get_job_logs(id_))
        except UNREACHABLE as error:
            raise ScriptFailedError(
                f"the Ray cluster at {self._address}",
                f"it does not do what was asked ({str(error).splitlines()[0]})",
                "Check that it runs (ray status), and its dashboard's address",
            ) from error
        return "" if str(found.status) == "SUCCEEDED" else str(found.message or found.status)

    def _ended(self, id_: str) -> Any:
        """What is known of a job when it has ended. A cluster that loses a node may be deaf for a
        while."""
        failures = 0
        while True:
            try:
                found = self._client.get_job_info(id_)
                failures = 0
                if found.status.is_terminal():
                    return found
            except UNREACHABLE:
                failures += 1
                if failures == DEAF:
                    raise
            time.sleep(self._poll)

    @cached_property
    def _client(self) -> Any:
        if find_spec("ray") is None:
            raise BadComputeError("ray", "it is not installed", "pip install 'llm-twin[ray]'")
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(f"http://{self._address}")
