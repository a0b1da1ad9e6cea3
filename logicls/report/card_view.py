"""What a card says of one photo, in words and ready to draw; the page and the picture show the same.

What a report says of a spec: its rules and questions in words, and how bad each violation is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from logicls.predict.plugin_protocols import Cause
from logicls.records import SEVERITIES, Answer, Box, Finding, Outcome, SecondLook, Severity, Status, Verdict

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec


@dataclass(frozen=True, slots=True)
class Words:
    """How things are called. An id stands for itself where its words are missing."""

    title: str
    rules: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → the rule in words."""
    whys: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → the reason for the rule, where its author gave one."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """Query id → the question as it was asked."""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Violation → the worst severity of the rules that it names; in the spec's order."""
    causes: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict)
    """Violation → what pages of knowledge say of it; empty where there are none."""

    def worst(self, violations: Iterable[str]) -> Severity | None:
        """The worst severity among violations; None where there is none. One that is not known counts as major."""
        found = {self.severities.get(name, "major") for name in violations}
        return next((severity for severity in SEVERITIES if severity in found), None)


def words_of(spec: Spec) -> Words:
    """What a spec calls things."""
    from logicls.constraints.checker.decomposition import decompose
    from logicls.prompts.templates import question

    severities: dict[str, Severity] = {}
    for constraint in spec.constraints:
        for name in dict.fromkeys(constraint.violation_on(side) for side in constraint.sides):
            severities[name] = min(severities.get(name, "minor"), constraint.severity, key=SEVERITIES.index)
    return Words(
        title=spec.product.name.replace("_", " "),
        rules={c.id: c.said for c in spec.constraints},
        whys={c.id: c.why for c in spec.constraints if c.why},
        questions={query.id: question(query, spec) for query in decompose(spec)},
        severities=severities,
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """One box on the photo, with the number of its question."""

    number: int
    box: Box
    broken: bool
    """True where a broken rule rests on it."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A mark as it is drawn over the scaled photo, in the pixels of that."""

    number: int
    broken: bool
    box: Box
    tag: Box
    """Where the number stands: on the box's top edge, or near it where another number does already."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule came to on one photo."""

    constraint: str
    status: Status
    name: str
    """The violation; the constraint's id where there is none."""
    rule: str
    """The rule in words."""
    expected: str
    found: str
    numbers: tuple[int, ...]
    """The questions it rests on."""
    confidence: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what was read."""

    number: int
    question: str
    answer: str
    confidence: float
    broken: bool
    readable: bool
    query: str


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that is shown of one photo."""

    photo: str
    outcome: Outcome
    score: float
    violations: tuple[str, ...]
    broken: tuple[Rule, ...]
    unknown: tuple[Rule, ...]
    """Rules that could not be checked."""
    rest: tuple[Rule, ...]
    """Rules that hold or do not apply."""
    asked: tuple[Asked, ...]
    marks: tuple[Mark, ...]
    reasons: tuple[str, ...]
    stated: str
    agrees: bool
    """Whether the stated violations are the derived ones."""


def card(verdict: Verdict, *, spec_lines: Mapping[str, str], questions: Mapping[str, str]) -> Card:
    """The verdict in words; ids stand for rules and questions that the mappings lack."""
    numbers = {answer.query: number for number, answer in enumerate(verdict.answers, start=1)}
    blamed = {q for f in verdict.findings if f.status == "broken" for q in f.queries}
    rules = {f: _rule(f, spec_lines, numbers) for f in verdict.findings}
    return Card(
        photo=verdict.photo,
        outcome=verdict.outcome,
        score=verdict.score,
        violations=verdict.violations,
        broken=tuple(rules[f] for f in verdict.findings if f.status == "broken"),
        unknown=tuple(rules[f] for f in verdict.findings if f.status == "unknown"),
        rest=tuple(rules[f] for f in verdict.findings if f.status in ("holds", "not_applicable")),
        asked=tuple(
            Asked(
                numbers[a.query],
                questions.get(a.query, a.query),
                _said(a),
                a.confidence,
                a.query in blamed,
                a.readable,
                a.query,
            )
            for a in verdict.answers
        ),
        marks=tuple(Mark(numbers[a.query], box, a.query in blamed) for a in verdict.answers for box in a.boxes),
        reasons=verdict.reasons,
        stated="nothing readable" if verdict.stated is None else ", ".join(verdict.stated) or "no rule broken",
        agrees=verdict.stated is not None and set(verdict.stated) == set(verdict.violations),
    )


@dataclass(frozen=True, slots=True)
class Looked:
    """A second look in words."""

    by: str
    """The reasoner's name."""
    change: str
    """From what to what."""
    told: str
    """Whether answers became surer, and how long it took."""


def looked(verdict: Verdict) -> Looked | None:
    """What a second look came to; None where there was none."""
    look = verdict.second_look
    if look is None:
        return None
    after = look.after or verdict.outcome
    change = f"{look.before} → {after}" if after != look.before else f"{after}, as before"
    took = f"It took {look.seconds:.2g} s."
    return Looked(look.reasoner, change, f"{_surer(look)} {took}".strip())


def _surer(look: SecondLook) -> str:
    """Whether choices became less open; empty where the record does not tell."""
    if not look.is_accepted:
        return "No answer became surer, so the first look stands."
    if len(look.entropies) != 2:
        return ""
    was, is_ = (f"{entropy:.3f}" for entropy in look.entropies)
    if was == is_:
        return "The answers are as sure as before."
    way = "fell" if look.entropies[1] < look.entropies[0] else "rose"
    return f"The mean entropy of the answers {way} from {was} to {is_} (0: sure, 1: open)."


def open_photo(path: Path, verdict: Verdict, side: int) -> Image.Image | None:
    """The photo in RGB, its longer side at most `side` pixels, upright as the boxes have it; None if it is broken."""
    if not verdict.width:
        return None
    try:
        with Image.open(path) as file:
            file.draft("RGB", (side, side))
            upright = ImageOps.exif_transpose(file)
            turned = (upright.width < upright.height) != (verdict.width < verdict.height)
            image = (file if turned else upright).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def overlays(
    marks: Sequence[Mark], *, scale: float, size: tuple[float, float], tag: tuple[float, float]
) -> tuple[Overlay, ...]:
    """The marks over a photo that was scaled to `size`, those of broken rules last and so on top.

    Args:
        marks: In pixels of the original photo.
        scale: Pixels drawn for one of the original photo.
        size: Width and height of the scaled photo.
        tag: Width and height of a number's plate.
    """
    placed: list[Box] = []
    drawn: list[Overlay] = []
    for mark in sorted(marks, key=lambda m: (not m.broken, m.number)):
        box = Box(*(side * scale for side in (mark.box.x1, mark.box.y1, mark.box.x2, mark.box.y2)))
        plate = _plate(box, size, tag, placed)
        placed.append(plate)
        drawn.append(Overlay(mark.number, mark.broken, box, plate))
    return tuple(reversed(drawn))


def _plate(box: Box, size: tuple[float, float], tag: tuple[float, float], placed: Sequence[Box]) -> Box:
    """The first free place above, inside or below the box; the first of all where none is free."""
    width, height = tag
    xs = [box.x1, box.x2 - width, box.x1 + width, box.x1 + 2 * width]
    ys = [box.y1 - height, box.y1, box.y2 - height, box.y2]
    places = [
        Box(x, y, x + width, y + height)
        for y, x in ((min(max(y, 0), size[1] - height), min(max(x, 0), size[0] - width)) for y in ys for x in xs)
    ]
    return next((p for p in places if not any(p.intersection(other) for other in placed)), places[0])


def _rule(finding: Finding, spec_lines: Mapping[str, str], numbers: Mapping[str, int]) -> Rule:
    return Rule(
        constraint=finding.constraint,
        status=finding.status,
        name=", ".join(finding.violations) or finding.constraint,
        rule=spec_lines.get(finding.constraint, finding.constraint),
        expected=finding.expected,
        found=finding.found,
        numbers=tuple(numbers[q] for q in finding.queries if q in numbers),
        confidence=finding.confidence,
    )


def _said(answer: Answer) -> str:
    if not answer.readable:
        return "could not be read"
    if answer.values:
        return ", ".join(answer.values)
    if answer.boxes:
        return f"{len(answer.boxes)} found"
    return "no rule broken" if answer.query == "verdict" else "none"
