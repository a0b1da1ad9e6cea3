"""Content of reports: texts of a spec's rules and questions, and the card of one photo with its boxes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.plugins.reasoning.reinspection_result import ReinspectionResult, reinspection_of
from logicls.predict.plugin_protocols import ViolationCause
from logicls.records import SEVERITIES, Answer, Box, Finding, Heatmap, Outcome, Severity, Status, Verdict

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec

ORIENTATION_PREFIX = "orientation:"
"""Prefix of the ids of orientation queries."""
ARROW_SHARE = 0.45
"""Length of an arrow, as a share of the shorter side of its box."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Texts of a spec for reports. An id without a text is displayed itself."""

    title: str
    rules: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → text of the rule."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → reason for the rule, if the author gave one."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """Query id → text of the question."""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Violation → highest severity of its rules; in the order of the spec."""
    causes: Mapping[str, tuple[ViolationCause, ...]] = field(default_factory=dict)
    """Violation → causes and consequences from the knowledge base; empty without one."""

    def worst_severity(self, violations: Iterable[str]) -> Severity | None:
        """Return the highest severity among violations; None without violations. Unknown violations count as major."""
        severities = {self.severities.get(name, "major") for name in violations}
        return next((severity for severity in SEVERITIES if severity in severities), None)


def build_labels(spec: Spec) -> Labels:
    """Build the labels of a spec."""
    from logicls.constraints.checker.decomposition import decompose
    from logicls.prompts.templates import canonical_question

    severities: dict[str, Severity] = {}
    for constraint in spec.constraints:
        for name in dict.fromkeys(constraint.violation_name(side) for side in constraint.failure_modes):
            severities[name] = min(severities.get(name, "minor"), constraint.severity, key=SEVERITIES.index)
    return Labels(
        title=spec.product.name.replace("_", " "),
        rules={c.id: c.text for c in spec.constraints},
        reasons={c.id: c.why for c in spec.constraints if c.why},
        questions={query.id: canonical_question(query, spec) for query in (*spec.queries, *decompose(spec))},
        severities=severities,
    )


@dataclass(frozen=True, slots=True)
class EvidenceBox:
    """Box on the photo, with the number of its question."""

    question: int
    box: Box
    is_broken: bool
    """Whether the box is evidence for a violated rule."""


@dataclass(frozen=True, slots=True)
class OrientationArrow:
    """Arrow on an instance from its centre, pixels of the photo: upwards at an angle of 0, and turned with it."""

    question: int
    is_broken: bool
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Overlay:
    """Box as drawn over the scaled photo, in pixels of the scaled photo."""

    number: int
    is_broken: bool
    box: Box
    tag: Box
    """Position of the number tag: at the top edge of the box, or near it if that is occupied."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """Result of a rule on one photo."""

    constraint: str
    status: Status
    name: str
    """Names of the violations; the constraint's id without violations."""
    rule: str
    """Text of the rule."""
    expected: str
    found: str
    questions: tuple[int, ...]
    """Numbers of the questions that the result is based on."""
    confidence: float


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """Question and its answer."""

    number: int
    question: str
    answer: str
    confidence: float
    is_broken: bool
    is_readable: bool
    query: str


@dataclass(frozen=True, slots=True)
class PhotoCard:
    """Content of the card of one photo."""

    photo: str
    outcome: Outcome
    score: float
    violations: tuple[str, ...]
    broken: tuple[RuleRow, ...]
    unknown: tuple[RuleRow, ...]
    """Rules that could not be evaluated."""
    others: tuple[RuleRow, ...]
    """Rules that hold or are not applicable."""
    answers: tuple[AnswerRow, ...]
    marks: tuple[EvidenceBox, ...]
    arrows: tuple[OrientationArrow, ...]
    heatmaps: tuple[tuple[EvidenceBox, Heatmap], ...]
    """Heatmaps of anomalous instances, each with the box of its strangest place."""
    reasons: tuple[str, ...]
    stated: str
    is_consistent: bool
    """Whether the stated violations equal the derived ones."""


def build_card(verdict: Verdict, *, spec_lines: Mapping[str, str], questions: Mapping[str, str]) -> PhotoCard:
    """Build the card of a verdict; rules and questions without a text are displayed by id."""
    numbers = {answer.query: number for number, answer in enumerate(verdict.answers, start=1)}
    evidence = {q for f in verdict.findings if f.status == "broken" for q in f.queries}
    rows = {f: _rule_row(f, spec_lines, numbers) for f in verdict.findings}
    return PhotoCard(
        photo=verdict.photo,
        outcome=verdict.outcome,
        score=verdict.score,
        violations=verdict.violations,
        broken=tuple(rows[f] for f in verdict.findings if f.status == "broken"),
        unknown=tuple(rows[f] for f in verdict.findings if f.status == "unknown"),
        others=tuple(rows[f] for f in verdict.findings if f.status in ("holds", "not_applicable")),
        answers=tuple(
            AnswerRow(
                numbers[a.query],
                questions.get(a.query, a.query),
                _answer_text(a),
                a.confidence,
                a.query in evidence,
                a.readable,
                a.query,
            )
            for a in verdict.answers
        ),
        marks=tuple(
            EvidenceBox(numbers[a.query], box, a.query in evidence) for a in verdict.answers for box in a.boxes
        ),
        arrows=tuple(_find_arrows(verdict.answers, numbers, evidence)),
        heatmaps=tuple(
            (EvidenceBox(numbers[a.query], box, a.query in evidence), heatmap)
            for a in verdict.answers
            for box, heatmap in zip(a.boxes, a.heatmaps, strict=False)
        ),
        reasons=verdict.reasons,
        stated="unreadable" if verdict.stated is None else ", ".join(verdict.stated) or "no violations",
        is_consistent=verdict.stated is not None and set(verdict.stated) == set(verdict.violations),
    )


def _find_arrows(
    answers: Sequence[Answer], numbers: Mapping[str, int], evidence: Collection[str]
) -> Iterator[OrientationArrow]:
    """Yield an arrow for each angle whose instance was located."""
    boxes = {answer.query: answer.boxes for answer in answers}
    for answer in answers:
        located = boxes.get(locate_query_id(answer.query), ())
        if not answer.query.startswith(ORIENTATION_PREFIX) or len(located) != len(answer.values):
            continue
        for box, value in zip(located, answer.values, strict=True):
            (x, y), angle, length = box.centre, math.radians(float(value)), ARROW_SHARE * min(box.width, box.height)
            end = x - length * math.sin(angle), y - length * math.cos(angle)
            yield OrientationArrow(numbers[answer.query], answer.query in evidence, (x, y), end)


@dataclass(frozen=True, slots=True)
class SecondLookText:
    """Second look as text."""

    reasoner: str
    """Name of the reasoner."""
    change: str
    """Outcome before and after."""
    detail: str
    """Change of the answers' entropy, and the duration."""


def describe_second_look(verdict: Verdict) -> SecondLookText | None:
    """Return the description of a verdict's second look; None without one."""
    second_look = reinspection_of(verdict)
    if second_look is None:
        return None
    after = second_look.after or verdict.outcome
    change = f"{second_look.before} → {after}" if after != second_look.before else f"{after}, unchanged"
    took = f"It took {second_look.seconds:.2g} s."
    return SecondLookText(second_look.reasoner, change, f"{_describe_entropy(second_look)} {took}".strip())


def _describe_entropy(second_look: ReinspectionResult) -> str:
    """Return a sentence about the change of entropy; empty if the record does not contain it."""
    if not second_look.is_accepted:
        return "The entropy of the answers did not decrease, so the first result was kept."
    if len(second_look.entropies) != 2:
        return ""
    before, after = (f"{entropy:.3f}" for entropy in second_look.entropies)
    if before == after:
        return "The entropy of the answers did not change."
    verb = "fell" if second_look.entropies[1] < second_look.entropies[0] else "rose"
    return f"The mean entropy of the answers {verb} from {before} to {after} (0: certain, 1: undecided)."


def open_photo(path: Path, verdict: Verdict, side: int) -> Image.Image | None:
    """Open a photo in RGB, downscaled to `side` pixels, in the orientation of the boxes; None if it is unreadable."""
    if not verdict.width:
        return None
    try:
        with Image.open(path) as file:
            file.draft("RGB", (side, side))
            upright = ImageOps.exif_transpose(file)
            is_transposed = (upright.width < upright.height) != (verdict.width < verdict.height)
            image = (file if is_transposed else upright).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def place_overlays(
    marks: Sequence[EvidenceBox], *, scale: float, size: tuple[float, float], tag: tuple[float, float]
) -> tuple[Overlay, ...]:
    """Place boxes and number tags over a scaled photo; evidence for violated rules comes last, on top.

    Args:
        marks: Boxes in pixels of the original photo.
        scale: Scaled pixels per pixel of the original photo.
        size: Width and height of the scaled photo.
        tag: Width and height of a number tag.
    """
    tags: list[Box] = []
    overlays: list[Overlay] = []
    for mark in sorted(marks, key=lambda m: (not m.is_broken, m.question)):
        box = Box(*(side * scale for side in (mark.box.x1, mark.box.y1, mark.box.x2, mark.box.y2)))
        tag_box = _place_tag(box, size, tag, tags)
        tags.append(tag_box)
        overlays.append(Overlay(mark.question, mark.is_broken, box, tag_box))
    return tuple(reversed(overlays))


def _place_tag(box: Box, size: tuple[float, float], tag: tuple[float, float], occupied: Sequence[Box]) -> Box:
    """Return the first free tag position above, inside or below the box; the first position if none is free."""
    width, height = tag
    xs = [box.x1, box.x2 - width, box.x1 + width, box.x1 + 2 * width]
    ys = [box.y1 - height, box.y1, box.y2 - height, box.y2]
    candidates = [
        Box(x, y, x + width, y + height)
        for y, x in ((min(max(y, 0), size[1] - height), min(max(x, 0), size[0] - width)) for y in ys for x in xs)
    ]
    return next((p for p in candidates if not any(p.intersection(other) for other in occupied)), candidates[0])


def _rule_row(finding: Finding, spec_lines: Mapping[str, str], numbers: Mapping[str, int]) -> RuleRow:
    return RuleRow(
        constraint=finding.constraint,
        status=finding.status,
        name=", ".join(finding.violations) or finding.constraint,
        rule=spec_lines.get(finding.constraint, finding.constraint),
        expected=finding.expected,
        found=finding.found,
        questions=tuple(numbers[q] for q in finding.queries if q in numbers),
        confidence=finding.confidence,
    )


def _answer_text(answer: Answer) -> str:
    if not answer.readable:
        return "unreadable"
    if answer.values:
        unit = "°" if answer.query.startswith(ORIENTATION_PREFIX) else ""
        return ", ".join(f"{value}{unit}" for value in answer.values)
    if answer.boxes:
        return f"{len(answer.boxes)} found"
    return "no violations" if answer.query == "verdict" else "none"
