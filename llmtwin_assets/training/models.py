"""Load a model, measure a text with it, and write with it: shared by training, evaluation, serving.

Prompts arrive as rendered text (``llmtwin_assets.prompts``); authors, data sets and files other
than the model's own directory are not known here.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts as prompts_format
from llmtwin_assets.training import llama_gguf
from resources import base_model
from resources.base_model import BaseModelDamagedError, quiet
from resources.errors import LlmTwinError

QUANTISED = "model-q8_0.gguf"
LONGEST = 2048  # tokens of prompt and answer together, when the model's own limit is larger


class EmptyMeasureError(LlmTwinError):
    """There is nothing to measure: no text, or prompts and completions of different number."""


def load(
    directory: Path, dtype: str = "float32", four_bits: bool = False, place: bool = True
) -> tuple[Any, Any]:
    """The model and tokenizer of a directory, on the GPU if there is one, ready to evaluate.

    The directory holds safetensors, of 16 bits or quantised by torchao or bitsandbytes, or a
    ``model-*.gguf`` beside the configuration and tokenizer, whose weights are unpacked. ``dtype``
    is ``float32`` or ``bfloat16``. With ``four_bits`` the weights are quantised as QLoRA has it
    (NF4, the scales too); without ``place`` the model stays in main memory. Code that comes with a
    model is never run. Raises ``BaseModelMissingError`` or ``BaseModelDamagedError``.
    """
    base_model.check(directory)
    quiet()
    import torch

    try:
        if list(directory.glob("*.gguf")):
            model = _unpacked(directory, getattr(torch, dtype))
        else:
            model = _from_safetensors(directory, getattr(torch, dtype), four_bits)
    except (ValueError, KeyError, RuntimeError, OSError, TypeError) as error:
        raise BaseModelDamagedError(
            str(directory),
            f"transformers cannot load it ({type(error).__name__})",
            "Build or fetch the model again; its architecture must be known to transformers",
        ) from error
    if four_bits:
        _keep_gradients(model)
    model.eval()
    alone = os.environ.get("WORLD_SIZE", "1") == "1"  # else accelerate places and spreads it
    placed = getattr(model, "is_loaded_in_4bit", False)  # by bitsandbytes, while it was loaded
    if place and alone and device() != "cpu" and not placed:
        model.to(device())
    return model, tokenizer_of(directory)


def tokenizer_of(directory: Path) -> Any:
    """The tokenizer of a model directory, with a padding token and a chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False)
    except Exception as error:  # the Rust tokenizer raises a bare Exception for a broken file
        raise BaseModelDamagedError(
            str(directory), "its tokenizer cannot be loaded", "Build or fetch the model again"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    prompts_format.use_template(tokenizer, "")
    return tokenizer


def device() -> str:
    """Where models run on this machine: ``cuda``, ``mps`` or ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fast_bf16() -> bool:
    """Whether this machine multiplies bf16 numbers faster than fp32 ones."""
    import torch

    if device() == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device() == "mps":
        return False
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16"))


def fastest() -> str:
    """The number format that generates fastest on this machine, for ``load``."""
    return "bfloat16" if fast_bf16() else "float32"


def window(directory: Path) -> int:
    """Tokens of prompt and answer together that the model of a directory is used with."""
    config = json.loads((directory / "config.json").read_text("utf-8"))
    return min(int(config.get("max_position_embeddings") or LONGEST), LONGEST)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text, which holds its control tokens already: none are added."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def nats_per_token(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    completions: Sequence[str],
    batch_size: int = 8,
) -> list[tuple[float, int]]:
    """Surprise of each completion after its prompt: (sum in nats, number of tokens).

    Only the completion's own tokens count, no end token. The mean over a set of texts is
    ``sum(nats) / sum(tokens)``. Pairs longer than the model or ``LONGEST`` allows are cut at the
    end. Raises ``EmptyMeasureError``.
    """
    return [
        (sum(nats), len(nats))
        for nats, _ in score(model, tokenizer, prompts, completions, batch_size)
    ]


def score(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    completions: Sequence[str],
    batch_size: int = 8,
) -> list[tuple[list[float], list[int]]]:
    """Per completion and token: the nats of the token, and the token the model held likeliest."""
    if not prompts or len(prompts) != len(completions):
        raise EmptyMeasureError(
            "the texts to measure",
            f"there are {len(prompts)} prompts and {len(completions)} completions",
            "Give one prompt per completion, and at least one",
        )
    limit = min(LONGEST, getattr(model.config, "max_position_embeddings", LONGEST))
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        head = encode(tokenizer, prompt)
        rows.append((head, encode(tokenizer, completion)[: max(0, limit - len(head))]))
    # Similar lengths together waste the least padding; the answers go back in the order given.
    order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]) + len(rows[row][1]))
    scores: list[tuple[list[float], list[int]]] = [([], [])] * len(rows)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for row, found in zip(chosen, _score_batch(model, [rows[r] for r in chosen]), strict=True):
            scores[row] = found
    return scores


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int | Sequence[int] = 96,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """One text per prompt, sampled; the same seed and batches give the same texts.

    ``max_new_tokens`` is one number or one per prompt; a prompt that fills the model's context
    is cut at its start. ``temperature`` 0 takes the likeliest token. ``progress`` gets the number
    of texts done and of all.
    """
    limits = _limits(max_new_tokens, len(prompts))
    texts: list[str] = []
    for start in range(0, len(prompts), batch_size):
        end = min(start + batch_size, len(prompts))
        texts += _generate_batch(
            model,
            tokenizer,
            prompts[start:end],
            limits[start:end],
            sampling(temperature, top_p),
            seed + start,
        )
        if progress:
            progress(end, len(prompts))
    return texts


def sampling(temperature: float, top_p: float) -> dict[str, Any]:
    """The arguments of ``model.generate`` that say how the next token is drawn."""
    if temperature <= 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def _score_batch(
    model: Any, rows: Sequence[tuple[list[int], list[int]]]
) -> list[tuple[list[float], list[int]]]:
    import torch
    from torch.nn.functional import cross_entropy

    longest = max(len(head) + len(tail) for head, tail in rows)
    ids = torch.zeros((len(rows), max(longest, 1)), dtype=torch.long)
    wanted = torch.zeros_like(ids, dtype=torch.bool)
    for row, (head, tail) in enumerate(rows):
        ids[row, : len(head) + len(tail)] = torch.tensor(head + tail)
        wanted[row, max(len(head), 1) : len(head) + len(tail)] = True
    ids, wanted = ids.to(model.device), wanted.to(model.device)
    with torch.inference_mode():
        # Padding stands on the right, where a causal model's earlier tokens cannot see it. The head
        # with its 49k columns is the dearest layer, so only positions that are asked for reach it.
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.get_output_embeddings()(hidden[:, :-1][wanted[:, 1:]]).float()
        nats = cross_entropy(logits, ids[:, 1:][wanted[:, 1:]], reduction="none")
        likeliest = logits.argmax(-1)
    counts = wanted.sum(1).tolist()
    return [
        (some.tolist(), best.tolist())
        for some, best in zip(nats.split(counts), likeliest.split(counts), strict=True)
    ]


def _generate_batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    limits: Sequence[int],
    how: dict[str, Any],
    seed: int,
) -> list[str]:
    import torch

    heads = [_cut(model, encode(tokenizer, prompt), max(limits)) for prompt in prompts]
    inputs = _padded(heads, tokenizer, model.device)
    with torch.inference_mode(), _seeded(seed):
        ids = model.generate(
            **inputs, **how, max_new_tokens=max(limits), pad_token_id=tokenizer.pad_token_id
        )
    written = ids[:, inputs["input_ids"].shape[1] :].tolist()
    return [
        tokenizer.decode(row[:limit], skip_special_tokens=True)
        for row, limit in zip(written, limits, strict=True)
    ]


def _padded(rows: Sequence[list[int]], tokenizer: Any, device: Any) -> dict[str, Any]:
    """Ids and mask, padded on the left so that every row's next token comes at the same place."""
    import torch

    width = max(len(row) for row in rows)
    pads = [[tokenizer.pad_token_id] * (width - len(row)) for row in rows]
    ids = torch.tensor([pad + row for pad, row in zip(pads, rows, strict=True)])
    mask = torch.tensor(
        [[0] * len(pad) + [1] * len(row) for pad, row in zip(pads, rows, strict=True)]
    )
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def _cut(model: Any, ids: list[int], max_new_tokens: int) -> list[int]:
    room = getattr(model.config, "max_position_embeddings", LONGEST) - max_new_tokens
    return ids[-max(room, 1) :]


def _limits(max_new_tokens: int | Sequence[int], count: int) -> list[int]:
    return [max_new_tokens] * count if isinstance(max_new_tokens, int) else list(max_new_tokens)


class _seeded:
    """Torch's random numbers start from ``seed`` inside, and go on outside as if nothing was."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import torch

        self._state = torch.get_rng_state()
        torch.seed() if self._seed is None else torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_rng_state(self._state)


def _from_safetensors(directory: Path, dtype: Any, four_bits: bool) -> Any:
    """The model, all of whose weights are in the files; transformers would make up missing ones."""
    from transformers import AutoModelForCausalLM

    # A configuration of None would hide the one that a quantised model brings.
    how = {"quantization_config": nf4(), "device_map": {"": _local_device()}} if four_bits else {}
    model, found = AutoModelForCausalLM.from_pretrained(
        str(directory),
        dtype=dtype,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        **how,
    )
    if found["missing_keys"]:
        raise BaseModelDamagedError(
            str(directory),
            f"{len(found['missing_keys'])} of its weights are not in its files",
            "Build or fetch the model again",
        )
    return model


def nf4() -> Any:
    """4-bit normal floats with double quantisation, computed in bf16: Dettmers et al. 2023
    (arXiv 2305.14314)."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _keep_gradients(model: Any) -> None:
    """Keep bitsandbytes from laying out 4-bit weights for inference when a CPU measures held-out
    text between two steps: through that layout no gradient flows."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _local_device() -> str:
    """The device of this process; a launcher gives each process a number of its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device() == "cuda" else device()


def _unpacked(directory: Path, dtype: Any) -> Any:
    """The model of a quantised checkpoint. transformers can read GGUF too, but parses the
    vocabulary three times and takes five times as long."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    [path] = directory.glob("*.gguf")
    config = LlamaConfig.from_pretrained(str(directory))
    weights = {
        name: torch.from_numpy(values).to(dtype)
        for name, values in llama_gguf.read(path, config.to_dict())
    }
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    return LlamaForCausalLM.from_pretrained(None, config=config, state_dict=weights, dtype=dtype)
