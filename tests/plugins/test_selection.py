"""What options and a bundle plug in, what verdicts say of it, and how it is plugged in again."""

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
    """A folder that has a reasoner, an expert and knowledge plugged in."""
    set_default_plugins(tmp_path, expert="patches", reasoner={"name": "latent", "tokens": 8})
    set_default_plugins(tmp_path, knowledge="known")
    return tmp_path


def test_what_the_bundle_has_is_on(bundle):
    """All three, with their settings; the folder of knowledge lies in the bundle."""
    assert PluginOptions().resolve(bundle) == PluginSelection("patches", LATENT, (bundle / "known").resolve())
    assert not PluginOptions()


def test_none_switches_each_off(bundle):
    """Alone or together; nothing is left then, and nothing is paid."""
    assert PluginOptions(expert="none").resolve(bundle) == PluginSelection("", LATENT, (bundle / "known").resolve())
    assert PluginOptions(reasoner="none").resolve(bundle) == PluginSelection(
        "patches", None, (bundle / "known").resolve()
    )
    assert PluginOptions(knowledge="none").resolve(bundle) == PluginSelection("patches", LATENT, None)
    nothing = PluginOptions("none", "none", "none").resolve(bundle)
    assert nothing == PluginSelection()
    assert not nothing


def test_options_change_the_settings_of_the_bundle(bundle, tmp_path):
    """K, T and the gate, of the reasoner that is on; one that is named begins with its own."""
    wanted = PluginOptions(steps=3, open=0.5).resolve(bundle)

    assert wanted.reasoner == ReasonerSettings(name="latent", tokens=8, steps=3, open=0.5)
    assert PluginOptions(reasoner="latent", steps=3).resolve(bundle).reasoner == ReasonerSettings(
        name="latent", steps=3
    )
    assert PluginOptions(reasoner="closer").resolve(bundle).reasoner == ReasonerSettings()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (PluginOptions(tokens=4), "--think-tokens does nothing here: no second look is asked for"),
        (PluginOptions(open=0.5, reasoner="none"), "--open does nothing here: no second look is asked for"),
        (PluginOptions(steps=4, reasoner="closer"), '--think-steps does nothing here: the reasoner "closer" has none'),
        (PluginOptions(steps=4, reasoner="random"), '--think-steps does nothing here: the reasoner "random" has none'),
    ],
)
def test_an_option_that_would_do_nothing_is_an_error(tmp_path, asked, said):
    """It is named, and why; before anything is loaded."""
    with pytest.raises(DataError, match=f"LC711 {said}"):
        asked.here(tmp_path)
    assert asked


@pytest.mark.parametrize("asked", [PluginOptions(expert="patch"), PluginOptions(reasoner="later")])
def test_a_name_that_there_is_not_is_told_at_once(tmp_path, asked):
    """Before anything is loaded."""
    with pytest.raises(DataError, match="LC700"):
        asked.here(tmp_path)


def test_verdicts_say_what_is_plugged_in(outfit):
    """Kind, name, hash of what it knows, settings that are in effect; the same every time."""
    wanted = PluginSelection("patches", ReasonerSettings(name="latent", steps=3, open=0.5), outfit.knowledge)

    expert, reasoner, retriever = wanted.describe(outfit.bundle).plugins

    assert (expert.kind, expert.name, len(expert.knowledge_id)) == ("expert", "patches", 12)
    assert reasoner.to_text() == "reasoner latent tokens=4 steps=3 open=0.5"
    assert (retriever.kind, retriever.name, len(retriever.knowledge_id)) == ("retriever", "documents", 12)
    assert wanted.describe(outfit.bundle) == wanted.describe(outfit.bundle)
    closer = PluginSelection("", ReasonerSettings(), None).describe(outfit.bundle).plugins
    assert [plug.to_text() for plug in closer] == ["reasoner closer larger=1.15"]


@pytest.mark.parametrize("changed", ["box/good.md", "box/good.png", "box/usual.safetensors", "knowledge.yaml"])
def test_other_knowledge_has_another_hash(own, changed):
    """A word of a page, a photo, features, settings; not where bundles lie."""
    wanted = PluginSelection(knowledge=own.knowledge)
    before = wanted.describe(own.bundle)
    (own.knowledge / "knowledge.yaml").write_text("logicls: 1\nbundles: {box: ../box}\n")
    assert wanted.describe(own.bundle) == before

    with (own.knowledge / changed).open("ab") as file:
        file.write(b"budget: 2\n")

    assert wanted.describe(own.bundle) != before


def test_the_same_is_plugged_in_again(outfit):
    """From what verdicts say."""
    wanted = PluginSelection("patches", ReasonerSettings(name="latent", tokens=2, steps=3, open=0.5), outfit.knowledge)
    plugged = wanted.describe(outfit.bundle)

    repeated = restore_selection(plugged.plugins, outfit.knowledge)

    assert repeated.describe(outfit.bundle) == plugged
    assert restore_selection((), None) == PluginSelection()


def test_knowledge_that_nobody_has_any_more():
    """It is asked for by its option."""
    with pytest.raises(DataError, match=r"LC712 .*retriever documents 0a1b, and nothing says .*--knowledge"):
        restore_selection((PluginInfo("retriever", "documents", "0a1b"),), None)


@pytest.mark.parametrize(
    "text",
    [
        '{"reasoner": {"name": "latent", "token": 3}}',
        '{"reasoner": {"name": "closer", "steps": 3}}',
        '{"knowledge": 3}',
    ],
)
def test_a_bundle_with_other_settings_than_there_are(tmp_path, text):
    """Nothing is guessed."""
    (tmp_path / "plugins.json").write_text(text)

    with pytest.raises(BundleError, match="LC723"):
        PluginOptions().resolve(tmp_path)


def test_what_stands_is_written_by_name_or_with_settings(bundle):
    """The file stays one that people may write."""
    assert json.loads((bundle / "plugins.json").read_text()) == {
        "expert": "patches", "knowledge": "known", "reasoner": {"name": "latent", "tokens": 8},
    }  # fmt: skip
    (bundle / "plugins.json").write_text('{"reasoner": "latent"}')
    assert PluginOptions().resolve(bundle) == PluginSelection(reasoner=ReasonerSettings(name="latent"))
