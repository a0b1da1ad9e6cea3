"""The ways to look again, on a model of random weights."""

from __future__ import annotations

import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import AscentSettings
from logicls.plugins.reasoning.second_look import (
    LargerInput,
    LatentReasoning,
    LatentSettings,
    enlarge_input,
    initial_tokens,
)
from logicls.predict.readers.nano import NanoReader

PACE = AscentSettings(steps=4)


def test_think_tokens_begin_around_the_photo():
    """Mean of many: the photo's mean token; spread: its root mean square; the seed decides."""
    feature = torch.tensor([[3.0, -4.0]])

    found = initial_tokens(feature, 20000, torch.Generator().manual_seed(0))

    assert found.mean((0, 1)).tolist() == pytest.approx([3.0, -4.0], abs=0.1)
    assert found.std(1)[0].tolist() == pytest.approx([12.5**0.5] * 2, abs=0.1)
    assert torch.equal(found, initial_tokens(feature, 20000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("slope", ["exact", "sampled"])
def test_thinking_makes_answers_surer_and_leaves_the_model_alone(bundle, photos, slope):
    """The reward rises step by step from that of the photo alone, the same seed does the same, no weight changes."""
    before = {name: weight.clone() for name, weight in bundle.model.state_dict().items()}
    way = LatentReasoning(bundle, LatentSettings(gradient=slope, ascent=PACE))

    again = way.predict(photos[0])

    assert len(again.rewards) == 6
    assert list(again.rewards[1:]) == sorted(again.rewards[1:])
    assert again.rewards[-1] > again.rewards[0]
    assert again.prediction is not None
    assert way.predict(photos[0]).rewards == again.rewards
    assert all(torch.equal(weight, before[name]) for name, weight in bundle.model.state_dict().items())
    assert all(weight.grad is None for weight in bundle.model.parameters())


def test_what_is_shown_finer_stays_where_it_helps(bundle, photos):
    """After one step the reward is higher by what was kept, and the same where nothing was; something is kept."""
    one = AscentSettings(steps=1)
    shown = [LatentReasoning(bundle, LatentSettings(ascent=one)).predict(photo) for photo in photos]
    still = [
        LatentReasoning(bundle, LatentSettings(ascent=one, has_injection=False)).predict(photo) for photo in photos
    ]

    assert sum(again.accepted for again in shown) > 0
    assert [again.accepted for again in still] == [0, 0, 0]
    for more, less in zip(shown, still, strict=True):
        assert more.rewards[:2] == less.rewards[:2]
        assert (more.rewards[2] > less.rewards[2]) if more.accepted else (more.rewards[2] == less.rewards[2])


def test_where_nothing_rises_the_first_look_stands(bundle, photos):
    """Think tokens that make answers less sure than none give no second verdict; the control does, as it must."""
    looks = {
        n: LatentReasoning(bundle, LatentSettings(seed=n, ascent=AscentSettings(steps=0), has_injection=False)).predict(
            photos[0]
        )
        for n in range(8)
    }

    fell = [n for n, again in looks.items() if again.rewards[-1] <= again.rewards[0]]
    assert fell
    assert all((again.prediction is None) == (n in fell) for n, again in looks.items())
    random = LatentReasoning(bundle, LatentSettings(gradient="none", seed=fell[0], has_injection=False)).predict(
        photos[0]
    )
    assert random.prediction is not None
    assert random.rewards == looks[fell[0]].rewards


def test_closer_is_a_larger_input_of_the_same_model(bundle, photos):
    """The photo has more tokens; boxes are in pixels of the photo all the same; at the same size nothing differs."""
    assert enlarge_input(bundle, 2.0).processor.image_tokens == 4 * bundle.processor.image_tokens
    (first,) = NanoReader(bundle).predict_pixels(photos[1:2])

    assert LargerInput(bundle, 1.0).predict(photos[1]).prediction == first
    closer = LargerInput(bundle, 2.0).predict(photos[1])
    boxes = [box for answer in closer.prediction.answers for box in answer.boxes]
    assert closer.prediction != first
    assert boxes
    assert all(0 <= box.x1 <= box.x2 <= 180 and 0 <= box.y1 <= box.y2 <= 120 for box in boxes)
