"""What the answers say about a photo, looked up by name, so that a rule need not know about subqueries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from logicls.records import Answer, Box, Status

AttributeFilter = tuple[tuple[str, frozenset[str]], ...]
"""Attribute → the values that are wanted."""


class FailureMode(NamedTuple):
    """How a rule is broken."""

    kind: str = ""
    """`below` or `above` its limits, the name of a wrong set, or empty where there is only one way."""
    amount: int = 1
    """By how many, where things are counted."""


class UnreadableAnswer(Exception):
    """An answer that the rule needs could not be read, or was never given."""


class NotApplicable(Exception):
    """Something that the rule speaks about is not on the photo: it does not apply."""


class RuleResult(NamedTuple):
    """What one rule came to."""

    status: Status
    found: str
    failure_modes: tuple[FailureMode, ...] = ()
    """Where it is broken; empty where it is not."""


HOLDS = RuleResult("holds", "")
"""A rule that holds, where nobody reads what was found."""


@dataclass(frozen=True, slots=True)
class RegionGrid:
    """A named place, or the cells of a grid: fractions of the photo, or of a component's box (`of`)."""

    box: tuple[float, float, float, float]
    of: str | None = None
    grid: tuple[int, int] = (1, 1)
    """Columns and rows."""

    def split_cells(self, frame: Box) -> tuple[Box, ...]:
        """Its boxes where `frame` is what the fractions are of; row by row."""
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
    """A component with certain attributes."""

    of: str
    attributes: AttributeFilter


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the spec says of names, apart from its rules."""

    variants: Mapping[str, Variant] = field(default_factory=dict)
    regions: Mapping[str, RegionGrid] = field(default_factory=dict)
    fills: Mapping[str, str] = field(default_factory=dict)
    """Filling → the component that it fills."""
    leaves: Mapping[str, str] = field(default_factory=dict)
    """Component → what shows where it is taken away."""
    attribute_values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Component → attribute → values."""
    px_per_mm: float = 0.0

    def component(self, name: str) -> str:
        """The component that a thing is."""
        variant = self.variants.get(name)
        return variant.of if variant else name

    def required_attributes(self, name: str) -> AttributeFilter:
        """The attributes that make a component that thing; empty for a component."""
        variant = self.variants.get(name)
        return variant.attributes if variant else ()

    def values(self, name: str, attribute: str) -> tuple[str, ...]:
        """The values that an attribute may have."""
        return self.attribute_values.get(self.component(name), {}).get(attribute, ())


class EvaluationContext:
    """Answers of one photo, by subquery id; what was looked up is remembered."""

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
        """What has its centre elsewhere is left out; None for the whole photo."""
        self.status_only = status_only
        """True where nobody reads what was found: checks then leave it empty, which takes a third of the time."""
        self.results: dict[str, list[RuleResult]] = {}
        """Spec's hash → what each of its constraints came to, once somebody asked."""
        self._boxes: dict[tuple[str, AttributeFilter], tuple[Box, ...]] = {}
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}
        self._locations: dict[str, tuple[Box, ...]] = {}

    def restrict(self, frame: Box) -> EvaluationContext:
        """The same answers, as far as they speak of what lies in the frame."""
        return EvaluationContext(
            self.answers, self.width, self.height, self.vocabulary, frame=frame, status_only=self.status_only
        )

    @cached_property
    def photo_box(self) -> Box:
        """The whole photo."""
        return Box(0, 0, self.width, self.height)

    def boxes(self, name: str, required: AttributeFilter = ()) -> tuple[Box, ...]:
        """Where the thing is, in reading order; empty where there is none. Raises `Unreadable`."""
        key = name, required
        if key not in self._boxes:
            found = self._require_answer(f"locate:{self.vocabulary.component(name)}").boxes
            indices = self.instance_indices(name, required)
            self._boxes[key] = found if indices is None else tuple(found[i] for i in indices)
        return self._boxes[key]

    def values(self, name: str, attribute: str) -> tuple[str, ...]:
        """The attribute of each instance in reading order. Raises `Unreadable`."""
        key = name, attribute
        if key not in self._values:
            found = self._require_answer(f"attribute:{self.vocabulary.component(name)}.{attribute}").values
            indices = self.instance_indices(name)
            self._values[key] = found if indices is None else tuple(found[i] for i in indices)
        return self._values[key]

    def locations(self, name: str) -> tuple[Box, ...]:
        """The boxes of a thing, or of a region. Raises `Unreadable`."""
        if name not in self._locations:
            self._locations[name] = self._compute_locations(name)
        return self._locations[name]

    def instance_indices(self, component_name: str, required: AttributeFilter = ()) -> tuple[int, ...] | None:
        """Which of the component's instances are meant; None for all of them.

        Raises:
            Unreadable: An answer is missing, or two answers differ in how many instances there are.
        """
        component, required = (
            self.vocabulary.component(component_name),
            (*self.vocabulary.required_attributes(component_name), *required),
        )
        if not required and self.frame is None:
            return None
        boxes = self.answers.get(f"locate:{component}")
        if self.frame is not None:
            boxes = self._require_answer(f"locate:{component}")
        lists = [self._require_answer(f"attribute:{component}.{name}").values for name, _ in required]
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

    def nearest_location(self, name: str, box: Box) -> Box:
        """The place of that name that goes with the box: the only one, or else the one nearest to it.

        Raises:
            Absent: There is none.
        """
        found = self.locations(name)
        if not found:
            raise NotApplicable(f"no {name_to_text(name)}")
        return (
            found[0]
            if len(found) == 1
            else min(found, key=lambda place: (box_gap(place, box), centre_distance(place, box)))
        )

    def _compute_locations(self, name: str) -> tuple[Box, ...]:
        area = self.vocabulary.regions.get(name)
        if area is None:
            return self.boxes(name)
        frames = self.boxes(area.of) if area.of else (self.photo_box,)
        return tuple(cell for frame in frames for cell in area.split_cells(frame))

    def _require_answer(self, query: str) -> Answer:
        answer = self.answers.get(query)
        if answer is None or not answer.readable:
            raise UnreadableAnswer(query)
        return answer


def contains_centre(location: Box, box: Box) -> bool:
    """Whether the box's centre lies in the place; the edge belongs to it."""
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return location.x1 <= x <= location.x2 and location.y1 <= y <= location.y2


def box_gap(one: Box, other: Box) -> float:
    """Pixels between two boxes along the axis on which they are further apart; 0 or less where they meet."""
    return max(one.x1 - other.x2, other.x1 - one.x2, one.y1 - other.y2, other.y1 - one.y2)


def centre_distance(one: Box, other: Box) -> float:
    """Pixels from centre to centre."""
    (x1, y1), (x2, y2) = one.centre, other.centre
    return float(((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5)


@lru_cache(maxsize=4096)
def name_to_text(name: str) -> str:
    """A YAML name as people say it."""
    return name.replace("_", " ")


def join_names(names: list[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
