"""A script for the tests of compute: does what its spec says."""

import os
import signal
import sys
from typing import Any

from llmtwin_assets.training import script
from resources.errors import LlmTwinError


def main(spec: script.Spec, report: script.Report) -> dict[str, Any]:
    report("at work")
    if spec["what"] == "refuse":
        raise LlmTwinError("the corpus", "it is too small", "Add writing")
    if spec["what"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"sum": sum(spec["numbers"]), "offline": os.environ.get("HF_HUB_DISABLE_TELEMETRY")}


if __name__ == "__main__":
    sys.exit(script.main(main))
