"""The other machine's side of a staged script.

    python -m resources.staged s3://bucket/prefix author/asset/.job-…

Fetches what ``staging.send`` listed, runs the script on it as a child, uploads its outputs every
minute and at the end, and exits as the script did. SIGTERM, with which containers are stopped,
reaches the script as SIGINT; what it saved by then is kept for the next try.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resources.compute import QUIET
from resources.errors import LlmTwinError
from resources.s3 import Bucket
from resources.staging import INPUTS, OUTPUTS, Mirror, fetch, mapped

INTERVAL = 60.0  # seconds between two uploads of what a script has written
PATIENCE = 15.0  # seconds a script gets to end; a stopped container is killed after 30


class JobGoneError(LlmTwinError):
    """There is no job of this name in the bucket."""


def main(arguments: Sequence[str]) -> int:
    """Run the job that ``[url, key]`` names; returns the script's exit code."""
    url, key = arguments
    bucket = Bucket(url)
    found = bucket.read(f"{key}/job.json")
    if found is None:
        raise JobGoneError(key, f"there is no such job at {url}", "Start it from Dagster")
    job = json.loads(found.data)
    with tempfile.TemporaryDirectory() as scratch:
        return _run(bucket, job, Path(scratch))


def _run(bucket: Bucket, job: Mapping[str, Any], scratch: Path) -> int:
    here: dict[str, str] = {}
    for number, (path, files) in enumerate(job["inputs"].items()):
        here[path] = str(fetch(bucket, files, scratch / f"input-{number}"))
    mirrors = []
    for number, (path, key) in enumerate(job["outputs"].items()):
        kept = job["kept"].get(path)
        folder = Path(kept) if kept else scratch / f"output-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        here[path] = str(folder)
        if not kept:
            mirrors.append(Mirror(bucket, key, folder))
    for mirror in mirrors:
        mirror.restore()
    spec = mapped(job["spec"], (*INPUTS, *OUTPUTS), here.__getitem__)
    (scratch / "spec.json").write_text(json.dumps(spec), "utf-8")
    try:
        return _watch([sys.executable, "-m", job["module"], str(scratch / "spec.json")], mirrors)
    finally:
        for mirror in mirrors:
            mirror.save()


def _watch(command: Sequence[str], mirrors: Sequence[Mirror]) -> int:
    """The exit code of a child whose outputs are uploaded while it runs."""
    child = subprocess.Popen(command, env={**os.environ, **QUIET}, start_new_session=True)

    def stop(*_: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGINT)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def kill(*_: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, kill)
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(INTERVAL)
            for mirror in mirrors:
                mirror.save()
    finally:
        kill()
        child.wait()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LlmTwinError as error:
        sys.exit(str(error))
