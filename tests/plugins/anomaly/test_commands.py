"""Experts from the command line and from a recipe."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.cli.train import add_expert
from logicls.errors import BundleError, DataError
from logicls.plugins.selection import DefaultPlugins, read_default_plugins, set_default_plugins
from logicls.plugins.settings import ExpertSettings, ReasonerSettings, read_product_recipe

SETTINGS = ExpertSettings(cells=144, share=0.5, reach=1)


def test_a_recipe_may_ask_for_one(bundle, dataset, tmp_path, capsys):
    """`expert: {}` is the default one; it is fitted to the photos that the set was made of, once it is trained."""
    (tmp_path / "recipe.yaml").write_text("model: nano\nexpert: {cells: 144, share: 0.5, reach: 1}\n")
    (tmp_path / "synth.json").write_text(json.dumps({"data": str(dataset)}))

    assert read_product_recipe(tmp_path / "recipe.yaml").expert == SETTINGS
    add_expert(tmp_path, bundle.path, SETTINGS)

    assert read_default_plugins(bundle.path) == DefaultPlugins(expert="patches")
    assert "expert patches: on average" in capsys.readouterr().out.replace("\n", " ")


def test_photos_that_are_gone(bundle, tmp_path):
    """A set whose photos were moved cannot say what is good."""
    with pytest.raises(DataError, match="are not there") as caught:
        add_expert(tmp_path, bundle.path, SETTINGS)
    assert [problem.code for problem in caught.value.problems] == ["LC406"]


def test_one_plug_in_leaves_the_others_standing(tmp_path):
    """What stands is written beside what is there."""
    set_default_plugins(tmp_path, reasoner="latent")
    set_default_plugins(tmp_path, expert="patches")

    assert read_default_plugins(tmp_path) == DefaultPlugins(expert="patches", reasoner=ReasonerSettings(name="latent"))


@pytest.mark.parametrize("text", ["[]", "{", '{"expert": 7}', '{"exprt": "patches"}'])
def test_what_stands_cannot_be_read(tmp_path, text):
    """Each is told, and nothing is guessed."""
    (tmp_path / "plugins.json").write_text(text)

    with pytest.raises(BundleError) as caught:
        read_default_plugins(tmp_path)
    assert [problem.code for problem in caught.value.problems] == ["LC723"]


def test_help_is_there():
    """`logicls expert fit` says what it takes."""
    shown = CliRunner().invoke(app, ["expert", "fit", "--help"])

    assert shown.exit_code == 0
    assert "--data" in shown.output
