"""The records that stages hand to one another: plain, frozen, no tensors.

Boxes are xyxy in pixels of the original photo, origin at the top left corner, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["holds", "broken", "not_applicable", "unknown"]
Outcome = Literal["pass", "fail", "review"]
QueryKind = Literal["locate", "attribute", "verdict"]
Severity = Literal["critical", "major", "minor"]
SEVERITIES: tuple[Severity, ...] = ("critical", "major", "minor")
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle, xyxy, pixels of the original photo."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Square pixels; 0 for an inverted box."""
        width, height = self.x2 - self.x1, self.y2 - self.y1
        return width * height if width > 0 and height > 0 else 0.0

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def translate(self, dx: float, dy: float) -> Box:
        """The same rectangle `dx`, `dy` pixels further."""
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def map_between(self, source: Box, target: Box) -> Box:
        """Where it comes to lie when `here` is stretched onto `there`."""
        scale = target.width / source.width, target.height / source.height
        x1, y1 = target.x1 + (self.x1 - source.x1) * scale[0], target.y1 + (self.y1 - source.y1) * scale[1]
        return Box(x1, y1, x1 + self.width * scale[0], y1 + self.height * scale[1])

    def clip(self, width: float, height: float) -> Box:
        """The part inside a photo of that size."""
        return Box(max(self.x1, 0.0), max(self.y1, 0.0), min(self.x2, width), min(self.y2, height))

    def intersection(self, other: Box) -> float:
        """Area shared with `other`, square pixels."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        if width <= 0:
            return 0.0
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return width * height if height > 0 else 0.0

    def ioa(self, other: Box) -> float:
        """Share of this box's area that lies in `other`, 0 to 1."""
        shared = self.intersection(other)
        return shared / self.area if shared else 0.0

    def iou(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        shared = self.intersection(other)
        union = self.area + other.area - shared
        return shared / union if union else 0.0


@dataclass(frozen=True, slots=True)
class Instance:
    """One annotated component on a photo."""

    id: int
    """The annotation's id, unique in its file; negative for one that synthesis made."""
    component: str
    box: Box
    attributes: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str) -> str | None:
        """The value of an attribute; None where it was not annotated."""
        return dict(self.attributes).get(name)


@dataclass(frozen=True, slots=True)
class Scene:
    """An annotated photo."""

    photo: str
    """Path below the dataset's `images/`."""
    width: int
    height: int
    instances: tuple[Instance, ...]

    def instances_of(self, component: str) -> tuple[Instance, ...]:
        """The component's instances in reading order."""
        found = [i for i in self.instances if i.component == component]
        return tuple(sorted(found, key=lambda i: reading_order(i.box, self.width, self.height)))


def reading_order(box: Box, width: float, height: float) -> float:
    """Sort key: top to bottom first, left to right among those about level. Continuous: near ties stay stable."""
    x, y = box.centre
    return y / height + 0.25 * x / width


@dataclass(frozen=True, slots=True)
class Subquery:
    """One question that can be checked by looking at the photo."""

    id: str
    """Made from its content (`locate:fruit_icon`, `attribute:juice.colour`, `verdict`): equal ones are asked once."""
    kind: QueryKind
    component: str = ""
    attribute: str = ""
    options: tuple[str, ...] = ()
    """The values an answer may have, where the set is closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read for one subquery. No values and no boxes means: there is none."""

    query: str
    values: tuple[str, ...] = ()
    """Attribute values in reading order, or the violations named by a verdict."""
    boxes: tuple[Box, ...] = ()
    confidence: float = 1.0
    """Probability that the model gave to its reading, 0 to 1; 1 for annotations."""
    readable: bool = True
    """False where the model's text could not be read: rules that need it are unknown."""
    probabilities: tuple[float, ...] = ()
    """Where things are: probability of each place that may hold one, the surest first, those left out as well.
    What things are like: of each value. Empty for annotations."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one constraint came to on one photo."""

    constraint: str
    status: Status
    violations: tuple[str, ...] = ()
    """The defects' names where the constraint is broken: mostly one."""
    expected: str = ""
    found: str = ""
    queries: tuple[str, ...] = ()
    """Ids of the subqueries it rests on."""
    confidence: float = 1.0
    probability: float | None = None
    """Probability that it is broken, 0 to 1; None where it could not be checked."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """Identity of one plug-in of the inspector."""

    kind: str
    """expert, reasoner or retriever."""
    name: str
    knowledge_id: str = ""
    """First twelve hexadecimal digits of the hash of its fitted data; empty without any."""
    settings: tuple[tuple[str, float], ...] = ()
    """Settings that can be chosen at prediction."""

    def to_text(self) -> str:
        """Return kind, name, knowledge id and settings on one line, e.g. `reasoner latent tokens=4 steps=3`."""
        settings = [f"{name}={value:g}" for name, value in self.settings]
        return " ".join(filter(None, (self.kind, self.name, self.knowledge_id, *settings)))


PluginValue = str | int | float | bool | None | tuple[str, ...] | tuple[float, ...]
"""Value in the payload of a plug-in's result."""


@dataclass(frozen=True, slots=True)
class PluginResult:
    """Record of one plug-in about one photo. Only the plug-in's own package knows the keys of the payload."""

    kind: str
    """expert, reasoner or retriever."""
    name: str
    payload: tuple[tuple[str, PluginValue], ...] = ()
    """Key → value."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the inspection of one photo."""

    photo: str
    """Path below the inspected folder."""
    outcome: Outcome
    violations: tuple[str, ...] = ()
    """Violations derived by the checker from the answers; sorted, without duplicates."""
    stated: tuple[str, ...] | None = None
    """Violations that the model stated when queried for them directly; None if that answer was unreadable."""
    score: float = 1.0
    """Anomaly score, 0 (good) to 1."""
    scores: tuple[tuple[str, float], ...] = ()
    """Violation of the spec → its probability, 0 to 1."""
    findings: tuple[Finding, ...] = ()
    answers: tuple[Answer, ...] = ()
    reasons: tuple[str, ...] = ()
    """Reasons for review; empty for pass and fail."""
    width: int = 0
    """Pixels of the photo."""
    height: int = 0
    sha256: str = ""
    """Hash of the photo's file."""
    bundle: str = ""
    """Id of the bundle."""
    spec: str = ""
    """Hash of the spec."""
    version: str = ""
    """Version of the spec, as its author counts."""
    thresholds: str = ""
    """Id of the thresholds; empty without any."""
    seconds: float = 0.0
    """Inspection time; 0 if it was not measured."""
    unconditional_reasons: tuple[str, ...] = ()
    """Reasons for review whatever the thresholds: unreadable answers, out-of-distribution photos."""
    plugin_results: tuple[PluginResult, ...] = ()
    """Records of plug-ins about this photo."""
    plugins: tuple[PluginInfo, ...] = ()
    """Plug-ins that took part in the inspection."""

    def plugin_result(self, kind: str) -> PluginResult | None:
        """Return the last record of a kind of plug-in; None without one."""
        return next((result for result in reversed(self.plugin_results) if result.kind == kind), None)


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """What synthesis did to a good photo."""

    kind: str
    """remove, add, move, swap, replace, resize, rotate, reroute or none."""
    target: int
    """Id of the instance that was changed; 0 for none."""
    constraint: str = ""
    """The constraint it is about; empty for none."""
    is_control: bool = False
    """True for the edit that goes through the same motions and breaks nothing."""


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """What an example was to be, and what it took."""

    category: str = "untouched"
    """untouched, twin, broken or broken_twice."""
    requested: tuple[str, ...] = ()
    """Violations that it was to have; where one could not be made, another stands in for it."""
    attempts: tuple[int, ...] = ()
    """Photos on which each of them was tried; 0 for a photo that has it as it was taken."""
    rejected: int = 0
    """Random changes of the photo that were thrown away because a label would have become wrong."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: a picture, the questions, and the true answers."""

    image: bytes = field(repr=False)
    """JPEG."""
    scene: Scene
    edits: tuple[AppliedEdit, ...]
    answers: tuple[Answer, ...]
    violations: tuple[str, ...]
    seed: int
    pair: int = -1
    """The same number for a good example and a broken one of the same photo, varied alike; -1 for one by itself."""
    stats: GenerationStats = GenerationStats()
