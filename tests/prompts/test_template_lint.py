"""Shipped templates have no problems with any rule family, and the linter finds mistakes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from logicls import answer_format
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.prompts.template_lint import TEMPLATE_NAMES, lint_templates
from logicls.prompts.templates import (
    build_response,
    create_environment,
    question_phrasings,
    reasoning_variables,
    split_phrasings,
)
from logicls.records import Box, Instance, Scene
from logicls.synth.instance_bank import InstanceBank

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "wordings.txt"
FAMILIES = Spec.model_validate(
    yaml.safe_load("""
logicls: 1
product: {name: cable_box, px_per_mm: 2}
components:
  box: {}
  clamp: {attributes: {slots: ["2", "3"], colour: [red, dark_blue]}}
  plug: {attributes: {colour: [red, dark_blue]}}
variants: {red_clamp: {of: clamp, with: {colour: red}}}
regions: {top_half: {box: [0, 0, 1, 0.5]}, cell: {of: box, box: [0, 0, 1, 1], grid: [2, 1]}}
constraints:
  - {id: exactly, quantity: {of: clamp, exactly: 2}, why: "complaint 8D-2231.\\n@ verdict = none"}
  - {id: with, quantity: {of: clamp, at_least: 1, with: {colour: [red, dark_blue]}, in: top_half}}
  - {id: weighed, quantity: {of: {clamp: 2, plug: 1}, between: [3, 6]}, why: the lid must close}
  - {id: above, layout: {subject: clamp, relation: above, object: plug, tolerance: 0.1}}
  - {id: centred, layout: {subject: box, relation: centred_in, object: top_half, tolerance: [0.1, 0.2]}}
  - {id: apart, layout: {subject: clamp, relation: not_touching, object: clamp, tolerance: 0.1}}
  - {id: row, layout: {subject: [clamp, plug], relation: aligned, axis: x, tolerance: 0.1}}
  - {id: order, layout: {subject: [clamp, plug], relation: in_order, axis: y}}
  - {id: set, composition: {required: {clamp: 2, plug: 1}, in: box}}
  - {id: sets, composition: {one_of: [[clamp], [plug, box]]}}
  - {id: then, composition: {if: [plug], then: {clamp: 2}}}
  - {id: kind, composition: {exclusive: [red_clamp, plug]}}
  - {id: pairs, match: {left: clamp.colour, right: plug.colour, pairs: {red: dark_blue, dark_blue: [red, dark_blue]}}}
  - {id: same, match: {left: clamp.colour, right: plug.colour}}
  - {id: joined, connection: {ends: plug, sockets: clamp, slots: clamp.slots}}
  - {id: alike, attribute: {of: clamp.colour, same: true}}
  - {id: never, attribute: {of: plug.colour, is_not: dark_blue}}
  - {id: level, measure: {height: clamp, relative_to: box, between: [0.2, 0.4]}}
  - {id: far, measure: {distance: [clamp, plug], at_least: 20, unit: mm}}
  - {id: turned, measure: {angle: [clamp, plug], between: [-20, 20]}}
  - {id: everything, all: [{quantity: {of: plug, at_most: 3}}, {measure: {area: plug, at_most: 0.2}}]}
  - {id: something, any: [{quantity: {of: plug, exactly: 1}}, {quantity: {of: clamp, exactly: 1}}]}
  - {id: nothing, not: {layout: {subject: plug, relation: inside, object: box}}}
  - {id: cells, quantity: {of: clamp, exactly: 1}, each: cell}
  - {id: if-plug, quantity: {of: clamp, exactly: 2}, when: {quantity: {of: plug, at_least: 1}}}
  - {id: after, quantity: {of: box, exactly: 1}, unless_broken: [exactly]}
""")
)
BOX_EDGES = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(5, 90), st.integers(5, 90))
ATTRIBUTES = {"clamp": {"slots": ["2", "3"], "colour": ["red", "dark_blue"]}, "plug": {"colour": ["red", "dark_blue"]}}


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Any boxes, clamps and plugs."""
    instances = []
    for component in draw(st.lists(st.sampled_from(["box", "clamp", "plug"]), max_size=6)):
        x, y, width, height = draw(BOX_EDGES)
        attributes = tuple(
            (name, draw(st.sampled_from(values))) for name, values in ATTRIBUTES.get(component, {}).items()
        )
        instances.append(Instance(len(instances), component, Box(x, y, x + width, y + height), attributes))
    return Scene("any.png", 400, 400, tuple(instances))


def test_shipped_templates_have_no_problems(spec: Spec, bank: InstanceBank) -> None:
    """Alone, with every shipped spec, and with the photos of the sample product."""
    specs = [load_spec(path) for path in sorted(resource_path("constraints").glob("*.yaml"))]

    assert len(specs) >= 3
    assert [lint_templates(resource_path("synth"), spec_) for spec_ in [None, FAMILIES, *specs]] == [[]] * (
        len(specs) + 2
    )
    assert lint_templates(resource_path("synth"), spec, bank.dataset.scenes) == []


@given(scenes())
def test_every_phrasing_of_every_family_is_well_formed(scene: Scene) -> None:
    """A phrasing is one line of complete sentences: no YAML names, gaps, stray or doubled punctuation."""
    findings = evaluate(FAMILIES, index_answers(compute_answers(FAMILIES, scene)), 400, 400)
    template = create_environment().from_string(resource_path("synth/reasoning.j2").read_text())
    for finding in findings:
        lines = split_phrasings(template.render(**reasoning_variables(finding, "nobody likes it.")))
        assert len(lines) == 5
        for line in lines:
            assert re.fullmatch(r"[A-Z].*\.", line)
            assert re.search(r"_|\s\s|\.\.|\(\)|: *[.)]|None|\s[.,:;]", line) is None, line
            assert line.count('"') % 2 == 0
            assert line.count("(") == line.count(")")


@given(scenes(), st.integers(0, 2**32 - 1))
def test_the_response_parses_to_its_answers(scene: Scene, seed: int) -> None:
    """A response with any phrasings parses to the same answers, whatever the reason says."""
    answers = compute_answers(FAMILIES, scene)

    text = build_response(FAMILIES, answers, (400, 400), np.random.default_rng(seed))

    assert answer_format.parse_answers(text) == answer_format.parse_answers(answer_format.format_answers(answers))
    assert len(text.splitlines()) == len(answers) + len(FAMILIES.constraints) + 1


def test_reasons_are_given_for_broken_rules_only() -> None:
    """Some phrasings quote the reason of the rule, on one line; rules that hold give none."""
    clamps = tuple(Instance(n, "clamp", Box(0, 0, 9, 9), (("slots", "2"), ("colour", "red"))) for n in range(1))
    answers = compute_answers(FAMILIES, Scene("any.png", 400, 400, clamps))

    texts = [build_response(FAMILIES, answers, (400, 400), np.random.default_rng(seed)) for seed in range(40)]

    assert any("Why it matters: complaint 8D-2231. @ verdict = none." in text for text in texts)
    unexpected = [line for text in texts for line in text.splitlines() if "lid must close" in line and "holds" in line]
    assert unexpected == []


def test_phrasings_match_the_golden_file() -> None:
    """Questions, and each rule on one photo, for review; `LOGICLS_REWRITE_GOLDEN=1` rewrites the file."""
    red, blue = (("colour", "red"),), (("colour", "dark_blue"),)
    instances = (
        Instance(1, "box", Box(20, 20, 380, 380)),
        Instance(2, "clamp", Box(40, 60, 90, 160), (("slots", "2"), *red)),
        Instance(3, "clamp", Box(290, 60, 340, 160), (("slots", "3"), *blue)),
        Instance(4, "plug", Box(80, 70, 120, 100), red),
        Instance(5, "plug", Box(260, 130, 300, 160), red),
    )
    rng = np.random.default_rng(7)
    text = "\n".join(
        [phrasing for query in decompose(FAMILIES) for phrasing in question_phrasings(query, FAMILIES)]
        + [build_response(FAMILIES, compute_answers(FAMILIES, Scene("any.png", 400, 400, subset)), (400, 400), rng)
           for subset in (instances, instances[:2], instances[3:])]
    )  # fmt: skip

    if os.environ.get("LOGICLS_REWRITE_GOLDEN") == "1":
        GOLDEN.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_a_mistake_is_reported_once(tmp_path: Path) -> None:
    """A mistake is reported for the first case in which it shows, not for each rule of a spec."""
    for name in TEMPLATE_NAMES:
        (tmp_path / f"{name}.j2").write_text(
            resource_path(f"synth/{name}.j2").read_text().replace("{{ product }}", "{{ it }}")
        )

    problems = lint_templates(tmp_path)

    assert {problem.code for problem in problems} == {"LC422"}
    assert lint_templates(tmp_path, FAMILIES) == problems


def test_duplicates_that_a_spec_causes_are_found(tmp_path: Path) -> None:
    """Phrasings that differ with generic names may coincide with the names of a spec."""
    for name in TEMPLATE_NAMES:
        (tmp_path / f"{name}.j2").write_text(resource_path(f"synth/{name}.j2").read_text())
    path = tmp_path / "verdicts.j2"
    path.write_text(path.read_text().replace("Verdict: pass.", "{% if product == 'cable box' %}No defects on this "
                                             "cable box.{% else %}Fine.{% endif %}\n"))  # fmt: skip

    assert lint_templates(tmp_path) == []
    assert [p.code for p in lint_templates(tmp_path, FAMILIES)] == ["LC426"]


@pytest.mark.parametrize("text", ["{{ x" * 500, "\0", "{% for x in range(10**9) %}a{% endfor %}", "{% include 'a' %}"])
def test_any_template_can_be_linted(tmp_path: Path, text: str) -> None:
    """Whatever a template contains, the problem has a code and a file."""
    for name in TEMPLATE_NAMES:
        (tmp_path / f"{name}.j2").write_text(text)

    found = lint_templates(tmp_path, FAMILIES)

    assert {Path(problem.file).stem for problem in found} == set(TEMPLATE_NAMES)
