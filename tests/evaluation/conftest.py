"""A small dataset in the layout of MVTec LOCO AD, and verdicts of its photos."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from logicls.records import Answer, Box, Finding, Verdict

CONFIG = [
    {"defect_name": "missing_pin", "pixel_value": 255, "saturation_threshold": 0.5, "relative_saturation": True},
    {"defect_name": "extra_pin", "pixel_value": 254, "saturation_threshold": 4, "relative_saturation": False},
    {"defect_name": "dent", "pixel_value": 200, "saturation_threshold": 1.0, "relative_saturation": True},
]


def write_mask(path: Path, *filled: tuple[Box, int]) -> None:
    """Write a greyscale PNG of 10 x 10 pixels, black but for these boxes."""
    pixels = np.zeros((10, 10), np.uint8)
    for box, value in filled:
        pixels[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def loco(tmp_path) -> Path:
    """Write two good photos, two logical anomalies (the second with two defects), one structural anomaly."""
    root = tmp_path / "pin_box"
    for name in ("validation/good/000", "test/good/000", "test/good/001"):
        write_mask(root / f"{name}.png")
    for name in ("logical_anomalies/000", "logical_anomalies/001", "structural_anomalies/000"):
        write_mask(root / "test" / f"{name}.png")
    write_mask(root / "ground_truth/logical_anomalies/000/000.png", (Box(0, 0, 10, 2), 255))
    write_mask(root / "ground_truth/logical_anomalies/001/000.png", (Box(0, 0, 2, 2), 255))
    write_mask(root / "ground_truth/logical_anomalies/001/001.png", (Box(5, 5, 9, 9), 254))
    write_mask(root / "ground_truth/structural_anomalies/000/000.png", (Box(4, 4, 6, 6), 200))
    (root / "defects_config.json").write_text(json.dumps(CONFIG))
    return root


@pytest.fixture
def make_verdict():
    """Return a function that makes a verdict with violations and the boxes that the broken rule cites."""

    def make(photo, *names, score=0.0, boxes=(), probability=0.9, size=10) -> Verdict:
        finding = Finding(
            "pins", "broken" if names else "holds", names, queries=("locate:pin",), confidence=probability
        )
        scores = tuple((name, float(name in names)) for name in ("missing_pin", "extra_pin"))
        return Verdict(
            photo, "fail" if names else "pass", names, score=score, scores=scores, findings=(finding,),
            answers=(Answer("locate:pin", boxes=tuple(boxes)),), width=size, height=size,
        )  # fmt: skip

    return make


@pytest.fixture
def verdicts(make_verdict) -> list[Verdict]:
    """Return verdicts of `loco`: one defect has the wrong name, and the dent escapes."""
    return [
        make_verdict("good/000.png", score=0.1),
        make_verdict("good/001.png", score=0.4),
        make_verdict("logical_anomalies/000.png", "missing_pin", score=0.9, boxes=[Box(0, 0, 5, 1)]),
        make_verdict("logical_anomalies/001.png", "extra_pin", score=0.7, boxes=[Box(5, 5, 7, 7)]),
        make_verdict("structural_anomalies/000.png", score=0.2),
    ]
