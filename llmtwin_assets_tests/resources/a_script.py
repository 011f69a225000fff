"""A script for the tests of compute: does what its spec says."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from llmtwin_assets.training import script
from resources.artifacts import write_atomically
from resources.errors import LlmTwinError


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    report("at work")
    if spec["what"] == "refuse":
        raise LlmTwinError("the corpus", "it is too small", "Add writing")
    if spec["what"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if spec["what"] == "spoil":
        (Path(spec["base"]) / "weights").write_text("spoilt")
    if spec["what"] == "stay":
        stay(Path(spec["pids"]), spec["stubborn"])
    if spec["what"] == "copy":
        return copy(spec)
    if spec["what"] == "keep":
        return keep(Path(spec["work"]), spec.get("then"))
    if spec["what"] == "train":
        return train(Path(spec["work"]), int(spec["steps"]))
    return {"sum": sum(spec["numbers"]), "offline": os.environ.get("HF_HUB_DISABLE_TELEMETRY")}


def copy(spec: script.Spec) -> dict[str, Any]:
    """Copy one input, and tell what stands in both and where all of it is."""
    samples, base = Path(spec["samples"]), Path(spec["base"])
    model = Path(spec["output"]) / "model"
    model.mkdir()
    (model / "copy.txt").write_text(samples.read_text())
    return {
        "read": {"samples": samples.read_text(), "base": (base / "weights").read_text()},
        "places": [str(samples), str(base), spec["output"]],
    }


def keep(work: Path, then: str | None) -> dict[str, Any]:
    """Leave a checkpoint, and tell which were there before."""
    before = sorted(path.name for path in work.glob("checkpoint-*"))
    (work / f"checkpoint-{len(before) + 1}").write_text("half the way")
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"before": before}


def train(work: Path, steps: int) -> dict[str, Any]:
    """Take steps, each saved, from where an earlier try stopped; tell which GPU was given."""
    resumed = len(list(work.glob("step-*")))
    for step in range(resumed, steps):
        time.sleep(0.2)
        write_atomically(work / f"step-{step}", str(os.getpid()).encode())
    return {"resumed": resumed, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", "")}


def stay(pids: Path, stubborn: bool) -> None:
    """Start a child, write down both process ids, and wait for an end that comes from outside."""
    if stubborn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with subprocess.Popen(["sleep", "600"]) as child:
        write_atomically(pids, f"{os.getpid()} {child.pid}".encode())
        time.sleep(600)


if __name__ == "__main__":
    sys.exit(script.main(main))
