"""A photo and the edits on it, before anything else about it varies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from logicls.constraints.checker.counterexamples import Target, find_counterexample
from logicls.constraints.checker.evaluation import build_context, find_violations
from logicls.constraints.checker.margins import find_near_limits
from logicls.constraints.families.edits import Add, Edit, Move, Remove, Replace, Reroute, Resize, Rotate, Swap
from logicls.constraints.families.protocol import Edits
from logicls.constraints.spec.models import Spec
from logicls.records import AppliedEdit, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.editor import Editor
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import BalanceSettings, compute_photo_weights, violation_variants

Rng = np.random.Generator
DONOR_ATTEMPTS = 3
"""Times an edit that brings something along is carried out, as long as it breaks more than it should."""
EDIT_NAMES: dict[type[Edit], str] = {
    Remove: "remove", Add: "add", Move: "move", Swap: "swap", Replace: "replace", Resize: "resize",
    Rotate: "rotate", Reroute: "reroute",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EditedPhoto:
    """A photo with what has been done to it."""

    canvas: Canvas
    edits: tuple[AppliedEdit, ...] = ()


class ViolationSampler:
    """Draws photos from a bank, and breaks the rules of a spec on them."""

    def __init__(self, spec: Spec, bank: InstanceBank, balance: BalanceSettings) -> None:
        self.spec, self.bank = spec, bank
        self._editor = Editor(spec, bank)
        self._variants = violation_variants(spec, balance)
        self._real_defects: dict[str, list[Scene]] = {}
        good = [scene for scene in bank.dataset.scenes if not self._record_real_defect(scene)]
        self._scenes = sorted(good or bank.dataset.scenes, key=_variant_key)
        self._cumulative_weights = np.cumsum(
            compute_photo_weights(
                spec, self._scenes, max_ratio=balance.max_photo_weight, near_limit_weight=balance.near_limit_weight
            )
        )

    def _record_real_defect(self, scene: Scene) -> bool:
        """Whether the photo is one of a real defect, which is then kept for that."""
        broken = find_violations(self.spec, build_context(self.spec, scene, quiet=True))
        for name in broken:
            self._real_defects.setdefault(name, []).append(scene)
        return bool(broken)

    def sample_real_defect(self, violation: str, rng: Rng) -> EditedPhoto | None:
        """A photo with that violation as it was taken; None where nobody annotated one."""
        found = self._real_defects.get(violation)
        scene = found[int(rng.integers(len(found)))] if found else None
        return EditedPhoto(Canvas(partial(self.bank.photo, scene), scene)) if scene else None

    def select_photo(self, position: float) -> EditedPhoto:
        """The good photo at that place, 0 to 1, of all in a row: alike ones side by side, rare ones with more room."""
        index = int(np.searchsorted(self._cumulative_weights, position * self._cumulative_weights[-1], side="right"))
        scene = self._scenes[min(index, len(self._scenes) - 1)]
        return EditedPhoto(Canvas(partial(self.bank.photo, scene), scene))

    def add_violation(self, draft: EditedPhoto, violation: str, rng: Rng) -> EditedPhoto | None:
        """The draft with one more violation; None where its photo does not allow it."""
        return self._extend(draft, violation, rng, is_control=False)

    def add_control_edit(self, draft: EditedPhoto, violation: str, rng: Rng) -> EditedPhoto | None:
        """The draft after the motions of making that violation, which break nothing; None likewise."""
        return self._extend(draft, violation, rng, is_control=True)

    def _extend(self, draft: EditedPhoto, violation: str, rng: Rng, *, is_control: bool) -> EditedPhoto | None:
        aim = self._sample_target(violation, rng)
        scene = draft.canvas.scene
        plans = find_counterexample(self.spec, aim, scene, rng, is_control=is_control)
        if not plans:
            return None
        canvas = self._apply_checked(aim, plans, draft.canvas, rng, is_control)
        if canvas is None:
            return None
        edits = [
            AppliedEdit(EDIT_NAMES[type(plan)], getattr(plan, "target", 0), aim.constraint.id, is_control)
            for plan in plans
        ]
        return EditedPhoto(canvas, (*draft.edits, *edits))

    def _apply_checked(self, aim: Target, plans: Edits, canvas: Canvas, rng: Rng, is_control: bool) -> Canvas | None:
        """The canvas after the plans, with the donor that breaks the fewest other rules; None if none will do.

        A donor may be larger than planned, and brings along what lies on it.
        """
        before = build_context(self.spec, canvas.scene, quiet=True)
        was, close = set(find_violations(self.spec, before)), find_near_limits(self.spec, before) - {aim.constraint.id}
        best: tuple[int, Canvas] | None = None
        fillings = self.spec.liquids
        brings = any(isinstance(plan, Add | Replace) and plan.component not in fillings for plan in plans)
        for _ in range(DONOR_ATTEMPTS if brings else 1):
            edited = self._apply_edits(plans, canvas, rng)
            if edited is None:
                continue
            after = build_context(self.spec, edited.scene, quiet=True)
            now = set(find_violations(self.spec, after))
            meant = now == was if is_control else was | {aim.violation} <= now and aim.violation not in was
            if meant and find_near_limits(self.spec, after) <= close and (best is None or len(now) < best[0]):
                best = len(now), edited
            if meant and len(now - was) <= 1:
                break
        return best[1] if best else None

    def _sample_target(self, violation: str, rng: Rng) -> Target:
        some = self._variants[violation]
        weights = np.array([way.weight for way in some])
        return some[int(rng.choice(len(some), p=weights / weights.sum()))].target

    def _apply_edits(self, plans: Edits, canvas: Canvas, rng: Rng) -> Canvas | None:
        edited: Canvas | None = canvas
        for plan in plans:
            edited = self._editor.apply(plan, edited, rng) if edited else None
        return edited


def _variant_key(scene: Scene) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """What the photo shows, apart from where: photos of a variant compare equal."""
    return sorted((i.component, i.attributes) for i in scene.instances if i.attributes)
