"""Bundle with random weights for a small product, and photos for it."""

from __future__ import annotations

import io

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


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """Return coloured blocks, RGB, of different sizes."""
    rng = np.random.default_rng(1)
    generated = []
    for height, width in ((160, 160), (120, 180), (200, 150)):
        patches = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        generated.append(np.asarray(patches.resize((width, height), Image.Resampling.NEAREST)))
    return generated


@pytest.fixture(scope="session")
def bundle(box_spec, tmp_path_factory, tiny_nano, photos) -> Bundle:
    """Return a bundle with an input of 64 x 64 pixels and detections nearly everywhere."""
    folder = tmp_path_factory.mktemp("made")
    model, processor = tiny_nano(load_spec(box_spec), width=64, decoder_layers=2, stem_width=32)
    with torch.no_grad():  # larger than at the start of training, so that photos and questions differ in answers
        model.token_embeddings.weight.normal_(std=0.2)
        model.position_embeddings.weight.normal_(std=0.2)
        model.detection_head.centre_filter.weight.normal_(std=0.5)
        model.detection_head.centre_filter.bias.zero_()
    generated = write_bundle(folder / "bundle", model=model, processor=processor, spec_file=box_spec, max_boxes=3)
    file = io.BytesIO()
    Image.fromarray(photos[0]).save(file, "JPEG")
    (folder / "data").mkdir()
    image = pa.table({"image": [{"bytes": file.getvalue(), "path": None}]})
    pq.write_table(image, folder / "data" / "train-00000-of-00001.parquet")
    write_probe(generated, folder)
    return generated
