"""Training recipes as data. A budget is counted in tokens, never in minutes, so that a recipe gives
the same model, and the same digest, on every machine. How to train is not known here.

What a recipe needs is worked out in ``memory.py`` for the model it meets; for the models that the
larger recipes were written for, with sequences of full length:

==================  ============  ========  ==========
recipe              base model    training  machine
==================  ============  ========  ==========
quick, full         SmolLM2-135M    5.1 GB  2 cores
quick-lora          SmolLM2-135M    3.3 GB  2 cores
smollm2-135m        SmolLM2-135M    6.2 GB  2 cores
llama-3.1-8b-lora   Llama-3.1-8B   20.4 GB  40 GB card
llama-3.1-8b-qlora  Llama-3.1-8B    9.8 GB  16 GB card
llama-3.1-8b-24gb   Llama-3.1-8B   19.4 GB  24 GB card
==================  ============  ========  ==========
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from resources.errors import LlmTwinError

Method = Literal["full", "lora", "qlora"]


class UnknownRecipeError(LlmTwinError):
    """No recipe has this name, or a recipe has a field that does not exist."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training does, apart from the base model and the data."""

    name: str
    source: str  # where its numbers come from
    template: str  # a file of llmtwin_assets/templates; the model's own chat template when empty
    max_length: int  # tokens of one sequence, prompt included; longer ones are cut
    accumulation: int  # parts that a batch is computed in, to save memory; divides both batch sizes
    gradient_checkpointing: bool  # compute activations twice instead of keeping them
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"]
    weight_decay: float
    schedule: Literal["linear", "cosine", "constant"]  # of the learning rate, after the warm-up
    lora_rank: int  # of the adapters, where a method has them
    lora_alpha: int
    sft_method: Method
    sft_tokens: int  # tokens the SFT reads, prompts included, over as many passes as that takes
    sft_passes: int  # over the data, at most; 0 for as many as sft_tokens allow
    sft_learning_rate: float
    sft_batch_size: int  # sequences; packed ones count as one
    sft_warmup_steps: int
    sft_packing: bool  # fill sequences of max_length with whole rows that do not see each other
    sft_patience: int  # held-out measures in a row without a gain that end the training; 0 for none
    sft_canaries: int  # planted strings (training/canaries.py) that the report looks for, at most 8
    preference_pairs: int
    preference_tokens: int  # at most, per side of a pair
    preference_passes: int
    dpo_method: Method
    dpo_learning_rate: float
    dpo_beta: float
    dpo_nll_weight: float  # weight of the author's own text's loss, added to the DPO loss
    dpo_batch_size: int  # pairs
    weights: Literal["q8_0", "q4_0", "q4_k_m", "f16", "int8", "nf4", "gptq", "awq"]  # as served
    eval_prompts: int
    eval_tokens: int  # per generated text
    eval_style: bool  # whether a twin must sound like its author to serve
    seed: int


# For SmolLM2-135M on 2 cores, where full fine-tuning with fp32 weights reaches a lower held-out
# loss than LoRA does in the same time. DPO (Rafailov et al. 2023, arXiv 2305.18290) with the added
# likelihood term of Pang et al. 2024 (arXiv 2404.19733), at a smaller weight; beta as measured by
# ``benchmarks.choices`` with ``full``: at 0.3 the twin sounds as much like its author as at 0.1, is
# less of a caricature and keeps two thirds of the likelihood that 0.1 loses.
#
# Held-out nats per token (6,000 tokens of answers) after the same 30,000 tokens of James Madison:
#
#     learning rate  batch of 4  batch of 8
#     5e-5                3.188
#     1e-4                3.134       3.172
#     2e-4                3.137
QUICK = Recipe(
    name="quick",
    source="measured with SmolLM2-135M on two cores",
    template="",
    max_length=640,
    accumulation=1,
    gradient_checkpointing=False,
    optimizer="adamw",
    weight_decay=0.0,
    schedule="linear",
    lora_rank=16,
    lora_alpha=32,
    sft_method="full",
    sft_tokens=30_000,
    sft_passes=0,
    sft_learning_rate=1e-4,
    sft_batch_size=4,
    sft_warmup_steps=2,
    sft_packing=False,  # on a CPU rows alike in length waste little, and short ones cost less
    sft_patience=0,
    sft_canaries=0,
    preference_pairs=32,
    preference_tokens=96,
    preference_passes=2,
    dpo_method="lora",
    dpo_learning_rate=1e-4,
    dpo_beta=0.3,
    dpo_nll_weight=0.2,
    dpo_batch_size=4,
    weights="q8_0",
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
    QUICK, name="quick-lora", sft_method="lora", sft_learning_rate=5e-4, sft_warmup_steps=5
)
FULL_LORA = replace(
    FULL, name="full-lora", sft_method="lora", sft_learning_rate=5e-4, sft_warmup_steps=5
)

# For an author with much text: longer sequences, and training ends when held-out text gains no
# more.
SMOLLM2 = replace(
    FULL,
    name="smollm2-135m",
    max_length=1024,
    sft_tokens=400_000,
    sft_passes=4,
    sft_batch_size=8,
    accumulation=2,
    sft_patience=2,
    preference_pairs=256,
)

# The numbers of the LLM Engineer's Handbook (Iusztin and Labonne, 2024), chapters 5 and 6. The
# book's base has no chat template and is taught Alpaca's. Three passes end before the tokens do.
HANDBOOK = "Iusztin and Labonne, LLM Engineer's Handbook, 2024, chapters 5 and 6"
LLAMA_LORA = Recipe(
    name="llama-3.1-8b-lora",
    source=HANDBOOK,
    template="alpaca",
    max_length=2048,
    accumulation=8,
    gradient_checkpointing=True,
    optimizer="adamw_8bit",
    weight_decay=0.01,
    schedule="linear",
    lora_rank=32,
    lora_alpha=32,
    sft_method="lora",
    sft_tokens=50_000_000,
    sft_passes=3,
    sft_learning_rate=3e-4,
    sft_batch_size=16,
    sft_warmup_steps=10,
    sft_packing=True,
    sft_patience=0,
    sft_canaries=4,
    preference_pairs=256,
    preference_tokens=512,
    preference_passes=1,
    dpo_method="lora",
    dpo_learning_rate=2e-6,
    dpo_beta=0.5,
    dpo_nll_weight=0.0,
    dpo_batch_size=16,
    weights="q8_0",
    eval_prompts=64,
    eval_tokens=256,
    eval_style=True,
    seed=17,
)
LLAMA_QLORA = replace(
    LLAMA_LORA,
    name="llama-3.1-8b-qlora",
    sft_method="qlora",
    dpo_method="qlora",
    optimizer="paged_adamw_8bit",
)
LLAMA_DPO = replace(LLAMA_LORA, name="llama-3.1-8b-dpo", preference_pairs=1467)

# The same for a card of 24 GB: one sequence at a time.
LLAMA_24GB = replace(
    LLAMA_LORA,
    name="llama-3.1-8b-24gb",
    source=f"{HANDBOOK}; cut to fit 24 GB by training/memory.py",
    accumulation=16,
    preference_tokens=256,
)

# For tests on a random two-layer model: seconds, and it proves the plumbing, not the prose, so that
# nothing is asked of its style.
SMOKE = replace(
    QUICK,
    name="smoke",
    source="for tests",
    sft_tokens=6_000,
    sft_canaries=2,
    sft_learning_rate=2e-3,
    max_length=256,
    preference_pairs=8,
    preference_tokens=64,
    dpo_learning_rate=1e-3,
    eval_prompts=4,
    eval_tokens=48,
    eval_style=False,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        QUICK,
        FULL,
        QUICK_LORA,
        FULL_LORA,
        SMOLLM2,
        LLAMA_LORA,
        LLAMA_QLORA,
        LLAMA_DPO,
        LLAMA_24GB,
        SMOKE,
    )
}


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
