"""Reading of MVTec LOCO AD, and its errors."""

import json

import numpy as np
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.evaluation.mvtec_loco import DefectKind, read_loco


def test_photos_have_split_size_and_defects(loco):
    """Only the test set is read, not training or validation photos."""
    product = read_loco(loco)

    assert [(p.name, p.split, p.defects) for p in product.photos] == [
        ("good/000.png", "good", ()),
        ("good/001.png", "good", ()),
        ("logical_anomalies/000.png", "logical_anomalies", ("missing_pin",)),
        ("logical_anomalies/001.png", "logical_anomalies", ("extra_pin", "missing_pin")),
        ("structural_anomalies/000.png", "structural_anomalies", ("dent",)),
    ]
    assert {(photo.width, photo.height) for photo in product.photos} == {(10, 10)}


def test_saturation_is_a_share_or_pixels(loco):
    """A share of the area in whole pixels, or a number of pixels, at most the area."""
    (half,), (_, four) = (photo.regions for photo in read_loco(loco).photos[2:4])

    assert half.kind == DefectKind("missing_pin", 255, 0.5, True)
    assert (half.saturation(20), half.saturation(5), half.saturation(1)) == (10, 2, 1)
    assert (four.saturation(16), four.saturation(3)) == (4, 3)
    assert int(half.read_mask().sum()) == 20


def test_structural_anomalies_are_optional(loco):
    """Either kind of anomaly may be missing, not both."""
    (loco / "test/structural_anomalies").rename(loco / "elsewhere")

    assert [photo.split for photo in read_loco(loco).photos][-1] == "logical_anomalies"


def test_all_errors_are_reported_together(loco):
    """Unknown value, two values, wrong size, colour image, missing mask."""
    masks = loco / "ground_truth"
    Image.fromarray(np.full((10, 10), 7, np.uint8)).save(masks / "logical_anomalies/000/000.png")
    Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10) % 3).save(masks / "logical_anomalies/001/000.png")
    Image.new("L", (9, 10), 254).save(masks / "logical_anomalies/001/001.png")
    Image.new("RGB", (10, 10)).save(masks / "logical_anomalies/001/002.png")
    (masks / "structural_anomalies/000/000.png").unlink()

    with pytest.raises(DataError) as caught:
        read_loco(loco)

    problems = [(p.code, p.message) for p in caught.value.problems]
    assert problems == [
        ("LC652", "has the value 7, which is not in defects_config.json."),
        ("LC652", "has the values 1, 2 besides 0."),
        ("LC652", "has 9 x 10 pixels, its photo 10 x 10."),
        ("LC652", 'is not a readable greyscale image: its mode is "RGB".'),
        ("LC653", '"structural_anomalies/000.png" is anomalous and has no mask.'),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "invalid JSON"),
        ("[]", "lists no defect."),
        ('[{"defect_name": "a", "pixel_value": 0, "saturation_threshold": 1, "relative_saturation": true}]', "pixel_v"),
        ('[{"defect_name": "a", "pixel_value": 9, "saturation_threshold": 2, "relative_saturation": true}]', "most 1"),
        ('[{"defect_name": "a", "pixel_value": 9, "saturation_threshold": 2}]', "entry 1, relative_saturation"),
        (
            json.dumps([{"defect_name": n, "pixel_value": 9, "saturation_threshold": 2, "relative_saturation": False}
                        for n in "ab"]),
            "pixel value 9 is of several defects.",
        ),
    ],
)  # fmt: skip
def test_invalid_config_is_an_error(loco, content, message):
    """Each error names its entry."""
    (loco / "defects_config.json").write_text(content)

    with pytest.raises(DataError) as caught:
        read_loco(loco)

    assert {problem.code for problem in caught.value.problems} == {"LC651"}
    assert message in str(caught.value)


def test_missing_folders_are_reported_together(tmp_path):
    """Every missing part is a problem."""
    with pytest.raises(DataError) as caught:
        read_loco(tmp_path)

    assert [problem.message for problem in caught.value.problems] == [
        'has no "test/good".', 'has no "ground_truth".', 'has no "defects_config.json".',
        'has no "test/logical_anomalies".',
    ]  # fmt: skip
