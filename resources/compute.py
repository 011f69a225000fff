"""Where training and generation scripts run, through Dagster Pipes.

A script is a module that takes one spec file and leaves ``result.json`` or ``error.json`` in the
spec's output directory. Its log, metrics and failure stream back into the run that started it, and
cancelling the run ends it. What a script does is not known here.
"""

import json
import os
import sys
from collections.abc import Mapping
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
    """``Compute`` on this machine: a child process of the run."""

    def run(
        self, context: "dg.AssetExecutionContext", module: str, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a script in a process of its own; see the protocol."""
        import dagster as dg

        output = Path(spec["output"])
        path = output / "spec.json"
        write_atomically(path, json.dumps(dict(spec), indent=1).encode("utf-8"))
        client = dg.PipesSubprocessClient()
        paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            client.run(
                context=context,
                command=[sys.executable, "-m", module, str(path)],
                env={**QUIET, "PYTHONPATH": os.pathsep.join(paths)},
            )
        except Exception as error:  # Dagster does not export the one that its client raises
            raise _reason(module, output) from error
        result: dict[str, Any] = json.loads((output / "result.json").read_text("utf-8"))
        for name in ("spec.json", "result.json"):
            (output / name).unlink()
        return result


def _reason(module: str, output: Path) -> LlmTwinError:
    try:
        refusal = json.loads((output / "error.json").read_text("utf-8"))
        return ScriptFailedError(refusal["item"], refusal["problem"], refusal["remedy"])
    except (OSError, ValueError, KeyError):
        return ScriptFailedError(
            f"python -m {module}",
            "it ended without a result",
            "Read what it printed in the run's compute log; a killed process is often out of "
            "memory, and starting it again resumes from its last checkpoint",
        )
