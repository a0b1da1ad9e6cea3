"""A bundle with random weights for a small product, made once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.models.bundle import Bundle, write_bundle
from logicls.predict.self_test import write_probe


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


def noise(seed: int, height: int, width: int) -> np.ndarray:
    """A photo of coloured patches, RGB."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST))


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Photos of different sizes and proportions."""
    return [noise(1, 80, 60), noise(2, 64, 64), noise(3, 30, 90), noise(4, 200, 150)]


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory, tiny_nano):
    """Makes a bundle for a spec's text: inputs of 64 x 64 pixels, random weights."""

    def make(text: str, max_boxes: int = 3) -> Bundle:
        folder = tmp_path_factory.mktemp("made")
        (folder / "spec.yaml").write_text(text)
        spec = load_spec(folder / "spec.yaml")
        model, processor = tiny_nano(spec, width=64, decoder_layers=2, stem_width=32)
        with torch.no_grad():  # larger than at the start of training, so that photos and questions differ in answers
            model.token_embeddings.weight.normal_(std=0.2)
            model.position_embeddings.weight.normal_(std=0.2)
            model.detection_head.centre_filter.weight.normal_(std=0.5)
            model.detection_head.centre_filter.bias.zero_()
        return write_bundle(
            folder / "bundle", model=model, processor=processor, spec_file=folder / "spec.yaml", max_boxes=max_boxes
        )

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle, box_spec, photos, tmp_path_factory) -> Bundle:
    """The small product's bundle with its probe; read only."""
    made = make_bundle(box_spec.read_text())
    write_probe(made, dataset(tmp_path_factory.mktemp("photos"), photos))
    return made


@pytest.fixture(scope="session")
def shard():
    """Writes photos where training data lies."""

    def write(folder: Path, photos: list[np.ndarray]) -> Path:
        folder.mkdir()
        return dataset(folder, photos)

    return write


def dataset(folder: Path, photos: list[np.ndarray]) -> Path:
    """The photos where training data lies."""
    data = []
    for photo in photos:
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "JPEG", quality=95)
        data.append({"bytes": file.getvalue(), "path": None})
    (folder / "data").mkdir()
    pq.write_table(pa.table({"image": data}), folder / "data" / "train-00000-of-00001.parquet")
    return folder
