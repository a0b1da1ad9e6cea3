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
    """One thing that was plugged into the predictor."""

    kind: str
    """expert, reasoner or retriever."""
    name: str
    knowledge_id: str = ""
    """Twelve hex digits of the hash of what it knows; empty for one that knows nothing of its own."""
    settings: tuple[tuple[str, float], ...] = ()
    """What it was made with, where that can be chosen when predicting."""

    def to_text(self) -> str:
        """Return kind, name, knowledge id and settings on one line, e.g. `reasoner latent tokens=4 steps=3`."""
        settings = [f"{name}={value:g}" for name, value in self.settings]
        return " ".join(filter(None, (self.kind, self.name, self.knowledge_id, *settings)))


@dataclass(frozen=True, slots=True)
class SecondLook:
    """That a reasoner looked again, and what it took."""

    reasoner: str
    """Its name."""
    before: Outcome
    """What the first look came to."""
    seconds: float
    """Time that it took, beside the first one."""
    rewards: tuple[float, ...] = ()
    """How sure all answers were, 0 to 1: without think tokens, with those it began with, after each step."""
    retained_views: int = 0
    """Finer views of a place that were kept."""
    is_accepted: bool = True
    """False where it made nothing surer, so that the verdict is that of the first look."""
    after: Outcome | None = None
    """What it came to, by thresholds and before any other plug-in; None in records of before it was written down."""
    entropies: tuple[float, ...] = ()
    """How open the choices were, 0 to 1, after the first look and after the second: the mean entropy of the slots,
    which is 1 less the reward; where there are no rewards the mean binary entropy of the answers, in bits."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that is known of one photo after the look at it."""

    photo: str
    outcome: Outcome
    violations: tuple[str, ...] = ()
    """Derived by the checker from the answers; sorted, without repeats."""
    stated: tuple[str, ...] | None = None
    """What the model said when asked for the broken rules alone; None where nothing was readable."""
    score: float = 1.0
    """Anomaly score, 0 (good) to 1."""
    scores: tuple[tuple[str, float], ...] = ()
    """Score of each violation that the spec knows, 0 to 1."""
    findings: tuple[Finding, ...] = ()
    answers: tuple[Answer, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why it goes to review; empty for pass and fail."""
    width: int = 0
    height: int = 0
    sha256: str = ""
    bundle: str = ""
    spec: str = ""
    """Hash of the spec that was applied."""
    version: str = ""
    """The spec's version, as its author counts."""
    thresholds: str = ""
    """Id of the thresholds that decided; empty where there were none."""
    seconds: float = 0.0
    """Time that the look at it took; 0 where it was not measured."""
    unconditional_reasons: tuple[str, ...] = ()
    """Those of the reasons that no threshold changes: what could not be read, a photo unlike those learned from."""
    second_look: SecondLook | None = None
    """None where the first one was enough, or nobody was there to look again."""
    documents: tuple[str, ...] = ()
    """Pages of knowledge that were drawn for the photo, the most telling first; empty where none were asked for."""
    plugins: tuple[PluginInfo, ...] = ()
    """What was plugged in when it was made; empty where nothing was."""


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
