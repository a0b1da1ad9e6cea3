"""Reinspection: the gate, the methods, and the verdict after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from logicls.errors import DataError
from logicls.models.box_formats import BoxFamily
from logicls.models.hub.bundle_io import HubModelInfo
from logicls.plugins.reasoning.latent_reasoning import AscentSettings
from logicls.plugins.reasoning.reinspection_result import reinspection_of
from logicls.plugins.reasoning.second_look import (
    LargerInput,
    LatentReasoning,
    LatentSettings,
    Reinspection,
    ReinspectionOutput,
    enlarge_input,
    initial_tokens,
    photo_doubts,
)
from logicls.plugins.registry import FACTORIES, load_factory
from logicls.predict.decision import UNREADABLE_VERDICT, decide_photo, load_decision_model
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays
from logicls.records import Answer, Finding, Verdict

ASCENT = AscentSettings(steps=4)


def test_initial_tokens():
    """The mean is the photo's mean token, the deviation its root mean square; the seed determines them."""
    feature = torch.tensor([[3.0, -4.0]])

    result = initial_tokens(feature, 20000, torch.Generator().manual_seed(0))

    assert result.mean((0, 1)).tolist() == pytest.approx([3.0, -4.0], abs=0.1)
    assert result.std(1)[0].tolist() == pytest.approx([12.5**0.5] * 2, abs=0.1)
    assert torch.equal(result, initial_tokens(feature, 20000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("gradient", ["exact", "sampled"])
def test_ascent_raises_reward(bundle, photos, gradient):
    """The reward rises with every step, the seed determines it, and no weight changes."""
    before = {name: weight.clone() for name, weight in bundle.model.state_dict().items()}
    method = LatentReasoning(bundle, LatentSettings(gradient=gradient, ascent=ASCENT))

    output = method.predict(photos[0])

    assert len(output.rewards) == 6
    assert list(output.rewards[1:]) == sorted(output.rewards[1:])
    assert output.rewards[-1] > output.rewards[0]
    assert output.prediction is not None
    assert method.predict(photos[0]).rewards == output.rewards
    assert all(torch.equal(weight, before[name]) for name, weight in bundle.model.state_dict().items())
    assert all(weight.grad is None for weight in bundle.model.parameters())


def test_injection_raises_reward(bundle, photos):
    """After one step the reward is higher where proposals were accepted, and equal elsewhere."""
    one = AscentSettings(steps=1)
    injected = [LatentReasoning(bundle, LatentSettings(ascent=one)).predict(photo) for photo in photos]
    without = [
        LatentReasoning(bundle, LatentSettings(ascent=one, has_injection=False)).predict(photo) for photo in photos
    ]

    assert sum(output.accepted for output in injected) > 0
    assert [output.accepted for output in without] == [0, 0, 0]
    for more, less in zip(injected, without, strict=True):
        assert more.rewards[:2] == less.rewards[:2]
        assert (more.rewards[2] > less.rewards[2]) if more.accepted else (more.rewards[2] == less.rewards[2])


def test_no_gain_keeps_first_prediction(bundle, photos):
    """Without a gain there is no new prediction, except from the control."""
    outputs = {
        n: LatentReasoning(bundle, LatentSettings(seed=n, ascent=AscentSettings(steps=0), has_injection=False)).predict(
            photos[0]
        )
        for n in range(8)
    }

    fell = [n for n, output in outputs.items() if output.rewards[-1] <= output.rewards[0]]
    assert fell
    assert all((output.prediction is None) == (n in fell) for n, output in outputs.items())
    random = LatentReasoning(bundle, LatentSettings(gradient="none", seed=fell[0], has_injection=False)).predict(
        photos[0]
    )
    assert random.prediction is not None
    assert random.rewards == outputs[fell[0]].rewards


def test_larger_input(bundle, photos):
    """A larger input has more tokens; boxes stay in pixels of the photo; scale 1 changes nothing."""
    assert enlarge_input(bundle, 2.0).processor.image_tokens == 4 * bundle.processor.image_tokens
    (first,) = predict_arrays(NanoReader(bundle), photos[1:2])

    assert LargerInput(bundle, 1.0).predict(photos[1]).prediction == first
    larger = LargerInput(bundle, 2.0).predict(photos[1])
    boxes = [box for answer in larger.prediction.answers for box in answer.boxes]
    assert larger.prediction != first
    assert boxes
    assert all(0 <= box.x1 <= box.x2 <= 180 and 0 <= box.y1 <= box.y2 <= 120 for box in boxes)


PHOTO = np.zeros((20, 30, 3), np.uint8)
CERTAIN = (Answer("locate:pin", confidence=0.99, probabilities=(0.99,)),)
UNCERTAIN = (Answer("locate:pin", confidence=0.5, probabilities=(0.5,)),)


class CountingMethod:
    """Reinspection method that counts photos and returns a given output."""

    def __init__(self, output: ReinspectionOutput) -> None:
        self.output, self.photos = output, 0

    def predict(self, photo: np.ndarray) -> ReinspectionOutput:
        """Return the given output."""
        self.photos += 1
        return self.output


@pytest.fixture
def decision_model(bundle):
    """Return the decision model of the bundle."""
    return load_decision_model(bundle)


@pytest.mark.parametrize(
    ("verdict", "count"),
    [
        (Verdict("a.png", "pass", answers=CERTAIN), 0),
        (Verdict("a.png", "pass", answers=UNCERTAIN), 1),
        (Verdict("a.png", "review", answers=CERTAIN), 1),
        (Verdict("a.png", "review", answers=CERTAIN, unconditional_reasons=(UNREADABLE_VERDICT,)), 1),
        (Verdict("a.png", "review", answers=UNCERTAIN, unconditional_reasons=("too few pixels",)), 0),
    ],
)
def test_gate(decision_model, verdict, count):
    """Reviews and uncertain slots are inspected output; certain ones and photos in doubt are not."""
    method = CountingMethod(ReinspectionOutput(None, (0.5, 0.4)))

    result = Reinspection("latent", decision_model, method, min_entropy=0.95).reinspect(PHOTO, verdict)

    assert method.photos == count
    assert (result is not None) == bool(count)


def test_photo_doubts():
    """Unreadable answers may become readable; doubts about the photo stay."""
    finding = Finding("two-pins", "unknown", found="pins could not be read")
    doubts = ("unlike those learned from", "two-pins: pins could not be read", UNREADABLE_VERDICT)

    assert photo_doubts(Verdict("a.png", "review", findings=(finding,), unconditional_reasons=doubts)) == (
        "unlike those learned from",
    )


def test_verdict_after_reinspection(bundle, decision_model, photos):
    """The verdict is the decision model's on the new prediction, with the record of the re-inspection."""
    (prediction,) = predict_arrays(NanoReader(bundle), photos[:1])
    first = Verdict("a.png", "review", width=160, height=160, sha256="ab", bundle="b", version="1", seconds=1.0)

    result = Reinspection(
        "closer", decision_model, CountingMethod(ReinspectionOutput(prediction, (0.5, 0.75), 2))
    ).reinspect(photos[0], first)

    second = reinspection_of(result)
    own = decide_photo(decision_model, prediction, "a.png", photos[0], size=(160, 160))
    assert result == replace(
        own, sha256="ab", bundle="b", version="1", seconds=result.seconds, plugin_results=result.plugin_results
    )
    assert (second.reasoner, second.before, second.rewards) == ("closer", "review", (0.5, 0.75))
    assert (second.retained_views, second.is_accepted) == (2, True)
    assert second.seconds > 0
    assert result.seconds == pytest.approx(1.0 + second.seconds)


def test_reinspection_without_gain(decision_model):
    """The verdict stays, and records the attempt."""
    first = Verdict("a.png", "review", answers=UNCERTAIN)

    result = Reinspection("latent", decision_model, CountingMethod(ReinspectionOutput(None, (0.5, 0.4)))).reinspect(
        PHOTO, first
    )

    assert result == replace(first, seconds=result.seconds, plugin_results=result.plugin_results)
    assert (reinspection_of(result).is_accepted, reinspection_of(result).before) == (False, "review")


@pytest.mark.parametrize("name", FACTORIES["reasoner"])
def test_every_reasoner(bundle, photos, name):
    """Every registered reasoner returns a verdict with its name."""
    reasoner = load_factory("reasoner", name)(bundle)
    first = Verdict("a.png", "review", width=180, height=120)

    result = reasoner.reinspect(photos[1], first)

    assert reinspection_of(result).reasoner == reasoner.name
    assert result.photo == "a.png"


@pytest.mark.parametrize("name", FACTORIES["reasoner"])
def test_other_model_is_rejected(bundle, name):
    """A hub model or an external model is rejected: LC740."""
    hub = HubModelInfo("org/model", "", "0", False, "float32", False, BoxFamily.pixels)

    with pytest.raises(DataError) as caught:
        load_factory("reasoner", name)(replace(bundle, hub=hub))

    assert [problem.code for problem in caught.value.problems] == ["LC740"]
