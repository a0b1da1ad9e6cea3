"""Mined rules on dependent counts: sums, sets, counts of each value, counts in each container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from logicls.constraints.mining.infer import SpecDraft, infer
from logicls.constraints.mining.proposals import Proposal
from logicls.records import Box, Instance, Scene

LabelledInstance = tuple[str, Mapping[str, str]]


def photos(count: int, draw: Callable[[np.random.Generator, int], Sequence[LabelledInstance]]) -> list[Scene]:
    """Photos of 1000 x 1000 pixels with instances at random positions."""
    rng = np.random.default_rng(0)
    scenes = []
    for number in range(count):
        instances = []
        for index, (name, facts) in enumerate(draw(rng, number), 1):
            x, y = rng.uniform(20, 940, 2)
            instances.append(Instance(index, name, Box(x, y, x + 30, y + 30), tuple(sorted(facts.items()))))
        scenes.append(Scene(f"good_{number:03d}.jpg", 1000, 1000, tuple(instances)))
    return scenes


def instances_of(**counts: int) -> list[LabelledInstance]:
    """Instances without attributes."""
    return [(name, {}) for name, count in counts.items() for _ in range(count)]


def family(draft: SpecDraft, name: str) -> list[Proposal]:
    """Proposals of a family."""
    return [proposal for proposal in draft.rules.proposals if proposal.family == name]


def test_constant_sum():
    """If two counts vary and their sum does not, there is a rule on the sum, and implied limits are dropped."""

    def draw(rng, n):
        nuts = int(rng.integers(5))
        return instances_of(nut=nuts, hole=4 - nuts)

    [rule] = infer(photos(40, draw)).rules.proposals

    assert rule.body == {"of": ["nut", "hole"], "exactly": 4}
    assert rule.violation == {"below": "missing_nut_or_hole", "above": "additional_nut_or_hole"}


def test_alternative_sets():
    """Few combinations of counts, each on several photos, without those that independent counts would show."""

    def draw(rng, n):
        return (instances_of(nut=2, washer=1), instances_of(nut=4, washer=2), instances_of(nut=1, washer=3))[
            int(rng.integers(3))
        ]

    [rule] = infer(photos(90, draw)).rules.proposals

    assert (rule.family, rule.violation, rule.support) == ("composition", "wrong_set_of_nut_washer", "90/90")
    assert sorted(tuple(group.items()) for group in rule.body["one_of"]) == [
        (("nut", 1), ("washer", 3)), (("nut", 2), ("washer", 1)), (("nut", 4), ("washer", 2))
    ]  # fmt: skip


def test_constant_sum_of_three():
    """Always one of three components: there is a rule on their sum."""

    def draw(rng, n):
        return (instances_of(lid=1), instances_of(cap=1), instances_of(box=1))[int(rng.integers(3))]

    [rule] = infer(photos(120, draw), ["lid", "cap", "box"]).rules.proposals

    assert rule.body == {"of": ["lid", "cap", "box"], "exactly": 1}


def test_exclusion():
    """Never both components, sometimes none."""

    def draw(rng, n):
        return (instances_of(lid=1), instances_of(cap=1), [])[int(rng.integers(3))] + instances_of(tray=1)

    [rule] = family(infer(photos(120, draw), ["lid", "cap"]), "composition")

    assert (rule.body, rule.violation) == ({"exclusive": ["lid", "cap"]}, "lid_with_cap")


def test_implication():
    """Never a nut without a bolt, but bolts without nuts."""

    def draw(rng, n):
        return (instances_of(nut=1, bolt=1), instances_of(bolt=1), [])[int(rng.integers(3))] + instances_of(tray=1)

    [rule] = family(infer(photos(120, draw)), "composition")

    assert (rule.body, rule.violation) == ({"if": ["nut"], "then": ["bolt"]}, "nut_without_bolt")


def test_at_least_one_of_two():
    """Both or either, never neither."""

    def draw(rng, n):
        return (instances_of(nut=1, clip=1), instances_of(clip=1), instances_of(nut=1))[
            int(rng.integers(3))
        ] + instances_of(tray=1)

    rules = family(infer(photos(120, draw)), "quantity")

    assert {"of": ["nut", "clip"], "at_least": 1} in [rule.body for rule in rules]


def test_independent_counts_yield_no_set():
    """There is no rule on independent counts."""

    def draw(rng, n):
        return instances_of(nut=int(rng.integers(3)), clip=int(rng.integers(3)), tray=1)

    assert family(infer(photos(200, draw)), "composition") == []


def test_count_of_each_value():
    """One long and two short screws: the rules apply if there are three screws."""

    def draw(rng, n):
        return [("screw", {"length": length}) for length in rng.permutation(["long", "short", "short"])]

    rules = family(infer(photos(40, draw)), "quantity")

    assert [(rule.body, rule.violation, rule.unless_broken) for rule in rules if "with" in rule.body] == [
        ({"of": "screw", "with": {"length": "short"}, "exactly": 2}, "wrong_screw_length", ("screw-count",)),
        ({"of": "screw", "with": {"length": "long"}, "exactly": 1}, "wrong_screw_length", ("screw-count",)),
    ]


def test_equal_values():
    """Three candles of one colour per photo; one photo with two colours makes it a question."""

    def draw(rng, n):
        colour = ("red", "blue")[int(rng.integers(2))]
        return [("candle", {"colour": colour}) for _ in range(3)]

    def mixed(rng, n):
        return [("candle", {"colour": "red"}), *draw(rng, n)[1:]] if n == 8 else draw(rng, n)

    [rule] = family(infer(photos(60, draw)), "attribute")
    questions = [question.text for question in infer(photos(60, mixed)).rules.questions]

    assert (rule.body, rule.violation) == ({"of": "candle.colour", "same": True}, "mixed_candle_colour")
    assert questions == [
        "all instances of candle on a photo have the same colour on 59/60 photos, not on good_008.jpg."
    ]


def test_count_in_each_container():
    """Two nuts in every tray, for any number of trays."""

    def scene(number: int) -> Scene:
        rng = np.random.default_rng(number)
        instances = []
        for tray in range(1 + number % 3):
            left = 20 + 320 * tray
            instances.append(Instance(10 * tray + 1, "tray", Box(left, 100, left + 280, 900)))
            for nut in range(2):
                x, y = rng.uniform(left + 10, left + 240), rng.uniform(110, 860)
                instances.append(Instance(10 * tray + 2 + nut, "nut", Box(x, y, x + 30, y + 30)))
        return Scene(f"good_{number:03d}.jpg", 1000, 1000, tuple(instances))

    rules = [p for p in infer([scene(number) for number in range(40)]).rules.proposals if p.each]

    assert [(rule.each, rule.body, rule.support) for rule in rules] == [
        ("tray", {"of": "nut", "exactly": 2}, "40/40"),
    ]
