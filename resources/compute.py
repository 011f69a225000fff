"""Where training and generation scripts run, through Dagster Pipes: here, or where a URL says.

A script is a module that takes one spec file and leaves ``result.json`` or ``error.json`` in the
spec's output directory. Its log, metrics and failure stream back into the run that started it, and
cancelling the run ends it. What a script does is not known here.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from resources.artifacts import ArtifactStore, write_atomically
from resources.errors import LlmTwinError, UnknownSchemeError

if TYPE_CHECKING:
    import dagster as dg

# Children find the project's own modules however Dagster was started, and print no bars of their
# own beside the progress that they report. Their threads spin for some 10 µs before they sleep:
# PyTorch's default, on cores that others use too, makes a training ten times as slow.
PROJECT = Path(__file__).resolve().parent.parent
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "GOMP_SPINCOUNT": "10000",
}


class ScriptFailedError(LlmTwinError):
    """A script ended without a result."""


class BadComputeError(LlmTwinError):
    """A compute URL that cannot be used as it is."""


class Compute(Protocol):
    """What every place to run a script does."""

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run ``python -m module`` on ``spec`` (JSON; ``output`` names an existing directory) and
        return its result. Raises ``ScriptFailedError`` with the script's own reason."""


class SubprocessCompute:
    """``Compute`` on this machine: a child process of the run. ``patience`` is the seconds that a
    script gets to end when its run is cancelled; then it and all it started are killed."""

    def __init__(self, patience: float = 20.0) -> None:
        self._patience = patience

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a script in a process of its own; see the protocol."""
        import dagster as dg

        output = Path(spec["output"])
        path = write_spec(output, spec)
        paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
        inside = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(paths)}
        with dg.open_pipes_session(
            context, dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
        ) as pipes:
            inside |= pipes.get_bootstrap_env_vars()
            code = self._wait_for([sys.executable, "-m", module, str(path)], inside)
        return take_result(module, output, code)

    def _wait_for(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """The exit code of a child; nothing of it is left when this returns or raises."""
        # A session of its own, so that what it started can be ended with it.
        child = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            return child.wait()
        except BaseException:  # the run is cancelled
            _signal(child, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(self._patience)
            raise
        finally:
            _signal(child, signal.SIGKILL)
            child.wait()


def _signal(child: "subprocess.Popen[bytes]", how: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, how)


def open_compute(url: str, artifacts: ArtifactStore) -> Compute:
    """The place a URL names: ``subprocess:``, ``docker://IMAGE``, ``ray://HOST:PORT``,
    ``ecs://CLUSTER/TASK`` or ``sagemaker://IMAGE``, with options after a question mark. The last
    two take their files from ``artifacts``. Raises ``UnknownSchemeError``, ``BadComputeError``."""
    scheme = url.split(":", 1)[0]
    if scheme == "subprocess":
        return SubprocessCompute()
    if scheme == "docker":
        from resources.compute_docker import DockerCompute

        return DockerCompute(url)
    if scheme == "ecs":
        from resources.compute_ecs import EcsCompute

        return EcsCompute(url, artifacts)
    if scheme == "sagemaker":
        from resources.compute_sagemaker import SageMakerCompute

        return SageMakerCompute(url, artifacts)
    if scheme == "ray":
        from resources.compute_ray import RayCompute

        return RayCompute(url, artifacts)
    known = ("subprocess:", "docker://", "ecs://", "sagemaker://", "ray://")
    raise UnknownSchemeError(url, known)


def read_options(url: str, known: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What a compute URL names, and its options over the ``known`` ones with their defaults.
    Raises ``BadComputeError``."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(given) - set(known))
    if unknown:
        problem = f"it has no option '{unknown[0]}'"
        raise BadComputeError(f"{parts.scheme}://…", problem, f"Use {', '.join(sorted(known))}")
    return unquote(parts.netloc + parts.path), {**known, **given}


def write_spec(output: Path, spec: Mapping[str, Any]) -> Path:
    """Leave the spec in its output directory; returns its path."""
    path = output / "spec.json"
    write_atomically(path, json.dumps(dict(spec), indent=1).encode("utf-8"))
    return path


def take_result(module: str, output: Path, code: int) -> dict[str, Any]:
    """What a script left as its result, taken out of its output directory. Raises
    ``ScriptFailedError`` with its own reason when it ended with another code than 0."""
    if code != 0:
        try:
            left = (output / "error.json").read_bytes()
        except OSError:
            left = None
        raise reason(module, left, f"exit code {code}")
    result: dict[str, Any] = json.loads((output / "result.json").read_text("utf-8"))
    for name in ("spec.json", "result.json"):
        (output / name).unlink(missing_ok=True)
    return result


def reason(module: str, left: bytes | None, ending: str) -> ScriptFailedError:
    """The refusal that a script left, or that it left none and how it ended."""
    try:
        refusal = json.loads(left or b"")
        return ScriptFailedError(refusal["item"], refusal["problem"], refusal["remedy"])
    except (ValueError, KeyError):
        return ScriptFailedError(
            f"python -m {module}",
            f"it ended without a result ({ending})",
            "Read what it printed in the run's compute log; a killed process is often out of "
            "memory, and starting it again resumes from its last checkpoint",
        )
