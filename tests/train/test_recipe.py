"""Recipes: every key may be left out, none may be misspelt."""

from __future__ import annotations

import pytest

from logicls.errors import RecipeError
from logicls.io.resources import resource_path
from logicls.train.recipe import Recipe, read_recipe


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
