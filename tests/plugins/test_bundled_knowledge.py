"""Plug-ins that a recipe asks for: checked before training, carried by the bundle, on without an option."""

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
from logicls.plugins.settings import KnowledgeSettings, ReasonerSettings, read_product_recipe


@pytest.fixture
def synth(own, dataset, tmp_path) -> Path:
    """As much of a training set as plug-ins need."""
    folder = tmp_path / "synth"
    folder.mkdir()
    (folder / "synth.json").write_text(json.dumps({"data": str(dataset)}))
    shutil.copy(own.bundle / "spec.yaml", folder / "spec.yaml")
    return folder


def recipe(folder: Path, text: str):
    """The recipe of that text."""
    (folder / "recipe.yaml").write_text(text)
    return read_product_recipe(folder / "recipe.yaml")


def test_a_recipe_asks_for_each_by_its_key(own, synth, tmp_path):
    """One, two or all three; then the bundle has them, and predicts with them where no option says otherwise."""
    plan = recipe(
        tmp_path, f"reasoner: {{name: latent, tokens: 2, open: 0.9}}\nknowledge: {{folder: {own.knowledge}}}\n"
    )
    check_plugins(synth, plan)
    add_plugins(synth, own.bundle, plan)

    reasoner = ReasonerSettings(name="latent", tokens=2, open=0.9)
    assert read_default_plugins(own.bundle) == DefaultPlugins(reasoner=reasoner, knowledge="knowledge")
    wanted = PluginOptions().resolve(own.bundle)
    assert (wanted.expert, wanted.reasoner) == ("", reasoner)
    plugins = wanted.build(load_bundle(own.bundle))
    assert [plug.kind for plug in plugins.manifest.plugins] == ["reasoner", "retriever"]


def test_the_usual_ones_are_asked_for_by_nothing(tmp_path):
    """`{}` is the one that was measured to be the best."""
    plan = recipe(tmp_path, "expert: {}\nreasoner: {}\nknowledge: {}\n")

    assert (plan.expert.kind, plan.reasoner.name, plan.knowledge.folder) == ("patches", "closer", "")
    bare = recipe(tmp_path, "steps: 10\n")
    assert (bare.expert, bare.reasoner, bare.knowledge) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "reasoner: {name: later}", "reasoner: {name: closer, tokens: 4}", "reasoner: {name: random, steps: 4}",
        "reasoner: {open: 1.5}", "knowledge: {folder: known, count: 32}", "knowledge: {fold: known}",
    ],
)  # fmt: skip
def test_what_a_recipe_cannot_ask_for(tmp_path, text):
    """A name that there is not, a setting that would do nothing, an unknown key."""
    with pytest.raises(RecipeError):
        recipe(tmp_path, text)


def test_what_cannot_be_plugged_in_is_told_before_training(own, synth, tmp_path):
    """A reasoner for a model of the hub, knowledge of other products, photos that are gone."""
    with pytest.raises(
        DataError, match='LC740 the reasoner "closer" looks into the embedded model, and here org/model'
    ):
        check_plugins(synth, recipe(tmp_path, "model: org/model\nreasoner: {}"))
    for page in (own.knowledge / "box").glob("*.md"):
        page.write_text(page.read_text().replace("box", "lid"))
    with pytest.raises(DataError, match=r'LC708 nothing is known of "box"'):
        check_plugins(synth, recipe(tmp_path, f"knowledge: {{folder: {own.knowledge}}}"))
    (synth / "synth.json").unlink()
    with pytest.raises(DataError, match="LC406"):
        check_plugins(synth, recipe(tmp_path, "knowledge: {}"))


def test_a_copy_works_where_the_folder_is_gone(own, synth):
    """Pages, photos, features travel; what was in the bundle before does not stay, products' bundles do not count."""
    (own.bundle / "knowledge").mkdir()
    (own.bundle / "knowledge" / "old.md").write_text("---\nproduct: box\n---\nOld.\n")
    (own.knowledge / "knowledge.yaml").write_text("logicls: 1\nbudget: 1\nbundles: {box: ../box}\n")

    pages = bundle_knowledge(synth, own.bundle, KnowledgeSettings(folder=str(own.knowledge)))
    shutil.rmtree(own.knowledge)

    retriever = load_retriever(load_bundle(own.bundle), own.bundle / "knowledge")
    assert pages == 2
    assert [page.name for page in retriever.knowledge.pages] == ["box/good", "box/two"]
    assert (retriever.knowledge.settings.budget, retriever.knowledge.settings.bundles) == (1, {})


def test_a_photo_outside_of_the_folder_is_refused(own, synth):
    """It would be left behind."""
    (own.knowledge / "box" / "good.png").rename(own.knowledge.parent / "away.png")
    page = own.knowledge / "box" / "good.md"
    page.write_text(page.read_text().replace("good.png", "../../away.png"))

    with pytest.raises(DataError, match="LC713"):
        bundle_knowledge(synth, own.bundle, KnowledgeSettings(folder=str(own.knowledge)))
