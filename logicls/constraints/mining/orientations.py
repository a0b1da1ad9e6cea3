"""Mining of orientations: components that lie the same way round on all good photos.

Annotated angles decide where there are any. Without them, the photos do: `logicls.data.poses` compares every instance
with the mean of the others, as it lies and turned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from logicls.constraints.families.angles import FULL_TURN, QUARTER_TURN, circular_median, fold_angle, normalize_angle
from logicls.constraints.families.dead_zone import ANGLE_ZONE
from logicls.constraints.mining.observations import MIN_PHOTOS, are_exceptions_rare
from logicls.constraints.mining.proposals import MiningResult, NameRegistry, OpenQuestion, Proposal, list_photos
from logicls.records import Scene

MAX_TILT = 30.0
"""Deviation in degrees of annotated angles up to which they are one pose, or one of several."""
MIN_POSE_SHARE = 0.1
"""Share of the instances that a pose needs to be one of several."""
MIN_TOLERANCE = 10.0
"""Smallest tolerance that is proposed, degrees: a tilt of less is hardly seen."""
TOLERANCE_STEP = 5.0
"""Tolerances are rounded up to multiples of it, degrees."""
TARGET_STEP = 5.0
"""Right angles are rounded to multiples of it, degrees."""
MIN_SIMILARITY = 0.5
"""Median correlation with the mean of the others from which a component looks the same on all photos."""
MIN_ADVANTAGE = 0.05
"""Correlation by which an instance as it lies must exceed the turned one; with less, its ends look alike."""


@dataclass(frozen=True, slots=True)
class PoseObservation:
    """Comparison of one instance with the mean of the others."""

    photo: str
    similarity: float
    """Correlation of the instance as it lies, -1 to 1."""
    turned_similarity: float
    """Largest correlation of the instance turned by 180 degrees, or by 90 if its box is nearly square."""
    tilt: float
    """Deviation in degrees at which the correlation is largest."""


def mine_orientations(
    scenes: Sequence[Scene], components: Sequence[str], poses: Mapping[str, Sequence[PoseObservation]],
    names: NameRegistry,
) -> MiningResult:  # fmt: skip
    """Propose the orientation of each component that never turns.

    Args:
        scenes: Annotated photos of good products.
        components: Components to look at.
        poses: Component → comparisons of its instances on the photos.
        names: Names of the other rules.
    """
    result = MiningResult()
    for component in components:
        angles = [(scene.photo, i.angle) for scene in scenes for i in scene.instances if i.component == component]
        if len({photo for photo, _ in angles}) < MIN_PHOTOS:
            continue
        if any(angle for _, angle in angles):
            result += _mine_annotated(component, angles, names)
        else:
            result += _mine_observed(component, poses.get(component, ()), names)
    return result


def subtract_poses(scenes: Sequence[Scene], result: MiningResult) -> list[Scene]:
    """Return the scenes with angles as datasets have them under these rules: relative to the pose on good photos."""
    of_rules = {str(p.body["of"]) for p in result.proposals if p.family == "orientation" and "is" not in p.body}
    angles = {c: [i.angle for s in scenes for i in s.instances if i.component == c] for c in of_rules}
    medians = {component: circular_median(found) for component, found in angles.items() if any(found)}
    return [
        replace(
            scene,
            instances=tuple(
                replace(i, angle=normalize_angle(i.angle - medians.get(i.component, 0.0))) for i in scene.instances
            ),
        )
        for scene in scenes
    ] if medians else list(scenes)  # fmt: skip


def _mine_annotated(component: str, angles: Sequence[tuple[str, float]], names: NameRegistry) -> MiningResult:
    """Propose the one annotated pose, or poses that are quarter turns apart; nothing for parts at any angle."""
    median = circular_median([angle for _, angle in angles])
    turns: dict[int, list[float]] = {}
    for _, angle in angles:
        turn = round(fold_angle(angle - median) / QUARTER_TURN) % (FULL_TURN // QUARTER_TURN)
        turns.setdefault(turn, []).append(fold_angle(angle - median - turn * QUARTER_TURN))
    if max(abs(tilt) for tilts in turns.values() for tilt in tilts) > MAX_TILT:
        return MiningResult()
    common = {turn: tilts for turn, tilts in turns.items() if len(tilts) >= MIN_POSE_SHARE * len(angles)}
    tilt = max(abs(tilt) for tilts in common.values() for tilt in tilts)
    base = TARGET_STEP * round(median / TARGET_STEP)
    targets = sorted(normalize_angle(base + turn * QUARTER_TURN) for turn in common)
    is_fixed = len(common) == 1
    body = _make_body(component, tilt) if is_fixed else _make_body(component, tilt + abs(median - base), targets)
    exceptions = [
        photo
        for photo, angle in angles
        if all(abs(fold_angle(angle - median - turn * QUARTER_TURN)) > MAX_TILT for turn in common)
    ]
    return _propose(component, body, [photo for photo, _ in angles], exceptions, names)


def _mine_observed(component: str, poses: Sequence[PoseObservation], names: NameRegistry) -> MiningResult:
    """Propose the pose that the photos show; a question where both ends look nearly alike."""
    similarities = sorted(pose.similarity for pose in poses)
    if len({pose.photo for pose in poses}) < MIN_PHOTOS or similarities[len(similarities) // 2] < MIN_SIMILARITY:
        return MiningResult()
    advantages = sorted(pose.similarity - pose.turned_similarity for pose in poses)
    exceptions = [pose.photo for pose in poses if pose.similarity <= pose.turned_similarity]
    body = _make_body(component, max(abs(pose.tilt) for pose in poses))
    photos = [pose.photo for pose in poses]
    if advantages[len(advantages) // 2] < MIN_ADVANTAGE:
        return MiningResult()
    if not exceptions and advantages[0] < MIN_ADVANTAGE:
        text = (
            f'Must every "{component}" lie this way round? On some photos it looks nearly the same when it is turned.'
        )
        return MiningResult(questions=(OpenQuestion(text, _make_proposal(component, body, photos, (), names)),))
    return _propose(component, body, photos, exceptions, names)


def _make_body(component: str, tilt: float, targets: Sequence[float] = ()) -> dict[str, object]:
    """Return the body of a rule that allows the tilts on the photos."""
    tolerance = max(TOLERANCE_STEP * math.ceil((tilt + ANGLE_ZONE) / TOLERANCE_STEP), MIN_TOLERANCE)
    return {"of": component, **({"is": list(targets)} if targets else {}), "tolerance": tolerance}


def _propose(
    component: str, body: Mapping[str, object], photos: Sequence[str], exceptions: Sequence[str], names: NameRegistry
) -> MiningResult:
    """Propose a rule without exceptions, ask about one with few; nothing for more."""
    odd = list(dict.fromkeys(exceptions))
    if not odd:
        return MiningResult((_make_proposal(component, body, photos, odd, names),))
    if len(odd) > 1 and not are_exceptions_rare(len(odd), len(set(photos))):
        return MiningResult()
    text = f'Must every "{component}" lie the same way round? It is turned on {list_photos(odd)}.'
    return MiningResult(questions=(OpenQuestion(text, _make_proposal(component, body, photos, odd, names)),))


def _make_proposal(
    component: str, body: Mapping[str, object], photos: Sequence[str], exceptions: Sequence[str], names: NameRegistry
) -> Proposal:
    total = len(set(photos))
    violation = {"turned": f"turned_{component}", "tilted": f"tilted_{component}"}
    support = f"{total - len(set(exceptions))}/{total}"
    return Proposal(names.add(f"{component}-orientation"), "orientation", body, violation, support)
