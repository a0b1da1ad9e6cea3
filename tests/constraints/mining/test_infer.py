"""Drafts: what is found in photos, what is asked, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from logicls.constraints.mining.infer import SpecDraft, infer
from logicls.constraints.spec.loader import load_spec, load_spec_file
from logicls.data.coco import read_dataset
from logicls.data.dataset_lint import check_spec
from logicls.diagnostics.codes import level_of
from logicls.errors import DataError, Problem
from logicls.io.resources import resource_path
from logicls.records import Box, Instance, Scene

Thing = tuple[str, tuple[float, float, float, float], Mapping[str, str]]


def photos(count: int, draw: Callable[[np.random.Generator, int], Sequence[Thing]]) -> list[Scene]:
    """Photos of 1000 x 1000 pixels; `draw` gives the things on each."""
    rng = np.random.default_rng(0)
    return [
        Scene(f"good_{number:03d}.jpg", 1000, 1000, tuple(
            Instance(index, name, Box(*map(float, box)), tuple(sorted(facts.items())))
            for index, (name, box, facts) in enumerate(draw(rng, number), 1)
        ))
        for number in range(count)
    ]  # fmt: skip


def at(x: float, y: float, size: float = 40) -> tuple[float, float, float, float]:
    """A square about that centre."""
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def rules(draft: SpecDraft, family: str) -> list[Mapping[str, object]]:
    """The bodies of the proposed rules of a family."""
    return [p.body for p in draft.rules.proposals if p.family == family]


def asked(draft: SpecDraft) -> list[str]:
    """What the questions say."""
    return [question.text for question in draft.rules.questions]


@pytest.fixture(scope="module")
def kit() -> SpecDraft:
    """The draft from the sample product's photos."""
    dataset = read_dataset(resource_path("data/dosing_kit"))
    return infer(
        dataset.scenes, dataset.categories, product="dosing_kit", source="dosing_kit", licence=dataset.licence
    )  # fmt: skip


def test_the_sample_products_counts(kit):
    """One of everything, and four tablets; for a second vial there is no room on the photos."""
    counts = [p for p in kit.found.proposals if p.id.endswith("-count")]

    assert [p.body for p in counts] == [
        {"of": "vial", "exactly": 1},
        {"of": "liquid", "exactly": 1},
        {"of": "label", "exactly": 1},
        {"of": "mark", "exactly": 1},
        {"of": "tablet", "exactly": 4},
        {"of": "spoon", "exactly": 1},
    ]
    assert counts[0].note == "no edit of these photos makes additional_vial: synthesis will not show it"


def test_the_sample_products_match(kit):
    """The mark's shape tells the liquid's colour, and is told by it."""
    assert rules(kit, "match") == [
        {"left": "mark.shape", "right": "liquid.colour", "pairs": {"drop": "red", "leaf": "yellow", "star": "blue"}}
    ]


def test_the_sample_products_level(kit):
    """The liquid fills the vial; its level lies in what the shipped spec allows."""
    [level] = [rule for rule in rules(kit, "measure") if rule.get("height") == "liquid"]

    assert level == {"height": "liquid", "relative_to": "vial", "between": [0.632, 0.688]}
    assert {component.name: component.fills for component in kit.components if component.fills} == {"liquid": "vial"}


def test_the_sample_products_layout(kit):
    """From left to right vial, tablets, spoon; the mark is centred in its label; nothing follows from the rest."""
    said = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(kit, "layout")]

    assert said == [
        ("vial", "left_of", "tablet"),
        ("tablet", "left_of", "spoon"),
        ("vial", "centred_in", "vial_place"),
        ("label", "centred_in", "label_place"),
        ("mark", "centred_in", "label"),
        ("spoon", "centred_in", "spoon_place"),
    ]


def test_the_sample_products_draft_passes_check(kit, tmp_path):
    """As a file it has no problem, on its own nor with the photos; what no edit can make is noted."""
    path = tmp_path / "draft.yaml"
    path.write_text(kit.text(), encoding="utf-8")

    found = list(check_spec(load_spec_file(path), resource_path("data/dosing_kit")))

    assert {level_of(problem) for problem in found} == {"note"}
    assert [p.message for p in found if p.code == "LC048"] == [
        "no edit of these photos makes additional_vial ('vial-count').",
        "no edit of these photos makes additional_liquid ('liquid-count').",
    ]


def test_the_file_is_the_draft(kit, tmp_path):
    """What is written loads as what was proposed."""
    path = tmp_path / "draft.yaml"
    path.write_text(kit.text(), encoding="utf-8")

    assert load_spec(path) == kit.spec()


def test_the_heading(kit):
    """It says what this is, what the number of photos promises, and whose photos they are."""
    assert kit.text().split("logicls: 1")[0] == (
        "# A draft, to be edited: what 60 annotated photos of dosing_kit have in common. Delete what is chance, "
        "and add what good\n"
        "# photos cannot show. Beside each rule stands on how many photos it holds, of those that it applies to.\n"
        "# What held on all 60 holds on at least 95.1 % of such photos, with 95 % confidence.\n"
        "# Licence of the photos: CC0 1.0.\n"
    )


def test_a_rule_bears_its_support_and_its_promise(kit):
    """Beside the rule the photos; above it what the interval covers, and which photos are its extremes."""
    level = kit.text()[kit.text().index("- id: liquid-level") :].split("  #", 2)
    above = kit.text()[: kit.text().index("  - id: liquid-level")].splitlines()[-2:]

    assert level[1].startswith(" 60/60\n")
    assert above == [
        "  # covers at least 92.3 % of such photos with 95 % confidence; 93 photos needed for 95 %; "
        "least good_027.jpg, most",
        "  # good_050.jpg",
    ]


def test_nothing_to_learn_from():
    """Without photos, or without anything on them, there is no draft."""
    with pytest.raises(DataError) as none:
        infer([])
    with pytest.raises(DataError) as bare:
        infer([Scene("a.jpg", 10, 10, ())], ["screw"])

    advice = "Annotate some good photos first."
    assert none.value.problems == (
        Problem("LC131", "there is nothing to draft rules from: no photos.", advice=advice),
    )  # fmt: skip
    said = "there is nothing to draft rules from: nothing that a rule could name is annotated on any photo."
    assert bare.value.problems == (Problem("LC131", said, advice=advice),)


@pytest.mark.parametrize("count", [1, 3])
def test_few_photos_show_counts_only(count):
    """A handful may agree on anything by chance: the draft says so, and has counts."""
    scenes = photos(
        count, lambda rng, n: [("lid", at(300, 300), {"hue": "red"}), ("nut", at(300, 600), {"hue": "red"})]
    )

    draft = infer(scenes)

    assert rules(draft, "quantity") == [{"of": "lid", "exactly": 1}, {"of": "nut", "exactly": 1}]
    assert len(draft.rules.proposals) == 2
    assert "# Too few photos for places, orders, pairs and sizes: those need 10.\n" in draft.to_yaml()


def test_a_category_that_is_never_annotated():
    """It is declared, so that the annotations fit; good photos have none of it."""
    scenes = photos(3, lambda rng, n: [("screw", at(300, 300), {})])

    draft = infer(scenes, ["screw", "hole"])

    assert [(c.name, c.optional) for c in draft.components] == [("screw", False), ("hole", True)]
    assert [(p.body, p.violation) for p in draft.rules.proposals] == [
        ({"of": "screw", "exactly": 1}, {"below": "missing_screw", "above": "additional_screw"}),
        ({"of": "hole", "exactly": 0}, "unexpected_hole"),
    ]


def test_counts_that_vary_become_ranges():
    """With what the range promises; a thing that may be absent is optional and has an upper limit only."""

    def draw(rng, n):
        things = ["nut"] * (2 + int(rng.integers(3))) + ["chip"] * int(rng.integers(2))
        return [(name, at(*rng.uniform(50, 950, 2)), {}) for name in things]

    draft = infer(photos(60, draw))

    assert [(p.body, p.violation, p.note) for p in draft.rules.proposals] == [
        (
            {"of": "nut", "between": [2, 4]},
            {"below": "missing_nut", "above": "additional_nut"},
            "2 to 4 a photo; covers at least 92.3 % of such photos with 95 % confidence; 93 photos needed for 95 %",
        ),
        (
            {"of": "chip", "at_most": 1},
            "additional_chip",
            "0 to 1 a photo; covers at least 95.1 % of such photos with 95 % confidence; 299 photos needed for 99 %",
        ),
    ]
    assert [(c.name, c.optional) for c in draft.components] == [("nut", False), ("chip", True)]


def test_a_count_that_nearly_always_holds_is_asked():
    """The photos that differ are named, and the rule is there to be taken over."""
    scenes = photos(100, lambda rng, n: [("nut", at(*rng.uniform(50, 950, 2)), {})] * (2 if n == 17 else 1))

    draft = infer(scenes)

    assert asked(draft) == ["99/100 photos have exactly 1 nut: good_017.jpg has 2."]
    assert (
        "#\n"
        "# 99/100 photos have exactly 1 nut: good_017.jpg has 2.\n"
        "#  - id: nut-exactly-1\n"
        "#    quantity: {of: nut, exactly: 1}  # 99/100\n"
        "#    violation: {below: missing_nut, above: additional_nut}\n"
    ) in draft.to_yaml()


def test_no_question_names_more_than_three_photos():
    """The others are counted."""
    scenes = photos(200, lambda rng, n: [("nut", at(*rng.uniform(50, 950, 2)), {})] * (2 if n < 5 else 1))

    draft = infer(scenes)

    assert asked(draft) == [
        "195/200 photos have exactly 1 nut: good_000.jpg has 2, good_001.jpg has 2, good_002.jpg has 2 and 2 more."
    ]


def test_counts_inside_a_container():
    """Where the total varies and the number in the container does not, that number is the rule."""

    def draw(rng, n):
        loose = [("nut", at(800, 100 + 60 * i), {}) for i in range(n % 4)]
        return [
            ("tray", (100, 100, 600, 900), {}),
            *(("nut", at(*rng.uniform(200, 500, 2)), {}) for _ in range(3)),
            *loose,
        ]

    draft = infer(photos(40, draw))

    assert {"of": "nut", "exactly": 3, "in": "tray"} in rules(draft, "quantity")
    assert {"of": "nut", "between": [3, 6]} in rules(draft, "quantity")


def test_things_in_places_of_their_own():
    """Always as many, each in its place: an empty place is a misplaced thing, if the number is right."""

    def draw(rng, n):
        spots = np.array([(200, 200), (800, 210), (210, 500), (500, 790)]) + rng.uniform(-10, 10, (4, 2))
        return [("peg", at(*spots[place]), {}) for place in rng.permutation(4)]

    draft = infer(photos(30, draw))

    assert [p.name for p in draft.rules.regions] == ["peg_place_1", "peg_place_2", "peg_place_3", "peg_place_4"]
    assert [(p.id, p.violation, p.unless_broken) for p in draft.rules.proposals[1:]] == [
        (f"peg_place_{number}-filled", "misplaced_peg", ("peg-count",)) for number in (1, 2, 3, 4)
    ]


def test_places_in_columns_and_rows():
    """A single region with as many cells, and a single rule."""

    def draw(rng, n):
        columns, rows = np.meshgrid(np.arange(5), np.arange(3))
        spots = np.stack([150 + 170 * columns.ravel(), 300 + 200 * rows.ravel()], axis=1)
        spots = spots + rng.uniform(-30, 30, (15, 2))
        return [("peg", at(*spots[place]), {}) for place in rng.permutation(15)]

    draft = infer(photos(30, draw))
    rule = draft.rules.proposals[1]

    assert [(p.name, p.grid) for p in draft.rules.regions] == [("peg_places", (5, 3))]
    assert [round(edge, 1) for edge in draft.rules.regions[0].box] == [0.1, 0.2, 0.9, 0.8]
    assert (rule.each, rule.body, rule.violation) == ("peg_places", {"of": "peg", "at_least": 1}, "misplaced_peg")
    assert "  peg_places: {box: [0.0" in draft.to_yaml()
    assert ", grid: [5, 3]}\n" in draft.to_yaml()


def test_places_that_an_attribute_names():
    """They bear its values, an empty one is a thing missing there, and of the count there are no more."""
    spots = {"left": (200, 500), "right": (800, 500)}
    scenes = photos(30, lambda rng, n: [
        ("peg", at(*(np.array(spot) + rng.uniform(-10, 10, 2))), {"slot": slot}) for slot, spot in spots.items()
    ])  # fmt: skip

    draft = infer(scenes)

    assert [(p.id, p.violation, p.unless_broken) for p in draft.rules.proposals] == [
        ("peg-count", "additional_peg", ()),
        ("peg_left-filled", "missing_peg_left", ()),
        ("peg_right-filled", "missing_peg_right", ()),
    ]


def test_what_no_edit_breaks_is_a_question():
    """There is no room for a third: a rule that says so would have nothing to be trained on."""
    scenes = photos(
        30, lambda rng, n: [("peg", (5, 5, 480, 995), {"slot": "left"}), ("peg", (520, 5, 995, 995), {"slot": "right"})]
    )

    draft = infer(scenes)

    assert [p.id for p in draft.rules.proposals] == ["peg_left-filled", "peg_right-filled"]
    assert asked(draft) == ["peg-count holds on 30/30 photos, but no edit of them breaks it."]


def bottle(rng: np.random.Generator, number: int) -> list[Thing]:
    """A filled bottle somewhere on the photo, with a label, its icon and a second label."""
    dx, dy = rng.uniform(-150, 150, 2)
    level, shift = rng.uniform(0, 30), rng.uniform(-12, 12, 2)
    boxes = {
        "bottle": (300, 100, 700, 900), "juice": (310, 300 + level, 690, 880),
        "emblem": (380 + shift[0], 350 + shift[1], 620 + shift[0], 450 + shift[1]),
        "icon": (470 + shift[0], 380 + shift[1], 530 + shift[0], 420 + shift[1]),
        "text": (390 + shift[0], 700, 610 + shift[0], 760),
    }  # fmt: skip
    facts = {"juice": {"colour": ("red", "white")[number % 2]}, "icon": {"fruit": ("cherry", "pear")[number % 2]}}
    return [
        (name, (x1 + dx, y1 + dy, x2 + dx, y2 + dy), facts.get(name, {})) for name, (x1, y1, x2, y2) in boxes.items()
    ]


def test_a_product_with_parts_in_parts():
    """Labels in order and in place on the bottle, the icon centred in its label, a filling, nothing of the photo."""
    draft = infer(photos(40, bottle))

    said = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(draft, "layout")]
    assert said == [
        ("emblem", "above", "text"),
        ("emblem", "centred_in", "emblem_place"),
        ("icon", "centred_in", "emblem"),
        ("text", "centred_in", "text_place"),
    ]
    assert [p.unless_broken for p in draft.rules.proposals if p.id == "text-in-place"] == [("emblem-above-text",)]
    assert [component.note for component in draft.components] == [
        "on 40/40 photos",
        "on 40/40 photos; fills bottle, it seems: only its top moves",
        "on 40/40 photos; lies in bottle",
        "on 40/40 photos; lies in emblem",
        "on 40/40 photos; lies in bottle",
    ]
    assert {rule.get("relative_to") for rule in rules(draft, "measure")} == {"bottle", "emblem"}


def test_what_just_lies_inside():
    """A thing without a place of its own lies inside, with the tolerance that the photos need."""
    scenes = photos(40, lambda rng, n: [
        ("tray", (100, 100, 900, 900), {}), ("nut", at(*rng.uniform(110, 890, 2)), {}), ("nut", at(500, 95 + 20), {})
    ])  # fmt: skip

    [rule] = rules(infer(scenes), "layout")

    assert (rule["subject"], rule["relation"], rule["object"]) == ("nut", "inside", "tray")
    assert 0.006 < rule["tolerance"] < 0.0125


def test_one_photo_outside_is_a_question():
    """Everything but one lies inside: the photo is named."""
    scenes = photos(100, lambda rng, n: [
        ("tray", (100, 100, 700, 900), {}), ("nut", at(850, 500) if n == 3 else at(*rng.uniform(150, 650, 2)), {})
    ])  # fmt: skip

    draft = infer(scenes)

    assert rules(draft, "layout") == []
    assert asked(draft) == ["nut lies inside tray on 99/100 photos, not on good_003.jpg."]


def test_orders_that_follow_from_others_are_left_out():
    """Of a row of four only the neighbours are named."""
    scenes = photos(30, lambda rng, n: [
        (name, at(150 + 220 * i + float(rng.uniform(-80, 80)), float(rng.uniform(100, 900))), {})
        for i, name in enumerate("abcd")
    ])  # fmt: skip

    said = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(infer(scenes), "layout")]

    assert [order for order in said if order[1] == "left_of"] == [
        ("a", "left_of", "b"), ("b", "left_of", "c"), ("c", "left_of", "d")
    ]  # fmt: skip


def test_an_order_that_may_be_a_coincidence_is_left_out():
    """Centres that always differ by a little, on boxes that overlap along the axis, are no order."""
    scenes = photos(30, lambda rng, n: [
        ("a", at(200, 500 + float(rng.uniform(0, 300)), 100), {}), ("b", at(600, 0, 100), {})
    ])  # fmt: skip
    nearly = [
        Scene(s.photo, 1000, 1000, (s.instances[0], Instance(2, "b", s.instances[0].box.translate(400, 1 + n % 20))))
        for n, s in enumerate(scenes)
    ]

    said = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(infer(nearly), "layout")]

    assert ("a", "left_of", "b") in said
    assert ("a", "above", "b") not in said


def test_one_photo_the_other_way_round_is_a_question():
    """The photo is named."""

    def draw(rng, n):
        lid, cup = (800, 200) if n == 7 else (200, 800)
        return [("lid", at(*rng.uniform(100, 900, 1), lid), {}), ("cup", at(*rng.uniform(100, 900, 1), cup), {})]

    draft = infer(photos(50, draw))

    assert asked(draft) == ["lid is above cup on 49/50 photos, not on good_007.jpg."]


@pytest.mark.parametrize(
    ("count", "found"), [(8, False), (12, False), (30, True)], ids=["too few photos", "chance", "enough"]
)
def test_pairs_need_photos(count, found):
    """Two values that fall in with two others on a dozen photos may do so by chance."""
    draft = infer(photos(count, bottle))

    assert (rules(draft, "match") != []) is found


def test_a_value_that_tells_another_one_way():
    """Several left values go with the same right one; the determining attribute stands on the left."""

    def draw(rng, n):
        kind = int(rng.integers(4))
        return [
            ("tag", at(200, 200, 30), {"code": "abcd"[kind]}),
            ("lid", at(700, 700), {"hue": ("red", "blue")[kind // 2]}),
        ]

    [match] = rules(infer(photos(60, draw)), "match")

    assert (match["left"], match["right"]) == ("tag.code", "lid.hue")
    assert match["pairs"] == {"a": "red", "b": "red", "c": "blue", "d": "blue"}


def test_three_attributes_that_tell_one_another_need_two_rules():
    """The third pair follows."""

    def draw(rng, n):
        kind = int(rng.integers(3))
        return [
            (name, at(x, 500, 20 + x / 10), {"kind": f"{name}{kind}"})
            for name, x in (("p", 200), ("q", 500), ("r", 800))
        ]

    said = [(match["left"], match["right"]) for match in rules(infer(photos(60, draw)), "match")]

    assert said == [("p.kind", "q.kind"), ("p.kind", "r.kind")]


def test_a_pair_that_nearly_always_holds_is_asked():
    """One wrong pair in a hundred is a question."""

    def draw(rng, n):
        kind = n % 3
        return [
            ("p", at(200, 500), {"kind": "xyz"[kind]}),
            ("q", at(700, 500, 60), {"kind": "uvw"[kind if n != 44 else 0]}),
        ]

    draft = infer(photos(100, draw))

    assert asked(draft) == [
        "p.kind tells q.kind on 99/100 photos, not on good_044.jpg.",
    ]
    assert rules(draft, "match") == []


def test_attributes_of_chance_do_not_match():
    """Values that were drawn by themselves go with nothing."""
    scenes = photos(
        100,
        lambda rng, n: [(name, at(x, 500), {"kind": "xyz"[rng.integers(3)]}) for name, x in (("p", 200), ("q", 700))],
    )

    assert rules(infer(scenes), "match") == []


def test_a_size_but_for_one_photo_is_a_question():
    """The interval would be narrow; the photo that is not in it is named."""

    def draw(rng, n):
        height = 260 if n == 5 else 100 + rng.uniform(0, 4)
        width = rng.uniform(100, 300)
        return [("box", (100, 100, 900, 900), {}), ("label", (200, 200, 200 + width, 200 + height), {})]

    draft = infer(photos(60, draw))

    assert "height of label between 0.125 and 0.130 of the box on 59/60 photos, not on good_005.jpg." in asked(draft)


def test_names_that_cannot_be_used_are_said():
    """Illegal categories, values and attributes, texts and gaps are left out, each with its reason."""

    def draw(rng, n):
        facts = {"kind": "a b", "serial": f"no{n}", "maybe": "x", "the side": "l"} | ({} if n else {"extra": "x"})
        if n == 3:
            del facts["maybe"]
        return [("lid", at(300, 300), facts), ("Größe", at(700, 700), {})]

    draft = infer(photos(40, draw))

    assert draft.unused == (
        'category "Größe" is not a legal name: rename it in the annotations to use it',
        'attribute "extra" of lid is left out: annotated on 1 of 40 only',
        'attribute "kind" of lid is left out: '
        'its value "a b" is not a legal name, rename it in the annotations to use it',
        'attribute "maybe" of lid is left out: annotated on 39 of 40 only',
        'attribute "serial" of lid is left out: 40 different values',
        'attribute "the side" of lid is left out: not a legal name, rename it in the annotations to use it',
    )
    assert "# Not used: category" in draft.to_yaml()


def test_names_that_yaml_would_misread_are_quoted(tmp_path: Path):
    """Numbers and truth values stay names."""
    scenes = photos(3, lambda rng, n: [("true", at(300, 300), {"1": ("true", "1e3", "2")[n]})])
    path = tmp_path / "draft.yaml"
    path.write_text(infer(scenes, product="007").to_yaml(), encoding="utf-8")

    spec = load_spec(path)

    assert spec.product.name == "007"
    assert spec.attribute_values == {"true": {"1": ["1e3", "2", "true"]}}


def test_two_labels_each_with_its_mark():
    """Where there are several containers, each thing is held against its own."""

    def draw(rng, n):
        shift = rng.uniform(-100, 100, (2, 2))
        spots = [np.array(spot) + s for spot, s in zip(((250, 300), (750, 700)), shift, strict=True)]
        return [
            *(("label", at(*spot, 200), {}) for spot in spots),
            *(("mark", at(*(spot + 8), 40), {}) for spot in spots),
        ]

    draft = infer(photos(30, draw))

    assert {"subject": "mark", "relation": "centred_in", "object": "label", "tolerance": 0.041} in rules(
        draft, "layout"
    )
