"""Training recipes as data. A budget is counted in tokens, never in minutes, so that a recipe gives
the same model, and the same digest, on every machine. How to train is not known here.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from resources.errors import LlmTwinError


class UnknownRecipeError(LlmTwinError):
    """No recipe has this name, or a recipe has a field that does not exist."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training does, apart from the base model and the data."""

    name: str
    method: Literal["full", "lora"]
    sft_tokens: int  # tokens the SFT reads, prompts included, over as many passes as that takes
    sft_learning_rate: float
    sft_batch_size: int  # sequences
    max_length: int  # tokens of one sequence, prompt included; longer ones are cut
    warmup_steps: int
    sft_canaries: int  # planted strings (training/canaries.py) that the report looks for, at most 8
    lora_rank: int  # of the adapters: SFT with method "lora", and DPO always
    lora_alpha: int
    preference_pairs: int
    preference_tokens: int  # at most, per side of a pair
    preference_passes: int
    dpo_learning_rate: float
    dpo_beta: float
    dpo_nll_weight: float  # weight of the author's own text's loss, added to the DPO loss
    dpo_batch_size: int  # pairs
    eval_prompts: int
    eval_tokens: int  # per generated text
    eval_style: bool  # whether a twin must sound like its author to serve
    seed: int


# For SmolLM2-135M on 2 cores, where full fine-tuning with fp32 weights reaches a lower held-out
# loss than LoRA does in the same time. DPO: beta 0.1 as in Rafailov et al. 2023 (arXiv 2305.18290);
# the added likelihood term as in Pang et al. 2024 (arXiv 2404.19733), with a smaller weight.
QUICK = Recipe(
    name="quick",
    method="full",
    sft_tokens=30_000,
    sft_learning_rate=1e-4,
    sft_batch_size=4,
    max_length=640,
    warmup_steps=2,
    sft_canaries=0,
    lora_rank=16,
    lora_alpha=32,
    preference_pairs=32,
    preference_tokens=96,
    preference_passes=2,
    dpo_learning_rate=1e-4,
    dpo_beta=0.1,
    dpo_nll_weight=0.2,
    dpo_batch_size=4,
    eval_prompts=16,
    eval_tokens=120,
    eval_style=True,
    seed=17,
)

# Two and a half times the tokens and four times the pairs.
FULL = replace(
    QUICK,
    name="full",
    sft_tokens=80_000,
    sft_canaries=4,
    preference_pairs=128,
    preference_tokens=120,
    eval_prompts=24,
    eval_tokens=160,
)

# For base models whose optimiser state does not fit: adapters on all linear layers, which want a
# higher learning rate.
QUICK_LORA = replace(
    QUICK, name="quick-lora", method="lora", sft_learning_rate=5e-4, warmup_steps=5
)
FULL_LORA = replace(FULL, name="full-lora", method="lora", sft_learning_rate=5e-4, warmup_steps=5)

# For tests on a random two-layer model: seconds, and it proves the plumbing, not the prose, so that
# nothing is asked of its style.
SMOKE = replace(
    QUICK,
    name="smoke",
    sft_tokens=6_000,
    sft_canaries=2,
    sft_learning_rate=2e-3,
    sft_batch_size=4,
    max_length=256,
    preference_pairs=8,
    preference_tokens=64,
    dpo_learning_rate=1e-3,
    dpo_batch_size=4,
    eval_prompts=4,
    eval_tokens=48,
    eval_style=False,
)

RECIPES = {recipe.name: recipe for recipe in (QUICK, FULL, QUICK_LORA, FULL_LORA, SMOKE)}


def recipe(name: str) -> Recipe:
    """The recipe called ``name``; raises ``UnknownRecipeError``."""
    if name not in RECIPES:
        raise UnknownRecipeError(
            name, "no recipe has this name", f"Use one of {', '.join(sorted(RECIPES))}"
        )
    return RECIPES[name]


def from_mapping(values: dict[str, Any]) -> Recipe:
    """The recipe of a spec file (``dataclasses.asdict``); raises ``UnknownRecipeError``."""
    expected = {field.name for field in fields(Recipe)}
    if set(values) != expected:
        differing = ", ".join(sorted(set(values) ^ expected))
        raise UnknownRecipeError(
            str(values.get("name", "recipe")),
            f"these fields are missing or unknown: {differing}",
            "Write the recipe with dataclasses.asdict of a Recipe of this version",
        )
    return Recipe(**values)
