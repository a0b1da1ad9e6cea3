"""Inferred drafts: rules, questions, and YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from logicls.constraints.mining.appearances import mine_appearances
from logicls.constraints.mining.infer import SpecDraft, infer
from logicls.constraints.mining.orientations import PoseObservation
from logicls.constraints.mining.proposals import MiningResult, NameRegistry
from logicls.constraints.spec.loader import load_spec, load_spec_file
from logicls.data.coco import read_dataset
from logicls.data.dataset_lint import check_spec
from logicls.diagnostics.codes import level_of
from logicls.errors import DataError, Problem
from logicls.io.resources import resource_path
from logicls.records import Box, Instance, Scene

AnnotatedBox = tuple[str, tuple[float, float, float, float], Mapping[str, str]]


def photos(count: int, draw: Callable[[np.random.Generator, int], Sequence[AnnotatedBox]]) -> list[Scene]:
    """Photos of 1000 x 1000 pixels with the boxes that `draw` returns."""
    rng = np.random.default_rng(0)
    return [
        Scene(f"good_{number:03d}.jpg", 1000, 1000, tuple(
            Instance(index, name, Box(*map(float, box)), tuple(sorted(facts.items())))
            for index, (name, box, facts) in enumerate(draw(rng, number), 1)
        ))
        for number in range(count)
    ]  # fmt: skip


def at(x: float, y: float, size: float = 40) -> tuple[float, float, float, float]:
    """A square around a centre."""
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def rules(draft: SpecDraft, family: str) -> list[Mapping[str, object]]:
    """Bodies of the proposed rules of a family."""
    return [p.body for p in draft.rules.proposals if p.family == family]


def questions(draft: SpecDraft) -> list[str]:
    """Texts of the questions."""
    return [question.text for question in draft.rules.questions]


@pytest.fixture(scope="module")
def kit() -> SpecDraft:
    """Draft inferred from the sample product."""
    dataset = read_dataset(resource_path("data/dosing_kit"))
    return infer(
        dataset.scenes, dataset.categories, product="dosing_kit", source="dosing_kit", licence=dataset.licence
    )  # fmt: skip


def test_counts_of_the_sample_product(kit):
    """One of each component, and four tablets; the photos have no space for a second vial."""
    counts = [p for p in kit.rules.proposals if p.id.endswith("-count")]

    assert [p.body for p in counts] == [
        {"of": "vial", "exactly": 1},
        {"of": "liquid", "exactly": 1},
        {"of": "label", "exactly": 1},
        {"of": "mark", "exactly": 1},
        {"of": "tablet", "exactly": 4},
        {"of": "spoon", "exactly": 1},
    ]
    assert counts[0].note == "no edit of these photos creates additional_vial: synthesis cannot show it"


def test_match_of_the_sample_product(kit):
    """The mark's shape and the liquid's colour determine each other."""
    assert rules(kit, "match") == [
        {"left": "mark.shape", "right": "liquid.colour", "pairs": {"drop": "red", "leaf": "yellow", "star": "blue"}}
    ]


def test_level_of_the_sample_product(kit):
    """The liquid fills the vial; its level is within the limits of the shipped spec."""
    [level] = [rule for rule in rules(kit, "measure") if rule.get("height") == "liquid"]

    assert level == {"height": "liquid", "relative_to": "vial", "between": [0.632, 0.688]}
    assert {component.name: component.fills for component in kit.components if component.fills} == {"liquid": "vial"}


def test_layout_of_the_sample_product(kit):
    """Vial, tablets and spoon from left to right; the mark centred in its label; no redundant rule."""
    relations = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(kit, "layout")]

    assert relations == [
        ("vial", "left_of", "tablet"),
        ("tablet", "left_of", "spoon"),
        ("vial", "centred_in", "vial_place"),
        ("label", "centred_in", "label_place"),
        ("mark", "centred_in", "label"),
        ("spoon", "centred_in", "spoon_place"),
    ]


def test_draft_of_the_sample_product_passes_check(kit, tmp_path):
    """There is no problem with the file or the photos; violations that no edit creates are notes."""
    path = tmp_path / "draft.yaml"
    path.write_text(kit.to_yaml(), encoding="utf-8")

    problems = list(check_spec(load_spec_file(path), resource_path("data/dosing_kit")))

    assert {level_of(problem) for problem in problems} == {"note"}
    assert [p.message for p in problems if p.code == "LC048"] == [
        "no edit of these photos creates additional_vial ('vial-count').",
        "no edit of these photos creates additional_liquid ('liquid-count').",
    ]


def test_yaml_equals_the_draft(kit, tmp_path):
    """The YAML loads as the draft's spec."""
    path = tmp_path / "draft.yaml"
    path.write_text(kit.to_yaml(), encoding="utf-8")

    assert load_spec(path) == kit.to_spec()


def test_heading(kit):
    """It explains the draft, the coverage of the number of photos, and the licence."""
    assert kit.to_yaml().split("logicls: 1")[0] == (
        "# Draft to edit: rules that 60 annotated photos of dosing_kit obey. Delete coincidences, and add rules that "
        "good photos\n"
        "# cannot show. The comment beside a rule gives the number of photos on which it holds, and to which it "
        "applies.\n"
        "# A rule that holds on all 60 photos holds on at least 95.1 % of such photos, with 95 % confidence.\n"
        "# Licence of the photos: CC0 1.0.\n"
    )


def test_rule_has_support_and_coverage(kit):
    """The support is beside the rule; coverage and extreme photos are above it."""
    level = kit.to_yaml()[kit.to_yaml().index("- id: liquid-level") :].split("  #", 2)
    above = kit.to_yaml()[: kit.to_yaml().index("  - id: liquid-level")].splitlines()[-2:]

    assert level[1].startswith(" 60/60\n")
    assert above == [
        "  # covers at least 92.3 % of such photos with 95 % confidence; 93 photos needed for 95 %; "
        "minimum on good_027.jpg,",
        "  # maximum on good_050.jpg",
    ]


def test_no_photos_or_annotations():
    """Without photos, or without annotations, there is no draft."""
    with pytest.raises(DataError) as no_photos:
        infer([])
    with pytest.raises(DataError) as no_annotations:
        infer([Scene("a.jpg", 10, 10, ())], ["screw"])

    advice = "Annotate some photos of good products first."
    assert no_photos.value.problems == (
        Problem("LC131", "cannot infer rules: there are no photos.", advice=advice),
    )  # fmt: skip
    message = "cannot infer rules: no photo has an annotation with a valid category name."
    assert no_annotations.value.problems == (Problem("LC131", message, advice=advice),)


@pytest.mark.parametrize("count", [1, 3])
def test_few_photos_yield_only_counts(count):
    """Few photos agree by coincidence: the draft says so and has rules on counts only."""
    scenes = photos(
        count, lambda rng, n: [("lid", at(300, 300), {"hue": "red"}), ("nut", at(300, 600), {"hue": "red"})]
    )

    draft = infer(scenes)

    assert rules(draft, "quantity") == [{"of": "lid", "exactly": 1}, {"of": "nut", "exactly": 1}]
    assert len(draft.rules.proposals) == 2
    assert "# Too few photos to infer positions, orders, matches and sizes: 10 are needed.\n" in draft.to_yaml()


def test_declared_category_without_annotations():
    """It is declared as optional, with a rule that good photos have none."""
    scenes = photos(3, lambda rng, n: [("screw", at(300, 300), {})])

    draft = infer(scenes, ["screw", "hole"])

    assert [(c.name, c.optional) for c in draft.components] == [("screw", False), ("hole", True)]
    assert [(p.body, p.violation) for p in draft.rules.proposals] == [
        ({"of": "screw", "exactly": 1}, {"below": "missing_screw", "above": "additional_screw"}),
        ({"of": "hole", "exactly": 0}, "unexpected_hole"),
    ]


def test_counts_that_vary_become_ranges():
    """The note states the coverage; a component that may be absent is optional and has only an upper limit."""

    def draw(rng, n):
        components = ["nut"] * (2 + int(rng.integers(3))) + ["chip"] * int(rng.integers(2))
        return [(name, at(*rng.uniform(50, 950, 2)), {}) for name in components]

    draft = infer(photos(60, draw))

    assert [(p.body, p.violation, p.note) for p in draft.rules.proposals] == [
        (
            {"of": "nut", "between": [2, 4]},
            {"below": "missing_nut", "above": "additional_nut"},
            "2 to 4 per photo; covers at least 92.3 % of such photos with 95 % confidence; 93 photos needed for 95 %",
        ),
        (
            {"of": "chip", "at_most": 1},
            "additional_chip",
            "0 to 1 per photo; covers at least 95.1 % of such photos with 95 % confidence; 299 photos needed for 99 %",
        ),
    ]
    assert [(c.name, c.optional) for c in draft.components] == [("nut", False), ("chip", True)]


def test_count_with_rare_exceptions_is_a_question():
    """The exceptions are named, and the rule is there to be uncommented."""
    scenes = photos(100, lambda rng, n: [("nut", at(*rng.uniform(50, 950, 2)), {})] * (2 if n == 17 else 1))

    draft = infer(scenes)

    assert questions(draft) == ["99/100 photos have exactly 1 nut: good_017.jpg has 2."]
    assert (
        "#\n"
        "# 99/100 photos have exactly 1 nut: good_017.jpg has 2.\n"
        "#  - id: nut-exactly-1\n"
        "#    quantity: {of: nut, exactly: 1}  # 99/100\n"
        "#    violation: {below: missing_nut, above: additional_nut}\n"
    ) in draft.to_yaml()


def test_questions_name_at_most_three_photos():
    """The others are counted."""
    scenes = photos(200, lambda rng, n: [("nut", at(*rng.uniform(50, 950, 2)), {})] * (2 if n < 5 else 1))

    draft = infer(scenes)

    assert questions(draft) == [
        "195/200 photos have exactly 1 nut: good_000.jpg has 2, good_001.jpg has 2, good_002.jpg has 2 and 2 more."
    ]


def test_counts_inside_a_container():
    """If only the count inside the container is constant, there is a rule on it."""

    def draw(rng, n):
        outside = [("nut", at(800, 100 + 60 * i), {}) for i in range(n % 4)]
        return [
            ("tray", (100, 100, 600, 900), {}),
            *(("nut", at(*rng.uniform(200, 500, 2)), {}) for _ in range(3)),
            *outside,
        ]

    draft = infer(photos(40, draw))

    assert {"of": "nut", "exactly": 3, "in": "tray"} in rules(draft, "quantity")
    assert {"of": "nut", "between": [3, 6]} in rules(draft, "quantity")


def test_slots():
    """A constant number, each in its slot: an empty slot means a misplaced component if the count is correct."""

    def draw(rng, n):
        slots = np.array([(200, 200), (800, 210), (210, 500), (500, 790)]) + rng.uniform(-10, 10, (4, 2))
        return [("peg", at(*slots[place]), {}) for place in rng.permutation(4)]

    draft = infer(photos(30, draw))

    assert [p.name for p in draft.rules.regions] == ["peg_place_1", "peg_place_2", "peg_place_3", "peg_place_4"]
    assert [(p.id, p.violation, p.unless_broken) for p in draft.rules.proposals[1:]] == [
        (f"peg_place_{number}-filled", "misplaced_peg", ("peg-count",)) for number in (1, 2, 3, 4)
    ]


def test_slots_in_a_grid():
    """One region with a cell per slot, and one rule."""

    def draw(rng, n):
        columns, rows = np.meshgrid(np.arange(5), np.arange(3))
        slots = np.stack([150 + 170 * columns.ravel(), 300 + 200 * rows.ravel()], axis=1)
        slots = slots + rng.uniform(-30, 30, (15, 2))
        return [("peg", at(*slots[place]), {}) for place in rng.permutation(15)]

    draft = infer(photos(30, draw))
    rule = draft.rules.proposals[1]

    assert [(p.name, p.grid) for p in draft.rules.regions] == [("peg_places", (5, 3))]
    assert [round(edge, 1) for edge in draft.rules.regions[0].box] == [0.1, 0.2, 0.9, 0.8]
    assert (rule.each, rule.body, rule.violation) == ("peg_places", {"of": "peg", "at_least": 1}, "misplaced_peg")
    assert "  peg_places: {box: [0.0" in draft.to_yaml()
    assert ", grid: [5, 3]}\n" in draft.to_yaml()


def test_slots_named_by_an_attribute():
    """Regions are named by its values, an empty slot is a missing component, and the count has an upper limit."""
    slots = {"left": (200, 500), "right": (800, 500)}
    scenes = photos(30, lambda rng, n: [
        ("peg", at(*(np.array(position) + rng.uniform(-10, 10, 2))), {"slot": slot}) for slot, position in slots.items()
    ])  # fmt: skip

    draft = infer(scenes)

    assert [(p.id, p.violation, p.unless_broken) for p in draft.rules.proposals] == [
        ("peg-count", "additional_peg", ()),
        ("peg_left-filled", "missing_peg_left", ()),
        ("peg_right-filled", "missing_peg_right", ()),
    ]


def test_unbreakable_rule_is_a_question():
    """There is no space for a third peg: training data could not show the violation."""
    scenes = photos(
        30, lambda rng, n: [("peg", (5, 5, 480, 995), {"slot": "left"}), ("peg", (520, 5, 995, 995), {"slot": "right"})]
    )

    draft = infer(scenes)

    assert [p.id for p in draft.rules.proposals] == ["peg_left-filled", "peg_right-filled"]
    assert questions(draft) == ["peg-count holds on 30/30 photos, but no edit of them breaks it."]


def bottle(rng: np.random.Generator, number: int) -> list[AnnotatedBox]:
    """A filled bottle anywhere on the photo, with a label, its icon and a second label."""
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


def test_nested_components():
    """Labels are ordered and positioned on the bottle, the icon is centred in its label, the juice is a filling."""
    draft = infer(photos(40, bottle))

    relations = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(draft, "layout")]
    assert relations == [
        ("emblem", "above", "text"),
        ("emblem", "centred_in", "emblem_place"),
        ("icon", "centred_in", "emblem"),
        ("text", "centred_in", "text_place"),
    ]
    assert [p.unless_broken for p in draft.rules.proposals if p.id == "text-in-place"] == [("emblem-above-text",)]
    assert [component.note for component in draft.components] == [
        "on 40/40 photos",
        "on 40/40 photos; probably fills bottle: only its top edge varies",
        "on 40/40 photos; inside bottle",
        "on 40/40 photos; inside emblem",
        "on 40/40 photos; inside bottle",
    ]
    assert {rule.get("relative_to") for rule in rules(draft, "measure")} == {"bottle", "emblem"}


def test_component_without_fixed_position_is_inside():
    """It lies inside its container, with the necessary tolerance."""
    scenes = photos(40, lambda rng, n: [
        ("tray", (100, 100, 900, 900), {}), ("nut", at(*rng.uniform(110, 890, 2)), {}), ("nut", at(500, 95 + 20), {})
    ])  # fmt: skip

    [rule] = rules(infer(scenes), "layout")

    assert (rule["subject"], rule["relation"], rule["object"]) == ("nut", "inside", "tray")
    assert 0.006 < rule["tolerance"] < 0.0125


def test_containment_with_an_exception_is_a_question():
    """The exception is named."""
    scenes = photos(100, lambda rng, n: [
        ("tray", (100, 100, 700, 900), {}), ("nut", at(850, 500) if n == 3 else at(*rng.uniform(150, 650, 2)), {})
    ])  # fmt: skip

    draft = infer(scenes)

    assert rules(draft, "layout") == []
    assert questions(draft) == ["nut lies inside tray on 99/100 photos, not on good_003.jpg."]


def test_implied_orders_are_dropped():
    """In a row of four only neighbours have an order."""
    scenes = photos(30, lambda rng, n: [
        (name, at(150 + 220 * i + float(rng.uniform(-80, 80)), float(rng.uniform(100, 900))), {})
        for i, name in enumerate("abcd")
    ])  # fmt: skip

    relations = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(infer(scenes), "layout")]

    assert [order for order in relations if order[1] == "left_of"] == [
        ("a", "left_of", "b"), ("b", "left_of", "c"), ("c", "left_of", "d")
    ]  # fmt: skip


def test_coincidental_orders_are_dropped():
    """Small differences of centres of overlapping boxes are no order."""
    scenes = photos(30, lambda rng, n: [
        ("a", at(200, 500 + float(rng.uniform(0, 300)), 100), {}), ("b", at(600, 0, 100), {})
    ])  # fmt: skip
    overlapping = [
        Scene(s.photo, 1000, 1000, (s.instances[0], Instance(2, "b", s.instances[0].box.translate(400, 1 + n % 20))))
        for n, s in enumerate(scenes)
    ]

    relations = [(rule["subject"], rule["relation"], rule["object"]) for rule in rules(infer(overlapping), "layout")]

    assert ("a", "left_of", "b") in relations
    assert ("a", "above", "b") not in relations


def test_order_with_an_exception_is_a_question():
    """The exception is named."""

    def draw(rng, n):
        lid, cup = (800, 200) if n == 7 else (200, 800)
        return [("lid", at(*rng.uniform(100, 900, 1), lid), {}), ("cup", at(*rng.uniform(100, 900, 1), cup), {})]

    draft = infer(photos(50, draw))

    assert questions(draft) == ["lid is above cup on 49/50 photos, not on good_007.jpg."]


@pytest.mark.parametrize(
    ("count", "is_found"), [(8, False), (12, False), (30, True)], ids=["too few photos", "coincidence", "enough"]
)
def test_matches_need_enough_photos(count, is_found):
    """Two values may match two others on a dozen photos by coincidence."""
    draft = infer(photos(count, bottle))

    assert (rules(draft, "match") != []) is is_found


def test_one_way_match():
    """Several left values have the same right value; the determining attribute is on the left."""

    def draw(rng, n):
        kind = int(rng.integers(4))
        return [
            ("tag", at(200, 200, 30), {"code": "abcd"[kind]}),
            ("lid", at(700, 700), {"hue": ("red", "blue")[kind // 2]}),
        ]

    [match] = rules(infer(photos(60, draw)), "match")

    assert (match["left"], match["right"]) == ("tag.code", "lid.hue")
    assert match["pairs"] == {"a": "red", "b": "red", "c": "blue", "d": "blue"}


def test_three_matching_attributes_need_two_rules():
    """The third match follows from the others."""

    def draw(rng, n):
        kind = int(rng.integers(3))
        return [
            (name, at(x, 500, 20 + x / 10), {"kind": f"{name}{kind}"})
            for name, x in (("p", 200), ("q", 500), ("r", 800))
        ]

    matches = [(match["left"], match["right"]) for match in rules(infer(photos(60, draw)), "match")]

    assert matches == [("p.kind", "q.kind"), ("p.kind", "r.kind")]


def test_match_with_an_exception_is_a_question():
    """One exception in a hundred photos is named."""

    def draw(rng, n):
        kind = n % 3
        return [
            ("p", at(200, 500), {"kind": "xyz"[kind]}),
            ("q", at(700, 500, 60), {"kind": "uvw"[kind if n != 44 else 0]}),
        ]

    draft = infer(photos(100, draw))

    assert questions(draft) == [
        "p.kind determines q.kind on 99/100 photos, not on good_044.jpg.",
    ]
    assert rules(draft, "match") == []


def test_independent_attributes_do_not_match():
    """Independently drawn values yield no rule."""
    scenes = photos(
        100,
        lambda rng, n: [(name, at(x, 500), {"kind": "xyz"[rng.integers(3)]}) for name, x in (("p", 200), ("q", 700))],
    )

    assert rules(infer(scenes), "match") == []


def test_size_with_an_exception_is_a_question():
    """The interval is narrow without one photo, which is named."""

    def draw(rng, n):
        height = 260 if n == 5 else 100 + rng.uniform(0, 4)
        width = rng.uniform(100, 300)
        return [("box", (100, 100, 900, 900), {}), ("label", (200, 200, 200 + width, 200 + height), {})]

    draft = infer(photos(60, draw))

    assert (
        "the height of label is between 0.125 and 0.130 of the box on 59/60 photos, not on good_005.jpg."
        in questions(draft)
    )


def test_unusable_names_are_reported():
    """Illegal categories, values and attributes, free text and incomplete attributes are not used, with a reason."""

    def draw(rng, n):
        facts = {"kind": "a b", "serial": f"no{n}", "maybe": "x", "the side": "l"} | ({} if n else {"extra": "x"})
        if n == 3:
            del facts["maybe"]
        return [("lid", at(300, 300), facts), ("Größe", at(700, 700), {})]

    draft = infer(photos(40, draw))

    assert draft.unused == (
        'category "Größe" is not a legal name: rename it in the annotations to use it',
        'attribute "extra" of lid is not used: only 1 of 40 instances have it',
        'attribute "kind" of lid is not used: '
        'its value "a b" is not a legal name, rename it in the annotations to use it',
        'attribute "maybe" of lid is not used: only 39 of 40 instances have it',
        'attribute "serial" of lid is not used: it has 40 different values',
        'attribute "the side" of lid is not used: its name is not legal, rename it in the annotations to use it',
    )
    assert "# Not used: category" in draft.to_yaml()


def test_ambiguous_yaml_names_are_quoted(tmp_path: Path):
    """Names that look like numbers and booleans stay strings."""
    scenes = photos(3, lambda rng, n: [("true", at(300, 300), {"1": ("true", "1e3", "2")[n]})])
    path = tmp_path / "draft.yaml"
    path.write_text(infer(scenes, product="007").to_yaml(), encoding="utf-8")

    spec = load_spec(path)

    assert spec.product.name == "007"
    assert spec.attribute_values == {"true": {"1": ["1e3", "2", "true"]}}


def test_several_containers():
    """Each component is compared with its own container."""

    def draw(rng, n):
        shift = rng.uniform(-100, 100, (2, 2))
        slots = [np.array(slot) + s for slot, s in zip(((250, 300), (750, 700)), shift, strict=True)]
        return [
            *(("label", at(*slot, 200), {}) for slot in slots),
            *(("mark", at(*(slot + 8), 40), {}) for slot in slots),
        ]

    draft = infer(photos(30, draw))

    assert {"subject": "mark", "relation": "centred_in", "object": "label", "tolerance": 0.041} in rules(
        draft, "layout"
    )


def screws(rng: np.random.Generator, number: int) -> list[AnnotatedBox]:
    """Long and short screws anywhere, and a box with two labels of one size in it."""
    loose = [
        (name, at(float(rng.uniform(100, 900)), float(rng.uniform(100, 500)), size), {})
        for name, size in (("long_screw", 60), ("short_screw", 40)) for _ in range(int(rng.integers(3)))
    ]  # fmt: skip
    return [*loose, ("top_label", at(500, 620), {}), ("bottom_label", at(500, 800), {})]


def test_siblings_are_variants_of_one_component(tmp_path):
    """Screws are kinds of one thing; labels, each in its own place, are not. The annotations' categories still work."""
    scenes = photos(40, screws)

    draft = infer(scenes, product="kit")
    (tmp_path / "kit.yaml").write_text(draft.to_yaml())
    spec = load_spec(tmp_path / "kit.yaml")

    assert {c.name: dict(c.attributes) for c in draft.components} == {
        "screw": {"kind": ("long", "short")}, "top_label": {}, "bottom_label": {},
    }  # fmt: skip
    assert {name: (v.of, v.with_) for name, v in spec.variants.items()} == {
        "long_screw": ("screw", {"kind": "long"}),
        "short_screw": ("screw", {"kind": "short"}),
    }
    assert {"of": "long_screw", "at_most": 2} in rules(draft, "quantity")
    assert [e for e in draft.examples if e.get("breaks") == ["additional_short_screw"]]
    assert not [p for p in check_spec(load_spec_file(tmp_path / "kit.yaml")) if level_of(p.code) == "error"]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("long_nail", "the names share no word"),
        ("tiny_screw", "sizes differ"),
        ("screw", "the shared word is a category"),
    ],
)
def test_what_is_no_sibling_stays_a_component(second, reason):
    """Other words, other sizes, or a word that is a category of its own."""
    sizes = {"tiny_screw": 15}

    def draw(rng: np.random.Generator, _: int) -> list[AnnotatedBox]:
        return [
            (name, at(float(rng.uniform(100, 900)), float(rng.uniform(100, 900)), sizes.get(name, 60)), {})
            for name in ("short_screw", second) for _ in range(int(rng.integers(3)))
        ]  # fmt: skip

    draft = infer(photos(40, draw))

    assert {c.name for c in draft.components} == {"short_screw", second}, reason
    assert not draft.variants


def test_look_of_components_that_look_alike():
    """Components that look alike on good photos lead to a question; others, and without pixels all, do not."""
    poses = {
        "peg": [PoseObservation(f"{n}.jpg", 0.9, 0.4, 0.0) for n in range(30)],
        "nut": [PoseObservation(f"{n}.jpg", 0.2, 0.1, 0.0) for n in range(30)],
    }

    asked = mine_appearances(["nut", "peg", "jar"], poses, NameRegistry({"peg-look"}))

    assert asked.proposals == ()
    assert [(question.proposal.id, question.proposal.content) for question in asked.questions] == [
        ("peg-look_2", {"id": "peg-look_2", "appearance": {"of": "peg"}, "violation": "damaged_peg"})
    ]
    assert mine_appearances(["peg"], {"peg": poses["peg"][:9]}, NameRegistry()) == MiningResult()
