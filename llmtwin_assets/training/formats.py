"""A fine-tuned model in the fewer bits that it is served in, as a directory ``models.load`` reads.

==========  =============================  ==========================================  ===========
name        what                           by                                          runs on
==========  =============================  ==========================================  ===========
f16, q8_0,  GGUF, for llama.cpp and kin    ours                                        CPU and GPU
q4_0
q4_k_m      GGUF, 4 bits in super-blocks   llama.cpp's ``llama-quantize`` on the PATH  CPU and GPU
int8        safetensors, 8-bit weights     torchao (extra ``quantise``)                CPU and GPU
nf4         safetensors, 4-bit weights     bitsandbytes (extra ``gpu``)                CPU and GPU
gptq, awq   safetensors, 4-bit weights,    gptqmodel (not with this torch; image of    GPU, with
            calibrated on the author's     its own)                                    vLLM
            training text
==========  =============================  ==========================================  ===========

gptq and awq are written against gptqmodel's source and have not been run here. What a format costs
is measured elsewhere.
"""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets.training import backend, llama_gguf, models
from resources import base_model
from resources.errors import LlmTwinError

COPIED = ("*.json", "*.jinja", "*.txt", "*.model")  # configuration and tokenizer
GROUP = 128  # weights that share a scale in gptq and awq
CALIBRATION = 256  # texts

Forms = {"f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0"}


class UnknownFormatError(LlmTwinError):
    """No format has this name."""


class QuantisationFailedError(LlmTwinError):
    """A program that quantises is missing or ended with an error."""


def write(
    source: Path, target: Path, name: str, form: str = "q8_0", texts: Sequence[str] = ()
) -> None:
    """Write the model of ``source`` to ``target`` in the format ``form``.

    ``name`` goes into GGUF files; ``texts`` are what gptq and awq calibrate on. Raises
    ``UnknownFormatError``, ``backend.MissingExtraError``, ``QuantisationFailedError`` and
    ``llama_gguf.UnsupportedModelError``.
    """
    if form not in WRITERS:
        raise UnknownFormatError(form, "no format has this name", f"Use one of {sorted(WRITERS)}")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    _copy_around_weights(source, target)
    WRITERS[form](source, target, name, form, texts)
    base_model.make_readable(target)


def _copy_around_weights(source: Path, target: Path) -> None:
    for pattern in COPIED:
        for path in source.glob(pattern):
            if not path.name.endswith(".index.json"):  # of shards that are not copied
                shutil.copyfile(path, target / path.name)


def _gguf(source: Path, target: Path, name: str, form: str, _: Sequence[str]) -> None:
    llama_gguf.export(source, target / f"model-{form}.gguf", name, Forms[form])  # type: ignore[arg-type]


def _llama_cpp(source: Path, target: Path, name: str, form: str, _: Sequence[str]) -> None:
    program = shutil.which("llama-quantize")
    if program is None:
        raise QuantisationFailedError(
            form, "llama.cpp's llama-quantize is not on the PATH", "Install llama.cpp, or use q4_0"
        )
    whole = target / "f16.gguf"
    llama_gguf.export(source, whole, name, "F16")
    command = [program, str(whole), str(target / f"model-{form}.gguf"), form.upper()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    whole.unlink()
    if ended.returncode:
        raise QuantisationFailedError(
            form,
            f"llama-quantize ended with code {ended.returncode}",
            (ended.stderr.strip().splitlines() or ["Run it by hand to see why"])[-1][:200],
        )


def _int8(source: Path, target: Path, *_: Any) -> None:
    backend.need("torchao", "quantise", "the format int8")
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    _save(source, target, TorchAoConfig(Int8WeightOnlyConfig()))


def _nf4(source: Path, target: Path, *_: Any) -> None:
    backend.need("bitsandbytes", "gpu", "the format nf4")
    _save(source, target, models.nf4())


def _save(source: Path, target: Path, how: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(source),
        dtype=torch.bfloat16,
        trust_remote_code=False,
        use_safetensors=True,
        quantization_config=how,
    )
    model.save_pretrained(target)


def _gptqmodel(source: Path, target: Path, _: str, form: str, texts: Sequence[str]) -> None:
    backend.need("gptqmodel", "gptq", f"the format {form}")
    from gptqmodel import GPTQModel, QuantizeConfig
    from gptqmodel.quantization import FORMAT, METHOD

    how = {"quant_method": METHOD.AWQ, "format": FORMAT.GEMM, "sym": False} if form == "awq" else {}
    model = GPTQModel.load(
        str(source), QuantizeConfig(bits=4, group_size=GROUP, **how), trust_remote_code=False
    )
    model.quantize(list(texts)[:CALIBRATION], batch_size=1)
    model.save(str(target))


WRITERS: dict[str, Callable[[Path, Path, str, str, Sequence[str]], None]] = {
    **dict.fromkeys(Forms, _gguf),
    "q4_k_m": _llama_cpp,
    "int8": _int8,
    "nf4": _nf4,
    "gptq": _gptqmodel,
    "awq": _gptqmodel,
}
