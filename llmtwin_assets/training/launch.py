"""One script on one device, or the same script on several by ``accelerate launch``.

With more than one GPU a training script replaces itself by accelerate's launcher, which starts it
once per GPU: weights of full fine-tuning are spread over them (FSDP 2), a model under adapters is
copied to each (DDP). A spec's ``accelerate`` names a configuration file of accelerate's own in its
place: DeepSpeed, several machines, another strategy. Written against accelerate 1.15; two processes
on a CPU are tested, several GPUs have not been run here. What is trained is not known here.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from llmtwin_assets.training import script

LAUNCHER = [sys.executable, "-m", "accelerate.commands.launch"]
SPREAD = [
    "--use_fsdp",
    "--fsdp_version=2",
    "--fsdp_reshard_after_forward=true",
    "--fsdp_auto_wrap_policy=TRANSFORMER_BASED_WRAP",
    "--fsdp_state_dict_type=SHARDED_STATE_DICT",
]


def main(work: script.Work, module: str) -> int:
    """Run ``work`` as ``script.main`` does, or start ``module`` once per GPU and do not return."""
    script.end_with_parent()
    if "RANK" not in os.environ and len(sys.argv) == 2:
        wanted = command(module, Path(sys.argv[1]), gpus())
        if wanted:
            os.execv(wanted[0], wanted)  # in place of this process, so that ending it ends them
    return script.main(work)


def command(module: str, spec_file: Path, count: int) -> list[str]:
    """The launcher's command line; empty where this process will do."""
    try:
        spec = script.read_spec([module, str(spec_file)])
    except script.BadSpecError:
        return []  # script.main says what is wrong with it
    configured = str(spec.get("accelerate") or "")
    if configured:
        options: Sequence[str] = ["--config_file", configured]
    elif count > 1:
        recipe = spec.get("recipe") or {}
        stage = "dpo_method" if module.endswith("dpo") else "sft_method"
        how = SPREAD if recipe.get(stage) == "full" else ["--multi_gpu"]
        options = [*how, f"--num_processes={count}", "--num_machines=1"]
    else:
        return []
    return [*LAUNCHER, *options, "-m", module, str(spec_file)]


def gpus() -> int:
    """How many GPUs this process may use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
