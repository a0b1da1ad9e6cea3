"""Which photos get a second look, and what the verdict says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from logicls.errors import DataError
from logicls.models.box_formats import BoxFamily
from logicls.models.hub.bundle_io import HubModelInfo
from logicls.plugins.reasoning.second_look import Reinspection, ReinspectionOutput, photo_doubts
from logicls.plugins.registry import FACTORIES, load_factory
from logicls.predict.decision import UNREADABLE_VERDICT, decide_photo, load_decision_model
from logicls.predict.readers.nano import NanoReader
from logicls.records import Answer, Finding, Verdict

PHOTO = np.zeros((20, 30, 3), np.uint8)
SURE = (Answer("locate:pin", confidence=0.99, probabilities=(0.99,)),)
OPEN = (Answer("locate:pin", confidence=0.5, probabilities=(0.5,)),)


class Counted:
    """A way to look again that counts, and gives what it was told to."""

    def __init__(self, again: ReinspectionOutput) -> None:
        self.again, self.photos = again, 0

    def look(self, photo: np.ndarray) -> ReinspectionOutput:
        """Whatever it was told to."""
        self.photos += 1
        return self.again


@pytest.fixture
def grounds(bundle):
    """Those of the small product's bundle."""
    return load_decision_model(bundle)


@pytest.mark.parametrize(
    ("verdict", "looks"),
    [
        (Verdict("a.png", "pass", answers=SURE), 0),
        (Verdict("a.png", "pass", answers=OPEN), 1),
        (Verdict("a.png", "review", answers=SURE), 1),
        (Verdict("a.png", "review", answers=SURE, unconditional_reasons=(UNREADABLE_VERDICT,)), 1),
        (Verdict("a.png", "review", answers=OPEN, unconditional_reasons=("too few pixels",)), 0),
    ],
)
def test_the_gate(grounds, verdict, looks):
    """Reviews and open slots are looked at again; what is sure, or for a person however it is read, is not."""
    way = Counted(ReinspectionOutput(None, (0.5, 0.4)))

    came = Reinspection("latent", grounds, way, min_entropy=0.95).reinspect(PHOTO, verdict)

    assert way.photos == looks
    assert (came is not None) == bool(looks)


def test_lasting_doubts_are_those_about_the_photo():
    """What could not be read may be read the second time; that a photo is unlike those known stays."""
    finding = Finding("two-pins", "unknown", found="pins could not be read")
    doubts = ("unlike those learned from", "two-pins: pins could not be read", UNREADABLE_VERDICT)

    assert photo_doubts(Verdict("a.png", "review", findings=(finding,), unconditional_reasons=doubts)) == (
        "unlike those learned from",
    )


def test_the_verdict_after_a_second_look(bundle, grounds, photos):
    """It is what the bundle's own grounds make of what was read, and keeps whose photo it is; the look is on record."""
    (look,) = NanoReader(bundle).predict_pixels(photos[:1])
    first = Verdict("a.png", "review", width=160, height=160, sha256="ab", bundle="b", version="1", seconds=1.0)

    came = Reinspection("closer", grounds, Counted(ReinspectionOutput(look, (0.5, 0.75), 2))).reinspect(
        photos[0], first
    )

    second = came.second_look
    own = decide_photo(grounds, look, "a.png", photos[0], size=(160, 160))
    assert came == replace(own, sha256="ab", bundle="b", version="1", seconds=came.seconds, second_look=second)
    assert (second.reasoner, second.before, second.rewards) == ("closer", "review", (0.5, 0.75))
    assert (second.retained_views, second.is_accepted) == (2, True)
    assert second.seconds > 0
    assert came.seconds == pytest.approx(1.0 + second.seconds)


def test_a_look_that_made_nothing_surer(grounds):
    """The verdict stays, and says that it was looked at again for nothing."""
    first = Verdict("a.png", "review", answers=OPEN)

    came = Reinspection("latent", grounds, Counted(ReinspectionOutput(None, (0.5, 0.4)))).reinspect(PHOTO, first)

    assert came == replace(first, seconds=came.seconds, second_look=came.second_look)
    assert (came.second_look.is_accepted, came.second_look.before) == (False, "review")


@pytest.mark.parametrize("name", FACTORIES["reasoner"])
def test_each_name_makes_a_reasoner_that_looks(bundle, photos, name):
    """Every name that the command line takes gives a verdict on a photo in review, on record under a name."""
    reasoner = load_factory("reasoner", name)(bundle)
    first = Verdict("a.png", "review", width=180, height=120)

    came = reasoner.reinspect(photos[1], first)

    assert came.second_look.reasoner == reasoner.name
    assert came.photo == "a.png"


@pytest.mark.parametrize("name", FACTORIES["reasoner"])
def test_another_model_is_refused(bundle, name):
    """Think tokens and larger inputs are the embedded model's; a hub model is LC740."""
    hub = HubModelInfo("org/model", "", "0", False, "float32", False, BoxFamily.pixels)

    with pytest.raises(DataError) as caught:
        load_factory("reasoner", name)(replace(bundle, hub=hub))

    assert [problem.code for problem in caught.value.problems] == ["LC740"]
