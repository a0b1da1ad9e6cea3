"""Messages about rules that compare components with good photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.models.bundle import Bundle
from logicls.predict.readers.appearance import load_comparison
from logicls.train.appearance import check_appearance_photos

SPEC = """
logicls: 1
product: {name: board}
components: {pin: {}}
constraints: [{id: look, appearance: {of: pin}}]
"""


def _train_on_three_photos() -> object:
    Path("good", "images").mkdir(parents=True)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 90, "height": 60} for n in (1, 2, 3)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [20, 20, 30, 20]} for n in (1, 2, 3)]
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pin"}]}
    Path("good", "annotations.json").write_text(json.dumps(coco))
    Path("synth").mkdir()
    Path("synth", "spec.yaml").write_text(SPEC)
    Path("synth", "synth.json").write_text(json.dumps({"data": "good"}))
    for number in (1, 2, 3):
        Image.new("RGB", (90, 60)).save(Path("good", "images", f"{number}.jpg"))
    check_appearance_photos(Path("synth"))
    return None


def _read_without_memory() -> object:
    Path("bundle").mkdir()
    Path("spec.yaml").write_text(SPEC)
    return load_comparison(Bundle(Path("bundle"), "0123456789ab", load_spec(Path("spec.yaml")), None, None, 1))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC416": _train_on_three_photos,
    "LC506": _read_without_memory,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("workdir")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    check_message(code, TRIGGERS[code])
