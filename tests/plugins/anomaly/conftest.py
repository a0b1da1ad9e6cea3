"""Bundle with random weights, and photos of a board that vary slightly."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

_PREDICT = runpy.run_path(str(Path(__file__).parents[2] / "predict" / "conftest.py"))
make_bundle, _one_thread = _PREDICT["make_bundle"], _PREDICT["_one_thread"]
SIZE = 96


def good_photo(seed: int) -> np.ndarray:
    """Return a board with a bright square, random brightness and noise."""
    rng = np.random.default_rng(seed)
    photo = np.full((SIZE, SIZE, 3), 90.0)
    photo[30:64, 30:64] = (210, 200, 180)
    return np.clip(photo * rng.uniform(0.95, 1.05) + rng.normal(0, 3, photo.shape), 0, 255).astype(np.uint8)


def flawed_photo(seed: int) -> np.ndarray:
    """Return the board with a dark spot at x 60 to 72, y 66 to 76."""
    photo = good_photo(seed)
    photo[66:76, 60:72] = (20, 10, 60)
    return photo


@pytest.fixture(scope="session")
def good() -> list[np.ndarray]:
    """Return good photos."""
    return [good_photo(seed) for seed in range(30)]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, good) -> Path:
    """Return a dataset of the good photos with annotations."""
    root = tmp_path_factory.mktemp("good")
    (root / "images").mkdir()
    for number, photo in enumerate(good):
        Image.fromarray(photo).save(root / "images" / f"{number:02d}.png")
    images = [{"id": n + 1, "file_name": f"{n:02d}.png", "width": SIZE, "height": SIZE} for n in range(len(good))]
    boxes = [{"id": n + 1, "image_id": n + 1, "category_id": 1, "bbox": [30, 30, 34, 34]} for n in range(len(good))]
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pin"}]}
    (root / "annotations.json").write_text(json.dumps(coco))
    return root


@pytest.fixture
def bundle(make_bundle, box_spec):
    """Return a fresh bundle for each test, since experts are written into it."""
    torch.manual_seed(0)
    return make_bundle(box_spec.read_text())
