"""A recipe says nothing that its model cannot follow."""

from __future__ import annotations

import pytest

from logicls.errors import RecipeError
from logicls.io.resources import resource_path
from logicls.train.fit import fit
from logicls.train.recipe import NANO_ONLY_KEYS, HubSettings, Recipe, check_applicable_keys, read_recipe


def refusals(recipe: Recipe) -> list[str]:
    """What is said."""
    with pytest.raises(RecipeError) as caught:
        check_applicable_keys(recipe)
    return [str(problem) for problem in caught.value.problems]


def test_what_is_misplaced_is_named_all_at_once():
    """Nano's sizes for a hub model, hub settings for nano."""
    hub, nano = Recipe(model="some/model", visual_tokens=64, online=0.5), Recipe(hub=HubSettings(rank=2))

    assert [refusals(hub), refusals(nano)] == [
        ["LC430 fresh says nothing about the model some/model. Leave it out.",
         "LC430 visual_tokens says nothing about the model some/model. Leave it out."],
        ["LC430 hub says nothing about the model nano. Leave it out."],
    ]  # fmt: skip


def test_settings_that_exclude_each_other_are_refused():
    """A batch in unequal parts, a merge in four bits."""
    settings = HubSettings(accumulate=3, merge=True, four_bit=True)

    assert refusals(Recipe(model="some/model", batch=8, hub=settings)) == [
        "LC430 a batch of 8 cannot be taken in 3 equal parts (hub.accumulate). "
        "Choose a batch that can be divided by it.",
        "LC430 a model in four bits cannot be merged with its adapter without loss (hub.merge, hub.four_bit). "
        "Leave out one of the two.",
    ]


def test_the_refusal_comes_before_anything_is_touched(tmp_path):
    """No folder is begun."""
    with pytest.raises(RecipeError, match="LC430 visual_tokens"):
        fit(tmp_path / "synth", tmp_path / "out", Recipe(model="some/model", visual_tokens=64))

    assert list(tmp_path.iterdir()) == []


def test_shipped_recipes_go_with_their_models():
    """The one for hub models with any of them, the others with nano."""
    for name in ("nano", "demo", "hub"):
        recipe = read_recipe(resource_path(f"train/{name}.yaml"))
        check_applicable_keys(recipe.model_copy(update={"model": "some/model"}) if name == "hub" else recipe)

    assert {"width", "base"} < NANO_ONLY_KEYS


def test_nested_keys_are_checked(tmp_path):
    """A slip in them has its line."""
    (tmp_path / "mine.yaml").write_text("model: some/model\nhub:\n  rnak: 4\n  where: nowhere\n")

    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / "mine.yaml")

    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        'mine.yaml:3:3 LC021 unknown key "rnak" in hub. Did you mean "rank"?',
        'mine.yaml:4:10 LC024 where of hub: "nowhere" is not one of the allowed values. Available: everywhere, language.',
    ]
