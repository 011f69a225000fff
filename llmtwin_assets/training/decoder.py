"""A Llama model arranged for serving: rows that join, take tokens together, and leave.

Every row has a place of its own in the cache of keys and values, filled from the left, so that rows
of any length take their next token in one pass over the weights; nothing is moved or copied per
token. Token ids and numbers only: text, sampling and who asked are not known here.

A row's logits do not depend on the rows beside it, to the last bit (measured on AMD Zen 4 in bf16
and fp32, with 1 and 2 threads and up to 16 rows): the 8-bit product takes the rows one by one, and
attention adds up in the same order when the keys are padded to a multiple of ``BLOCK``.
"""

import math
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resources.errors import LlmTwinError

BLOCK = 64  # tokens
LANES = 32  # inputs; the 8-bit product reads past its end when they are no multiple of 16

Attention = Callable[[int, Any, Any, Any], Any]  # layer, queries, keys, values -> mixed values
Product = Callable[["Matrix", Any], Any]


class NotServableError(LlmTwinError):
    """A model whose architecture the engine has no forward pass for."""


class Matrix:
    """A linear layer, or several that read the same input, one above the other.

    The tokens of a prompt are multiplied with the weights as they are. A few rows at a time wait
    for memory, not for arithmetic: for them, on a CPU, there is a copy in 8 bits with a scale per
    output, which is half as much to read.
    """

    def __init__(self, *linears: Any) -> None:
        import torch

        weights = [linear.weight.detach() for linear in linears]
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        self._weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        self._bias = torch.cat(biases) if biases else None
        self._bytes, self._scale = None, None
        if self._weight.device.type == "cpu" and self._weight.shape[1] % LANES == 0:
            self._bytes, scale = in_8_bits(self._weight)
            self._scale = scale.to(torch.bfloat16)

    def many(self, rows: Any) -> Any:
        """The layer's output for the tokens of a prompt."""
        from torch.nn.functional import linear

        return linear(rows, self._weight, self._bias)

    def few(self, rows: Any) -> Any:
        """The layer's output for one token of each row."""
        import torch

        if self._bytes is None:
            return self.many(rows)
        # In bf16 whatever the model is in: for fp32 the product has no fast kernel everywhere.
        given = rows.to(torch.bfloat16).contiguous()
        found = torch._weight_int8pack_mm(given, self._bytes, self._scale).to(rows.dtype)
        return found if self._bias is None else found + self._bias


def in_8_bits(weight: Any) -> tuple[Any, Any]:
    """A matrix (outputs x inputs) as whole numbers up to 127 and a scale for each output."""
    import torch

    scale = (weight.abs().amax(1) / 127).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight / scale[:, None].float()).round_().clamp_(-127, 127).to(torch.int8), scale


@dataclass(frozen=True)
class Layer:
    """The weights of one layer; queries, keys and values in one matrix, gate and up in one."""

    before_attention: Any
    qkv: Matrix
    out: Matrix
    before_mlp: Any
    gate_up: Matrix
    down: Matrix


class Prompt:
    """The keys and values of a prompt that is being read: per layer tokens x heads x size."""

    def __init__(self, decoder: "Decoder") -> None:
        shape = (decoder.window, decoder.kv_heads, decoder.head_size)
        self.keys = [_zeros(shape, decoder) for _ in decoder.layers]
        self.values = [_zeros(shape, decoder) for _ in decoder.layers]
        self.ids: list[int] = []  # the tokens whose keys and values are there
        self.length = 0  # how many of them count


class Rows:
    """The cache of one batch: for each row the keys and values of its tokens.

    Keys are rows x heads x size x tokens, values rows x heads x tokens x size: what the products of
    attention read in order. ``most`` rows of a whole window are reserved; memory is taken when it
    is written to.
    """

    def __init__(self, decoder: "Decoder", most: int) -> None:
        place = (most, decoder.kv_heads)
        keys = (*place, decoder.head_size, decoder.window)
        values = (*place, decoder.window, decoder.head_size)
        self.keys = [_zeros(keys, decoder) for _ in decoder.layers]
        self.values = [_zeros(values, decoder) for _ in decoder.layers]
        self.lengths: list[int] = []

    def join(self, prompt: Prompt) -> None:
        """Add a row with what a prompt holds; its number is the last one."""
        row, length = len(self.lengths), prompt.length
        for mine, read in zip(self.keys, prompt.keys, strict=True):
            mine[row, :, :, :length] = read[:length].permute(1, 2, 0)
        for mine, read in zip(self.values, prompt.values, strict=True):
            mine[row, :, :length] = read[:length].transpose(0, 1)
        self.lengths.append(length)

    def leave(self, row: int) -> None:
        """Give up a row. The last row takes its number, so that the rows stay together."""
        last, length = len(self.lengths) - 1, self.lengths.pop()
        if row == last:
            return
        for keys in self.keys:
            keys[row, :, :, :length] = keys[last, :, :, :length]
        for values in self.values:
            values[row, :, :length] = values[last, :, :length]
        self.lengths[row] = length


class Decoder:
    """The forward pass of a Llama model, without what training needs."""

    def __init__(self, model: Any, window: int) -> None:
        """Takes the weights of a ``transformers`` model, which cannot be used afterwards.

        ``window`` is the longest row in tokens. Raises ``NotServableError``.
        """
        import torch

        config = model.config
        if config.model_type != "llama" or config.hidden_act != "silu":
            raise NotServableError(
                str(config.name_or_path or "the model"),
                f"its architecture is {config.model_type} ({config.hidden_act})",
                "Use a model of the Llama architecture",
            )
        body = model.model
        self.window = window
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.dtype, self.device = model.dtype, model.device
        self._embed, self._norm = body.embed_tokens.weight.detach(), body.norm.weight.detach()
        self._head = Matrix(model.lm_head)
        self._epsilon = config.rms_norm_eps
        positions = torch.arange(window, device=self.device)[None]
        with torch.inference_mode():
            cos, sin = body.rotary_emb(self._embed[:1], positions)
            self.layers = [_taken(body.layers, number) for number in range(len(body.layers))]
        half = self.head_size // 2
        self._cos = cos[0, :, None]  # window x 1 x head size
        self._sin = torch.cat((-sin[0, :, None, :half], sin[0, :, None, half:]), -1)

    def read(self, prompt: Prompt, ids: Sequence[int]) -> Any:
        """Read tokens after those that a prompt holds; returns the logits after the last (fp32)."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        start, end = prompt.length, prompt.length + len(ids)
        groups = self.heads // self.kv_heads
        seen = torch.ones(len(ids), end, dtype=torch.bool, device=self.device).tril_(start)

        def attend(layer: int, queries: Any, keys: Any, values: Any) -> Any:
            prompt.keys[layer][start:end], prompt.values[layer][start:end] = keys, values
            mixed = scaled_dot_product_attention(
                queries.transpose(0, 1)[None],
                prompt.keys[layer][:end].transpose(0, 1).repeat_interleave(groups, 0)[None],
                prompt.values[layer][:end].transpose(0, 1).repeat_interleave(groups, 0)[None],
                attn_mask=seen if start else None,
                is_causal=not start,
            )
            return mixed[0].transpose(0, 1)

        hidden = self._hidden(ids, slice(start, end), attend, Matrix.many)
        prompt.ids[start:], prompt.length = ids, end
        return self._head.many(hidden[-1:])[0].float()

    def step(self, rows: Rows, ids: Sequence[int]) -> Any:
        """Let every row read one more token; returns the logits after it, rows x words (fp32)."""
        import torch

        count, groups = len(ids), self.heads // self.kv_heads
        longest = min(-(-(max(rows.lengths) + 1) // BLOCK) * BLOCK, self.window)
        places = torch.tensor(rows.lengths, device=self.device)
        each = torch.arange(count, device=self.device)
        later = torch.arange(longest, device=self.device)[None] > places[:, None]
        mask = torch.zeros(later.shape, device=self.device).masked_fill_(later, float("-inf"))
        mask = mask[:, None, None]
        scale = self.head_size**-0.5

        def attend(layer: int, queries: Any, keys: Any, values: Any) -> Any:
            rows.keys[layer][each, :, :, places] = keys
            rows.values[layer][each, :, places] = values
            # The queries that share a key head stand where a sequence's tokens would.
            shared = (queries * scale).view(count, self.kv_heads, groups, self.head_size)
            scores = shared @ rows.keys[layer][:count, ..., :longest] + mask  # fp32
            return scores.softmax(-1).to(self.dtype) @ rows.values[layer][:count, :, :longest]

        hidden = self._hidden(ids, places, attend, Matrix.few)
        rows.lengths = [length + 1 for length in rows.lengths]
        return self._head.few(hidden).float()

    def _hidden(self, ids: Sequence[int], places: Any, attend: Attention, product: Product) -> Any:
        """The last layer's output for tokens at places in their rows: tokens x width."""
        import torch
        from torch.nn.functional import rms_norm, silu

        width, count = (self._embed.shape[1],), len(ids)
        cos, sin = self._cos[places], self._sin[places]
        turned = self.heads + self.kv_heads
        hidden = self._embed[torch.tensor(ids, device=self.device)]
        for number, layer in enumerate(self.layers):
            normed = rms_norm(hidden, width, layer.before_attention, self._epsilon)
            heads = product(layer.qkv, normed).view(count, -1, self.head_size)
            plain = heads[:, :turned]
            moved = torch.addcmul(plain * cos, plain.roll(self.head_size // 2, -1), sin)
            mixed = attend(
                number, moved[:, : self.heads], moved[:, self.heads :], heads[:, turned:]
            )
            hidden = hidden + product(layer.out, mixed.reshape(count, -1))
            normed = rms_norm(hidden, width, layer.before_mlp, self._epsilon)
            gate, up = product(layer.gate_up, normed).chunk(2, -1)
            hidden = hidden + product(layer.down, silu(gate).mul_(up))
        return rms_norm(hidden, width, self._norm, self._epsilon)


def _zeros(shape: tuple[int, ...], decoder: Decoder) -> Any:
    """Zeros that, on a CPU, take memory only where they are written to, and give it back. What a
    mask hides must be a number all the same: nothing times NaN is NaN."""
    import torch

    if decoder.device.type != "cpu":
        return torch.zeros(shape, dtype=decoder.dtype, device=decoder.device)
    pages = mmap.mmap(-1, math.prod(shape) * decoder.dtype.itemsize)
    return torch.frombuffer(pages, dtype=decoder.dtype).view(shape)


def _taken(layers: Any, number: int) -> Layer:
    """A layer's weights, joined; what they were joined from is given up at once, so that a model
    needs its memory once."""
    attention, mlp = layers[number].self_attn, layers[number].mlp
    taken = Layer(
        before_attention=layers[number].input_layernorm.weight.detach(),
        qkv=Matrix(attention.q_proj, attention.k_proj, attention.v_proj),
        out=Matrix(attention.o_proj),
        before_mlp=layers[number].post_attention_layernorm.weight.detach(),
        gate_up=Matrix(mlp.gate_proj, mlp.up_proj),
        down=Matrix(mlp.down_proj),
    )
    layers[number] = None
    return taken
