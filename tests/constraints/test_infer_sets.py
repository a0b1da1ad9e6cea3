"""Drafts of what goes together: sums, sets, numbers of each value, counts in each container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from logicls.constraints.mining.infer import SpecDraft, infer
from logicls.constraints.mining.proposals import Proposal
from logicls.records import Box, Instance, Scene

Thing = tuple[str, Mapping[str, str]]


def photos(count: int, draw: Callable[[np.random.Generator, int], Sequence[Thing]]) -> list[Scene]:
    """Photos of 1000 x 1000 pixels with these things anywhere on them."""
    rng = np.random.default_rng(0)
    scenes = []
    for number in range(count):
        instances = []
        for index, (name, facts) in enumerate(draw(rng, number), 1):
            x, y = rng.uniform(20, 940, 2)
            instances.append(Instance(index, name, Box(x, y, x + 30, y + 30), tuple(sorted(facts.items()))))
        scenes.append(Scene(f"good_{number:03d}.jpg", 1000, 1000, tuple(instances)))
    return scenes


def several(**counts: int) -> list[Thing]:
    """So many of each, without attributes."""
    return [(name, {}) for name, count in counts.items() for _ in range(count)]


def family(draft: SpecDraft, name: str) -> list[Proposal]:
    """The proposals of a family."""
    return [proposal for proposal in draft.rules.proposals if proposal.family == name]


def test_counts_that_add_up():
    """Where two counts vary and their sum does not, the sum is the rule, and limits that follow are left out."""

    def draw(rng, n):
        nuts = int(rng.integers(5))
        return several(nut=nuts, hole=4 - nuts)

    [rule] = infer(photos(40, draw)).rules.proposals

    assert rule.body == {"of": ["nut", "hole"], "exactly": 4}
    assert rule.violation == {"below": "missing_nut_or_hole", "above": "additional_nut_or_hole"}


def test_one_of_several_sets():
    """Few combinations of counts, each on several photos, and none of those that chance would have mixed."""

    def draw(rng, n):
        return (several(nut=2, washer=1), several(nut=4, washer=2), several(nut=1, washer=3))[int(rng.integers(3))]

    [rule] = infer(photos(90, draw)).rules.proposals

    assert (rule.family, rule.violation, rule.support) == ("composition", "wrong_set_of_nut_washer", "90/90")
    assert sorted(tuple(group.items()) for group in rule.body["one_of"]) == [
        (("nut", 1), ("washer", 3)), (("nut", 2), ("washer", 1)), (("nut", 4), ("washer", 2))
    ]  # fmt: skip


def test_one_of_three_kinds():
    """Always one, of any of three kinds: the three are counted together."""

    def draw(rng, n):
        return (several(lid=1), several(cap=1), several(box=1))[int(rng.integers(3))]

    [rule] = infer(photos(120, draw), ["lid", "cap", "box"]).rules.proposals

    assert rule.body == {"of": ["lid", "cap", "box"], "exactly": 1}


def test_never_both_but_sometimes_none():
    """Two things of which there is at most one."""

    def draw(rng, n):
        return (several(lid=1), several(cap=1), [])[int(rng.integers(3))] + several(tray=1)

    [rule] = family(infer(photos(120, draw), ["lid", "cap"]), "composition")

    assert (rule.body, rule.violation) == ({"exclusive": ["lid", "cap"]}, "lid_with_cap")


def test_the_one_only_with_the_other():
    """Never a nut without its bolt, though bolts without nuts."""

    def draw(rng, n):
        return (several(nut=1, bolt=1), several(bolt=1), [])[int(rng.integers(3))] + several(tray=1)

    [rule] = family(infer(photos(120, draw)), "composition")

    assert (rule.body, rule.violation) == ({"if": ["nut"], "then": ["bolt"]}, "nut_without_bolt")


def test_at_least_one_of_two():
    """Both, or either, and never neither."""

    def draw(rng, n):
        return (several(nut=1, clip=1), several(clip=1), several(nut=1))[int(rng.integers(3))] + several(tray=1)

    rules = family(infer(photos(120, draw)), "quantity")

    assert {"of": ["nut", "clip"], "at_least": 1} in [rule.body for rule in rules]


def test_counts_of_chance_make_no_set():
    """Things that come and go by themselves are left alone."""

    def draw(rng, n):
        return several(nut=int(rng.integers(3)), clip=int(rng.integers(3)), tray=1)

    assert family(infer(photos(200, draw)), "composition") == []


def test_a_number_of_each_value():
    """A long one and two short ones: asked where there are three at all."""

    def draw(rng, n):
        return [("screw", {"length": length}) for length in rng.permutation(["long", "short", "short"])]

    rules = family(infer(photos(40, draw)), "quantity")

    assert [(rule.body, rule.violation, rule.unless_broken) for rule in rules if "with" in rule.body] == [
        ({"of": "screw", "with": {"length": "short"}, "exactly": 2}, "wrong_screw_length", ("screw-count",)),
        ({"of": "screw", "with": {"length": "long"}, "exactly": 1}, "wrong_screw_length", ("screw-count",)),
    ]


def test_all_alike():
    """Three of the same colour, whichever it is; one photo with two colours makes it a question."""

    def draw(rng, n):
        colour = ("red", "blue")[int(rng.integers(2))]
        return [("candle", {"colour": colour}) for _ in range(3)]

    def mixed(rng, n):
        return [("candle", {"colour": "red"}), *draw(rng, n)[1:]] if n == 8 else draw(rng, n)

    [rule] = family(infer(photos(60, draw)), "attribute")
    asked = [question.text for question in infer(photos(60, mixed)).rules.questions]

    assert (rule.body, rule.violation) == ({"of": "candle.colour", "same": True}, "mixed_candle_colour")
    assert asked == ["all candle of a photo have the same colour on 59/60 photos, not on good_008.jpg."]


def test_a_count_in_each_container():
    """Two in every tray, however many trays there are."""

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
