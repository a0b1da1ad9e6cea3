"""What a bundle's verdicts rest on beside its model: scales, thresholds, and what usual photos look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from logicls.constraints.spec import Spec
from logicls.models.bundle import Bundle
from logicls.predict.read.one_pass import Look
from logicls.predict.sure.novelty import Usual, read_usual
from logicls.predict.sure.scales import Scales, read_scales
from logicls.predict.sure.thresholds import FILE, Thresholds, read_thresholds
from logicls.predict.verdict import decide
from logicls.records import Verdict


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
    if bundle.foreign:
        return Grounds(bundle.spec, Scales(), Thresholds())
    file, known = bundle.path / FILE, [constraint.id for constraint in bundle.spec.constraints]
    thresholds = read_thresholds(file, known=known) if file.exists() else Thresholds()
    return Grounds(bundle.spec, read_scales(bundle.path), thresholds, read_usual(bundle.path))


def verdict_on(
    grounds: Grounds,
    look: Look,
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
