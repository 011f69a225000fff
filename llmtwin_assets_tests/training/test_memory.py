"""What a recipe needs, and the refusal that shows it."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmtwin_assets.training import memory, recipes
from llmtwin_assets.training.recipes import RECIPES
from resources import base_model

LLAMA_8B = memory.Shape(
    weights=8_030_261_248,
    embeddings=2 * 128_256 * 4096,
    layers=32,
    hidden=4096,
    intermediate=14_336,
    heads=32,
    groups=8,
    head=128,
    vocabulary=128_256,
)


def _gigabytes(name: str, stage: memory.Stage = "sft") -> float:
    return sum(memory.estimate(RECIPES[name], LLAMA_8B, stage).values()) / 1e9


def test_adapters_on_the_seven_maps_of_llama_8b_have_84_million_weights() -> None:
    assert LLAMA_8B.adapters(32) == 83_886_080


def test_the_shape_of_a_model_is_read_from_its_files(tiny: Path) -> None:
    shape = memory.shape(tiny)
    assert shape.weights == base_model.parameters(tiny) == 172_512
    assert (shape.layers, shape.hidden, shape.heads, shape.head) == (2, 96, 3, 32)


@pytest.mark.parametrize(
    ("name", "card"),
    [("llama-3.1-8b-qlora", 16), ("llama-3.1-8b-24gb", 22), ("llama-3.1-8b-lora", 40)],
)
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_the_recipes_for_llama_fit_the_cards_they_are_written_for(
    name: str, card: float, stage: memory.Stage
) -> None:
    assert _gigabytes(name, stage) < 0.95 * card


@pytest.mark.parametrize(("name", "said"), [("lora", 20.4), ("qlora", 9.8), ("24gb", 19.4)])
def test_the_table_of_recipes_says_what_is_estimated(name: str, said: float) -> None:
    assert _gigabytes(f"llama-3.1-8b-{name}") == pytest.approx(said, abs=0.05)
    assert f"llama-3.1-8b-{name} " in str(recipes.__doc__)
    assert f" {said} GB" in str(recipes.__doc__)


def test_full_fine_tuning_of_llama_8b_fits_no_card_of_80_gb() -> None:
    recipe = replace(RECIPES["llama-3.1-8b-lora"], sft_method="full")
    assert sum(memory.estimate(recipe, LLAMA_8B, "sft").values()) > 80e9


@pytest.mark.parametrize(
    "cheaper",
    [
        {"gradient_checkpointing": True},
        {"accumulation": 4},
        {"sft_method": "lora"},
        {"optimizer": "adamw_8bit"},
    ],
)
def test_what_saves_memory_lowers_the_estimate(cheaper: dict) -> None:
    plain = RECIPES["quick"]
    saved = replace(plain, **cheaper)
    needs = [sum(memory.estimate(recipe, LLAMA_8B, "sft").values()) for recipe in (plain, saved)]
    assert needs[1] < needs[0]


def test_a_recipe_that_does_not_fit_is_refused_with_the_sum(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: ("a small machine", 0.5e9))
    with pytest.raises(memory.DoesNotFitError, match=r"0\.8 libraries = 0\.8 GB.*has 0\.5 GB"):
        memory.require(RECIPES["smoke"], tiny, "sft")


def test_this_machine_has_memory_and_this_process_uses_some() -> None:
    _, free = memory.available()
    assert 0 < memory.used() < 1e13
    assert free > 0


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("2000\n")
    (tmp_path / "memory.current").write_text("500\n")
    assert memory._free_of_container(tmp_path) == 1500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._free_of_container(tmp_path) == float("inf")
