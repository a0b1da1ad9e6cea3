"""Look → verdict: the checker derives what is broken, and how likely; thresholds say whether a person has to look.

What a bundle's verdicts rest on beside its model: scales, thresholds, and what usual photos look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from logicls.constraints.checker.evaluation import collect_violations, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.models.bundle import Bundle
from logicls.predict.readers.nano import Prediction
from logicls.predict.uncertainty.calibration import Scales, read_scales
from logicls.predict.uncertainty.ood import Usual, read_usual
from logicls.predict.uncertainty.rule_probability import Broken, broken
from logicls.predict.uncertainty.thresholds import FILE, Thresholds, read_thresholds, settle
from logicls.records import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Grounds:
    """Read once with the bundle."""

    spec: Spec
    scales: Scales
    thresholds: Thresholds
    usual: Usual | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing; plain lines for the terminal."""
        lines = []
        if not self.scales.examples:
            lines.append("warning: the bundle was not calibrated: its probabilities are the model's own")
        if self.usual is None:
            lines.append("warning: the bundle does not know what its photos look like: a wrong photo is not told")
        return tuple(lines)


def grounds_of(bundle: Bundle) -> Grounds:
    """Those of a bundle; what it does not have changes nothing. Raises `BundleError`, `DataError`."""
    if bundle.is_external:
        return Grounds(bundle.spec, Scales(), Thresholds())
    file, known = bundle.path / FILE, [constraint.id for constraint in bundle.spec.constraints]
    thresholds = read_thresholds(file, known=known) if file.exists() else Thresholds()
    return Grounds(bundle.spec, read_scales(bundle.path), thresholds, read_usual(bundle.path))


def verdict_on(
    grounds: Grounds,
    look: Prediction,
    photo: str,
    pixels: UInt8[np.ndarray, "h w 3"],
    *,
    size: tuple[int, int] | None = None,
    doubts: Sequence[str] = (),
) -> Verdict:
    """The verdict on a photo called `photo`, whose pixels (RGB) were looked at.

    `size`: (width, height) of the photo itself, where the pixels are already those of the model's input.
    """
    size = size or (pixels.shape[1], pixels.shape[0])
    unlike = grounds.usual.unlike(pixels) if grounds.usual else ()
    few = grounds.scales.pixels.too_few(*size) if grounds.scales.pixels else ()
    return decide(
        grounds.spec, look, photo, size, scales=grounds.scales, thresholds=grounds.thresholds,
        doubts=(*doubts, *unlike, *few),
    )  # fmt: skip


UNSTATED = "the stated verdict could not be read"
"""A doubt."""


def unread(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The doubts that rules leave which could not be checked."""
    return tuple(f"{f.constraint}: {f.found}" for f in findings if f.status == "unknown")


def decide(
    spec: Spec,
    look: Prediction,
    photo: str,
    size: tuple[int, int],
    *,
    scales: Scales = Scales(),  # noqa: B008  frozen
    thresholds: Thresholds = Thresholds(),  # noqa: B008  frozen
    doubts: Sequence[str] = (),
) -> Verdict:
    """The verdict on one photo. `size`: (width, height) in pixels; `doubts`: what else speaks for a person's look.

    Each rule's probability is pooled from two readings: what the answers make of it, and what the stated verdict says.
    """
    stated = look.stated.values if look.stated.readable else None
    told = dict(look.violation_probabilities) if stated is not None else {}
    likely = broken(spec, look, size, scales)
    chances = {rule: _pooled(came, told, scales) for rule, came in likely.items()}
    came = evaluate(spec, index_answers(look.answers), *size)
    findings = tuple(
        replace(f, probability=_any(chances[f.constraint]) if f.status != "unknown" else None) for f in came
    )
    unstated = [UNSTATED] if stated is None else []
    scores = {name: max((one.get(name, 0.0) for one in chances.values()), default=0.0) for name in spec.violations}
    verdict = Verdict(
        photo, "review", collect_violations(findings), None if stated is None else tuple(sorted(stated)), _score(findings),
        tuple(scores.items()), findings, (*look.answers, look.stated), (), *size,
        spec=spec.hash, unconditional_reasons=(*doubts, *unread(findings), *unstated),
    )  # fmt: skip
    return settle(verdict, thresholds)


def _pooled(came: Broken, told: Mapping[str, float], scales: Scales) -> dict[str, float]:
    """Violation → probability; a rule that may not be readable counts half of that."""
    return {name: scales.pooled(min(p + came.unknown / 2, 1.0), told.get(name)) for name, p in came.names.items()}


def _any(chances: Mapping[str, float]) -> float:
    """That a rule is broken in one way or another; it is broken in one way at a time."""
    return min(sum(chances.values()), 1.0)


def _score(findings: Sequence[Finding]) -> float:
    """Probability that any rule is broken, as if rules broke independently; what is not known counts half."""
    good = 1.0
    for finding in findings:
        good *= 1 - (0.5 if finding.probability is None else finding.probability)
    return 1 - good
