"""What every training script shares: a spec file in, progress out, a result or a refusal.

A script is ``python -m llmtwin_assets.training.<name> spec.json``. It runs by hand as it runs under
Dagster Pipes; there its progress goes to the run's log. Either way it leaves
``<output>/result.json`` and exits 0, or ``<output>/error.json`` and exits 1. Models and training
are not known here.
"""

import ctypes
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster_pipes

from resources.artifacts import NO_ROOM, NoRoomError, write_atomically
from resources.errors import LlmTwinError
from resources.s3 import aws_client

Spec = Mapping[str, Any]
Report = Callable[[str], None]
Work = Callable[[Spec, Report], Mapping[str, Any]]

INTERVAL = 2.0  # seconds between two progress lines


class BadSpecError(LlmTwinError):
    """The spec file is missing, is not a JSON object, or lacks a field."""


class Progress:
    """Passes on at most one progress line every ``interval`` seconds; the first always.

    ``last=True`` marks a line that is shown whatever the time. ``clock`` gives seconds.
    """

    def __init__(
        self,
        show: Report,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._interval = interval
        self._clock = clock
        self._next = float("-inf")

    def __call__(self, text: str, last: bool = False) -> None:
        """Show ``text`` when it is time to."""
        now = self._clock()
        if last or now >= self._next:
            self._next = now + self._interval
            self._show(text)


def line(name: str, done: int, total: int, detail: str, speed: float, left: float) -> str:
    """One progress line: ``sft 12/31 loss 3.08 118 tokens/s 2:10 left``.

    ``speed`` is in tokens per second, ``left`` in seconds.
    """
    return f"{name} {done}/{total} {detail} {speed:.0f} tokens/s {clock(left)} left"


def clock(seconds: float) -> str:
    """Seconds as ``minutes:seconds``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def main(work: Work) -> int:
    """Run ``work`` on the spec file that the command line names; returns the exit code.

    Of several processes that train together only the first reports and leaves files.
    """
    end_with_parent()
    with ExitStack() as stack:
        show, message = _outlet(stack)
        output: Path | None = None
        try:
            spec = read_spec(sys.argv)
            output = Path(spec["output"])
            result = run(work, spec, show)
        except LlmTwinError as error:
            refusal = describe(error)
            if output is not None and is_main():
                _leave(output / "error.json", refusal)
            message({"error": refusal})
            print(error, file=sys.stderr, flush=True)
            return 1
        message({"result": result})
    return 0


def end_with_parent() -> None:
    """End when the run or the launcher that started this process dies, even by a kill that it could
    not pass on (Linux): a second try would write where this one does. Started by hand, go on."""
    started = dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ or "RANK" in os.environ
    if started and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; an exec keeps it


def run(work: Work, spec: Spec, report: Report) -> dict[str, Any]:
    """Do the work and leave ``result.json`` in the output directory; returns the result.

    A full disk becomes ``NoRoomError``; other refusals pass through as they are.
    """
    output = Path(spec["output"])
    try:
        output.mkdir(parents=True, exist_ok=True)
        if is_main():
            (output / "error.json").unlink(missing_ok=True)
        result = dict(work(spec, report))
        if is_main():
            _write(output / "result.json", result)
    except Exception as error:
        if not _is_no_room(error):
            raise
        raise NoRoomError(
            str(output), "there is no room left on its disk", "Free some space and run again"
        ) from error
    return result


def read_spec(arguments: list[str]) -> dict[str, Any]:
    """The spec that ``[program, path]`` names; raises ``BadSpecError``."""
    if len(arguments) != 2:
        raise BadSpecError(
            "the command line", "it must name one spec file", "Run it as: python -m MODULE SPEC"
        )
    path = Path(arguments[1])
    try:
        spec = json.loads(path.read_text("utf-8"))
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "error")
        raise BadSpecError(
            str(path), f"the spec file cannot be read ({reason})", "Check its path"
        ) from error
    except ValueError as error:
        raise BadSpecError(str(path), "it is not JSON", "Write it with json.dumps") from error
    if not isinstance(spec, dict) or not isinstance(spec.get("output"), str):
        raise BadSpecError(str(path), "it names no output directory", 'Add "output"')
    return spec


def field(spec: Spec, name: str) -> Any:
    """A field of the spec that has to be there; raises ``BadSpecError``."""
    if name not in spec:
        raise BadSpecError("the spec file", f"it has no field '{name}'", f"Add '{name}'")
    return spec[name]


def processes() -> int:
    """How many processes train together; a launcher says so in WORLD_SIZE."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this is the only process, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def main_first() -> Iterator[None]:
    """The first of several processes goes through the block before the others do."""
    if processes() == 1:
        yield
        return
    from accelerate import PartialState

    with PartialState().main_process_first():
        yield


def describe(error: LlmTwinError) -> dict[str, str]:
    """A refusal as JSON: kind, item, problem, remedy."""
    return {
        "kind": type(error).__name__,
        "item": error.item,
        "problem": error.problem,
        "remedy": error.remedy,
    }


def _outlet(stack: ExitStack) -> tuple[Report, Callable[[dict[str, Any]], None]]:
    """Where progress and the final message go: the Pipes session, or stderr and nowhere."""
    if not is_main():
        return lambda text: None, lambda payload: None
    if dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ:
        return lambda text: print(text, file=sys.stderr, flush=True), lambda payload: None
    pipes = stack.enter_context(dagster_pipes.open_dagster_pipes(**_channel()))
    return pipes.log.info, pipes.report_custom_message


def _channel() -> dict[str, Any]:
    """How the Pipes session is reached when it is not through this machine: a bucket."""
    messages = os.environ[dagster_pipes.DAGSTER_PIPES_MESSAGES_ENV_VAR]
    if "bucket" not in dagster_pipes.decode_param(messages):
        return {}
    client = aws_client("s3")
    return {
        "context_loader": dagster_pipes.PipesS3ContextLoader(client),
        "message_writer": dagster_pipes.PipesS3MessageWriter(client, interval=INTERVAL),
    }


def _is_no_room(error: Exception) -> bool:
    """Whether a full disk is the cause; safetensors and torch only say so in their text."""
    number = error.errno if isinstance(error, OSError) else None
    return number in NO_ROOM or "No space left on device" in str(error)


def _leave(path: Path, value: Any) -> None:
    """Write the refusal if that is possible; a full disk must not hide why the script stopped."""
    try:
        _write(path, value)
    except OSError:
        traceback.print_exc()


def _write(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8"))
