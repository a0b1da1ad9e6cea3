"""Drafting of pages, matching of photos to products, selection of documents, and routing."""

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
from logicls.plugins.retrieval.product_matcher import DocumentRetriever, build_index, sample_documents, top_documents
from logicls.plugins.retrieval.routing import find_bundles, route_photos, write_routes
from logicls.pretraining.scene_generator import generate_scene
from logicls.sample_product import camera
from logicls.synth.pipeline import SynthesisRequest


@pytest.fixture(scope="module")
def retriever(knowledge) -> DocumentRetriever:
    """Return a retriever that expects kits."""
    return DocumentRetriever(knowledge, build_index(knowledge), "dosing_kit")


@pytest.fixture(scope="module")
def unrelated_photos() -> list[np.ndarray]:
    """Return photos of unrelated objects."""
    return [generate_scene(np.random.default_rng([9, k]), (208, 160)).pixels for k in range(6)]


def test_draft_pages(knowledge):
    """Rules, variants and violations have pages; knowledge.yaml has the bundle."""
    pages = {page.name: page for page in knowledge.pages}

    assert {name.split("/")[2] for name in pages if name.startswith("dosing_kit/references/")} == {
        "blue-star", "red-drop", "yellow-leaf",
    }  # fmt: skip
    assert len([page for page in pages.values() if page.product == "dosing_kit" and page.defect and page.photo]) == 14
    assert pages["card/rules/six"].consequences == "for six"
    assert pages["card/rules/six"].photo is None
    assert pages["card/defects/missing_tablet"].consequences == "for six"
    assert pages["card/references/good"].is_reference
    assert knowledge.settings.bundles == {"dosing_kit": "../kit_bundle"}


def test_edited_page_is_unchanged(copy_knowledge, cards):
    """A second draft writes only missing pages."""
    folder = copy_knowledge()
    page = folder / "card" / "defects" / "no_label.md"
    page.write_text("---\nproduct: card\ndefect: no_label\n---\nMine.\n")
    (folder / "card" / "rules" / "six.md").unlink()

    drafted = draft_knowledge(SynthesisRequest(cards / "card.yaml", cards, folder, 8, 0))

    assert drafted.written == ("rules/six",)
    assert "defects/no_label" in drafted.existing
    assert page.read_text().endswith("Mine.\n")


def test_match_products(retriever, kits, unrelated_photos):
    """Kits match with their variant; unrelated photos are out of distribution and go to review."""
    result, unknown = retriever.match_products(kits), retriever.match_products(unrelated_photos)

    assert [match.product for match in result] == ["dosing_kit"] * len(kits)
    assert {match.variant for match in result} <= {"blue-star", "red-drop", "yellow-leaf"}
    assert [match.review_reason for match in result] == [""] * len(kits)
    assert [match.product for match in unknown] == [""] * len(unrelated_photos)
    assert all(match.review_reason.startswith("out of distribution") for match in unknown)


def test_documents_of_the_product(retriever, kits):
    """Documents are of the matched product and within the budget, with texts and a reference photo."""
    for match in retriever.match_products(kits):
        assert len(match.documents) == retriever.knowledge.settings.budget
        assert all(name.startswith("dosing_kit/") for name in match.documents)
        assert len(match.notes) == len(match.documents)
        assert match.reference is not None
        assert match.reference.parent.name == "references"


def test_unexpected_product(retriever, cards):
    """A card instead of a kit goes to review, with the product as reason."""
    [match] = route_cards(retriever, cards)[:1]

    assert match.product == "card"
    assert match.reason == "shows another product: card"


def route_cards(retriever, cards):
    """Route the cards' own photos."""
    return list(route_photos(retriever, cards / "images"))


@pytest.mark.parametrize("draw", ["nearest", "q2k"])
def test_document_selection_setting(retriever, kits, draw):
    """Documents are the nearest ones or sampled by Q2K, as set."""
    settings = retriever.knowledge.settings.model_copy(update={"draw": draw, "budget": 2})
    configured = replace(retriever, knowledge=replace(retriever.knowledge, settings=settings))

    [match] = configured.match_products(kits[:1])

    key = retriever.index.embed_keys(kits[:1])[0]
    own = [k for k, page in enumerate(retriever.index.pages) if page.product == "dosing_kit"]
    selected = {"nearest": top_documents, "q2k": sample_documents}[draw](retriever.index.locks[own] @ key, 2)
    assert match.documents == tuple(retriever.index.pages[own[k]].name for k in selected)


def test_write_routes(knowledge, retriever, kits, unrelated_photos, tmp_path):
    """routes.csv has a row per photo; an unreadable file goes to review with its reason."""
    for number, photo in enumerate(kits[:2]):
        camera.save_jpeg(tmp_path / "in" / f"kit{number}.jpg", photo)
    camera.save_jpeg(tmp_path / "in" / "other.jpg", unrelated_photos[0])
    (tmp_path / "in" / "torn.jpg").write_bytes(b"no photo")

    result = write_routes(route_photos(replace(retriever, expected=""), tmp_path / "in"), tmp_path / "out")

    assert result == {"dosing_kit": ("kit0.jpg", "kit1.jpg"), "review": ("other.jpg", "torn.jpg")}
    rows = (tmp_path / "out" / "routes.csv").read_text().splitlines()
    assert rows[0] == "photo,product,variant,likeness,nearest,reason"
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ["kit0.jpg", "dosing_kit"], ["kit1.jpg", "dosing_kit"], ["other.jpg", "review"], ["torn.jpg", "review"],
    ]  # fmt: skip


def test_route_command(knowledge_folder, kits, tmp_path):
    """The exit code is 0 if every photo has a product."""
    camera.save_jpeg(tmp_path / "in" / "kit.jpg", kits[0])

    result = CliRunner().invoke(
        app, ["route", str(knowledge_folder), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    )

    assert (result.exit_code, result.output) == (0, "dosing_kit: 1 photo\n")


def test_missing_bundles(knowledge):
    """All products without a bundle are reported before prediction."""
    with pytest.raises(DataError) as caught:
        find_bundles(knowledge)

    assert [problem.code for problem in caught.value.problems] == ["LC709", "LC709"]
    assert 'no bundle is set for "card"' in str(caught.value)
    assert 'the bundle of "dosing_kit" is missing' in str(caught.value)


def test_dual_encoder(clip, cards, tmp_path):
    """A CLIP folder drafts pages with features of its own width."""
    draft_knowledge(SynthesisRequest(cards / "card.yaml", cards, tmp_path, 8, 0), encoder=str(clip))
    result = build_index(read_knowledge(tmp_path))

    assert result.locks.shape[1] == 24
    assert np.linalg.norm(result.locks, axis=1) == pytest.approx(np.ones(len(result.locks)))


@pytest.mark.slow
def test_bundle_as_encoder(cards, tiny_nano, tmp_path):
    """`knowledge build --encoder BUNDLE` works with its vision tower, also after both were moved."""
    spec = cards / "card.yaml"
    torch.manual_seed(0)
    model, processor = tiny_nano(load_spec(spec), width=64, decoder_layers=1, stem_width=32)
    write_bundle(tmp_path / "a" / "tiny", model=model, processor=processor, spec_file=spec, max_boxes=3)
    arguments = ["build", str(spec), "--data", str(cards), "--out", str(tmp_path / "a" / "known"), "--count", "8"]

    result = CliRunner().invoke(app, ["knowledge", *arguments, "--encoder", str(tmp_path / "a" / "tiny")])

    assert (result.exit_code, result.exception) == (0, None)
    assert read_knowledge(tmp_path / "a" / "known").settings.encoder == "../tiny"
    (tmp_path / "a").rename(tmp_path / "b")
    computed = build_index(read_knowledge(tmp_path / "b" / "known"))
    assert computed.encoder.id.startswith("tiny ")
    assert computed.locks.shape == (4, 4 * 64)
    photos = [read_photo(path) for path in sorted((cards / "images").iterdir())]
    assert [
        match.product
        for match in DocumentRetriever(read_knowledge(tmp_path / "b" / "known"), computed).match_products(photos)
    ] == ["card"] * 12
    (tmp_path / "b" / "tiny" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(BundleError, match="LC705"):
        build_index(read_knowledge(tmp_path / "b" / "known"))


def test_features_of_another_encoder(copy_knowledge, clip):
    """An encoder of another width is an error that names both."""
    folder = copy_knowledge()
    (folder / "knowledge.yaml").write_text(f"logicls: 1\nencoder: {clip}\n")

    with pytest.raises(DataError, match=r'LC704 has features of width 512 by "base .*has width 24'):
        build_index(read_knowledge(folder))


def test_invalid_encoder(checkpoint, tmp_path):
    """A missing model or one without an image encoder is an error."""
    with pytest.raises(BundleError, match="LC510"):
        load_encoder("nobody/nothing", tmp_path)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(BundleError, match="LC705 is not an image encoder"):
        load_encoder("odd", tmp_path)


def test_encoder_id(plugin_setup, tmp_path):
    """An expert beside the weights does not change the encoder's id; other weights do."""
    bundle = tmp_path / "product"
    shutil.copytree(plugin_setup.bundle, bundle)
    before = load_encoder("product", tmp_path).id
    (bundle / "expert-patches.safetensors").unlink()

    without = load_encoder("product", tmp_path).id
    weights = load_file(bundle / "model.safetensors")
    save_file({name: weight + 1 for name, weight in weights.items()}, bundle / "model.safetensors")

    assert without == before
    assert load_encoder("product", tmp_path).id != before


@pytest.mark.parametrize(("missing", "code"), [("card/usual.safetensors", "LC706"), ("card/*/*.jpg", "LC707")])
def test_incomplete_product(copy_knowledge, missing, code):
    """Missing features or photos are errors."""
    folder = copy_knowledge()
    for file in folder.glob(missing):
        file.unlink()
        page = file.with_suffix(".md")
        if page.exists():
            page.unlink()

    with pytest.raises(DataError, match=code):
        build_index(read_knowledge(folder))


def test_default_settings():
    """All settings but the version are optional."""
    assert KnowledgeConfig(logicls=1).draw == "nearest"
