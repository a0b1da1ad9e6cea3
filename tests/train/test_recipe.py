"""Recipes: keys, aliases, and which keys apply to a model."""

from __future__ import annotations

import json

import pytest

from logicls.errors import RecipeError
from logicls.io.resources import resource_path
from logicls.train.fit import fit
from logicls.train.recipe import NANO_ONLY_KEYS, GrpoSettings, HubSettings, Recipe, check_applicable_keys, read_recipe
from logicls.train.run import register_run


def errors_of(tmp_path, text: str) -> list[str]:
    """Return the messages of a recipe's errors, without the folder."""
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_keys_are_read(tmp_path):
    """Given keys are used, others have their defaults."""
    (tmp_path / "mine.yaml").write_text("steps: 50\nlr: 0.001\n")

    recipe = read_recipe(tmp_path / "mine.yaml")

    assert recipe == Recipe(steps=50, lr=0.001)


@pytest.mark.parametrize(
    "path",
    sorted({*resource_path("train").glob("*.yaml")} - {*resource_path("train").glob("base*.yaml")}),
    ids=lambda path: path.name,
)
def test_shipped_recipes_are_valid(path):
    """Each can be read."""
    recipe = read_recipe(path)

    assert isinstance(recipe, Recipe)


@pytest.mark.parametrize(
    ("text", "messages"),
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
def test_every_error_is_reported(tmp_path, text, messages):
    """Each with its line, what was written, and advice."""
    assert errors_of(tmp_path, text) == messages


def test_a_missing_recipe_is_refused(tmp_path):
    """A missing file is a recipe error too."""
    with pytest.raises(RecipeError, match=r"none\.yaml"):
        read_recipe(tmp_path / "none.yaml")


def applicability_errors(recipe: Recipe) -> list[str]:
    """Return the messages for keys that do not apply."""
    with pytest.raises(RecipeError) as caught:
        check_applicable_keys(recipe)
    return [str(problem) for problem in caught.value.problems]


def test_inapplicable_keys_are_named_all_at_once():
    """Sizes of nano for a hub model, hub settings for nano."""
    hub, nano = Recipe(model="some/model", visual_tokens=64, online=0.5), Recipe(hub=HubSettings(rank=2))

    assert [applicability_errors(hub), applicability_errors(nano)] == [
        ["LC430 online does not apply to the model some/model. Delete the key.",
         "LC430 visual_tokens does not apply to the model some/model. Delete the key."],
        ["LC430 hub does not apply to the model nano. Delete the key."],
    ]  # fmt: skip


def test_incompatible_settings_are_refused():
    """A batch in unequal parts, a merge in four bits."""
    settings = HubSettings(accumulate=3, merge=True, four_bit=True)

    assert applicability_errors(Recipe(model="some/model", batch=8, hub=settings)) == [
        "LC430 a batch of 8 cannot be split into 3 equal parts (hub.accumulate). "
        "Make batch a multiple of hub.accumulate.",
        "LC430 an adapter cannot be merged into a model in four bits without loss (hub.merge, hub.four_bit). "
        "Delete one of the two keys.",
    ]


def test_errors_come_before_files_are_written(tmp_path):
    """No folder is created."""
    with pytest.raises(RecipeError, match="LC430 visual_tokens"):
        fit(tmp_path / "synth", tmp_path / "out", Recipe(model="some/model", visual_tokens=64))

    assert list(tmp_path.iterdir()) == []


def test_shipped_recipes_apply_to_their_models():
    """The one for hub models to any of them, the others to nano."""
    for name in ("nano", "demo", "hub"):
        recipe = read_recipe(resource_path(f"train/{name}.yaml"))
        check_applicable_keys(recipe.model_copy(update={"model": "some/model"}) if name == "hub" else recipe)

    assert {"width", "base"} < NANO_ONLY_KEYS


def test_nested_keys_are_checked(tmp_path):
    """Errors in them have their line."""
    (tmp_path / "mine.yaml").write_text("model: some/model\nhub:\n  rnak: 4\n  where: nowhere\n")

    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / "mine.yaml")

    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        'mine.yaml:3:3 LC021 unknown key "rnak" in hub. Did you mean "rank"?',
        'mine.yaml:4:10 LC024 where of hub: "nowhere" is not one of the allowed values. '
        "Available: everywhere, language.",
    ]


def test_keys_of_earlier_releases_are_aliases(tmp_path):
    """They are read as the new keys; an error in one has its line."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "fresh: 0.5\nheldout: 0.2\nmost_minutes: 3\ndifficulty: false\nhub: {where: everywhere}\n"
        "grpo: {answers: 4, hold: 0.5, looked_at: 8}\n"
    )

    assert read_recipe(path) == Recipe(
        online=0.5, validation=0.2, max_minutes=3.0, hard_example_mining=False,
        hub=HubSettings(target_modules="everywhere"),
        grpo=GrpoSettings(generations=4, auxiliary_weight=0.5, validation_examples=8),
    )  # fmt: skip
    assert errors_of(tmp_path, "heldout: 0.9\n") == [
        "mine.yaml:1:10 LC024 heldout: 0.9 should be less than or equal to 0.5."
    ]


def test_a_removed_key_is_explained(tmp_path):
    """The adapter for nano was removed."""
    assert errors_of(tmp_path, "steps: 5\nlora: {rank: 4}\n") == [
        'mine.yaml:2:1 LC021 key "lora" was removed: models of the hub always train an adapter (`hub.rank`); nano '
        "trains all of its weights, which measured better than its adapter did. Delete it."
    ]


def test_a_run_of_an_earlier_release_can_be_resumed(tmp_path):
    """Its recorded recipe has the old keys, and lacks new ones; its log of evaluations is renamed."""
    recipe = Recipe(validation=0.2, steps=7)
    recorded = recipe.model_dump(mode="json")
    for new, old in (("validation", "heldout"), ("online", "fresh"), ("hard_example_mining", "difficulty")):
        recorded[old] = recorded.pop(new)
    del recorded["crops"]
    (tmp_path / "recipe.json").write_text(json.dumps(recorded | {"lora": None}))
    (tmp_path / "heldout.csv").write_text("step,loss,exact,answers\n")

    register_run(tmp_path, recipe, resume=True)

    assert json.loads((tmp_path / "recipe.json").read_text()) == recipe.model_dump(mode="json")
    assert (tmp_path / "validation.csv").exists()
    with pytest.raises(
        RecipeError, match=r"LC411 the run was started with another recipe \(validation: 0.2 then, 0.3 now"
    ):
        register_run(tmp_path, recipe.model_copy(update={"validation": 0.3}), resume=True)
