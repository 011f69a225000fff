"""How much memory a recipe needs for a model, and whether this machine has it.

An estimate from the model's configuration and the headers of its weights, term by term, so that a
refusal can show its arithmetic. It counts what grows with model and batch, and a fixed allowance
for the libraries; fragmentation is not counted. Training is not known here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmtwin_assets.training import models
from llmtwin_assets.training.recipes import Method, Recipe
from resources import base_model
from resources.errors import LlmTwinError

Stage = Literal["sft", "dpo"]

GB = 1e9  # bytes
LIBRARIES = 0.8 * GB  # interpreter, torch, transformers, trl; on a GPU its context and kernels
# NF4 with double quantisation: 4 bits, and per 64 weights 8 bits of scale whose own scale of 32
# bits serves 256 of them (Dettmers et al. 2023, arXiv 2305.14314, section 3).
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8  # bytes per weight
STATE = {
    "adamw": 8,
    "adamw_8bit": 2,
    "paged_adamw_8bit": 0,
}  # bytes per weight; paged ones move out
HEAD_ROWS = 512  # positions whose logits are held at a time, forwards and backwards in fp32


class DoesNotFitError(LlmTwinError):
    """A recipe needs more memory than the machine has."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder that memory depends on."""

    weights: int  # all, embeddings included
    embeddings: int  # of them those that are never quantised: embedding and head
    layers: int
    hidden: int
    intermediate: int
    heads: int
    groups: int  # key-value heads
    head: int  # width of one head
    vocabulary: int

    @property
    def linear(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of the seven linear maps of a layer."""
        wide, narrow = self.heads * self.head, self.groups * self.head
        return (
            (self.hidden, wide),
            (self.hidden, narrow),
            (self.hidden, narrow),
            (wide, self.hidden),
            (self.hidden, self.intermediate),
            (self.hidden, self.intermediate),
            (self.intermediate, self.hidden),
        )

    def adapters(self, rank: int) -> int:
        """Weights of adapters of this rank on every linear layer but the head."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.linear)


def shape(directory: Path) -> Shape:
    """The shape of a model directory; reads its configuration and headers, no weights."""
    config = json.loads((directory / "config.json").read_text("utf-8"))
    config = config.get("text_config", config)
    heads = int(config["num_attention_heads"])
    tables = 1 if config.get("tie_word_embeddings") else 2
    return Shape(
        weights=base_model.parameters(directory),
        embeddings=tables * int(config["vocab_size"]) * int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        hidden=int(config["hidden_size"]),
        intermediate=int(config.get("intermediate_size") or 4 * config["hidden_size"]),
        heads=heads,
        groups=int(config.get("num_key_value_heads") or heads),
        head=int(config.get("head_dim") or config["hidden_size"] // heads),
        vocabulary=int(config["vocab_size"]),
    )


def estimate(
    recipe: Recipe, model: Shape, stage: Stage, most: int | None = None, number: int = 2
) -> dict[str, float]:
    """Bytes by purpose that a stage of ``recipe`` needs at its peak.

    ``most`` is the number of tokens in the largest part of a batch; without it, sequences are taken
    to be as long as the recipe allows. ``number`` is the bytes of one that is computed with: 4
    where the machine is slow with bf16.
    """
    method: Method = recipe.sft_method if stage == "sft" else recipe.dpo_method
    trained = model.weights if method == "full" else model.adapters(recipe.lora_rank)
    return {
        "weights": _weights(model, method, number),
        "adapters": 0.0 if method == "full" else 4.0 * trained,
        "gradients": 4.0 * trained,
        "optimiser": float(STATE[recipe.optimizer] * trained),
        "activations": _activations(recipe, model, most or tokens(recipe, stage), number),
        "logits": 3 * 4.0 * HEAD_ROWS * model.vocabulary,
        "libraries": LIBRARIES,
    }


def tokens(recipe: Recipe, stage: Stage) -> int:
    """The most tokens that one part of a batch can hold."""
    if stage == "sft":
        return recipe.sft_batch_size // recipe.accumulation * recipe.max_length
    # Both sides of a pair, with a prompt of at most as many tokens as the side.
    side = min(recipe.max_length, 2 * recipe.preference_tokens)
    return 2 * recipe.dpo_batch_size // recipe.accumulation * side


def require(
    recipe: Recipe, directory: Path, stage: Stage, most: int | None = None, devices: int = 1
) -> dict[str, float]:
    """The estimate in bytes; raises ``DoesNotFitError`` when this machine has less.

    Several devices share the weights, gradients and optimiser state of full fine-tuning.
    """
    model = shape(directory)
    needs = estimate(recipe, model, stage, most, number_here())
    if devices > 1 and (recipe.sft_method if stage == "sft" else recipe.dpo_method) == "full":
        for part in ("weights", "gradients", "optimiser"):
            needs[part] /= devices
    where, free = available()
    if sum(needs.values()) > free:
        raise DoesNotFitError(
            f"recipe '{recipe.name}' for a model of {model.weights / 1e6:,.0f} million weights",
            f"its {stage} needs {arithmetic(needs)}, and {where} has {free / GB:.1f} GB",
            "Use a recipe with adapters (…-lora, …-qlora), more accumulation, gradient "
            "checkpointing or a smaller base model, or a larger machine",
        )
    return needs


def number_here() -> int:
    """Bytes of a number that this machine computes with in training."""
    return 2 if models.fast_bf16() else 4


def arithmetic(needs: Mapping[str, float]) -> str:
    """An estimate as a sum: ``0.5 weights + 1.1 optimiser = 1.6 GB``."""
    terms = [f"{value / GB:.1f} {part}" for part, value in needs.items() if value >= 0.05 * GB]
    return f"{' + '.join(terms)} = {sum(needs.values()) / GB:.1f} GB"


def available() -> tuple[str, float]:
    """What training would run on, and the bytes it can have there, with what this process has."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return torch.cuda.get_device_name(), float(free)
    if torch.backends.mps.is_available():
        return "the Apple GPU", float(torch.mps.recommended_max_memory())
    return "this machine", min(_free_of_system(), _free_of_container()) + used()


def used() -> float:
    """The most bytes that this process has held so far, on the GPU if there is one."""
    import resource
    import sys

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)


def _weights(model: Shape, method: Method, number: float) -> float:
    if method == "full":
        return 4.0 * model.weights  # bf16 cannot hold the small steps of full fine-tuning
    if method == "lora":
        return number * model.weights
    return 2.0 * model.embeddings + NF4 * (model.weights - model.embeddings)


def _activations(recipe: Recipe, model: Shape, count: int, number: float) -> float:
    """Of a layer are kept, per token: the inputs of two norms and of the seven maps, three
    heads' worth for attention, and gate, up and their product. With checkpointing only each layer's
    input, and one layer at a time in full."""
    attention = 4 * model.hidden + 3 * model.heads * model.head
    layer = number * count * (attention + 3 * model.hidden + 4 * model.intermediate)
    if recipe.gradient_checkpointing:
        return layer + number * count * model.hidden * model.layers
    return layer * model.layers


def _free_of_system() -> float:
    try:
        rows = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return float("inf")  # not Linux: what the system would give is not known
    facts = {name: value.split()[0] for name, _, value in (row.partition(":") for row in rows)}
    return float(facts["MemAvailable"]) * 1024


def _free_of_container(root: Path = Path("/sys/fs/cgroup")) -> float:
    """What the control group of this container still allows (version 2), or no limit."""
    try:
        limit = (root / "memory.max").read_text("ascii").strip()
        used_now = (root / "memory.current").read_text("ascii").strip()
    except OSError:
        return float("inf")
    return float("inf") if limit == "max" else float(limit) - float(used_now)


def as_figures(needs: Mapping[str, Any]) -> dict[str, float]:
    """An estimate in GB with two decimals, for people and files."""
    return {part: round(value / GB, 2) for part, value in needs.items()}
