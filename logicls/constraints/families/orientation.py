"""Orientation family: the angle at which a component lies in the plane of the photo."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from logicls.constraints.families.angles import FULL_TURN, QUARTER_TURN, fold_angle
from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    UnreadableAnswer,
    Vocabulary,
    box_gap,
    centre_distance,
    join_names,
    name_to_text,
)
from logicls.constraints.families.dead_zone import ANGLE_ZONE, sample_distance
from logicls.constraints.families.edits import SUPPORT_SHARE, Edits, Rng, Rotate, find_supported
from logicls.constraints.families.placement import find_instances, is_in_photo
from logicls.constraints.families.protocol import (
    Comparison,
    Family,
    Fault,
    Invariances,
    LimitReading,
    RuleModel,
    ToleranceTerms,
)
from logicls.constraints.families.queries import Reference
from logicls.records import Box, Instance, Scene

TURNED_FROM = 45.0
"""Deviation in degrees above which a part counts as turned: another quarter turn is nearer."""
TURN_ZONE = 5.0
"""Degrees on either side of `TURNED_FROM` in which no edit ends: turned and tilted look alike there."""
QUARTER_TURN_SHARE = 0.75
"""Share of the edits that turn a part by whole quarter turns, as a part is inserted the wrong way round."""
JITTER = 3.0
"""Degrees by which a turned part may lie beside a whole quarter turn."""
MAX_ATTEMPTS = 20
Angle = Annotated[float, Field(ge=-FULL_TURN, le=FULL_TURN)]


class Orientation(RuleModel):
    """Every instance lies at the right angle."""

    key: ClassVar[str] = "orientation"
    summary: ClassVar[str] = "The angle at which a component lies: turned or tilted."

    of: str
    """Component whose angle is checked."""
    tolerance: Annotated[float, Field(gt=0, lt=180)]
    """Allowed deviation in degrees, in either direction."""
    is_: Angle | Annotated[list[Angle], Field(min_length=1)] | None = Field(None, alias="is")
    """The right angle or angles: degrees, counterclockwise. Without it, the pose on good photos is right."""
    relative_to: str | None = None
    """Component that the angle is measured from: the nearest instance, or the one that contains the part."""
    symmetry: Literal[90, 180, "any"] | None = None
    """Turn after which the component looks the same, in degrees; `any` for a round one."""

    @cached_property
    def targets(self) -> tuple[float, ...]:
        """The right angles, degrees."""
        if self.is_ is None:
            return (0.0,)
        return tuple(self.is_) if isinstance(self.is_, list) else (self.is_,)

    @cached_property
    def is_absolute(self) -> bool:
        """True if the rule needs the angles of annotations: it does not take their pose as the reference."""
        return self.is_ is not None or self.relative_to is not None

    @cached_property
    def symmetry_period(self) -> int:
        """Turn in degrees after which the component looks the same; 0 for a round one."""
        return {None: FULL_TURN, "any": 0}.get(self.symmetry, self.symmetry)  # type: ignore[arg-type, return-value]

    @cached_property
    def period(self) -> int:
        """Turn in degrees that never changes the status: that of the symmetry, or less if `is` allows it; never 0."""
        for period in (QUARTER_TURN, FULL_TURN // 2):
            if self.symmetry_period <= period or self._allows_turn(period):
                return period
        return FULL_TURN

    @cached_property
    def max_deviation(self) -> float:
        """Largest deviation that an angle can have, degrees."""
        if not self.symmetry_period:
            return 0.0
        angles = sorted(target % self.period for target in self.targets)
        following = [*angles[1:], angles[0] + self.period]
        return max(after - before for before, after in zip(angles, following, strict=True)) / 2

    def references(self) -> Iterator[Reference]:
        """Yield the component, and the one that its angle is measured from."""
        yield Reference(("of",), self.of, "angle", self.period, self.is_absolute)
        if self.relative_to:
            yield Reference(("relative_to",), self.relative_to, "angle", self.period, self.is_absolute)

    def failure_kinds(self) -> tuple[str, ...]:
        """Return `turned`, `tilted` or both; nothing can break a rule that allows every angle."""
        is_turnable = self.max_deviation > max(TURNED_FROM, self.tolerance)
        is_tiltable = self.tolerance < min(TURNED_FROM, self.max_deviation)
        return (*(("turned",) if is_turnable else ()), *(("tilted",) if is_tiltable else ()))

    def to_text(self) -> str:
        """Return the rule in plain English."""
        angles = join_names([f"{angle:g}°" for angle in self.targets], "or")
        if self.relative_to:
            pose = f"at {angles} to the {name_to_text(self.relative_to)}"
        else:
            pose = "oriented as on good photos" if self.is_ is None else f"at {angles}"
        repeat = f", or turned by {self.symmetry}°" if self.symmetry in (90, 180) else ""
        limit = "at any angle" if self.symmetry == "any" else f"{pose}{repeat}, within {self.tolerance:g}°"
        return f"{name_to_text(self.of)} {limit}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare the deviation of every instance with the tolerance."""
        deviations = self.measure_deviations(context)
        wrong = [deviation for deviation in deviations if abs(deviation) > self.tolerance]
        number, largest = max(enumerate(deviations, 1), key=lambda entry: abs(entry[1]))
        if not wrong:
            return HOLDS if context.status_only else RuleResult("holds", f"off by {abs(largest):.0f}°")
        modes = tuple(FailureMode(kind) for kind in dict.fromkeys(map(_deviation_kind, wrong)))
        subject = f"{name_to_text(self.of)} {number} " if len(deviations) > 1 else ""
        limit = f", allowed {self.tolerance:g}°" if _deviation_kind(largest) == "tilted" else ""
        return RuleResult("broken", f"{subject}{describe_deviation(largest)}{limit}", modes)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield turns of an instance in place: by quarter turns, or by little more than is allowed."""
        for _ in range(MAX_ATTEMPTS):
            deviation = self._sample_turn(rng) if mode.kind == "turned" else self._sample_tilt(rng)
            yield from self._turn(scene, context, deviation, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        if mode.kind == "turned":
            return f"{name_to_text(self.of)} turned in place, mostly by quarter turns"
        return f"{name_to_text(self.of)} tilted, mostly by little more than is allowed"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield turns of an instance by less than is allowed, and by turns that change nothing."""
        for _ in range(MAX_ATTEMPTS):
            yield from self._turn(scene, context, self._sample_allowed(rng), rng)

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault for a component that is measured from itself."""
        if self.relative_to and vocabulary.component(self.relative_to) == vocabulary.component(self.of):
            message = f'the angle of "{self.of}" is measured from itself'
            yield Fault(("relative_to",), message, "Name another component, or remove it.", "LC035")

    def nearest_failure_mode(self, context: EvaluationContext) -> FailureMode:
        """Return the mode that lies beyond the tolerance."""
        kinds = self.failure_kinds()
        return FailureMode("tilted" if "tilted" in kinds else kinds[0])

    def margin(self, context: EvaluationContext) -> float:
        """Return the smallest distance of a deviation to the tolerance; the zone within it may be narrower."""
        distances = [self.tolerance - abs(deviation) for deviation in self.measure_deviations(context)]
        return min(distance / (self._inner_zone if distance > 0 else ANGLE_ZONE) for distance in distances)

    def invariances(self) -> Invariances:
        """Return that mirrored parts lie at another angle. A rotation of the photo is added to the angles."""
        reason = "fixes an orientation"
        return Invariances(flip_x=reason, flip_y=reason)

    def tolerance_terms(self) -> ToleranceTerms:
        """Return the tolerance, as a fraction of half a turn."""
        return ToleranceTerms(self.tolerance / 180, f"{self.tolerance:g} degrees")

    def zone_size(self) -> float:
        """Return the dead zone within the tolerance, degrees."""
        return self._inner_zone

    def limit_readings(self, context: EvaluationContext) -> tuple[LimitReading, ...]:
        """Return the largest deviation on the photo."""
        largest = max(abs(deviation) for deviation in self.measure_deviations(context))
        return (LimitReading(("tolerance",), "upper", self.tolerance, largest, "°"),)

    def measure_tolerance(self, context: EvaluationContext) -> float:
        """Return the pixels by which the corner of an instance moves when it turns by the tolerance."""
        boxes = context.boxes(self.of)
        if not boxes:
            raise NotApplicable(f"no {name_to_text(self.of)}")
        return min(math.hypot(box.width, box.height) for box in boxes) / 2 * math.radians(self.tolerance)

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the allowed angles of two rules about the same component."""
        if not isinstance(other, Orientation) or (self.of, self.relative_to) != (other.of, other.relative_to):
            return None
        if (self.is_ is None) != (other.is_ is None) or not (self.symmetry_period and other.symmetry_period):
            return None
        if all(abs(gap) > self.tolerance + other.tolerance for gaps in self._gaps(other) for gap in gaps):
            return Comparison("contradicts", f"{self.to_text()}; {other.to_text()}")
        if all(min(gaps) + self.tolerance <= other.tolerance for gaps in self._gaps(other)):
            return Comparison("implies")
        is_implied = all(min(gaps) + other.tolerance <= self.tolerance for gaps in other._gaps(self))
        return Comparison("implied_by") if is_implied else None

    def measure_deviations(self, context: EvaluationContext) -> list[float]:
        """Return each instance's deviation from the nearest right angle in reading order: signed, in degrees.

        Raises:
            NotApplicable: There is no instance, or nothing to measure its angle from.
            UnreadableAnswer: A needed answer is missing, or two answers disagree on the number of instances.
        """
        angles = context.angles(self.of)
        if not angles:
            raise NotApplicable(f"no {name_to_text(self.of)}")
        references = self._reference_angles(context) if self.relative_to else [0.0] * len(angles)
        return [self._deviation(angle - reference) for angle, reference in zip(angles, references, strict=True)]

    def _reference_angles(self, context: EvaluationContext) -> list[float]:
        """Return for each instance the angle of what it is measured from."""
        name = self.relative_to or ""
        boxes, others = context.boxes(self.of), context.boxes(name)
        angles = context.angles(name)
        if not others:
            raise NotApplicable(f"no {name_to_text(name)}")
        if len(angles) != len(others) or len(boxes) != len(context.angles(self.of)):
            raise UnreadableAnswer(f"orientation:{context.vocabulary.component(name)}")
        return [angles[_nearest_index(box, others)] for box in boxes]

    def _deviation(self, angle: float) -> float:
        if not self.symmetry_period:
            return 0.0
        return min((fold_angle(angle - target, self.symmetry_period) for target in self.targets), key=abs)

    def _allows_turn(self, period: int) -> bool:
        """Check if every right angle turned by the period is a right angle."""
        turned = [target + period for target in self.targets]
        return all(min(abs(fold_angle(one - t, self.symmetry_period)) for t in self.targets) < 1e-9 for one in turned)

    def _gaps(self, other: Orientation) -> Iterator[list[float]]:
        """Yield, for every right angle, its distances to those of the other rule."""
        for one in self._all_targets():
            yield [abs(fold_angle(one - two)) for two in other._all_targets()]

    def _all_targets(self) -> list[float]:
        return [t + turn for t in self.targets for turn in range(0, FULL_TURN, self.symmetry_period)]

    @cached_property
    def _inner_zone(self) -> float:
        """Dead zone within the tolerance: at most half of it."""
        return min(ANGLE_ZONE, self.tolerance / 2)

    def _sample_turn(self, rng: Rng) -> float:
        """Sample a deviation that counts as turned: half a turn and quarter turns, or anything."""
        low = max(TURNED_FROM + TURN_ZONE, self.tolerance + ANGLE_ZONE)
        high = max(self.max_deviation, low)
        sign = 1 if rng.random() < 0.5 else -1
        if rng.random() >= QUARTER_TURN_SHARE:
            return sign * (low + (high - low) * float(rng.random()))
        turns = [turn for turn in (180.0, 90.0) if low <= turn <= high]
        turn = turns[int(rng.integers(len(turns)))] if turns else high
        jitter = min(JITTER, self.tolerance / 2) * (2 * float(rng.random()) - 1)
        return sign * max(turn + jitter, low)

    def _sample_tilt(self, rng: Rng) -> float:
        """Sample a deviation just beyond the tolerance, and not so large that it counts as turned."""
        high = min(TURNED_FROM - TURN_ZONE, self.max_deviation) - self.tolerance
        distance = sample_distance(ANGLE_ZONE, high, rng)
        return (self.tolerance + distance) * (1 if rng.random() < 0.5 else -1)

    def _sample_allowed(self, rng: Rng) -> float:
        """Sample a deviation within the tolerance, mostly near it."""
        distance = sample_distance(self._inner_zone, self.tolerance, rng)
        return (self.tolerance - distance) * (1 if rng.random() < 0.5 else -1)

    def _turn(self, scene: Scene, context: EvaluationContext, deviation: float, rng: Rng) -> Iterator[Edits]:
        """Yield the turn of an instance to a deviation from a right angle; nothing if it has no room."""
        found = find_instances(scene, context, self.of)
        if not found:
            raise NotApplicable(f"no {name_to_text(self.of)}")
        position = int(rng.integers(len(found)))
        subject = found[position]
        present = self.measure_deviations(context)[position]
        repeats = range(0, FULL_TURN, self.period)
        edit = Rotate(subject.id, deviation - present + float(choose_repeat(repeats, rng)), turns_contents=True)
        liquids = frozenset(context.vocabulary.fills)
        if has_room(scene, subject, edit.rotate_box(subject.box), liquids) and not _has_liquid(scene, subject, liquids):
            yield (edit,)


def choose_repeat(repeats: Sequence[int], rng: Rng) -> int:
    """Choose a turn that changes nothing; mostly none."""
    return repeats[int(rng.integers(len(repeats)))] if rng.random() < 0.5 else repeats[0]


def has_room(scene: Scene, subject: Instance, box: Box, liquids: frozenset[str]) -> bool:
    """Check that a turned instance stays in the photo, and touches nothing more than it did before."""
    moved = {subject.id, *(i.id for i in find_supported(scene, subject, liquids))}
    others = [i.box for i in scene.instances if i.id not in moved and subject.box.ioa(i.box) < SUPPORT_SHARE]
    return is_in_photo(box, scene) and all(
        other.intersection(box) <= max(0.05 * min(other.area, box.area), other.intersection(subject.box))
        for other in others
    )


def describe_deviation(deviation: float) -> str:
    """Return a deviation from the right angle in words; degrees, counterclockwise."""
    direction = "counterclockwise" if deviation > 0 else "clockwise"
    if _deviation_kind(deviation) == "tilted":
        return f"tilted {abs(deviation):.0f}° {direction}"
    return f"turned by {abs(deviation):.0f}°" + ("" if abs(deviation) > 175 else f" {direction}")


def _deviation_kind(deviation: float) -> str:
    return "turned" if abs(deviation) > TURNED_FROM else "tilted"


def _nearest_index(box: Box, others: Sequence[Box]) -> int:
    """Return the index of the box that contains `box` or is nearest to it."""
    return min(range(len(others)), key=lambda k: (max(box_gap(box, others[k]), 0.0), centre_distance(box, others[k])))


def _has_liquid(scene: Scene, subject: Instance, liquids: frozenset[str]) -> bool:
    """Check if the instance is a liquid or holds one: its surface stays level, so that it cannot be turned along."""
    return any(i.component in liquids for i in (subject, *find_supported(scene, subject, liquids)))
