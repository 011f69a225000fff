"""What every benchmark prints: one JSON object with the same five keys."""

import json
import os
import platform
import sys
from typing import Any


def progress(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def goal(goal_: float, got: float, at_most: bool = True) -> dict[str, Any]:
    """One goal and whether it was met: ``got`` at most (or at least) ``goal_``."""
    return {"goal": goal_, "got": got, "met": got <= goal_ if at_most else got >= goal_}


def emit(name: str, data: str, results: dict[str, Any], goals: dict[str, Any]) -> None:
    """Print the object. ``results`` is system -> figure -> value, ``goals`` name -> goal()."""
    machine = {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    print(
        json.dumps(
            {"name": name, "machine": machine, "data": data, "results": results, "goals": goals},
            indent=1,
        )
    )
