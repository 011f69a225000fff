"""A Llama model arranged for serving: rows that join, take tokens together, and leave.

Every row has a place of its own in the cache of keys and values, filled from the left, so that rows
of any length take their next token in one pass over the weights; nothing is moved or copied per
token. Token ids and numbers only: text, sampling and who asked are not known here.

A row's logits do not depend on the rows beside it, to the last bit, in bf16 on CPUs with bf16
instructions (measured on AMD Zen 4, 1 and 2 threads, up to 16 rows): matrix products of up to
``TOGETHER`` rows add up in the same order, and attention does when the keys are padded to a
multiple of ``BLOCK``. In fp32 they differ by rounding (1e-6 of their size).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resources.errors import LlmTwinError

TOGETHER = 8  # rows in one matrix product
BLOCK = 64  # tokens

Attention = Callable[[int, Any, Any, Any], Any]  # layer, queries, keys, values -> mixed values


class NotServableError(LlmTwinError):
    """A model whose architecture the engine has no forward pass for."""


@dataclass(frozen=True)
class Layer:
    """The weights of one layer; queries, keys and values in one matrix, gate and up in one."""

    before_attention: Any
    qkv: tuple[Any, Any]  # weight, bias or None
    out: tuple[Any, Any]
    before_mlp: Any
    gate_up: tuple[Any, Any]
    down: tuple[Any, Any]


class Prompt:
    """The keys and values of a prompt that is being read: per layer tokens x heads x size."""

    def __init__(self, decoder: "Decoder") -> None:
        shape = (decoder.window, decoder.kv_heads, decoder.head_size)
        self.keys = [_zeros(shape, decoder) for _ in decoder.layers]
        self.values = [_zeros(shape, decoder) for _ in decoder.layers]
        self.length = 0


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
        self._head = model.lm_head.weight.detach()
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
        from torch.nn.functional import linear, scaled_dot_product_attention

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

        hidden = self._hidden(ids, slice(start, end), attend, linear)
        prompt.length = end
        return self._logits(hidden[-1:])[0]

    def step(self, rows: Rows, ids: Sequence[int]) -> Any:
        """Let every row read one more token; returns the logits after it, rows x words (fp32)."""
        import torch
        from torch.nn.functional import linear

        count, groups = len(ids), self.heads // self.kv_heads
        longest = min(-(-(max(rows.lengths) + 1) // BLOCK) * BLOCK, self.window)
        places = torch.tensor(rows.lengths, device=self.device)
        each = torch.arange(count, device=self.device)
        later = torch.arange(longest, device=self.device)[None] > places[:, None]
        later = later[:, None, None]
        scale = self.head_size**-0.5

        def attend(layer: int, queries: Any, keys: Any, values: Any) -> Any:
            rows.keys[layer][each, :, :, places] = keys
            rows.values[layer][each, :, places] = values
            # The queries that share a key head stand where a sequence's tokens would.
            shared = (queries * scale).view(count, self.kv_heads, groups, self.head_size)
            scores = (shared @ rows.keys[layer][:count, ..., :longest]).float()
            shares = scores.masked_fill_(later, float("-inf")).softmax(-1).to(self.dtype)
            return shares @ rows.values[layer][:count, :, :longest]

        product = linear if count <= TOGETHER else _in_groups
        hidden = self._hidden(ids, places, attend, product)
        rows.lengths = [length + 1 for length in rows.lengths]
        return self._logits(hidden)

    def _hidden(
        self, ids: Sequence[int], places: Any, attend: Attention, product: Callable[..., Any]
    ) -> Any:
        """The last layer's output for tokens at places in their rows: tokens x width."""
        import torch
        from torch.nn.functional import rms_norm, silu

        width, count = (self._embed.shape[1],), len(ids)
        cos, sin = self._cos[places], self._sin[places]
        turned = self.heads + self.kv_heads
        hidden = self._embed[torch.tensor(ids, device=self.device)]
        for number, layer in enumerate(self.layers):
            normed = rms_norm(hidden, width, layer.before_attention, self._epsilon)
            heads = product(normed, *layer.qkv).view(count, -1, self.head_size)
            plain = heads[:, :turned]
            moved = torch.addcmul(plain * cos, plain.roll(self.head_size // 2, -1), sin)
            mixed = attend(
                number, moved[:, : self.heads], moved[:, self.heads :], heads[:, turned:]
            )
            hidden = hidden + product(mixed.reshape(count, -1), *layer.out)
            normed = rms_norm(hidden, width, layer.before_mlp, self._epsilon)
            gate, up = product(normed, *layer.gate_up).chunk(2, -1)
            hidden = hidden + product(silu(gate).mul_(up), *layer.down)
        return rms_norm(hidden, width, self._norm, self._epsilon)

    def _logits(self, hidden: Any) -> Any:
        from torch.nn.functional import linear

        return linear(hidden, self._head).float()


def _zeros(shape: tuple[int, ...], decoder: Decoder) -> Any:
    """Zeros that take memory only where they are written to, on a CPU. What a mask hides must be
    a number all the same: nothing times NaN is NaN."""
    import numpy as np
    import torch

    if decoder.device.type != "cpu":
        return torch.zeros(shape, dtype=decoder.dtype, device=decoder.device)
    kind = np.uint16 if decoder.dtype.itemsize == 2 else np.uint32
    return torch.from_numpy(np.zeros(shape, kind)).view(decoder.dtype)


def _in_groups(rows: Any, weight: Any, bias: Any) -> Any:
    """A linear layer for rows in groups of ``TOGETHER``; the second group finds its weights in the
    processor's cache."""
    import torch
    from torch.nn.functional import linear

    return torch.cat([linear(some, weight, bias) for some in rows.split(TOGETHER)])


def _taken(layers: Any, number: int) -> Layer:
    """A layer's weights, joined; what they were joined from is given up at once, so that a model
    needs its memory once."""
    attention, mlp = layers[number].self_attn, layers[number].mlp
    taken = Layer(
        before_attention=layers[number].input_layernorm.weight.detach(),
        qkv=_joined(attention.q_proj, attention.k_proj, attention.v_proj),
        out=_joined(attention.o_proj),
        before_mlp=layers[number].post_attention_layernorm.weight.detach(),
        gate_up=_joined(mlp.gate_proj, mlp.up_proj),
        down=_joined(mlp.down_proj),
    )
    layers[number] = None
    return taken


def _joined(*linears: Any) -> tuple[Any, Any]:
    """Weight and bias of several linear layers that read the same input, one above the other."""
    import torch

    weights = [linear.weight.detach() for linear in linears]
    biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
    if len(linears) == 1:
        return weights[0], biases[0] if biases else None
    return torch.cat(weights), torch.cat(biases) if biases else None
