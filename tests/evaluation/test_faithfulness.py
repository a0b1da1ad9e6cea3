"""Edits that flip one rule, and readers that see them or not."""

from types import SimpleNamespace

import pytest

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.loader import load_spec
from logicls.data.coco import read_dataset
from logicls.data.segmentation import read_segmentations
from logicls.evaluation.faithfulness import draw_counterfactuals, run_counterfactual_trials
from logicls.io.resources import resource_path
from logicls.predict.readers.protocol import Prediction
from logicls.records import Answer
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import load_balance_settings
from logicls.synth.violation_sampler import ViolationSampler

COUNT = 5


@pytest.fixture(scope="module")
def drafter():
    """Edits of the sample product."""
    dataset = read_dataset(resource_path("data/dosing_kit"))
    spec = load_spec(resource_path("constraints/dosing_kit.yaml"))
    return ViolationSampler(
        spec,
        InstanceBank(dataset, read_segmentations(dataset)),
        load_balance_settings(resource_path("synth/balance.yaml")),
    )


class Knowing:
    """Answers by heart: the truth of each of the photos that will be made, or (`blind`) of the photo before."""

    def __init__(self, drafter, *, blind):
        self.bundle = SimpleNamespace(spec=drafter.spec)
        self.known = {}
        for flip in draw_counterfactuals(drafter, COUNT, seed=3):
            for draft in (flip.before, flip.after):
                scene = (flip.before if blind else draft).canvas.scene
                self.known[draft.canvas.photo.tobytes()] = compute_answers(drafter.spec, scene)

    def look(self, photos):
        """The answers to each photo."""
        return [Prediction(self.known[photo.tobytes()], Answer("verdict"), ()) for photo in photos]


def test_a_reader_that_sees_edits_passes(drafter):
    """Every edit flips just what it breaks; each trial tells photo, violation and the rule's family."""
    tested = run_counterfactual_trials(Knowing(drafter, blind=False), drafter, COUNT, seed=3, batch=2)

    assert (tested.rate.count, tested.rate.total + tested.ignored_photos) == (COUNT - tested.ignored_photos, COUNT)
    assert tested.rate.total > 0
    assert {trial.kind for trial in tested.trials} <= {c.family for c in drafter.spec.constraints}
    assert all(trial.description.rpartition(": ")[2] in drafter.spec.violations for trial in tested.trials)


def test_a_reader_that_does_not_see_edits_fails(drafter):
    """It says of the edited photo what it said of the good one."""
    assert run_counterfactual_trials(Knowing(drafter, blind=True), drafter, COUNT, seed=3).rate.count == 0


def test_every_violation_comes_before_one_comes_again(drafter):
    """As often as any other, in an order that the seed draws."""
    names = drafter.spec.violations
    drawn = [flip.violation for flip in draw_counterfactuals(drafter, len(names), seed=0) if flip]

    assert len(drawn) == len(set(drawn)) > len(names) - 3
