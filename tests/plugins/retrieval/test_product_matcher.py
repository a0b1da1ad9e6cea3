"""From a spec and photos to pages, from pages to which product a photo shows and what is known of it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.constraints.spec.loader import load_spec
from logicls.data.image_io import read_photo
from logicls.errors import BundleError, DataError
from logicls.models.bundle import write_bundle
from logicls.plugins.retrieval.drafting import draft_knowledge
from logicls.plugins.retrieval.embedding import load_encoder
from logicls.plugins.retrieval.knowledge import KnowledgeConfig, read_knowledge
from logicls.plugins.retrieval.product_matcher import DocumentRetriever, build_index
from logicls.plugins.retrieval.q2k import sample_documents, top_documents
from logicls.plugins.retrieval.routing import find_bundles, route_photos, write_routes
from logicls.pretraining.scene_generator import generate_scene
from logicls.sample_product import camera
from logicls.synth.pipeline import SynthesisRequest


@pytest.fixture(scope="module")
def retriever(knowledge) -> DocumentRetriever:
    """What recalls, where photos are to show kits."""
    return DocumentRetriever(knowledge, build_index(knowledge), "dosing_kit")


@pytest.fixture(scope="module")
def others() -> list[np.ndarray]:
    """Photos of other things."""
    return [generate_scene(np.random.default_rng([9, k]), (208, 160)).pixels for k in range(6)]


def test_a_draft_has_a_page_a_rule_a_variant_and_a_violation(knowledge):
    """Rules say why, variants and defects have photos; knowledge.yaml has the bundle."""
    pages = {page.name: page for page in knowledge.pages}

    assert {name.split("/")[2] for name in pages if name.startswith("dosing_kit/references/")} == {
        "blue-star", "red-drop", "yellow-leaf",
    }  # fmt: skip
    assert len([page for page in pages.values() if page.product == "dosing_kit" and page.defect and page.photo]) == 11
    assert pages["card/rules/six"].consequences == "for six"
    assert pages["card/rules/six"].photo is None
    assert pages["card/defects/missing_tablet"].consequences == "for six"
    assert pages["card/references/good"].is_reference
    assert knowledge.settings.bundles == {"dosing_kit": "../kit_bundle"}


def test_a_page_that_somebody_worked_on_is_left_as_it_is(copied, cards):
    """Drafted again, only what is missing is written."""
    folder = copied()
    page = folder / "card" / "defects" / "no_label.md"
    page.write_text("---\nproduct: card\ndefect: no_label\n---\nMine.\n")
    (folder / "card" / "rules" / "six.md").unlink()

    drafted = draft_knowledge(SynthesisRequest(cards / "card.yaml", cards, folder, 8, 0))

    assert drafted.written == ("rules/six",)
    assert "defects/no_label" in drafted.existing
    assert page.read_text().endswith("Mine.\n")


def test_photos_are_told_apart(retriever, kits, others):
    """Kits are kits, of a variant that there is; photos of other things are nobody's, and a person has to look."""
    found, strange = retriever.match_products(kits), retriever.match_products(others)

    assert [recall.product for recall in found] == ["dosing_kit"] * len(kits)
    assert {recall.variant for recall in found} <= {"blue-star", "red-drop", "yellow-leaf"}
    assert [recall.review_reason for recall in found] == [""] * len(kits)
    assert [recall.product for recall in strange] == [""] * len(others)
    assert all(recall.review_reason.startswith("unlike every product known") for recall in strange)


def test_documents_are_of_the_photos_product_and_within_the_budget(retriever, kits):
    """The most alike come first; their text is told, and a good one's photo is shown."""
    for recall in retriever.match_products(kits):
        assert len(recall.documents) == retriever.knowledge.settings.budget
        assert all(name.startswith("dosing_kit/") for name in recall.documents)
        assert len(recall.notes) == len(recall.documents)
        assert recall.reference is not None
        assert recall.reference.parent.name == "references"


def test_another_product_is_a_doubt(retriever, cards):
    """A card where kits are expected goes to review, and the reason names the product."""
    [recall] = route_of(retriever, cards)[:1]

    assert recall.product == "card"
    assert recall.reason == "shows another product: card"


def route_of(retriever, cards):
    """Where the cards' own photos go."""
    return list(route_photos(retriever, cards / "images"))


@pytest.mark.parametrize("how", ["nearest", "q2k"])
def test_documents_are_drawn_as_the_settings_say(retriever, kits, how):
    """Simply the most alike of the product, or those that Q2K draws."""
    settings = retriever.knowledge.settings.model_copy(update={"draw": how, "budget": 2})
    asked = replace(retriever, knowledge=replace(retriever.knowledge, settings=settings))

    [recall] = asked.match_products(kits[:1])

    key = retriever.sights.keys(kits[:1])[0]
    own = [k for k, page in enumerate(retriever.sights.pages) if page.product == "dosing_kit"]
    chosen = {"nearest": top_documents, "q2k": sample_documents}[how](retriever.sights.locks[own] @ key, 2)
    assert recall.documents == tuple(retriever.sights.pages[own[k]].name for k in chosen)


def test_a_folder_of_mixed_photos_is_split(knowledge, retriever, kits, others, tmp_path):
    """routes.csv has a row a photo; a file that is no photo goes to review with the reason."""
    for number, photo in enumerate(kits[:2]):
        camera.save_jpeg(tmp_path / "in" / f"kit{number}.jpg", photo)
    camera.save_jpeg(tmp_path / "in" / "other.jpg", others[0])
    (tmp_path / "in" / "torn.jpg").write_bytes(b"no photo")

    found = write_routes(route_photos(replace(retriever, expected=""), tmp_path / "in"), tmp_path / "out")

    assert found == {"dosing_kit": ("kit0.jpg", "kit1.jpg"), "review": ("other.jpg", "torn.jpg")}
    rows = (tmp_path / "out" / "routes.csv").read_text().splitlines()
    assert rows[0] == "photo,product,variant,likeness,nearest,reason"
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ["kit0.jpg", "dosing_kit"], ["kit1.jpg", "dosing_kit"], ["other.jpg", "review"], ["torn.jpg", "review"],
    ]  # fmt: skip


def test_route_from_the_command_line(known, kits, tmp_path):
    """Exit code 0 where each photo is somebody's."""
    camera.save_jpeg(tmp_path / "in" / "kit.jpg", kits[0])

    came = CliRunner().invoke(app, ["route", str(known), str(tmp_path / "in"), "--out", str(tmp_path / "out")])

    assert (came.exit_code, came.output) == (0, "dosing_kit: 1 photos\n")


def test_products_without_a_bundle_are_told(knowledge):
    """Before anything is predicted, all of them at once."""
    with pytest.raises(DataError) as caught:
        find_bundles(knowledge)

    assert [problem.code for problem in caught.value.problems] == ["LC709", "LC709"]
    assert 'no bundle of "card" is known' in str(caught.value)
    assert 'the bundle of "dosing_kit" is not there' in str(caught.value)


def test_any_dual_encoder_compares_photos(clip, cards, tmp_path):
    """CLIP by its folder: pages are drafted with its features, of its own width."""
    draft_knowledge(SynthesisRequest(cards / "card.yaml", cards, tmp_path, 8, 0), encoder=str(clip))
    found = build_index(read_knowledge(tmp_path))

    assert found.locks.shape[1] == 24
    assert np.linalg.norm(found.locks, axis=1) == pytest.approx(np.ones(len(found.locks)))


@pytest.mark.slow
def test_a_bundle_compares_photos(cards, tiny_nano, tmp_path):
    """`knowledge build --encoder BUNDLE`: by its vision tower; the folder finds it, also after both were moved."""
    spec = cards / "card.yaml"
    torch.manual_seed(0)
    model, processor = tiny_nano(load_spec(spec), width=64, decoder_layers=1, stem_width=32)
    write_bundle(tmp_path / "a" / "tiny", model=model, processor=processor, spec_file=spec, max_boxes=3)
    told = ["build", str(spec), "--data", str(cards), "--out", str(tmp_path / "a" / "known"), "--count", "8"]

    came = CliRunner().invoke(app, ["knowledge", *told, "--encoder", str(tmp_path / "a" / "tiny")])

    assert (came.exit_code, came.exception) == (0, None)
    assert read_knowledge(tmp_path / "a" / "known").settings.encoder == "../tiny"
    (tmp_path / "a").rename(tmp_path / "b")
    found = build_index(read_knowledge(tmp_path / "b" / "known"))
    assert found.encoder.id.startswith("tiny ")
    assert found.locks.shape == (4, 4 * 64)
    photos = [read_photo(path) for path in sorted((cards / "images").iterdir())]
    assert [
        recall.product
        for recall in DocumentRetriever(read_knowledge(tmp_path / "b" / "known"), found).match_products(photos)
    ] == ["card"] * 12
    (tmp_path / "b" / "tiny" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(BundleError, match="LC705"):
        build_index(read_knowledge(tmp_path / "b" / "known"))


def test_features_of_another_encoder_are_told(copied, clip):
    """An encoder of another dimension, put into knowledge.yaml by hand: one line with both."""
    folder = copied()
    (folder / "knowledge.yaml").write_text(f"logicls: 1\nencoder: {clip}\n")

    with pytest.raises(DataError, match=r'LC704 has features of 512 numbers by "base .*gives 24'):
        build_index(read_knowledge(folder))


def test_what_is_no_encoder_is_told(checkpoint, tmp_path):
    """A chat model has no photo's side by itself; a name that is not here is not fetched."""
    with pytest.raises(BundleError, match="LC510"):
        load_encoder("nobody/nothing", tmp_path)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(BundleError, match="LC705 cannot compare photos"):
        load_encoder("odd", tmp_path)


def test_a_bundle_stays_the_same_encoder_when_an_expert_is_fitted(outfit, tmp_path):
    """What lies beside the model's weights is no part of what it sees; other weights are another encoder."""
    bundle = tmp_path / "product"
    shutil.copytree(outfit.bundle, bundle)
    before = load_encoder("product", tmp_path).id
    (bundle / "expert-patches.safetensors").unlink()

    without = load_encoder("product", tmp_path).id
    weights = load_file(bundle / "model.safetensors")
    save_file({name: weight + 1 for name, weight in weights.items()}, bundle / "model.safetensors")

    assert without == before
    assert load_encoder("product", tmp_path).id != before


@pytest.mark.parametrize(("gone", "code"), [("card/usual.safetensors", "LC706"), ("card/*/*.jpg", "LC707")])
def test_what_a_product_lacks_is_told(copied, gone, code):
    """No features, or no page with a photo."""
    folder = copied()
    for file in folder.glob(gone):
        file.unlink()
        page = file.with_suffix(".md")
        if page.exists():
            page.unlink()

    with pytest.raises(DataError, match=code):
        build_index(read_knowledge(folder))


def test_settings_can_be_left_out():
    """All but the version."""
    assert KnowledgeConfig(logicls=1).draw == "nearest"
