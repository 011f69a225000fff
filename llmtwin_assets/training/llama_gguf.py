"""Models of the Llama architecture as GGUF, the format of llama.cpp and its relatives.

``export`` takes a directory of safetensors and writes one file: metadata, tokenizer, tensors;
``read`` gives the tensors back. Norms stay in F32, matrices become Q8_0, Q4_0 or F16. With Q4_0 the
table that is embedding and head at once keeps 8 bits, as in llama.cpp, for the head is what suffers
first. Measuring the result is not done here.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resources import gguf_file
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

Format = Literal["Q8_0", "Q4_0", "F16"]
BLOCK = 32  # values that share a scale in Q8_0 and Q4_0
TABLES = ("token_embd.weight", "output.weight")
MARKS = re.compile(r"{%(-?)\s*(?:end)?generation\s*(-?)%}")  # transformers' own, unknown elsewhere

# Names of a Llama's tensors: transformers' to GGUF's. ``{}`` is the number of the layer.
OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class UnsupportedModelError(LlmTwinError):
    """A model that this exporter does not know how to write."""


def export(directory: Path, path: Path, name: str, form: Format = "Q8_0") -> None:
    """Write the model of ``directory`` to the GGUF file ``path``, under the model name ``name``.

    Raises ``UnsupportedModelError`` before anything is written.
    """
    from gguf import GGUFWriter

    config = _read(directory / "config.json")
    tokenizer = _read(directory / "tokenizer.json")
    require_llama(directory, config)
    pre = pre_tokenizer(directory, tokenizer)
    writer = GGUFWriter(path, "llama")
    _add_architecture(writer, config, name, form)
    _add_tokenizer(writer, directory, config, tokenizer, pre)
    for tensor, values in _tensors(directory, config):
        _add_tensor(writer, tensor, values, form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def require_llama(directory: Path, config: dict[str, Any]) -> None:
    """Refuse what would be written wrongly: other architectures, biases, unknown rope scaling."""
    if config.get("model_type") != "llama":
        raise _unsupported(directory, f"its architecture is {config.get('model_type')!r}")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise _unsupported(directory, "its layers have biases")
    if rope(config).get("rope_type", "default") not in ("default", "llama3"):
        raise _unsupported(directory, f"its rope scaling is {rope(config)['rope_type']!r}")


def rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary embedding's settings, wherever this version of the configuration keeps them."""
    settings = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = settings.get("rope_theta", config.get("rope_theta", 10_000.0))
    return {**settings, "rope_theta": theta}


def pre_tokenizer(directory: Path, tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how the tokenizer cuts text before its merges apply.

    Tells the three that Llama models with byte-level BPE use: ``smollm`` cuts digits one by one,
    ``llama-bpe`` has Llama 3's pattern, ``gpt-2`` neither.
    """
    outline = json.dumps(tokenizer.get("pre_tokenizer"))
    if tokenizer["model"].get("type") != "BPE" or '"ByteLevel"' not in outline:
        raise _unsupported(directory, "its tokenizer is not a byte-level BPE")
    if '"Digits"' in outline:
        return "smollm"
    return "llama-bpe" if "{1,3}" in outline else "gpt-2"


def interleave(weight: "Array", heads: int) -> "Array":
    """Rows of a q or k matrix in GGUF's order: each rotary pair side by side.

    transformers rotates row ``i`` of a head with row ``i + d/2``, llama.cpp rows ``2i`` and
    ``2i + 1``. Shape ``(heads * d, hidden)`` in and out.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _add_architecture(writer: Any, config: dict[str, Any], name: str, form: Format) -> None:
    import gguf

    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    kind = gguf.LlamaFileType[f"MOSTLY_{form}"]
    writer.add_name(name)
    writer.add_file_type(kind)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rope(config)["rope_theta"]))


def _add_tokenizer(
    writer: Any,
    directory: Path,
    config: dict[str, Any],
    tokenizer: dict[str, Any],
    pre: str,
) -> None:
    settings = _read(directory / "tokenizer_config.json")
    tokens, types = vocabulary(tokenizer, config["vocab_size"])
    merges = tokenizer["model"]["merges"]
    ids = {token: number for number, token in enumerate(tokens)}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    for kind, add in (
        ("bos_token", writer.add_bos_token_id),
        ("eos_token", writer.add_eos_token_id),
        ("unk_token", writer.add_unk_token_id),
        ("pad_token", writer.add_pad_token_id),
    ):
        token = settings.get(kind)
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            add(ids[token])
    # Prompts are rendered by the chat template, which writes every control token itself.
    writer.add_add_bos_token(False)
    template = directory / "chat_template.jinja"
    text = template.read_text("utf-8") if template.is_file() else settings.get("chat_template")
    if text:
        writer.add_chat_template(MARKS.sub(r"{#\1 \2#}", text))


def vocabulary(tokenizer: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Tokens and their GGUF types by id; ids without a token get an unused placeholder."""
    from gguf import TokenType

    tokens = [f"[unused{number}]" for number in range(size)]
    types = [int(TokenType.UNUSED)] * size
    for token, number in tokenizer["model"]["vocab"].items():
        tokens[number], types[number] = token, int(TokenType.NORMAL)
    for added in tokenizer.get("added_tokens", []):
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
    return tokens, types


def _tensors(directory: Path, config: dict[str, Any]) -> Iterator[tuple[str, "Array"]]:
    """GGUF name and fp32 values of every tensor."""
    from safetensors import safe_open

    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    tied = bool(config.get("tie_word_embeddings"))
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if name == "lm_head.weight" and tied:
                    continue
                values = file.get_tensor(name).float().numpy()
                if name.endswith("q_proj.weight"):
                    values = interleave(values, heads)
                if name.endswith("k_proj.weight"):
                    values = interleave(values, groups)
                yield gguf_name(directory, name), values
    if rope(config).get("rope_type") == "llama3":
        yield "rope_freqs.weight", _llama3_factors(config)


def read(path: Path, config: dict[str, Any]) -> "Iterator[tuple[str, Array]]":
    """The reverse of ``export``: name in transformers and fp32 values of every tensor."""
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    for name, tensor in gguf_file.tensors(path).items():
        ours = _transformers_name(name)
        if ours is None:
            continue
        values: Array = gguf_file.values(path, tensor)
        if ours.endswith("q_proj.weight"):
            values = _uninterleave(values, heads)
        if ours.endswith("k_proj.weight"):
            values = _uninterleave(values, groups)
        yield ours, values


def _uninterleave(weight: "Array", heads: int) -> "Array":
    """The reverse of ``interleave``."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _transformers_name(name: str) -> str | None:
    """The name in transformers of one of GGUF's; None for what is no weight (rotary factors)."""
    for ours, theirs in OUTER.items():
        if name == theirs:
            return ours
    _, layer, known, *_ = [*name.split(".", 3), "", ""]
    for part, theirs in INNER.items():
        if known == theirs:
            return f"model.layers.{layer}.{part}.weight"
    return None


def gguf_name(directory: Path, name: str) -> str:
    """GGUF's name of a tensor; raises ``UnsupportedModelError`` for one it has none for."""
    if name in OUTER:
        return OUTER[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    known = INNER.get(part.removesuffix(".weight"))
    if not layer.isdigit() or known is None:
        raise _unsupported(directory, f"it has a tensor called {name!r}")
    return f"blk.{layer}.{known}.weight"


def _llama3_factors(config: dict[str, Any]) -> "Array":
    """What Llama 3.1 divides each rotary frequency by, shape ``(head_dim / 2,)``.

    Long waves are slowed by ``factor``, short ones kept, those between blended linearly in the
    number of turns within the original context: the rule of its model card and of transformers.
    """
    import numpy as np

    settings = rope(config)
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    waves = 2 * math.pi * settings["rope_theta"] ** (np.arange(0, size, 2) / size)
    turns = settings["original_max_position_embeddings"] / waves
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    factors: Array = (1 / (kept + (1 - kept) / settings["factor"])).astype(np.float32)
    return factors


def _add_tensor(writer: Any, name: str, values: "Array", form: Format) -> None:
    import gguf
    import numpy as np

    if values.ndim == 1:
        writer.add_tensor(name, values)
    elif form != "F16" and values.shape[-1] % BLOCK == 0:
        kind = gguf.GGMLQuantizationType["Q8_0" if name in TABLES else form]
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, values.astype(np.float16))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise _unsupported(path.parent, f"{path.name} is missing")
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _unsupported(directory: Path, problem: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        str(directory),
        problem,
        "Serve its safetensors as they are, or convert it with llama.cpp's own script",
    )
