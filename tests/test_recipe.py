"""Recipes that other releases wrote: older ones are read, newer ones refused by the field that is unknown."""

from __future__ import annotations

import pytest
from tests_support import example_recipe

from har.errors import RegistryError
from har.recipe import Recipe


def test_a_recipe_survives_json() -> None:
    recipe = example_recipe(regimes=["2024-06-01"], labels_version=2, git_commit="abc", git_dirty=True)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_fields_that_an_older_release_did_not_write_get_their_defaults() -> None:
    values = example_recipe().to_json()
    for name in ("regimes", "labels_version", "trained_to"):
        del values[name]
    read = Recipe.from_json(values)
    assert (read.regimes, read.labels_version, read.trained_to) == ([], -1, "")
    assert read.key == example_recipe().key


def test_a_field_of_a_newer_release_is_refused_by_name() -> None:
    values = {**example_recipe().to_json(), "augmentation": "strong"}
    with pytest.raises(RegistryError, match=r"recipe of version 3: .*but got augmentation as well\. A newer release"):
        Recipe.from_json(values, where="recipe of version 3")


def test_a_missing_field_without_a_default_is_named() -> None:
    values = example_recipe().to_json()
    del values["split"]
    with pytest.raises(RegistryError, match="but got no split"):
        Recipe.from_json(values)
