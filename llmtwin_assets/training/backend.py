"""What trains: Unsloth where CUDA and its extra are there, transformers with peft otherwise.

Both give a model that trl's trainers take, from the same recipe, and what is saved looks the same:
the adapter on its own, if the method has one, and the model with the adapter merged. Data and the
order of training are not known here. The Unsloth path is written against its source (2026.10) and
has not been run on a GPU here.
"""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtwin_assets import prompts
from llmtwin_assets.training import models, script
from llmtwin_assets.training.recipes import Method, Recipe
from resources import base_model
from resources.errors import LlmTwinError

OPTIMISERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}


class MissingExtraError(LlmTwinError):
    """A recipe needs a package that is not installed, or a GPU that is not there."""


@dataclass(frozen=True)
class Trainable:
    """A model to train. ``adapters`` is what trl shall add to it, None when they are in it already
    or the method is full fine-tuning."""

    model: Any
    adapters: Any
    backend: str


def require(recipe: Recipe, method: Method) -> None:
    """Refuse before anything is loaded what cannot run here; raises ``MissingExtraError``."""
    import torch

    if method == "qlora" or recipe.optimizer != "adamw":
        need("bitsandbytes", "gpu", f"recipe '{recipe.name}'")
    if recipe.optimizer.startswith("paged") and not torch.cuda.is_available():
        raise MissingExtraError(
            f"recipe '{recipe.name}'",
            "its paged optimiser moves state between a GPU and main memory, and there is no GPU",
            "Use a recipe with the optimiser 'adamw' or 'adamw_8bit'",
        )


def need(package: str, extra: str, item: str) -> None:
    """Refuse when ``package`` is not installed; raises ``MissingExtraError``."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(
            item, f"the package {package} is not installed", f"pip install 'llm-twin[{extra}]'"
        )


def prepare(directory: Path, recipe: Recipe, method: Method) -> Trainable:
    """The model of ``directory``, ready to be trained by ``method``."""
    if unsloth_is_there():
        return Trainable(_with_unsloth(directory, recipe, method), None, "unsloth")
    # Full fine-tuning moves every weight by less than bf16 can hold, so it keeps them in fp32;
    # frozen weights under adapters need no such care, but a processor that does not multiply bf16
    # by itself takes nine times as long with it.
    number = {"full": "float32", "lora": models.fastest(), "qlora": "bfloat16"}[method]
    model, _ = models.load(directory, number, four_bits=method == "qlora")
    adapters = None if method == "full" else lora(recipe)
    return Trainable(model, adapters, "transformers")


def unsloth_is_there() -> bool:
    """Whether Unsloth can be used. It has to be imported before transformers, and fails at import
    in more ways than one without a GPU that it knows."""
    import torch

    if not torch.cuda.is_available() or importlib.util.find_spec("unsloth") is None:
        return False
    try:
        importlib.import_module("unsloth")
    except (ImportError, NotImplementedError, RuntimeError):
        return False
    return True


def lora(recipe: Recipe) -> Any:
    """Adapters on every linear layer but the head."""
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def save(trainer: Any, tokenizer: Any, source: Path, output: Path, method: Method) -> None:
    """Write ``<output>/model``, adapters merged, as bf16 safetensors with its tokenizer, and with
    adapters ``<output>/adapter``.

    An adapter that was trained over 4-bit weights is merged into the 16-bit weights of ``source``,
    and so is one over weights that are spread over several devices, both in main memory, as a GPU
    that needed 4 bits has no room for 16. Every process has to call it; the first one writes.
    """
    several = script.processes() > 1
    # Weights that are spread over devices are gathered by all processes together.
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if several else None
    if script.is_main():
        model = trainer.accelerator.unwrap_model(trainer.model)
        if method != "full":
            _save_adapter(model, output / "adapter", state)
            if method == "qlora" or several:
                model = _onto(source, output / "adapter")
            model, state = model.merge_and_unload(), None
        save_model(model, tokenizer, output / "model", state)
    trainer.accelerator.wait_for_everyone()


def save_model(model: Any, tokenizer: Any, directory: Path, state: Any = None) -> None:
    """Write a model as one bf16 safetensors file with its tokenizer."""
    import torch

    shutil.rmtree(directory, ignore_errors=True)
    model.config.use_cache = True
    end = prompts.end_of_turn(tokenizer)
    if model.generation_config is not None:
        model.generation_config.eos_token_id = sorted({end, tokenizer.eos_token_id})
    if state is not None:
        state = {name: weight.to(torch.bfloat16) for name, weight in state.items()}
    model.to(torch.bfloat16).save_pretrained(directory, state_dict=state, max_shard_size="1000GB")
    tokenizer.save_pretrained(directory)
    base_model.make_readable(directory)


def _save_adapter(model: Any, directory: Path, state: Any) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    for settings in model.peft_config.values():
        settings.base_model_name_or_path = (
            None  # a path of this machine; the manifest has its digest
        )
    model.save_pretrained(directory, safe_serialization=True, state_dict=state)
    (directory / "README.md").unlink(missing_ok=True)  # peft's; ours is made of facts
    base_model.make_readable(directory)


def _onto(source: Path, adapter: Path) -> Any:
    """The 16-bit model of ``source`` under a trained adapter."""
    from peft import PeftModel

    model, _ = models.load(source, "bfloat16", place=False)
    return PeftModel.from_pretrained(model, str(adapter))


def _with_unsloth(directory: Path, recipe: Recipe, method: Method) -> Any:
    from unsloth import FastLanguageModel

    model, _ = FastLanguageModel.from_pretrained(
        model_name=str(directory),
        max_seq_length=recipe.max_length,
        load_in_4bit=method == "qlora",
        load_in_16bit=method == "lora",
        full_finetuning=method == "full",
        use_exact_model_name=True,
        trust_remote_code=False,
    )
    if method == "full":
        return model
    return FastLanguageModel.get_peft_model(
        model,
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=0,
        bias="none",
        target_modules=[
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ],
        use_gradient_checkpointing="unsloth" if recipe.gradient_checkpointing else False,
        random_state=recipe.seed,
    )
