"""Source photos and the edits that break a rule on purpose, or that imitate such an edit without breaking one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from logicls.constraints.checker.counterexamples import Target, find_counterexample
from logicls.constraints.checker.evaluation import build_context, find_near_limits, find_violations
from logicls.constraints.families.edits import (
    Add,
    Damage,
    Edit,
    Edits,
    Move,
    Remove,
    Replace,
    Reroute,
    Resize,
    Rotate,
    Swap,
    Vary,
)
from logicls.constraints.lint.data_audit import ANY_VIOLATION
from logicls.constraints.spec.models import Spec
from logicls.errors import count_text
from logicls.records import AppliedEdit, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.editor import Editor
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import compute_photo_weights, list_violation_variants
from logicls.synth.settings import BalanceSettings

Rng = np.random.Generator
DONOR_ATTEMPTS = 3
"""Attempts with different donors while an edit breaks more rules than requested."""
EDIT_NAMES: dict[type[Edit], str] = {
    Remove: "remove", Add: "add", Move: "move", Swap: "swap", Replace: "replace", Resize: "resize",
    Rotate: "rotate", Reroute: "reroute", Damage: "damage", Vary: "vary",
}  # fmt: skip
"""Class of edit → its name in records."""


@dataclass(frozen=True, slots=True)
class EditedPhoto:
    """A canvas with the edits that were applied to it."""

    canvas: Canvas
    edits: tuple[AppliedEdit, ...] = ()


class ViolationSampler:
    """Draws photos from a bank, and edits them so that rules of a spec break."""

    def __init__(self, spec: Spec, bank: InstanceBank, balance: BalanceSettings) -> None:
        self.spec, self.bank = spec, bank
        self._editor = Editor(spec, bank)
        self._variants = list_violation_variants(spec, balance)
        self._real_defects: dict[str, list[Scene]] = {}
        self._real_defect_share = balance.real_defects, balance.max_share_per_defect
        self.unused_photos: list[str] = []
        """Photos that are declared to be defective in a way that their annotations do not show."""
        good = [scene for scene in bank.dataset.scenes if not self._record_real_defect(scene)]
        self._scenes = sorted(good or bank.dataset.scenes, key=_variant_key)
        self._cumulative_weights = np.cumsum(
            compute_photo_weights(
                spec, self._scenes, max_ratio=balance.max_photo_weight, near_limit_weight=balance.near_limit_weight
            )
        )

    def _record_real_defect(self, scene: Scene) -> bool:
        """Register the photo under each rule that it breaks; returns whether it breaks any, or is declared to."""
        broken = find_violations(self.spec, build_context(self.spec, scene, status_only=True))
        declared = set(self.bank.dataset.declared_defects.get(scene.photo, ()))
        if (declared & set(self.spec.violations)) - set(broken) or (ANY_VIOLATION in declared and not broken):
            self.unused_photos.append(scene.photo)
            return True
        for name in broken:
            self._real_defects.setdefault(name, []).append(scene)
        return bool(broken)

    def count_real_defects(self) -> dict[str, int]:
        """Count the photos of real defects of each violation that has any."""
        return {name: len(self._real_defects[name]) for name in self.spec.violations if name in self._real_defects}

    def describe_real_defects(self) -> Iterator[str]:
        """Say how many photos of real defects are used for which violation, and how many photos are not used."""
        counts = self.count_real_defects()
        if counts:
            yield f"photos of real defects: {', '.join(f'{name} {number}' for name, number in counts.items())}"
        if self.unused_photos:
            unused = count_text(len(self.unused_photos), "photo")
            yield f"{unused} not used: declared defects that the annotations do not show"

    def sample_real_defect(self, violation: str, rng: Rng) -> EditedPhoto | None:
        """Draw an unedited photo with that violation, or None: few photos are drawn seldom, and none if there is none.

        The share of draws with a photo is that of the settings, but none of the photos makes more than its own share.
        """
        scenes = self._real_defects.get(violation, [])
        most, most_per_photo = self._real_defect_share
        if rng.random() >= min(most, len(scenes) * most_per_photo):
            return None
        scene = scenes[int(rng.integers(len(scenes)))] if scenes else None
        return EditedPhoto(Canvas(partial(self.bank.load_photo, scene), scene)) if scene else None

    def select_photo(self, position: float) -> EditedPhoto:
        """Select the good photo at a position (0 to 1) of the weighted list, in which similar photos are neighbours."""
        index = int(np.searchsorted(self._cumulative_weights, position * self._cumulative_weights[-1], side="right"))
        scene = self._scenes[min(index, len(self._scenes) - 1)]
        return EditedPhoto(Canvas(partial(self.bank.load_photo, scene), scene))

    def add_violation(self, edited: EditedPhoto, violation: str, rng: Rng) -> EditedPhoto | None:
        """Add one violation; returns None if the photo does not allow it."""
        return self._extend(edited, violation, rng, is_control=False)

    def add_control_edit(self, edited: EditedPhoto, violation: str, rng: Rng) -> EditedPhoto | None:
        """Apply an edit like those that make the violation, but breaks no rule; None if the photo does not allow it."""
        return self._extend(edited, violation, rng, is_control=True)

    def _extend(self, edited: EditedPhoto, violation: str, rng: Rng, *, is_control: bool) -> EditedPhoto | None:
        """Apply a variant of the violation, or of its control edit; None if the photo does not allow it."""
        target = self._sample_target(violation, rng)
        scene = edited.canvas.scene
        edits = find_counterexample(self.spec, target, scene, rng, is_control=is_control)
        if not edits:
            return None
        canvas = self._apply_checked(target, edits, edited.canvas, rng, is_control)
        if canvas is None:
            return None
        planned = [
            AppliedEdit(EDIT_NAMES[type(edit)], getattr(edit, "target", 0), target.constraint.id, is_control)
            for edit in edits
        ]
        return EditedPhoto(canvas, (*edited.edits, *planned))

    def _apply_checked(self, target: Target, edits: Edits, canvas: Canvas, rng: Rng, is_control: bool) -> Canvas | None:
        """Apply the edits with the donor that breaks the fewest other rules; None if no donor will do.

        A donor may be larger than planned, and brings along what lies on it.
        """
        context = build_context(self.spec, canvas.scene, status_only=True)
        broken_before = set(find_violations(self.spec, context))
        allowed_near_limits = find_near_limits(self.spec, context) - {target.constraint.id}
        best: tuple[int, Canvas] | None = None
        liquids = self.spec.liquids
        needs_donor = any(isinstance(edit, Add | Replace) and edit.component not in liquids for edit in edits)
        for _ in range(DONOR_ATTEMPTS if needs_donor else 1):
            candidate = self._apply_edits(edits, canvas, rng)
            if candidate is None:
                continue
            after = build_context(self.spec, candidate.scene, status_only=True)
            broken_after = set(find_violations(self.spec, after))
            is_as_requested = (
                broken_after == broken_before
                if is_control
                else broken_before | {target.violation} <= broken_after and target.violation not in broken_before
            )
            if (
                is_as_requested
                and find_near_limits(self.spec, after) <= allowed_near_limits
                and (best is None or len(broken_after) < best[0])
            ):
                best = len(broken_after), candidate
            if is_as_requested and len(broken_after - broken_before) <= 1:
                break
        return best[1] if best else None

    def _sample_target(self, violation: str, rng: Rng) -> Target:
        """Draw a variant of the violation."""
        variants = self._variants[violation]
        weights = np.array([variant.weight for variant in variants])
        return variants[int(rng.choice(len(variants), p=weights / weights.sum()))].target

    def _apply_edits(self, edits: Edits, canvas: Canvas, rng: Rng) -> Canvas | None:
        current: Canvas | None = canvas
        for edit in edits:
            current = self._editor.apply(edit, current, rng) if current else None
        return current


def _variant_key(scene: Scene) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Components with attributes on the photo, without their positions: equal for photos of one variant."""
    return sorted((i.component, i.attributes) for i in scene.instances if i.attributes)
