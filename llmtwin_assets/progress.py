"""A run as a person reads it in a terminal: which stage, what it does, which gates opened.

A Dagster logger for the command line. It turns log records into lines and knows no asset.
"""

import logging
import re
import sys
import time
from typing import Any, TextIO

import dagster as dg

QUIET_SECONDS = 10.0  # between two progress lines where lines cannot be overwritten
NOISE = ("[pipes]", "Dependencies for step")  # Dagster's own remarks
OURS = re.compile(r"\A(?:llmtwin_assets|resources)\.[\w.]+: ")  # a refusal's class
STARTED, CHECKED, FAILED = (
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
)


class ProgressHandler(logging.Handler):
    """Prints stages, progress and gates; on a terminal progress overwrites itself."""

    def __init__(self, stages: set[str], out: TextIO | None = None) -> None:
        super().__init__(logging.DEBUG)
        self._stages = stages
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._done = 0
        self._shown = 0.0
        self._open_line = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a record says, if it says something to a person."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        if event is None:
            text = str(meta.get("orig_message") or record.getMessage())
            if record.levelno >= logging.INFO and not text.startswith(NOISE):
                self._progress(text)
            return
        if event.event_type == STARTED and event.step_key in self._stages:
            self._done += 1
            self._line(f"[{self._done}/{len(self._stages)}] {event.step_key}")
        elif event.event_type == CHECKED:
            data = event.event_specific_data
            mark = "ok  " if data.passed else "STOP"
            self._line(f"      {mark} {data.check_name.replace('_', ' ')}: {data.description}")
        elif event.event_type == FAILED and event.step_key in self._stages:
            self._line(f"      FAILED {cause(event.event_specific_data.error)}")

    def _progress(self, text: str) -> None:
        if self._live:
            self._out.write(f"\r\033[K      {text[:110]}")
            self._out.flush()
            self._open_line = True
        elif " left" not in text or time.monotonic() - self._shown > QUIET_SECONDS:
            self._shown = time.monotonic()
            self._line(f"      {text}")

    def _line(self, text: str) -> None:
        if self._open_line:
            self._out.write("\n")
            self._open_line = False
        self._out.write(text + "\n")
        self._out.flush()


def logger_for(stages: set[str]) -> dg.LoggerDefinition:
    """A Dagster logger that prints progress through ``stages`` (asset names)."""

    @dg.logger
    def progress(context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("llmtwin.progress", logging.DEBUG)
        logger.addHandler(ProgressHandler(stages))
        return logger

    return progress


def cause(error: Any) -> str:
    """What went wrong, in the words of the code that refused: the first error below Dagster's."""
    while error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    return OURS.sub("", str(error.message).strip())
