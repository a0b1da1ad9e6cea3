"""Two small products, a knowledge folder of both, and a tiny dual encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from logicls.io.resources import resource_path
from logicls.plugins.retrieval.drafting import draft_knowledge
from logicls.plugins.retrieval.knowledge import KnowledgeBase, read_knowledge
from logicls.sample_product import camera, parts
from logicls.sample_product.render import create_good_kit, render, write_dataset
from logicls.synth.pipeline import SynthesisRequest

CARD = """logicls: 1
product: {name: card}
components: {tablet: {}, label: {}}
constraints:
  - {id: six, quantity: {of: tablet, exactly: 6}, violation: {below: missing_tablet, above: extra_tablet}, why: for six}
  - {id: label, quantity: {of: label, exactly: 1}, violation: no_label}
"""


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


def draw_card(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[int, list[float]]]]:
    """Return a photo of a card with six tablets and a label, and the category and COCO box of each."""
    canvas = parts.draw_board(str(rng.choice(parts.BOARDS)), rng)
    places = [(60 + 62 * column, 60 + 70 * row) for row in range(2) for column in range(3)]
    centres = [(x + rng.uniform(-3, 3), y + rng.uniform(-3, 3)) for x, y in places]
    tablets = [parts.tablet_contour(x, y) for x, y in centres]
    label = parts.rectangle(80, 215, 180, 280, radius=2.0)
    parts.cast_shadows(canvas, tablets, (4.0, 4.0))
    for x, y in centres:
        parts.draw_tablet(canvas, x, y, float(rng.uniform(0, 180)))
    parts.draw_label(canvas, label, rng)
    warp = camera.sample_homography(rng)
    contours = [(1, tablet) for tablet in tablets] + [(2, label)]
    boxes = [(kind, camera.bounding_box([camera.project(contour, warp)])) for kind, contour in contours]
    image = camera.simulate_exposure(camera.apply_homography(canvas, warp), rng)
    return image, [(kind, [box.x1, box.y1, box.width, box.height]) for kind, box in boxes]


def write_cards(root: Path, count: int) -> None:
    """Write a dataset of cards."""
    rng, images, annotations = np.random.default_rng(3), [], []
    for number in range(1, count + 1):
        image, boxes = draw_card(rng)
        camera.save_jpeg(root / "images" / f"{number}.jpg", image)
        size = {"height": image.shape[0], "width": image.shape[1]}
        images.append({"id": number, "file_name": f"{number}.jpg", **size})
        for kind, box in boxes:
            facts = {"id": len(annotations) + 1, "image_id": number, "category_id": kind, "iscrowd": 0}
            annotations.append({**facts, "bbox": box, "area": box[2] * box[3]})
    names = [{"id": 1, "name": "tablet"}, {"id": 2, "name": "label"}]
    data = {"images": images, "annotations": annotations, "categories": names}
    (root / "annotations.json").write_text(json.dumps(data))
    (root / "card.yaml").write_text(CARD)


@pytest.fixture(scope="session")
def cards(tmp_path_factory) -> Path:
    """Return twelve good cards with annotations, and card.yaml."""
    root = tmp_path_factory.mktemp("cards")
    write_cards(root, 12)
    return root


@pytest.fixture(scope="session")
def knowledge_folder(tmp_path_factory, cards) -> Path:
    """Return a knowledge folder of the sample product and of cards; read only."""
    kits, out = tmp_path_factory.mktemp("kits"), tmp_path_factory.mktemp("knowledge")
    write_dataset(kits, good=24, seed=5)
    draft_knowledge(
        SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), kits, out, 24, 0), bundle="../kit_bundle"
    )
    draft_knowledge(SynthesisRequest(cards / "card.yaml", cards, out, 12, 0))
    return out


@pytest.fixture(scope="session")
def knowledge(knowledge_folder) -> KnowledgeBase:
    """Return the knowledge folder, loaded."""
    return read_knowledge(knowledge_folder)


@pytest.fixture(scope="session")
def kits() -> list[np.ndarray]:
    """Return photos of unseen good kits."""
    rng = np.random.default_rng(77)
    return [render(create_good_kit(rng), rng)[0] for _ in range(6)]


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Return a checkpoint of CLIP's architecture with random weights and 24 features."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": 64, "max_position_embeddings": 16},
        vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=24,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture
def copy_knowledge(knowledge_folder, tmp_path) -> Callable[[], Path]:
    """Return a function that copies the knowledge folder."""
    import shutil

    return lambda: Path(shutil.copytree(knowledge_folder, tmp_path / "copy"))
