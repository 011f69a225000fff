"""Where training and generation scripts run, through Dagster Pipes.

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

from resources.artifacts import write_atomically
from resources.errors import LlmTwinError

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
        path = output / "spec.json"
        write_atomically(path, json.dumps(dict(spec), indent=1).encode("utf-8"))
        paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
        inside = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(paths)}
        with dg.open_pipes_session(
            context, dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
        ) as pipes:
            inside |= pipes.get_bootstrap_env_vars()
            code = self._wait_for([sys.executable, "-m", module, str(path)], inside)
        if code != 0:
            raise _reason(module, output, code)
        result: dict[str, Any] = json.loads((output / "result.json").read_text("utf-8"))
        for name in ("spec.json", "result.json"):
            (output / name).unlink()
        return result

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


def _reason(module: str, output: Path, code: int) -> LlmTwinError:
    try:
        refusal = json.loads((output / "error.json").read_text("utf-8"))
        return ScriptFailedError(refusal["item"], refusal["problem"], refusal["remedy"])
    except (OSError, ValueError, KeyError):
        return ScriptFailedError(
            f"python -m {module}",
            f"it ended without a result (exit code {code})",
            "Read what it printed in the run's compute log; a killed process is often out of "
            "memory, and starting it again resumes from its last checkpoint",
        )
