"""Recipes are data that a spec file carries whole."""

from dataclasses import asdict

import pytest

from llmtwin_assets.training import recipes


def test_every_recipe_is_stored_under_its_own_name() -> None:
    assert {name: recipe.name for name, recipe in recipes.RECIPES.items()} == {
        name: name for name in recipes.RECIPES
    }
    assert set(recipes.RECIPES) >= {"quick", "full", "quick-lora", "full-lora", "smoke"}


def test_the_handbooks_numbers_are_its_own() -> None:
    book = recipes.recipe("llama-3.1-8b-qlora")
    assert (book.lora_rank, book.lora_alpha, book.max_length) == (32, 32, 2048)
    assert (book.sft_learning_rate, book.sft_warmup_steps, book.sft_passes) == (3e-4, 10, 3)
    assert (book.sft_batch_size // book.accumulation, book.accumulation) == (2, 8)
    assert (book.dpo_beta, book.dpo_learning_rate, book.preference_passes) == (0.5, 2e-6, 1)
    assert (book.weight_decay, book.sft_method) == (0.01, "qlora")
    assert recipes.recipe("llama-3.1-8b-dpo").preference_pairs == 1467


@pytest.mark.parametrize("recipe", recipes.RECIPES.values(), ids=lambda recipe: recipe.name)
def test_a_batch_is_cut_into_whole_parts(recipe: recipes.Recipe) -> None:
    assert recipe.sft_batch_size % recipe.accumulation == 0
    assert recipe.dpo_batch_size % recipe.accumulation == 0


@pytest.mark.parametrize("name", sorted(recipes.RECIPES))
def test_a_recipe_survives_the_spec_file(name: str) -> None:
    assert recipes.from_mapping(asdict(recipes.recipe(name))) == recipes.RECIPES[name]


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(recipes.UnknownRecipeError, match="quick-lora"):
        recipes.recipe("quickest")


def test_a_recipe_with_a_field_too_many_or_too_few_is_refused() -> None:
    values = asdict(recipes.recipe("quick"))
    with pytest.raises(recipes.UnknownRecipeError, match="epochs"):
        recipes.from_mapping(values | {"epochs": 3})
    del values["seed"]
    with pytest.raises(recipes.UnknownRecipeError, match="seed"):
        recipes.from_mapping(values)
