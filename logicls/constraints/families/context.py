"""Evaluation context of a rule: the answers about one photo, looked up by the names that the spec uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from logicls.records import Answer, Box, Status

AttributeFilter = tuple[tuple[str, frozenset[str]], ...]
"""Attribute → the values that an instance may have to be selected."""


class FailureMode(NamedTuple):
    """A way in which a rule is broken."""

    kind: str = ""
    """`below` or `above` the limits, the name of a wrong set, or empty if there is only one way."""
    amount: int = 1
    """Number of instances by which a count misses its limit."""


class UnreadableAnswer(Exception):
    """An answer that the rule needs is missing or could not be parsed; the rule's status is unknown."""


class NotApplicable(Exception):
    """A component that the rule refers to is not on the photo; the rule does not apply."""


class RuleResult(NamedTuple):
    """Result of evaluating one rule on one photo."""

    status: Status
    found: str
    """The observation in plain English, for the report."""
    failure_modes: tuple[FailureMode, ...] = ()
    """Ways in which the rule is broken; empty unless the status is `broken`."""


_IRREGULAR_PLURALS = {"die": "dice", "leaf": "leaves", "knife": "knives"}
HOLDS = RuleResult("holds", "")
"""Result of a rule that holds, without an observation."""


@dataclass(frozen=True, slots=True)
class RegionGrid:
    """A named region, or a grid of regions, in fractions of the photo or of a component's box."""

    box: tuple[float, float, float, float]
    """xyxy, fractions."""
    of: str | None = None
    """Component whose box is the frame of reference; the photo if None."""
    grid: tuple[int, int] = (1, 1)
    """Columns and rows."""

    def split_cells(self, frame: Box) -> tuple[Box, ...]:
        """Return the boxes of the cells in pixels, row by row, for a frame of reference in pixels."""
        x1, y1, x2, y2 = self.box
        columns, rows = self.grid
        left, top = frame.x1 + x1 * frame.width, frame.y1 + y1 * frame.height
        width, height = (x2 - x1) * frame.width / columns, (y2 - y1) * frame.height / rows
        if self.grid == (1, 1):
            return (Box(left, top, frame.x1 + x2 * frame.width, frame.y1 + y2 * frame.height),)
        corners = ((left + c * width, top + r * height) for r in range(rows) for c in range(columns))
        return tuple(Box(x, y, x + width, y + height) for x, y in corners)


@dataclass(frozen=True, slots=True)
class Variant:
    """A component with certain attribute values, under a name of its own."""

    of: str
    attributes: AttributeFilter


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a spec declares: components, variants, regions and attribute values."""

    variants: Mapping[str, Variant] = field(default_factory=dict)
    regions: Mapping[str, RegionGrid] = field(default_factory=dict)
    fills: Mapping[str, str] = field(default_factory=dict)
    """Liquid → the component that it fills."""
    leaves: Mapping[str, str] = field(default_factory=dict)
    """Component → the component that becomes visible when it is removed."""
    attribute_values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Component → attribute → values; has every component as a key."""
    px_per_mm: float = 0.0
    """Scale of the photo; 0 if the spec gives none."""
    angle_periods: Mapping[str, int] = field(default_factory=dict)
    """Component whose orientation a rule checks → turn in degrees that changes the status of no rule."""

    def component(self, name: str) -> str:
        """Return the component that a variant is made of; a component's own name otherwise."""
        variant = self.variants.get(name)
        return variant.of if variant else name

    def required_attributes(self, name: str) -> AttributeFilter:
        """Return the attribute values that define a variant; empty for a component."""
        variant = self.variants.get(name)
        return variant.attributes if variant else ()

    def values(self, name: str, attribute: str) -> tuple[str, ...]:
        """Return the values that an attribute of a component or variant may have."""
        return self.attribute_values.get(self.component(name), {}).get(attribute, ())


class EvaluationContext:
    """Answers about one photo, looked up by component, variant and region; lookups are cached."""

    def __init__(
        self,
        answers: Mapping[str, Answer],
        width: int,
        height: int,
        vocabulary: Vocabulary,
        *,
        frame: Box | None = None,
        status_only: bool = False,
    ) -> None:
        self.answers, self.width, self.height, self.vocabulary = answers, width, height, vocabulary
        self.frame = frame
        """Box that an instance's centre must lie in; None for the whole photo."""
        self.status_only = status_only
        """True if observations are not needed: rules leave `found` empty then, which saves two thirds of the time."""
        self.results: dict[str, list[RuleResult]] = {}
        """Spec hash → the cached result of each constraint."""
        self._boxes: dict[tuple[str, AttributeFilter], tuple[Box, ...]] = {}
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}
        self._locations: dict[str, tuple[Box, ...]] = {}

    def restrict(self, frame: Box) -> EvaluationContext:
        """Return a context with only the instances whose centre lies in the frame."""
        return EvaluationContext(
            self.answers, self.width, self.height, self.vocabulary, frame=frame, status_only=self.status_only
        )

    @cached_property
    def photo_box(self) -> Box:
        """The box of the photo, pixels."""
        return Box(0, 0, self.width, self.height)

    def boxes(self, name: str, required: AttributeFilter = ()) -> tuple[Box, ...]:
        """Return the boxes of a component or variant in reading order.

        Raises:
            UnreadableAnswer: A needed answer is missing or inconsistent.
        """
        key = name, required
        if key not in self._boxes:
            found = self._require_answer(f"locate:{self.vocabulary.component(name)}").boxes
            indices = self.instance_indices(name, required)
            self._boxes[key] = found if indices is None else tuple(found[i] for i in indices)
        return self._boxes[key]

    def values(self, name: str, attribute: str) -> tuple[str, ...]:
        """Return the attribute's value for each instance in reading order.

        Raises:
            UnreadableAnswer: A needed answer is missing or inconsistent.
        """
        key = name, attribute
        if key not in self._values:
            found = self._require_answer(f"attribute:{self.vocabulary.component(name)}.{attribute}").values
            indices = self.instance_indices(name)
            self._values[key] = found if indices is None else tuple(found[i] for i in indices)
        return self._values[key]

    def angles(self, name: str) -> tuple[float, ...]:
        """Return the angle of each instance in reading order: degrees, counterclockwise, up to the query's period.

        Raises:
            UnreadableAnswer: A needed answer is missing or inconsistent.
        """
        query = f"orientation:{self.vocabulary.component(name)}"
        values = self._require_answer(query).values
        indices = self.instance_indices(name)
        try:
            return tuple(float(values[i]) for i in (range(len(values)) if indices is None else indices))
        except (IndexError, ValueError) as error:
            raise UnreadableAnswer(query) from error

    def appearances(self, name: str) -> tuple[tuple[str, float], ...]:
        """Return the look of each instance in reading order, with its rarity among good photos.

        The rarity of an annotated look is 1 if it is normal, and 0 if it is not.

        Raises:
            UnreadableAnswer: A needed answer is missing or inconsistent.
        """
        query = f"appearance:{self.vocabulary.component(name)}"
        answer, indices = self._require_answer(query), self.instance_indices(name)
        rarities = answer.rarities or tuple(float(value == "normal") for value in answer.values)
        try:
            numbers = range(len(answer.values)) if indices is None else indices
            return tuple((answer.values[i], rarities[i]) for i in numbers)
        except IndexError as error:
            raise UnreadableAnswer(query) from error

    def locations(self, name: str) -> tuple[Box, ...]:
        """Return the boxes of a component, variant or region.

        Raises:
            UnreadableAnswer: A needed answer is missing or inconsistent.
        """
        if name not in self._locations:
            self._locations[name] = self._compute_locations(name)
        return self._locations[name]

    def require_locations(self, name: str | None) -> tuple[Box, ...] | None:
        """Return the locations that a rule is restricted to; None if it is not restricted.

        Raises:
            NotApplicable: The photo has no such location.
        """
        if name is None:
            return None
        locations = self.locations(name)
        if not locations:
            raise NotApplicable(f"no {name_to_text(name)}")
        return locations

    def instance_indices(self, name: str, required: AttributeFilter = ()) -> tuple[int, ...] | None:
        """Return the indices of the component's instances that match; None if all of them do.

        Raises:
            UnreadableAnswer: An answer is missing, or two answers disagree on the number of instances.
        """
        component = self.vocabulary.component(name)
        required = (*self.vocabulary.required_attributes(name), *required)
        if not required and self.frame is None:
            return None
        boxes = self.answers.get(f"locate:{component}")
        if self.frame is not None:
            boxes = self._require_answer(f"locate:{component}")
        lists = [self._require_answer(f"attribute:{component}.{attribute}").values for attribute, _ in required]
        counts = {*(len(values) for values in lists), *([len(boxes.boxes)] if boxes and boxes.readable else [])}
        if len(counts) > 1:
            raise UnreadableAnswer(f"{component}: {' or '.join(map(str, sorted(counts)))} of them")
        selected = [
            i
            for i in range(max(counts, default=0))
            if all(values[i] in options for values, (_, options) in zip(lists, required, strict=True))
        ]
        if self.frame is not None and boxes is not None:
            selected = [i for i in selected if contains_centre(self.frame, boxes.boxes[i])]
        return tuple(selected)

    def instance_numbers(self, name: str) -> Sequence[int]:
        """Return, for each box of a component or variant, its number among all of the component's instances."""
        indices = self.instance_indices(name)
        return range(len(self.boxes(name))) if indices is None else indices

    def nearest_location(self, name: str, box: Box) -> Box:
        """Return the location of that name nearest to the box.

        Raises:
            NotApplicable: The photo has no such location.
        """
        found = self.locations(name)
        if not found:
            raise NotApplicable(f"no {name_to_text(name)}")
        if len(found) == 1:
            return found[0]
        return min(found, key=lambda location: (box_gap(location, box), centre_distance(location, box)))

    def _compute_locations(self, name: str) -> tuple[Box, ...]:
        region = self.vocabulary.regions.get(name)
        if region is None:
            return self.boxes(name)
        frames = self.boxes(region.of) if region.of else (self.photo_box,)
        return tuple(cell for frame in frames for cell in region.split_cells(frame))

    def _require_answer(self, query: str) -> Answer:
        answer = self.answers.get(query)
        if answer is None or not answer.readable:
            raise UnreadableAnswer(query)
        return answer


def contains_centre(location: Box, box: Box) -> bool:
    """Check if the box's centre lies in the location, edges included."""
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return location.x1 <= x <= location.x2 and location.y1 <= y <= location.y2


def select_inside(boxes: Sequence[Box], locations: Sequence[Box] | None) -> tuple[Box, ...]:
    """Return the boxes whose centre lies in one of the locations; all boxes if `locations` is None."""
    if locations is None:
        return tuple(boxes)
    return tuple(box for box in boxes if any(contains_centre(location, box) for location in locations))


def box_gap(one: Box, other: Box) -> float:
    """Return the gap in pixels along the axis on which the boxes are further apart; 0 or less if they touch."""
    return max(one.x1 - other.x2, other.x1 - one.x2, one.y1 - other.y2, other.y1 - one.y2)


def centre_distance(one: Box, other: Box) -> float:
    """Return the Euclidean distance of the centres, pixels."""
    (x1, y1), (x2, y2) = one.centre, other.centre
    return float(((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5)


@lru_cache(maxsize=4096)
def name_to_text(name: str) -> str:
    """Return a YAML name with spaces in place of underscores."""
    return name.replace("_", " ")


@lru_cache(maxsize=4096)
def pluralize_name(name: str) -> str:
    """Return a YAML name in the plural; names that end in a single s count as plural already."""
    *modifiers, noun = name_to_text(name).split(" ")
    if noun in _IRREGULAR_PLURALS:
        noun = _IRREGULAR_PLURALS[noun]
    elif noun.endswith(("ss", "x", "ch", "sh")):
        noun += "es"
    elif noun.endswith("y") and noun[-2:-1] not in ("", *"aeiou"):
        noun = f"{noun[:-1]}ies"
    elif noun[-1:].isalpha() and not noun.endswith("s"):
        noun += "s"
    return " ".join([*modifiers, noun])


def count_to_text(number: int, name: str) -> str:
    """Return a number with a YAML name: `1 tablet`, `4 tablets`."""
    return f"{number} {name_to_text(name) if number == 1 else pluralize_name(name)}"


def join_names(names: list[str], last: str = "and") -> str:
    """Join names as `a, b and c`."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
