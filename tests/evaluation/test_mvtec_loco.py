"""Folders of MVTec LOCO AD are read as they are, and all that is wrong with one is said at once."""

import json

import numpy as np
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.evaluation.mvtec_loco import DefectKind, read_loco


def test_every_photo_has_its_split_size_and_defects(loco):
    """The test set alone: neither training nor validation photos are part of it."""
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
    """A share of the region's area, whole pixels; or so many pixels, but no more than there are."""
    (half,), (_, four) = (photo.regions for photo in read_loco(loco).photos[2:4])

    assert half.kind == DefectKind("missing_pin", 255, 0.5, True)
    assert (half.saturation(20), half.saturation(5), half.saturation(1)) == (10, 2, 1)
    assert (four.saturation(16), four.saturation(3)) == (4, 3)
    assert int(half.read_mask().sum()) == 20


def test_a_product_without_structural_anomalies_is_read(loco):
    """Either kind of anomaly may be missing, not both."""
    (loco / "test/structural_anomalies").rename(loco / "elsewhere")

    assert [photo.split for photo in read_loco(loco).photos][-1] == "logical_anomalies"


def test_all_that_is_wrong_is_said_at_once(loco):
    """A value that is no defect's, two values, a mask of another size, one in colour, one that is missing."""
    masks = loco / "ground_truth"
    Image.fromarray(np.full((10, 10), 7, np.uint8)).save(masks / "logical_anomalies/000/000.png")
    Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10) % 3).save(masks / "logical_anomalies/001/000.png")
    Image.new("L", (9, 10), 254).save(masks / "logical_anomalies/001/001.png")
    Image.new("RGB", (10, 10)).save(masks / "logical_anomalies/001/002.png")
    (masks / "structural_anomalies/000/000.png").unlink()

    with pytest.raises(DataError) as caught:
        read_loco(loco)

    told = [(p.code, p.message) for p in caught.value.problems]
    assert told == [
        ("LC652", "has the value 7, which defects_config.json does not know."),
        ("LC652", "has the values 1, 2 besides 0."),
        ("LC652", "has 9 x 10 pixels, its photo 10 x 10."),
        ("LC652", 'is not a grey picture that can be read: its mode is "RGB".'),
        ("LC653", '"structural_anomalies/000.png" is anomalous and has no region.'),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "invalid JSON"),
        ("[]", "names no defect."),
        ('[{"defect_name": "a", "pixel_value": 0, "saturation_threshold": 1, "relative_saturation": true}]', "pixel_v"),
        ('[{"defect_name": "a", "pixel_value": 9, "saturation_threshold": 2, "relative_saturation": true}]', "most 1"),
        ('[{"defect_name": "a", "pixel_value": 9, "saturation_threshold": 2}]', "entry 1, relative_saturation"),
        (
            json.dumps([{"defect_name": n, "pixel_value": 9, "saturation_threshold": 2, "relative_saturation": False}
                        for n in "ab"]),
            "the value 9 stands for more than one defect.",
        ),
    ],
)  # fmt: skip
def test_a_broken_config_is_refused(loco, content, said):
    """Each slip is named with the entry it is in."""
    (loco / "defects_config.json").write_text(content)

    with pytest.raises(DataError) as caught:
        read_loco(loco)

    assert {problem.code for problem in caught.value.problems} == {"LC651"}
    assert said in str(caught.value)


def test_a_folder_that_is_no_product_names_what_it_lacks(tmp_path):
    """Every missing part in one go."""
    with pytest.raises(DataError) as caught:
        read_loco(tmp_path)

    assert [problem.message for problem in caught.value.problems] == [
        'has no "test/good".', 'has no "ground_truth".', 'has no "defects_config.json".',
        'has no "test/logical_anomalies".',
    ]  # fmt: skip
