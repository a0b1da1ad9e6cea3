"""Protocol of a rule family: everything that the rest of the package asks of a rule.

A family is a class in one file. It derives from `RuleModel` if its body is a mapping in YAML, and is listed in
`registry.BUILT_IN_FAMILIES` or registered with `spec.models.register_family`. The seven abstract methods are required;
the others have defaults that suit a rule without counts, distances or tolerances.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from logicls.constraints.families.context import (
    AttributeFilter,
    EvaluationContext,
    FailureMode,
    RuleResult,
    Vocabulary,
    select_inside,
)
from logicls.constraints.families.dead_zone import MIN_TOLERANCE
from logicls.constraints.families.edits import Edits, Rng
from logicls.constraints.families.queries import Path, Reference
from logicls.errors import suggest_name
from logicls.records import Box, Scene

Axis = Literal["x", "y"]
Interval = tuple[float, float]


class Fault(NamedTuple):
    """A fault in a spec."""

    path: Path
    """Keys from the top of the file, or from the rule's body, to the fault."""
    message: str
    advice: str
    code: str
    """The error code, `LCxxx`."""


class Invariances(NamedTuple):
    """Reasons why a transformation of the photo may change a rule's status; empty if it cannot."""

    rotation: str = ""
    """Small rotations and perspective: the boxes of tilted objects are larger than the objects."""
    flip_x: str = ""
    """Horizontal flip."""
    flip_y: str = ""
    """Vertical flip."""


class Comparison(NamedTuple):
    """Logical relation of two rules."""

    relation: Literal["contradicts", "implies", "implied_by"]
    reason: str = ""
    """For a contradiction, the reason in plain English."""


class Ordering(NamedTuple):
    """A strict order that a rule demands: `first` left of `second` (x), or above it (y)."""

    axis: Axis
    first: str
    second: str


class ToleranceTerms(NamedTuple):
    """The tolerance of a rule."""

    fraction: float
    """The larger of the fractions across and down."""
    text: str
    """The tolerance as it is written in the spec."""


class LimitReading(NamedTuple):
    """A number in a rule's body that limits readings, and the reading on a photo that is nearest to breaking it."""

    path: Path
    """Keys from the rule's body to the number."""
    side: Literal["lower", "upper"]
    """Whether readings below or above the number break the rule."""
    limit: float
    """The number."""
    reading: float
    """In the unit of the number."""
    unit: str = ""
    """Unit for people; empty for a fraction."""
    minimum: float | None = 0.0
    """Smallest number that makes sense; None for any."""


@dataclass(frozen=True, slots=True)
class CountTerms:
    """A rule that limits a weighted count of instances."""

    weights: Mapping[str, int]
    """Component or variant → the weight of one instance."""
    attributes: AttributeFilter
    """Attribute values that an instance must have to be counted."""
    location: str | None
    """Component, variant or region that an instance's centre must lie in; the whole photo if None."""
    limits: tuple[int, int]
    """Smallest and largest allowed total."""

    def boxes(self, context: EvaluationContext, name: str, locations: Sequence[Box] | None) -> tuple[Box, ...]:
        """Return the boxes of a component or variant that are counted."""
        return select_inside(context.boxes(name, self.attributes), locations)

    def total(self, context: EvaluationContext) -> int:
        """Return the weighted count on a photo.

        Raises:
            NotApplicable: The location is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """
        locations = context.require_locations(self.location)
        return sum(weight * len(self.boxes(context, name, locations)) for name, weight in self.weights.items())


class Family(ABC):
    """A rule of any family."""

    key: ClassVar[str]
    """The family's key in YAML, and its name in reports."""
    summary: ClassVar[str]
    """The question that the family answers, for the editor's tooltip."""

    @classmethod
    def yaml_type(cls, clause: type[BaseModel]) -> Any:
        """Return the type of the body in YAML. `clause`: the model of a nested rule."""
        return cls

    @classmethod
    def from_yaml(cls, body: Any) -> Family:
        """Build the rule from its validated body."""
        if not isinstance(body, cls):
            raise TypeError(f"{cls.key} takes a {cls.__name__}, not a {type(body).__name__}")
        return body

    @abstractmethod
    def references(self) -> Iterator[Reference]:
        """Yield every name that the rule uses; the queries are derived from them."""

    @abstractmethod
    def failure_kinds(self) -> tuple[str, ...]:
        """Return the kinds of `FailureMode`; empty if nothing can break the rule."""

    @abstractmethod
    def to_text(self) -> str:
        """Return the rule in plain English."""

    @abstractmethod
    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Evaluate the rule on one photo.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """

    @abstractmethod
    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield edits that may break the rule in that mode, the simplest first; the caller evaluates the outcome.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """

    @abstractmethod
    def describe_edit(self, mode: FailureMode) -> str:
        """Describe those edits in plain English."""

    @abstractmethod
    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield control edits: like `edits` in their traces on the photo, but the rule may still hold.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """

    def mark_declared(self, scene: Scene, context: EvaluationContext, mode: FailureMode) -> Scene | None:
        """Return the scene with a declared failure that annotations cannot show; None if they can, or if it is unclear.

        `scene`: a photo of a real defect, on which the rule is declared to be broken in that mode.
        """
        return None

    def members(self) -> Iterator[tuple[Path, Family]]:
        """Yield the rules that this one combines, with the key path of each body."""
        yield from ()

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield faults in attribute values and units; undeclared names are found through `references`."""
        yield from ()

    def violation_name(self, mode: FailureMode) -> str:
        """Return the violation that the rule's body names for a mode; empty if the constraint names it."""
        return ""

    def max_amount(self, kind: str) -> int:
        """Return the largest `FailureMode.amount` of that kind that edits produce."""
        return 1

    def nearest_failure_mode(self, context: EvaluationContext) -> FailureMode:
        """Return the mode in which a rule that holds would be broken first.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """
        return FailureMode(self.failure_kinds()[0])

    def margin(self, context: EvaluationContext) -> float | None:
        """Return the distance to the limit in dead zones, positive if the rule holds; None without a distance.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """
        return None

    @property
    def needs_boxes(self) -> bool:
        """True if the status depends on where instances are, beyond one lying in another."""
        return False

    @property
    def uses_absolute_units(self) -> bool:
        """True if the rule has limits in pixels or millimetres, so that photos must not be rescaled."""
        return False

    def invariances(self) -> Invariances:
        """Return the transformations of a photo that may change the status."""
        return Invariances()

    def count_terms(self) -> CountTerms | None:
        """Return the count that the rule limits; None if it limits none."""
        return None

    def tolerance_terms(self) -> ToleranceTerms | None:
        """Return the tolerance of the rule; None if it has none."""
        return None

    def zone_size(self) -> float | None:
        """Return the size of the dead zone in a unit that does not depend on the limits; None without one.

        Two limits of the same rule compare by it: measurement noise is in dead zones.
        """
        terms = self.tolerance_terms()
        return max(terms.fraction, MIN_TOLERANCE) if terms is not None else None

    def limit_readings(self, context: EvaluationContext) -> tuple[LimitReading, ...]:
        """Return the readings on a photo for each limit in the rule's body; empty for a rule without such limits.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """
        return ()

    def measure_tolerance(self, context: EvaluationContext) -> float | None:
        """Return the tolerance on a photo in pixels; None if the rule works without one.

        Raises:
            NotApplicable: Something that the rule refers to is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """
        return None

    def orderings(self) -> tuple[Ordering, ...]:
        """Return the strict orders that the rule demands."""
        return ()

    def allows_everything(self, vocabulary: Vocabulary) -> bool:
        """Check if every value that the spec declares satisfies the rule."""
        return False

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Return how this rule relates to another one; None if that is unknown."""
        return None


class RuleModel(BaseModel, Family):
    """A rule whose body is a mapping in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Member = tuple[str, Family]
"""A family's key, and the rule."""


def walk_rules(rule: Family, path: Path = ()) -> Iterator[tuple[Path, Family]]:
    """Yield a rule and all rules that it combines, with the key path of each body."""
    yield path, rule
    for key_path, inner in rule.members():
        yield from walk_rules(inner, (*path, *key_path))


def exactly_one_of(*keys: str) -> dict[str, Any]:
    """Return the JSON Schema of a mapping that has exactly one of the keys."""
    return {"oneOf": [{"required": [key]} for key in keys]}


def compare_limits(first: Family, second: Family, limits: tuple[Interval, Interval]) -> Comparison | None:
    """Compare two rules that limit the same number, from their intervals."""
    (low, high), (other_low, other_high) = limits
    if low > other_high or other_low > high:
        return Comparison("contradicts", f"{first.to_text()}; {second.to_text()}")
    if low <= other_low and other_high <= high:
        return Comparison("implied_by")
    if other_low <= low and high <= other_high:
        return Comparison("implies")
    return None


def check_values(
    vocabulary: Vocabulary, path: Path, attribute_path: str, values: str | Iterable[str]
) -> Iterator[Fault]:
    """Yield a fault for each value that a declared attribute, `component.attribute`, cannot have."""
    name, attribute = attribute_path.split(".")
    declared = vocabulary.attribute_values.get(vocabulary.component(name), {}).get(attribute)
    if declared is None:
        return
    for value in [values] if isinstance(values, str) else values:
        if value not in declared:
            yield unknown_name(path, f"value of {attribute_path}:", value, declared)


def unknown_name(path: Path, kind: str, name: str, declared: Iterable[str]) -> Fault:
    """Build the fault for a name that is not declared."""
    return Fault(path, f'unknown {kind} "{name}"', suggest_name(name, declared), "LC030")
