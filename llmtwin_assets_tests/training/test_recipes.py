"""Recipes are data that a spec file carries whole."""

from dataclasses import asdict

import pytest

from llmtwin_assets.training import recipes


def test_every_recipe_is_stored_under_its_own_name() -> None:
    assert {name: recipe.name for name, recipe in recipes.RECIPES.items()} == {
        name: name for name in ("quick", "full", "quick-lora", "full-lora", "smoke")
    }


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
