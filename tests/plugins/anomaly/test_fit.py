"""Fitting of experts from a recipe and from the command line, and the bundle's default plug-ins."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.cli.train import add_expert
from logicls.errors import BundleError, DataError
from logicls.plugins.selection import DefaultPlugins, read_default_plugins, set_default_plugins
from logicls.plugins.settings import ExpertSettings, ReasonerSettings, read_product_recipe

SETTINGS = ExpertSettings(patches=144, coreset_ratio=0.5, neighbourhood=1)


def test_recipe_fits_expert(bundle, dataset, tmp_path, capsys):
    """An expert section fits an expert to the dataset's good photos after training."""
    (tmp_path / "recipe.yaml").write_text("model: nano\nexpert: {cells: 144, share: 0.5, reach: 1}\n")
    (tmp_path / "synth.json").write_text(json.dumps({"data": str(dataset)}))

    assert read_product_recipe(tmp_path / "recipe.yaml").expert == SETTINGS
    add_expert(tmp_path, bundle.path, SETTINGS)

    assert read_default_plugins(bundle.path) == DefaultPlugins(expert="patches")
    assert "expert patches: expected overkill" in capsys.readouterr().out.replace("\n", " ")


def test_missing_good_photos(bundle, tmp_path):
    """A dataset whose good photos are missing is an error: LC406."""
    with pytest.raises(DataError, match="are missing") as caught:
        add_expert(tmp_path, bundle.path, SETTINGS)
    assert [problem.code for problem in caught.value.problems] == ["LC406"]


def test_defaults_are_merged(tmp_path):
    """A new default plug-in does not remove the others."""
    set_default_plugins(tmp_path, reasoner="latent")
    set_default_plugins(tmp_path, expert="patches")

    assert read_default_plugins(tmp_path) == DefaultPlugins(expert="patches", reasoner=ReasonerSettings(name="latent"))


@pytest.mark.parametrize("text", ["[]", "{", '{"expert": 7}', '{"exprt": "patches"}'])
def test_invalid_plugins_file(tmp_path, text):
    """An invalid plugins.json is an error: LC723."""
    (tmp_path / "plugins.json").write_text(text)

    with pytest.raises(BundleError) as caught:
        read_default_plugins(tmp_path)
    assert [problem.code for problem in caught.value.problems] == ["LC723"]


def test_help():
    """`logicls expert fit --help` lists its options."""
    result = CliRunner().invoke(app, ["expert", "fit", "--help"])

    assert result.exit_code == 0
    assert "--data" in result.output
