"""A family that is defined in one file works in every stage: no other module knows its type.

`Symmetry` stands in this file alone. It is registered for the tests, and goes through the schema, the loader, lint,
`logicls explain`, decomposition, evaluation, mining, counterexamples, control edits, the dead zone, augmentation,
rule probabilities, thresholds and the labels of the report.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
from jsonschema import Draft7Validator
from pydantic import Field
from rich.console import Console

from logicls.constraints.checker.counterexamples import find_counterexample, list_targets
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import (
    build_context,
    compute_answers,
    compute_margins,
    evaluate,
    find_near_limits,
    index_answers,
)
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, RuleResult, Vocabulary
from logicls.constraints.families.dead_zone import (
    TOLERANCE_ZONE,
    location_units,
    sample_allowed_offset,
    sample_violating_offset,
)
from logicls.constraints.families.edits import Edits, Move, Rng, simulate_edits
from logicls.constraints.families.placement import choose_instance, find_instances
from logicls.constraints.families.protocol import (
    Comparison,
    Family,
    Fault,
    Invariances,
    RuleModel,
    ToleranceTerms,
    compare_limits,
)
from logicls.constraints.families.queries import Reference
from logicls.constraints.lint.data_audit import DataAudit
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.mining.examples import drop_unbreakable
from logicls.constraints.mining.observations import ComponentDeclaration
from logicls.constraints.mining.proposals import MiningResult, Proposal
from logicls.constraints.mining.yaml_writer import SpecDraft
from logicls.constraints.spec.json_schema import build_schema
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec, register_family, registered_families
from logicls.diagnostics.console import print_rules
from logicls.errors import SpecError
from logicls.io.resources import resource_path
from logicls.predict.decision import decide
from logicls.predict.readers.protocol import Prediction
from logicls.predict.uncertainty.calibration import Calibration
from logicls.predict.uncertainty.rule_probability import compute_rule_probabilities
from logicls.predict.uncertainty.thresholds import Thresholds
from logicls.records import Answer, Box, Instance, Scene
from logicls.report.card_view import build_labels
from logicls.synth.invariances import find_restrictions
from logicls.synth.sampling_plan import list_violation_variants
from logicls.synth.settings import load_balance_settings


class Symmetry(RuleModel):
    """Two components are mirror images about the vertical axis of a third one."""

    key: ClassVar[str] = "symmetry"
    summary: ClassVar[str] = "Mirror symmetry of two components."

    left: str
    """Component on one side of the axis."""
    right: str
    """Component on the other side."""
    about: str
    """Component or region whose centre line is the axis."""
    tolerance: Annotated[float, Field(gt=0)]
    """Allowed offset of the middle of both from the axis, as a fraction of the width of `about`."""

    def references(self) -> Iterator[Reference]:
        """Yield both components and the location of the axis."""
        yield Reference(("left",), self.left, "component")
        yield Reference(("right",), self.right, "component")
        yield Reference(("about",), self.about, "location")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return f"{self.left} and {self.right} symmetric about the {self.about}, within {100 * self.tolerance:g} %"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare the offset from the axis with the tolerance."""
        offset, allowed, _ = self._measure(context)
        text = f"off by {offset:.0f} px"
        return RuleResult("holds", text) if offset <= allowed else RuleResult("broken", text, (FailureMode(),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield moves of the right component beyond the tolerance."""
        for _ in range(20):
            yield self._move_to(scene, context, sample_violating_offset(rng), rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        return f"{self.right} moved out of symmetry"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield moves of the right component within the tolerance."""
        for _ in range(20):
            yield self._move_to(scene, context, sample_allowed_offset(rng), rng)

    def margin(self, context: EvaluationContext) -> float | None:
        """Return the distance to the tolerance in dead zones."""
        offset, allowed, unit = self._measure(context)
        return (allowed - offset) / unit / TOLERANCE_ZONE

    @property
    def needs_boxes(self) -> bool:
        """Always true."""
        return True

    def invariances(self) -> Invariances:
        """Return that a small rotation shifts the mirrored components."""
        return Invariances(rotation="compares mirrored positions")

    def tolerance_terms(self) -> ToleranceTerms:
        """Return the tolerance."""
        return ToleranceTerms(self.tolerance, f"{self.tolerance:g}")

    def measure_tolerance(self, context: EvaluationContext) -> float:
        """Return the tolerance in pixels."""
        return self._measure(context)[1]

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault for a component that is compared with itself."""
        if vocabulary.component(self.left) == vocabulary.component(self.right):
            yield Fault(("right",), f'"{self.right}" is compared with itself', "Name another component.", "LC030")

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the tolerances of two rules about the same components."""
        if not isinstance(other, Symmetry) or (self.left, self.right, self.about) != (
            other.left,
            other.right,
            other.about,
        ):
            return None
        return compare_limits(self, other, ((0.0, self.tolerance), (0.0, other.tolerance)))

    def _measure(self, context: EvaluationContext) -> tuple[float, float, float]:
        """Return the offset of the middle from the axis, the tolerance and the unit of the dead zone, pixels."""
        boxes = [context.boxes(name) for name in (self.left, self.right)]
        if not all(boxes):
            raise NotApplicable(f"no {self.right if boxes[0] else self.left}")
        axis = context.nearest_location(self.about, boxes[0][0])
        middle = (boxes[0][0].centre[0] + boxes[1][0].centre[0]) / 2
        allowed = self.tolerance * axis.width
        return abs(middle - axis.centre[0]), allowed, location_units((allowed, 0.0), axis)[0]

    def _move_to(self, scene: Scene, context: EvaluationContext, offset: float, rng: Rng) -> Edits:
        """Move the right component so that the middle is `offset` tolerances from the axis."""
        _, _, unit = self._measure(context)
        subject = choose_instance(rng, find_instances(scene, context, self.right))
        left = context.boxes(self.left)[0]
        axis = context.nearest_location(self.about, left)
        sign = 1 if rng.random() < 0.5 else -1
        target = 2 * (axis.centre[0] + sign * offset * unit) - left.centre[0]
        return (Move(subject.id, target - subject.box.centre[0], 0.0),)


SPEC = """
logicls: 1
product: {name: face}
components: {eye: {}, ear: {}, plate: {}}
constraints:
  - id: symmetric
    symmetry: {left: eye, right: ear, about: plate, tolerance: TOLERANCE}
    violation: skewed
    why: It looks better.
"""
PLATE, EYE, EAR = Box(100, 100, 300, 300), Box(140, 190, 160, 210), Box(240, 190, 260, 210)
SIZE = 400


@pytest.fixture
def registered() -> Iterator[None]:
    """Register the family for one test."""
    with register_family(Symmetry):
        yield


@pytest.fixture
def spec(registered: None, tmp_path: Path) -> Spec:
    """Load a spec with one rule of the family."""
    return load(tmp_path, SPEC.replace("TOLERANCE", "0.1"))


def load(folder: Path, text: str) -> Spec:
    """Load a spec from its text."""
    path = folder / "face.yaml"
    path.write_text(text, encoding="utf-8")
    return load_spec(path)


def scene(shift: float = 0.0, *components: str) -> Scene:
    """Build a scene whose ear is moved by some pixels, with all components or some of them."""
    boxes = {"plate": PLATE, "eye": EYE, "ear": EAR.translate(shift, 0)}
    present = components or tuple(boxes)
    return Scene("face.png", SIZE, SIZE, tuple(Instance(n, name, boxes[name]) for n, name in enumerate(present, 1)))


def answers(spec: Spec, shift: float = 0.0) -> tuple[Answer, ...]:
    """Return the true answers about a scene."""
    return compute_answers(spec, scene(shift))


@pytest.mark.usefixtures("registered")
def test_schema_has_the_family():
    """The JSON schema has the key with its summary, and the body with its docstrings."""
    definitions = build_schema()["definitions"]
    key, body = definitions["Constraint"]["properties"]["symmetry"], definitions["Symmetry"]
    content = {"logicls": 1, "product": {"name": "face"}, "components": {"eye": {}}}
    rule = {"left": "eye", "right": "ear", "about": "plate", "tolerance": 0.1}
    validator = Draft7Validator(build_schema())

    assert key == {"description": Symmetry.summary, "allOf": [{"$ref": "#/definitions/Symmetry"}]}
    assert body["properties"]["left"] == {"description": "Component on one side of the axis.", "type": "string"}
    assert validator.is_valid(content | {"constraints": [{"id": "a", "symmetry": rule}]})
    assert not validator.is_valid(content | {"constraints": [{"id": "a", "symmetry": rule | {"tol": 1}}]})


def test_loader_reads_the_family(spec):
    """The rule is loaded from YAML, also within other rules."""
    constraint = spec.constraints[0]

    assert (constraint.family, constraint.rule) == (
        "symmetry",
        Symmetry(left="eye", right="ear", about="plate", tolerance=0.1),
    )


@pytest.mark.usefixtures("registered")
def test_nested_rules(tmp_path):
    """The family is allowed within all, any, not and when."""
    body = "{symmetry: {left: eye, right: ear, about: plate, tolerance: 0.1}}"
    text = SPEC.partition("constraints:")[0] + f"constraints: [{{id: a, not: {body}, when: {{all: [{body}]}}}}]"
    nested = load(tmp_path, text)

    found = evaluate(nested, index_answers(answers(nested)), SIZE, SIZE)

    assert [finding.status for finding in found] == ["broken"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (", tolerance:", ", tol: 1, tolerance:", '7:53 LC021 unknown key "tol" in symmetry of'),
        ("0.1", "-1", "7:64 LC024 tolerance of symmetry of 'symmetric': -1 should be greater than 0"),
        ("right: ear", "right: nose", '7:34 LC030 unknown component "nose".'),
        ("about: plate", "about: plat", '7:46 LC030 unknown component or region "plat". Did you mean "plate"?'),
        ("right: ear", "right: eye", '7:34 LC030 "eye" is compared with itself. Name another component.'),
    ],
)
@pytest.mark.usefixtures("registered")
def test_loader_reports_faults(tmp_path, old, new, problem):
    """Faults in the rule's body are reported with line and column."""
    with pytest.raises(SpecError) as error:
        load(tmp_path, SPEC.replace("TOLERANCE", "0.1").replace(old, new))

    assert [str(one).partition("face.yaml:")[2].startswith(problem) for one in error.value.problems] == [True]


def test_registration_is_temporary(tmp_path):
    """The key is unknown without registration; other specs have the same hash with and without it."""
    shipped = resource_path("constraints") / "dosing_kit.yaml"
    before = registered_families(), load_spec(shipped).hash

    with register_family(Symmetry):
        assert (registered_families(), load_spec(shipped).hash) == ((*before[0], Symmetry), before[1])
        with pytest.raises(ValueError, match="already in use"), register_family(Symmetry):
            pass

    assert (registered_families(), load_spec(shipped).hash) == before
    with pytest.raises(SpecError, match="unknown key"):
        load(tmp_path, SPEC.replace("TOLERANCE", "0.1"))


@pytest.mark.usefixtures("registered")
def test_lint_compares_rules(tmp_path):
    """Lint reports a rule that another one implies, and a tolerance below a pixel."""
    wider = "  - {id: wider, symmetry: {left: eye, right: ear, about: plate, tolerance: 0.2}}\n"
    fine = "  - {id: fine, symmetry: {left: ear, right: eye, about: plate, tolerance: 0.0001}}\n"

    found = list(lint_spec(load(tmp_path, SPEC.replace("TOLERANCE", "0.1") + wider + fine)))

    assert [(fault.code, fault.path) for fault in found] == [
        ("LC043", ("constraints", 1)),
        ("LC046", ("constraints", 2, "symmetry", "tolerance")),
    ]


def test_explanation(spec):
    """`logicls explain` describes the rule, its questions and its edits."""
    console = Console(file=io.StringIO(), width=100)

    print_rules(spec, console)

    text = console.file.getvalue()
    assert "eye and ear symmetric about the plate, within 10 %" in text
    assert "skewed: ear moved out of symmetry" in text


def test_decomposition(spec):
    """The queries follow from the references."""
    assert [query.id for query in decompose(spec)] == ["locate:eye", "locate:ear", "locate:plate", "verdict"]


@pytest.mark.parametrize(
    ("shift", "components", "status", "found"),
    [
        (0.0, (), "holds", "off by 0 px"),
        (60.0, (), "broken", "off by 30 px"),
        (0.0, ("plate", "eye"), "not_applicable", "no ear"),
    ],
)
def test_statuses(spec, shift, components, status, found):
    """The rule holds, is broken, or does not apply."""
    finding = evaluate(spec, index_answers(compute_answers(spec, scene(shift, *components))), SIZE, SIZE)[0]

    assert (finding.status, finding.found) == (status, found)
    assert finding.violations == (("skewed",) if status == "broken" else ())


def test_unreadable_answer(spec):
    """Without an answer the status is unknown."""
    finding = evaluate(spec, index_answers(answers(spec)[1:]), SIZE, SIZE)[0]

    assert (finding.status, finding.found) == ("unknown", "no readable answer to locate:eye")


@pytest.mark.parametrize("is_control", [False, True])
def test_edits_stay_out_of_the_dead_zone(spec, is_control):
    """Counterexamples break the rule, control edits do not, and neither ends within the dead zone of the limit."""
    target = list_targets(spec)[0]
    statuses, margins = set(), []
    for seed in range(20):
        edits = find_counterexample(spec, target, scene(), np.random.default_rng(seed), is_control=is_control)
        assert edits is not None
        edited = simulate_edits(edits, scene(), spec.liquids, spec.vocabulary.leaves)
        context = build_context(spec, edited)
        margins += list(compute_margins(spec.constraints[0], context))
        statuses |= {spec.constraints[0].rule.evaluate(context).status}

    assert statuses == {"holds" if is_control else "broken"}
    assert min(abs(margin) for margin in margins) >= 1
    assert len(set(margins)) == 20


def test_photo_near_the_limit(spec):
    """A photo whose offset is close to the tolerance is near the limit."""
    assert find_near_limits(spec, build_context(spec, scene(38.0))) == {"symmetric"}
    assert find_near_limits(spec, build_context(spec, scene(10.0))) == set()


@pytest.mark.usefixtures("registered")
def test_audit_reports_a_tolerance_below_a_pixel(tmp_path):
    """The audit reports a photo that breaks the rule, and a tolerance of less than a pixel on the photos."""
    audit = DataAudit(load(tmp_path, SPEC.replace("TOLERANCE", "0.001")))
    audit.add(scene(60.0))

    assert [fault.code for fault in audit.faults()] == ["LC050", "LC046"]


@pytest.mark.usefixtures("registered")
def test_mining_drops_a_rule_that_nothing_breaks():
    """A mined rule that no edit breaks becomes a question; the others stay, under the family's summary."""
    body = {"left": "eye", "right": "ear", "about": "plate"}
    rules = tuple(
        Proposal(name, "symmetry", body | {"tolerance": tolerance}, f"{name}_skewed", "1/1")
        for name, tolerance in (("fine", 0.1), ("coarse", 50.0))
    )
    components = tuple(ComponentDeclaration(name, {}, False, "", "") for name in ("eye", "ear", "plate"))
    draft = SpecDraft("face", 1, components, MiningResult(rules), (), "", "")

    kept = drop_unbreakable(draft, [scene()])

    assert [rule.id for rule in kept.rules.proposals] == ["fine"]
    assert [question.proposal.id for question in kept.rules.questions] == ["coarse"]
    assert f"  # {Symmetry.summary}\n  - id: fine\n    symmetry: " in kept.to_yaml()


def test_augmentation_restrictions(spec):
    """Augmentation asks the rule which transformations keep its status."""
    restrictions = find_restrictions(spec)

    assert restrictions.rotation == "symmetric compares mirrored positions"
    assert restrictions.flip == {"x": "", "y": ""}


def test_sampling_plan(spec):
    """Synthesis plans examples of the violation."""
    variants = list_violation_variants(spec, load_balance_settings(resource_path("synth/balance.yaml")))

    assert {name: len(ways) for name, ways in variants.items()} == {"skewed": 1}


@pytest.mark.parametrize(
    ("shift", "low", "high"), [(0.0, 0.0, 0.01), (60.0, 0.8, 1.0), (38.0, 0.3, 0.5), (42.0, 0.5, 0.7)]
)
def test_rule_probability(spec, shift, low, high):
    """The probability of being broken follows the margin: near the limit it is close to a half."""
    prediction = Prediction(answers(spec, shift)[:-1], Answer("verdict"), ())

    found = compute_rule_probabilities(spec, prediction, (SIZE, SIZE), Calibration())["symmetric"]

    assert list(found.violations) == ["skewed"]
    assert low <= found.probability <= high


def test_thresholds_apply(spec):
    """A probability between the rule's thresholds sends the photo to review."""
    prediction = Prediction(answers(spec, 42.0)[:-1], Answer("verdict", ("skewed",)), (("skewed", 0.6),))
    thresholds = Thresholds().override("symmetric", 0.1, 0.9)

    outcomes = [decide(spec, prediction, "face.png", (SIZE, SIZE), thresholds=t) for t in (Thresholds(), thresholds)]

    assert [verdict.outcome for verdict in outcomes] == ["fail", "review"]
    assert outcomes[1].reasons[0].startswith("symmetric: broken with a probability of ")


def test_report_labels(spec):
    """The report shows the rule in plain English and its reason."""
    labels = build_labels(spec)

    assert labels.rules == {"symmetric": "eye and ear symmetric about the plate, within 10 %"}
    assert labels.reasons == {"symmetric": "It looks better."}
    assert labels.severities == {"skewed": "major"}
