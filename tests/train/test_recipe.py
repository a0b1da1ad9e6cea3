"""Recipes: keys, aliases, and which keys apply to a model."""

from __future__ import annotations

import pytest

from logicls.errors import RecipeError
from logicls.io.resources import resource_path
from logicls.train.fit import fit
from logicls.train.recipe import NANO_ONLY_KEYS, HubSettings, Recipe, check_applicable_keys, read_recipe


def refusals(tmp_path, text: str) -> list[str]:
    """What is said of a recipe, without the folder."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_what_is_written_is_read(tmp_path):
    """Keys that are given are taken, the others have their defaults."""
    (tmp_path / "mine.yaml").write_text("steps: 50\nlr: 0.001\n")

    recipe = read_recipe(tmp_path / "mine.yaml")

    assert recipe == Recipe(steps=50, lr=0.001)


@pytest.mark.parametrize(
    "path",
    sorted({*resource_path("train").glob("*.yaml")} - {*resource_path("train").glob("base*.yaml")}),
    ids=lambda path: path.name,
)
def test_shipped_recipes_are_good(path):
    """Each can be read, and says only what there is to say."""
    recipe = read_recipe(path)

    assert isinstance(recipe, Recipe)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepps: 50\n", ['mine.yaml:1:1 LC021 unknown key "stepps" at the top level. Did you mean "steps"?']),
        ("batch: 4\nsteps: many\n", ['mine.yaml:2:8 LC023 steps: expected a whole number, got "many".']),
        ("steps: '50'\n", ['mine.yaml:1:8 LC023 steps: expected a whole number, got "50".']),
        ("steps: 0\n", ["mine.yaml:1:8 LC024 steps: 0 should be greater than or equal to 1."]),
        ("width: 100\n", ["mine.yaml:1:8 LC024 width: 100 should be a multiple of 32."]),
        (
            "lr: fast\nbatc: 3\n",
            [
                'mine.yaml:1:5 LC023 lr: expected a number, got "fast".',
                'mine.yaml:2:1 LC021 unknown key "batc" at the top level. Did you mean "batch"?',
            ],
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, said):
    """Every problem with its line, what was written and what to do."""
    assert refusals(tmp_path, text) == said


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    """A missing file is the recipe's error too."""
    with pytest.raises(RecipeError, match=r"none\.yaml"):
        read_recipe(tmp_path / "none.yaml")


def applicability_errors(recipe: Recipe) -> list[str]:
    """What is said."""
    with pytest.raises(RecipeError) as caught:
        check_applicable_keys(recipe)
    return [str(problem) for problem in caught.value.problems]


def test_what_is_misplaced_is_named_all_at_once():
    """Nano's sizes for a hub model, hub settings for nano."""
    hub, nano = Recipe(model="some/model", visual_tokens=64, online=0.5), Recipe(hub=HubSettings(rank=2))

    assert [applicability_errors(hub), applicability_errors(nano)] == [
        ["LC430 online does not apply to the model some/model. Delete the key.",
         "LC430 visual_tokens does not apply to the model some/model. Delete the key."],
        ["LC430 hub does not apply to the model nano. Delete the key."],
    ]  # fmt: skip


def test_settings_that_exclude_each_other_are_refused():
    """A batch in unequal parts, a merge in four bits."""
    settings = HubSettings(accumulate=3, merge=True, four_bit=True)

    assert applicability_errors(Recipe(model="some/model", batch=8, hub=settings)) == [
        "LC430 a batch of 8 cannot be split into 3 equal parts (hub.accumulate). "
        "Make batch a multiple of hub.accumulate.",
        "LC430 an adapter cannot be merged into a model in four bits without loss (hub.merge, hub.four_bit). "
        "Delete one of the two keys.",
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
