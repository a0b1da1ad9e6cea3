"""One training example from a seed: pick a photo, edit it, vary it, look again."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from logicls.constraints.family import Plans
from logicls.constraints.look import look
from logicls.constraints.plan import Add, Move, Plan, Remove, Replace, Reroute, Resize, Rotate, Swap
from logicls.constraints.spec import Spec
from logicls.constraints.violate import Aim, aims, violate
from logicls.records import Edit, Example
from logicls.synth.augment import Augmenter, Strength
from logicls.synth.bank import Bank
from logicls.synth.edit import Canvas, Editor

Rng = np.random.Generator
TRIES = 25
SHARES = {"untouched": 0.2, "twin": 0.25, "broken": 0.45, "broken twice": 0.1}
"""What becomes of a photo; half of the broken ones carry a twin edit besides."""
KINDS: dict[type[Plan], str] = {
    Remove: "remove", Add: "add", Move: "move", Swap: "swap", Replace: "replace", Resize: "resize",
    Rotate: "rotate", Reroute: "reroute",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Step:
    canvas: Canvas
    edits: tuple[Edit, ...]


class Maker:
    """Makes the examples of one spec from one bank."""

    def __init__(self, spec: Spec, bank: Bank, strength: Strength) -> None:
        self.spec, self.bank = spec, bank
        self.editor, self.augment = Editor(spec, bank), Augmenter(spec, strength)
        self.quality = strength.quality
        self.aims: dict[str, list[Aim]] = {}
        for aim in aims(spec):
            self.aims.setdefault(aim.violation, []).append(aim)

    def make(self, seed: int, index: int) -> Example:
        """Example number `index` of the set `seed`: the same two numbers give the same bytes."""
        rng = np.random.default_rng([seed, index])
        step = self._edited(rng)
        canvas = self.augment(step.canvas, rng)
        answers = tuple(answer for answer in look(self.spec, canvas.scene) if answer.readable)
        quality = int(rng.integers(self.quality[0], self.quality[1] + 1))
        return Example(_jpeg(canvas, quality), canvas.scene, step.edits, answers, answers[-1].values, index)

    def _edited(self, rng: Rng) -> _Step:
        fate = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        for _ in range(TRIES):
            scene = self.bank.dataset.scenes[int(rng.integers(len(self.bank.dataset.scenes)))]
            step: _Step | None = _Step(Canvas(self.bank.photo(scene), scene), ())
            if fate == "untouched":
                break
            if fate == "twin" or rng.random() < 0.5:
                step = self._step(step, rng, twin=True)
            for _ in range({"broken": 1, "broken twice": 2}.get(fate, 0)):
                step = self._step(step, rng, twin=False)
            if step is not None:
                break
        assert step is not None or fate != "untouched"
        return step or _Step(Canvas(self.bank.photo(scene), scene), ())

    def _step(self, step: _Step | None, rng: Rng, *, twin: bool) -> _Step | None:
        """One more edit; None where it cannot be done or does not do what it is for."""
        if step is None:
            return None
        names = list(self.aims)
        ways = self.aims[names[int(rng.integers(len(names)))]]
        aim = ways[int(rng.integers(len(ways)))]
        plans = violate(self.spec, aim, step.canvas.scene, rng, twin=twin)
        canvas = self._carried_out(plans or (), step.canvas, rng)
        if not plans or canvas is None:
            return None
        before = set(look(self.spec, step.canvas.scene)[-1].values)
        after = set(look(self.spec, canvas.scene)[-1].values)
        wanted = after == before if twin else aim.violation in after - before
        edits = [Edit(KINDS[type(plan)], getattr(plan, "target", 0), aim.constraint.id, twin) for plan in plans]
        return _Step(canvas, (*step.edits, *edits)) if wanted else None

    def _carried_out(self, plans: Plans, canvas: Canvas | None, rng: Rng) -> Canvas | None:
        for plan in plans:
            canvas = self.editor.edit(plan, canvas, rng) if canvas else None
        return canvas


def _jpeg(canvas: Canvas, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", canvas.photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:  # pragma: no cover - the encoder takes every uint8 picture
        raise ValueError(f"cannot encode {canvas.scene.photo}")
    return bytes(data)
