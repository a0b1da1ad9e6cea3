"""Selection of plug-ins by options and bundle, their description, and restoring a selection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from logicls.errors import BundleError, DataError
from logicls.plugins.selection import PluginOptions, PluginSelection, restore_selection, set_default_plugins
from logicls.plugins.settings import ReasonerSettings
from logicls.records import PluginInfo

LATENT = ReasonerSettings(name="latent", tokens=8)


@pytest.fixture
def bundle(tmp_path) -> Path:
    """Return a folder with a default reasoner, expert and knowledge."""
    set_default_plugins(tmp_path, expert="patches", reasoner={"name": "latent", "tokens": 8})
    set_default_plugins(tmp_path, knowledge="known")
    return tmp_path


def test_defaults_are_selected(bundle):
    """All three defaults are selected with their settings; knowledge is relative to the bundle."""
    assert PluginOptions().resolve(bundle) == PluginSelection("patches", LATENT, (bundle / "known").resolve())
    assert not PluginOptions()


def test_none_switches_off(bundle):
    """`none` switches off each default, alone or together."""
    assert PluginOptions(expert="none").resolve(bundle) == PluginSelection("", LATENT, (bundle / "known").resolve())
    assert PluginOptions(reasoner="none").resolve(bundle) == PluginSelection(
        "patches", None, (bundle / "known").resolve()
    )
    assert PluginOptions(knowledge="none").resolve(bundle) == PluginSelection("patches", LATENT, None)
    nothing = PluginOptions("none", "none", "none").resolve(bundle)
    assert nothing == PluginSelection()
    assert not nothing


def test_options_override_settings(bundle, tmp_path):
    """Options override settings of the default reasoner; a named reasoner starts with its own."""
    selection = PluginOptions(steps=3, min_entropy=0.5).resolve(bundle)

    assert selection.reasoner == ReasonerSettings(name="latent", tokens=8, steps=3, min_entropy=0.5)
    assert PluginOptions(reasoner="latent", steps=3).resolve(bundle).reasoner == ReasonerSettings(
        name="latent", steps=3
    )
    assert PluginOptions(reasoner="closer").resolve(bundle).reasoner == ReasonerSettings()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PluginOptions(tokens=4), "--think-tokens has no effect: no reasoner is selected"),
        (PluginOptions(min_entropy=0.5, reasoner="none"), "--min-entropy has no effect: no reasoner is selected"),
        (
            PluginOptions(steps=4, reasoner="closer"),
            '--think-steps has no effect: the reasoner "closer" does not use it',
        ),
        (
            PluginOptions(steps=4, reasoner="random"),
            '--think-steps has no effect: the reasoner "random" does not use it',
        ),
    ],
)
def test_option_without_effect(tmp_path, options, message):
    """An option without effect is an error with its reason: LC711."""
    with pytest.raises(DataError, match=f"LC711 {message}"):
        options.resolve(tmp_path)
    assert options


@pytest.mark.parametrize("options", [PluginOptions(expert="patch"), PluginOptions(reasoner="later")])
def test_unknown_name(tmp_path, options):
    """An unknown name is an error before anything is loaded: LC700."""
    with pytest.raises(DataError, match="LC700"):
        options.resolve(tmp_path)


def test_describe(plugin_setup):
    """A description has kind, name, hash and effective settings."""
    selection = PluginSelection(
        "patches", ReasonerSettings(name="latent", steps=3, min_entropy=0.5), plugin_setup.knowledge
    )

    expert, reasoner, retriever = selection.describe(plugin_setup.bundle).plugins

    assert (expert.kind, expert.name, len(expert.knowledge_id)) == ("expert", "patches", 12)
    assert reasoner.to_text() == "reasoner latent tokens=4 steps=3 open=0.5"
    assert (retriever.kind, retriever.name, len(retriever.knowledge_id)) == ("retriever", "documents", 12)
    assert selection.describe(plugin_setup.bundle) == selection.describe(plugin_setup.bundle)
    high_resolution = PluginSelection("", ReasonerSettings(), None).describe(plugin_setup.bundle).plugins
    assert [info.to_text() for info in high_resolution] == ["reasoner closer larger=1.15"]


@pytest.mark.parametrize("changed", ["box/good.md", "box/good.png", "box/usual.safetensors", "knowledge.yaml"])
def test_knowledge_hash(plugin_setup_copy, changed):
    """The hash covers page text, photos, features and settings, but not bundle paths."""
    selection = PluginSelection(knowledge=plugin_setup_copy.knowledge)
    before = selection.describe(plugin_setup_copy.bundle)
    (plugin_setup_copy.knowledge / "knowledge.yaml").write_text("logicls: 1\nbundles: {box: ../box}\n")
    assert selection.describe(plugin_setup_copy.bundle) == before

    with (plugin_setup_copy.knowledge / changed).open("ab") as file:
        file.write(b"budget: 2\n")

    assert selection.describe(plugin_setup_copy.bundle) != before


def test_restore_selection(plugin_setup):
    """A selection is restored from a verdict's records."""
    selection = PluginSelection(
        "patches", ReasonerSettings(name="latent", tokens=2, steps=3, min_entropy=0.5), plugin_setup.knowledge
    )
    description = selection.describe(plugin_setup.bundle)

    repeated = restore_selection(description.plugins, plugin_setup.knowledge)

    assert repeated.describe(plugin_setup.bundle) == description
    assert restore_selection((), None) == PluginSelection()


def test_restore_without_knowledge():
    """Restoring a retriever needs its folder: LC712."""
    with pytest.raises(
        DataError, match=r"LC712 .*retriever documents 0a1b, but no knowledge folder is given.*--knowledge"
    ):
        restore_selection((PluginInfo("retriever", "documents", "0a1b"),), None)


@pytest.mark.parametrize(
    "text",
    [
        '{"reasoner": {"name": "latent", "token": 3}}',
        '{"reasoner": {"name": "closer", "steps": 3}}',
        '{"knowledge": 3}',
    ],
)
def test_invalid_default_settings(tmp_path, text):
    """Invalid settings in plugins.json are an error: LC723."""
    (tmp_path / "plugins.json").write_text(text)

    with pytest.raises(BundleError, match="LC723"):
        PluginOptions().resolve(tmp_path)


def test_plugins_file_format(bundle):
    """plugins.json accepts a reasoner by name or with settings."""
    assert json.loads((bundle / "plugins.json").read_text()) == {
        "expert": "patches", "knowledge": "known", "reasoner": {"name": "latent", "tokens": 8},
    }  # fmt: skip
    (bundle / "plugins.json").write_text('{"reasoner": "latent"}')
    assert PluginOptions().resolve(bundle) == PluginSelection(reasoner=ReasonerSettings(name="latent"))
