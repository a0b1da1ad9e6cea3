"""The public Python API: a verdict on a path, an array, or a list of either."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import logicls
from logicls.io.resources import resource_path


@pytest.fixture(scope="module")
def inspector(old_bundle):
    """Inspector of a small bundle."""
    with logicls.load(old_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def photos():
    """Two photos of the sample product."""
    return sorted((resource_path("data/dosing_kit") / "heldout" / "images").iterdir())[:2]


def test_public_names_load_no_torch():
    """Names that need no model load neither torch nor transformers; an unknown name is an AttributeError."""
    code = """
import sys, logicls
logicls.Verdict, logicls.load_spec, logicls.Spec, dir(logicls)
print(sorted({"torch", "transformers"} & set(sys.modules)), hasattr(logicls, "no_such_name"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[] False"


def test_a_path_is_one_verdict(inspector, photos):
    """A path, as text or as an object, gives one verdict, with the photo's size and hash."""
    verdict = inspector.predict(photos[0])

    assert isinstance(verdict, logicls.Verdict)
    assert verdict.photo == str(photos[0])
    with Image.open(photos[0]) as image:
        assert (verdict.width, verdict.height) == image.size
    assert {answer.query for answer in verdict.answers} >= {"locate:vial", "locate:tablet"}
    assert inspector.predict(str(photos[0])).answers == verdict.answers


def test_an_array_is_read_like_its_file(inspector, photos):
    """The pixels of a photo give the same answers as its file; grey pixels are read as RGB."""
    with Image.open(photos[0]) as image:
        pixels = np.asarray(image.convert("RGB"))
    grey = np.full((80, 60), 90, np.uint8)

    from_array, from_grey = inspector.predict([pixels, grey])

    assert from_array.answers == inspector.predict([photos[0], grey])[0].answers
    assert (from_array.photo, from_array.width) == ("array", pixels.shape[1])
    assert from_grey.answers == inspector.predict([pixels, np.dstack([grey] * 3)])[1].answers


def test_a_list_is_a_list_of_verdicts(inspector, photos):
    """A list gives a verdict per photo in order, however many are read together; an empty one gives none."""
    verdicts = inspector.predict([*photos, *photos], batch=3)

    assert [verdict.photo for verdict in verdicts] == [str(path) for path in (*photos, *photos)]
    assert inspector.predict([]) == []


def test_a_damaged_file_goes_to_review(inspector, tmp_path):
    """A file that is no photo has the outcome review, with the reason."""
    (tmp_path / "a.jpg").write_bytes(b"no photo")

    verdict = inspector.predict(tmp_path / "a.jpg")

    assert verdict.outcome == "review"
    assert verdict.reasons != ()


def test_wrong_input_is_an_error(inspector, tmp_path):
    """A file that does not exist, and arrays of another type or shape, are errors and never verdicts."""
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg"):
        inspector.predict(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match="float64"):
        inspector.predict(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match=r"\(8, 8, 4\)"):
        inspector.predict(np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(ValueError, match="at least one pixel"):
        inspector.predict(np.zeros((0, 8, 3), np.uint8))


def test_the_rules_are_there(inspector, old_bundle):
    """The inspector says which rules its verdicts are about, and they are those of the bundle's spec."""
    assert inspector.spec.product.name == "dosing_kit"
    assert [c.id for c in inspector.spec.constraints] == [
        c.id for c in logicls.load_spec(old_bundle / "spec.yaml").constraints
    ]


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    """Loading says what is wrong with the folder."""
    with pytest.raises(logicls.LogiClsError, match="LC501"):
        logicls.load(tmp_path)
