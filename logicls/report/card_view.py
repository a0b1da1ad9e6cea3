"""What a card says of one photo, in words and ready to draw; the page and the picture show the same.

What a report says of a spec: its rules and questions in words, and how bad each violation is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from logicls.predict.plugin_protocols import ViolationCause
from logicls.records import SEVERITIES, Answer, Box, Finding, Outcome, SecondLook, Severity, Status, Verdict

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec


@dataclass(frozen=True, slots=True)
class Labels:
    """How things are called. An id stands for itself where its words are missing."""

    title: str
    rules: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → the rule in words."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → the reason for the rule, where its author gave one."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """Query id → the question as it was asked."""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Violation → the worst severity of the rules that it names; in the spec's order."""
    causes: Mapping[str, tuple[ViolationCause, ...]] = field(default_factory=dict)
    """Violation → what pages of knowledge say of it; empty where there are none."""

    def worst_severity(self, violations: Iterable[str]) -> Severity | None:
        """The worst severity among violations; None where there is none. One that is not known counts as major."""
        severities = {self.severities.get(name, "major") for name in violations}
        return next((severity for severity in SEVERITIES if severity in severities), None)


def build_labels(spec: Spec) -> Labels:
    """What a spec calls things."""
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
        questions={query.id: canonical_question(query, spec) for query in decompose(spec)},
        severities=severities,
    )


@dataclass(frozen=True, slots=True)
class EvidenceBox:
    """One box on the photo, with the number of its question."""

    question: int
    box: Box
    is_broken: bool
    """True where a broken rule rests on it."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A mark as it is drawn over the scaled photo, in the pixels of that."""

    number: int
    is_broken: bool
    box: Box
    tag: Box
    """Where the number stands: on the box's top edge, or near it where another number does already."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What a rule came to on one photo."""

    constraint: str
    status: Status
    name: str
    """The violation; the constraint's id where there is none."""
    rule: str
    """The rule in words."""
    expected: str
    found: str
    questions: tuple[int, ...]
    """The questions it rests on."""
    confidence: float


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A question and what was read."""

    number: int
    question: str
    answer: str
    confidence: float
    is_broken: bool
    is_readable: bool
    query: str


@dataclass(frozen=True, slots=True)
class PhotoCard:
    """Everything that is shown of one photo."""

    photo: str
    outcome: Outcome
    score: float
    violations: tuple[str, ...]
    broken: tuple[RuleRow, ...]
    unknown: tuple[RuleRow, ...]
    """Rules that could not be checked."""
    others: tuple[RuleRow, ...]
    """Rules that hold or do not apply."""
    answers: tuple[AnswerRow, ...]
    marks: tuple[EvidenceBox, ...]
    reasons: tuple[str, ...]
    stated: str
    is_consistent: bool
    """Whether the stated violations are the derived ones."""


def build_card(verdict: Verdict, *, spec_lines: Mapping[str, str], questions: Mapping[str, str]) -> PhotoCard:
    """The verdict in words; ids stand for rules and questions that the mappings lack."""
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
        reasons=verdict.reasons,
        stated="nothing readable" if verdict.stated is None else ", ".join(verdict.stated) or "no rule broken",
        is_consistent=verdict.stated is not None and set(verdict.stated) == set(verdict.violations),
    )


@dataclass(frozen=True, slots=True)
class SecondLookText:
    """A second look in words."""

    reasoner: str
    """The reasoner's name."""
    change: str
    """From what to what."""
    detail: str
    """Whether answers became surer, and how long it took."""


def describe_second_look(verdict: Verdict) -> SecondLookText | None:
    """What a second look came to; None where there was none."""
    second_look = verdict.second_look
    if second_look is None:
        return None
    after = second_look.after or verdict.outcome
    change = f"{second_look.before} → {after}" if after != second_look.before else f"{after}, as before"
    took = f"It took {second_look.seconds:.2g} s."
    return SecondLookText(second_look.reasoner, change, f"{_describe_entropy(second_look)} {took}".strip())


def _describe_entropy(second_look: SecondLook) -> str:
    """Whether choices became less open; empty where the record does not tell."""
    if not second_look.is_accepted:
        return "No answer became surer, so the first look stands."
    if len(second_look.entropies) != 2:
        return ""
    before, after = (f"{entropy:.3f}" for entropy in second_look.entropies)
    if before == after:
        return "The answers are as sure as before."
    verb = "fell" if second_look.entropies[1] < second_look.entropies[0] else "rose"
    return f"The mean entropy of the answers {verb} from {before} to {after} (0: sure, 1: open)."


def open_photo(path: Path, verdict: Verdict, side: int) -> Image.Image | None:
    """The photo in RGB, its longer side at most `side` pixels, upright as the boxes have it; None if it is broken."""
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
    """The marks over a photo that was scaled to `size`, those of broken rules last and so on top.

    Args:
        marks: In pixels of the original photo.
        scale: Pixels drawn for one of the original photo.
        size: Width and height of the scaled photo.
        tag: Width and height of a number's plate.
    """
    tags: list[Box] = []
    overlays: list[Overlay] = []
    for mark in sorted(marks, key=lambda m: (not m.is_broken, m.question)):
        box = Box(*(side * scale for side in (mark.box.x1, mark.box.y1, mark.box.x2, mark.box.y2)))
        tag_box = _place_tag(box, size, tag, tags)
        tags.append(tag_box)
        overlays.append(Overlay(mark.question, mark.is_broken, box, tag_box))
    return tuple(reversed(overlays))


def _place_tag(box: Box, size: tuple[float, float], tag: tuple[float, float], taken_boxes: Sequence[Box]) -> Box:
    """The first free place above, inside or below the box; the first of all where none is free."""
    width, height = tag
    xs = [box.x1, box.x2 - width, box.x1 + width, box.x1 + 2 * width]
    ys = [box.y1 - height, box.y1, box.y2 - height, box.y2]
    candidates = [
        Box(x, y, x + width, y + height)
        for y, x in ((min(max(y, 0), size[1] - height), min(max(x, 0), size[0] - width)) for y in ys for x in xs)
    ]
    return next((p for p in candidates if not any(p.intersection(other) for other in taken_boxes)), candidates[0])


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
        return "could not be read"
    if answer.values:
        return ", ".join(answer.values)
    if answer.boxes:
        return f"{len(answer.boxes)} found"
    return "no rule broken" if answer.query == "verdict" else "none"
