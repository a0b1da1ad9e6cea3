"""Records that are passed between the stages: frozen, without tensors.

Boxes are xyxy in pixels of the original photo, origin at the top left corner, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["holds", "broken", "not_applicable", "unknown"]
Outcome = Literal["pass", "fail", "review"]
QueryKind = Literal["locate", "attribute", "orientation", "appearance", "verdict"]
Severity = Literal["critical", "major", "minor"]
SEVERITIES: tuple[Severity, ...] = ("critical", "major", "minor")
"""In descending order."""


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned rectangle, xyxy, pixels of the original photo."""

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
        """(x, y) of the centre."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def translate(self, dx: float, dy: float) -> Box:
        """Return the box shifted by (dx, dy) pixels."""
        return Box(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)

    def map_between(self, source: Box, target: Box) -> Box:
        """Return the box under the affine map that takes the rectangle `source` to the rectangle `target`."""
        scale = target.width / source.width, target.height / source.height
        x1, y1 = target.x1 + (self.x1 - source.x1) * scale[0], target.y1 + (self.y1 - source.y1) * scale[1]
        return Box(x1, y1, x1 + self.width * scale[0], y1 + self.height * scale[1])

    def clip(self, width: float, height: float) -> Box:
        """Return the part of the box inside a photo of this size, pixels."""
        return Box(max(self.x1, 0.0), max(self.y1, 0.0), min(self.x2, width), min(self.y2, height))

    def intersection(self, other: Box) -> float:
        """Return the area of the intersection with `other`, square pixels."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        if width <= 0:
            return 0.0
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return width * height if height > 0 else 0.0

    def ioa(self, other: Box) -> float:
        """Return intersection over area: the share of this box that lies in `other`, 0 to 1."""
        intersection = self.intersection(other)
        return intersection / self.area if intersection else 0.0

    def iou(self, other: Box) -> float:
        """Return intersection over union, 0 to 1."""
        intersection = self.intersection(other)
        union = self.area + other.area - intersection
        return intersection / union if union else 0.0


@dataclass(frozen=True, slots=True)
class Instance:
    """Annotated instance of a component on a photo."""

    id: int
    """Id of the annotation, unique in its file; negative for a synthetic instance."""
    component: str
    box: Box
    attributes: tuple[tuple[str, str], ...] = ()
    angle: float = 0.0
    """Degrees, counterclockwise as seen on the photo; 0 as on good photos, or as the annotation defines it."""
    is_damaged: bool = False
    """True if it does not look as on good photos."""

    def attribute(self, name: str) -> str | None:
        """Return the value of an attribute; None without an annotation."""
        return dict(self.attributes).get(name)


@dataclass(frozen=True, slots=True)
class Scene:
    """Annotated photo."""

    photo: str
    """Path below the dataset's `images/`."""
    width: int
    height: int
    instances: tuple[Instance, ...]

    def instances_of(self, component: str) -> tuple[Instance, ...]:
        """Return the instances of a component in reading order."""
        instances = [i for i in self.instances if i.component == component]
        return tuple(sorted(instances, key=lambda i: reading_order(i.box, self.width, self.height)))


def reading_order(box: Box, width: float, height: float) -> float:
    """Return the sort key of reading order: top to bottom, then left to right for boxes at similar heights.

    The key is continuous, so that small shifts change the order of near ties only.
    """
    x, y = box.centre
    return y / height + 0.25 * x / width


@dataclass(frozen=True, slots=True)
class Subquery:
    """Atomic query about a photo, answered by a model; an appearance is compared with good photos instead."""

    id: str
    """Canonical name, e.g. `locate:fruit_icon`, `attribute:juice.colour`, `orientation:label`, `verdict`: equal queries
    have equal ids."""
    kind: QueryKind
    component: str = ""
    attribute: str = ""
    options: tuple[str, ...] = ()
    """Permitted values of the answer, if the set is closed; of an orientation the angles that are tokens of a model."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """How strange each place of an instance looks."""

    box: Box
    """Box that the cells divide evenly, before it is rotated about its centre by `angle`."""
    cells: tuple[str, ...]
    """Rows from top to bottom; a hexadecimal digit for each cell: 0 as on good photos, f twice the limit and more."""
    angle: float = 0.0
    """Degrees, counterclockwise as seen on the photo."""


DETECTION_THRESHOLD = 0.5
"""Probability from which on a candidate detection counts as an instance."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one subquery. Without values and boxes there is no such instance."""

    query: str
    values: tuple[str, ...] = ()
    """Attribute values or angles in reading order, or the violations of a stated verdict. Angles are whole degrees."""
    boxes: tuple[Box, ...] = ()
    confidence: float = 1.0
    """Probability that the model assigns to the answer, 0 to 1; 1 for annotations."""
    readable: bool = True
    """False if the model's text could not be parsed: rules that depend on it are unknown."""
    probabilities: tuple[float, ...] = ()
    """Locate: probability of each candidate detection in descending order, including those below the threshold.
    Attribute, orientation and appearance: probability of each value. Empty for annotations."""
    rarities: tuple[float, ...] = ()
    """Appearance: estimated share of good photos that look at least as strange, for each instance, 0 to 1. Empty for
    annotations and other queries."""
    heatmaps: tuple[Heatmap, ...] = ()
    """Appearance: one for each box, which is the strangest place of an anomalous instance."""
    ranks: tuple[int, ...] = ()
    """Locate: for each of `boxes` its index in `probabilities`; empty if the model has no candidate detections."""
    candidates: tuple[Box, ...] = ()
    """Locate: boxes of the other candidate detections, in the order of `probabilities`."""
    places: tuple[int, ...] = ()
    """Locate: number of the place that each candidate detection shares with those of other components, of which only
    one can be there, or -1; in the order of `probabilities`, and empty if no place is shared."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one constraint on one photo."""

    constraint: str
    status: Status
    violations: tuple[str, ...] = ()
    """Violations if the constraint is broken, usually one."""
    expected: str = ""
    """Expectation in words."""
    found: str = ""
    """Observation in words."""
    queries: tuple[str, ...] = ()
    """Ids of the subqueries that it depends on."""
    confidence: float = 1.0
    """Lowest confidence of the answers that it depends on, 0 to 1."""
    probability: float | None = None
    """Probability that the constraint is broken, 0 to 1; None if an answer is missing or unreadable."""


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
    """Hash of the spec that the answers were judged with."""
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
    trained_spec: str = ""
    """Hash of the spec that the model was trained with, whose questions were answered; empty in older records."""
    calibration: str = ""
    """Id of the calibration; empty in older records."""
    stated_probabilities: tuple[tuple[str, float], ...] = ()
    """Violation of the trained spec → probability that the model gives it when asked for its verdict, 0 to 1."""

    def plugin_result(self, kind: str) -> PluginResult | None:
        """Return the last record of a kind of plug-in; None without one."""
        return next((result for result in reversed(self.plugin_results) if result.kind == kind), None)


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """Edit that synthesis applied to a good photo."""

    kind: str
    """remove, add, move, swap, replace, resize, rotate, reroute, damage, vary or none."""
    target: int
    """Id of the edited instance; 0 for none."""
    constraint: str = ""
    """Constraint that the edit violates or controls; empty for none."""
    is_control: bool = False
    """True for a control edit: of the same kind, but without a violation."""


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """Statistics about the generation of an example."""

    category: str = "untouched"
    """untouched, control, broken or broken_twice."""
    requested: tuple[str, ...] = ()
    """Requested violations; one that could not be generated is replaced by another."""
    attempts: tuple[int, ...] = ()
    """Number of photos that were tried for each of them; 0 for a real defect."""
    rejected: int = 0
    """Augmentations that were rejected because a label would have become wrong."""


@dataclass(frozen=True, slots=True)
class Example:
    """Training example: an image and the true answers."""

    image: bytes = field(repr=False)
    """JPEG."""
    scene: Scene
    edits: tuple[AppliedEdit, ...]
    answers: tuple[Answer, ...]
    violations: tuple[str, ...]
    seed: int
    pair: int = -1
    """Number that a good and a defective example of the same photo and augmentation share; -1 for a single example."""
    stats: GenerationStats = GenerationStats()
