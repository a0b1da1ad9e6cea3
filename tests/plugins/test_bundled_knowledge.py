"""Plug-ins of a recipe: checks before training, knowledge inside the bundle, defaults."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from logicls.cli.train import add_plugins, check_plugins
from logicls.errors import DataError, RecipeError
from logicls.models.bundle import load_bundle
from logicls.plugins.bundled_knowledge import bundle_knowledge
from logicls.plugins.retrieval.product_matcher import load_retriever
from logicls.plugins.selection import DefaultPlugins, PluginOptions, read_default_plugins
from logicls.plugins.settings import ExpertSettings, KnowledgeSettings, ReasonerSettings, read_product_recipe


@pytest.fixture
def synth(plugin_setup_copy, dataset, tmp_path) -> Path:
    """Return the files of a synthetic dataset that plug-ins need."""
    folder = tmp_path / "synth"
    folder.mkdir()
    (folder / "synth.json").write_text(json.dumps({"data": str(dataset)}))
    shutil.copy(plugin_setup_copy.bundle / "spec.yaml", folder / "spec.yaml")
    return folder


def read_recipe(folder: Path, text: str):
    """Read a recipe from text."""
    (folder / "recipe.yaml").write_text(text)
    return read_product_recipe(folder / "recipe.yaml")


def test_recipe_sets_defaults(plugin_setup_copy, synth, tmp_path):
    """Plug-ins of a recipe become defaults of the bundle."""
    plan = read_recipe(
        tmp_path,
        f"reasoner: {{name: latent, tokens: 2, open: 0.9}}\nknowledge: {{folder: {plugin_setup_copy.knowledge}}}\n",
    )
    check_plugins(synth, plan)
    add_plugins(synth, plugin_setup_copy.bundle, plan)

    reasoner = ReasonerSettings(name="latent", tokens=2, min_entropy=0.9)
    assert read_default_plugins(plugin_setup_copy.bundle) == DefaultPlugins(reasoner=reasoner, knowledge="knowledge")
    selection = PluginOptions().resolve(plugin_setup_copy.bundle)
    assert (selection.expert, selection.reasoner) == ("", reasoner)
    plugins = selection.build(load_bundle(plugin_setup_copy.bundle))
    assert [info.kind for info in plugins.manifest.plugins] == ["reasoner", "retriever"]


def test_empty_section_selects_default(tmp_path):
    """`{}` selects the default of each kind."""
    plan = read_recipe(tmp_path, "expert: {}\nreasoner: {}\nknowledge: {}\n")

    assert (plan.expert.kind, plan.reasoner.name, plan.knowledge.folder) == ("patches", "closer", "")
    without_tokens = read_recipe(tmp_path, "steps: 10\n")
    assert (without_tokens.expert, without_tokens.reasoner, without_tokens.knowledge) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "reasoner: {name: later}", "reasoner: {name: closer, tokens: 4}", "reasoner: {name: random, steps: 4}",
        "reasoner: {open: 1.5}", "knowledge: {folder: known, count: 32}", "knowledge: {fold: known}",
    ],
)  # fmt: skip
def test_invalid_recipe(tmp_path, text):
    """Unknown names, settings without effect and unknown keys are errors."""
    with pytest.raises(RecipeError):
        read_recipe(tmp_path, text)


def test_checks_before_training(plugin_setup_copy, synth, tmp_path):
    """A reasoner for a hub model, knowledge of other products and missing photos are errors."""
    with pytest.raises(DataError, match='LC740 the reasoner "closer" needs the embedded model nano, but org/model'):
        check_plugins(synth, read_recipe(tmp_path, "model: org/model\nreasoner: {}"))
    for page in (plugin_setup_copy.knowledge / "box").glob("*.md"):
        page.write_text(page.read_text().replace("box", "lid"))
    with pytest.raises(DataError, match=r'LC708 no page is about "box"'):
        check_plugins(synth, read_recipe(tmp_path, f"knowledge: {{folder: {plugin_setup_copy.knowledge}}}"))
    (synth / "synth.json").unlink()
    with pytest.raises(DataError, match="LC406"):
        check_plugins(synth, read_recipe(tmp_path, "knowledge: {}"))


def test_copy_is_independent(plugin_setup_copy, synth):
    """A copy has pages, photos and features, replaces older content, and drops bundle paths."""
    (plugin_setup_copy.bundle / "knowledge").mkdir()
    (plugin_setup_copy.bundle / "knowledge" / "old.md").write_text("---\nproduct: box\n---\nOld.\n")
    (plugin_setup_copy.knowledge / "knowledge.yaml").write_text("logicls: 1\nbudget: 1\nbundles: {box: ../box}\n")

    pages = bundle_knowledge(
        synth, plugin_setup_copy.bundle, KnowledgeSettings(folder=str(plugin_setup_copy.knowledge))
    )
    shutil.rmtree(plugin_setup_copy.knowledge)

    retriever = load_retriever(load_bundle(plugin_setup_copy.bundle), plugin_setup_copy.bundle / "knowledge")
    assert pages == 2
    assert [page.name for page in retriever.knowledge.pages] == ["box/good", "box/two"]
    assert (retriever.knowledge.settings.budget, retriever.knowledge.settings.bundles) == (1, {})


def test_photo_outside_folder(plugin_setup_copy, synth):
    """A photo outside the folder would not be copied: LC713."""
    (plugin_setup_copy.knowledge / "box" / "good.png").rename(plugin_setup_copy.knowledge.parent / "away.png")
    page = plugin_setup_copy.knowledge / "box" / "good.md"
    page.write_text(page.read_text().replace("good.png", "../../away.png"))

    with pytest.raises(DataError, match="LC713"):
        bundle_knowledge(synth, plugin_setup_copy.bundle, KnowledgeSettings(folder=str(plugin_setup_copy.knowledge)))


def test_keys_of_earlier_versions(tmp_path):
    """Settings accept their former names."""
    text = "expert: {cells: 144, share: 0.2, reach: 1, around: 3}\nreasoner: {open: 0.9}\n"
    plan = read_recipe(tmp_path, text)

    assert plan.expert == ExpertSettings(patches=144, coreset_ratio=0.2, neighbourhood=1, averaging_window=3)
    assert plan.reasoner == ReasonerSettings(min_entropy=0.9)
