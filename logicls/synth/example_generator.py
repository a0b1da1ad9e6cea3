"""One training example from a seed: plan, source photo, edits, augmentation, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.models import Spec
from logicls.records import Example, GenerationStats
from logicls.synth.augmentation import Augmenter
from logicls.synth.compositor import Canvas
from logicls.synth.image_ops import Photo
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import SLOTS_PER_BLOCK, ExampleSpec, Slot, compute_violation_shares, plan_block
from logicls.synth.settings import AugmentationSettings, BalanceSettings
from logicls.synth.violation_sampler import EditedPhoto, ViolationSampler

Rng = np.random.Generator
MAX_SUBSTITUTES = 6
"""Other violations that are tried in place of one that no photo allows."""


@dataclass(frozen=True, slots=True)
class _ExamplePair:
    """A photo and its broken counterpart; `bad` is None if no violation could be made."""

    good: EditedPhoto
    bad: EditedPhoto | None
    attempts: tuple[int, ...]
    """Photos on which each requested violation was tried."""


@dataclass(frozen=True, slots=True)
class RenderedExample:
    """An example with raw pixels in place of an encoded image."""

    photo: Photo
    jpeg_quality: int
    """Quality of the JPEG to encode, 1 to 100."""
    example: Example
    """The example without its image, which is empty."""

    def encode(self) -> Example:
        """Encode the pixels as JPEG; returns the complete example."""
        bgr = cv2.cvtColor(self.photo, cv2.COLOR_RGB2BGR)
        is_encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
        if not is_encoded:  # pragma: no cover - the encoder takes every uint8 picture
            raise ValueError(f"cannot encode {self.example.scene.photo}")
        return replace(self.example, image=bytes(data))


class ExampleGenerator:
    """Generates the examples of one spec from one bank of instances."""

    def __init__(
        self, spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings
    ) -> None:
        self.spec, self.bank, self.balance = spec, bank, balance
        self.sampler = ViolationSampler(spec, bank, balance)
        self.augmenter = Augmenter(spec, augmentation, bank.dataset.scenes)
        self.jpeg_quality = augmentation.jpeg_quality
        self.violation_shares = compute_violation_shares(spec, balance)
        self._block: tuple[tuple[int, int], tuple[Slot, ...]] = ((0, -1), ())
        self._last_pair: tuple[tuple[int, int], tuple[RenderedExample, ...]] = ((0, -1), ())

    def generate(self, seed: int, index: int) -> Example:
        """Generate example number `index` of the set `seed`: the same two numbers give the same bytes."""
        return self.render(seed, index).encode()

    def render(self, seed: int, index: int) -> RenderedExample:
        """Render example number `index` of the set `seed` without encoding it."""
        number, position = divmod(index, 2)
        slot = self._get_slot(seed, number)
        if not slot.is_pair:
            return self._render_single(slot.examples[position], index, np.random.default_rng([seed, 1, index]))
        if self._last_pair[0] != (seed, number):
            rng = np.random.default_rng([seed, 2, number])
            self._last_pair = (seed, number), self._render_pair(slot.examples, number, rng)
        return self._last_pair[1][position]

    def _get_slot(self, seed: int, number: int) -> Slot:
        """Slot number `number` of the sampling plan; one block is cached."""
        block, position = divmod(number, SLOTS_PER_BLOCK)
        if self._block[0] != (seed, block):
            self._block = (seed, block), plan_block(self.balance, self.violation_shares, seed, block)
        return self._block[1][position]

    def _render_single(self, example_spec: ExampleSpec, index: int, rng: Rng) -> RenderedExample:
        """Render an example that is not part of a pair."""
        edited = self.sampler.select_photo(example_spec.photo_position)
        attempts: tuple[int, ...] = ()
        if example_spec.category == "control":
            edited = self._add_control_edit(edited, example_spec.violations[0], rng)
        elif example_spec.category != "untouched":
            is_single = example_spec.category == "broken"
            defect = self.sampler.sample_real_defect(example_spec.violations[0], rng) if is_single else None
            pair = (
                None
                if defect
                else self._break_rules(example_spec, rng, with_control=rng.random() < self.balance.control_with_broken)
            )
            edited, attempts = (pair.bad or pair.good, pair.attempts) if pair else (defect or edited, (0,))
        return self._augment([edited], [example_spec], attempts, rng, first=index)[0]

    def _render_pair(
        self, example_specs: tuple[ExampleSpec, ExampleSpec], number: int, rng: Rng
    ) -> tuple[RenderedExample, ...]:
        """Render a good and a broken example of one photo, augmented alike."""
        broken_pair = self._break_rules(example_specs[1], rng, with_control_pair=example_specs[0].category == "control")
        photos = [broken_pair.good, broken_pair.bad or broken_pair.good]
        return self._augment(
            photos,
            example_specs,
            broken_pair.attempts,
            rng,
            first=2 * number,
            pair_id=number if broken_pair.bad else -1,
        )

    def _add_control_edit(self, edited: EditedPhoto, violation: str, rng: Rng) -> EditedPhoto:
        """Apply a control edit, on other photos if this one does not allow it.

        The photo stays untouched if all attempts fail.
        """
        for _ in range(self.balance.attempts):
            current = self.sampler.add_control_edit(edited, violation, rng)
            if current is not None:
                return current
            edited = self.sampler.select_photo(rng.random())
        return edited

    def _break_rules(
        self, example_spec: ExampleSpec, rng: Rng, *, with_control: bool = False, with_control_pair: bool = False
    ) -> _ExamplePair:
        """Make the requested violations on a photo that allows them.

        If no photo of many allows a violation, another one is made in its place.

        Args:
            example_spec: Requested violations, and the photo to try first.
            rng: Source of randomness.
            with_control: Apply a control edit to the broken photo first.
            with_control_pair: Apply a control edit to the good photo of the pair.
        """
        names, attempts = example_spec.violations, [0] * len(example_spec.violations)
        good, impossible = self.sampler.select_photo(example_spec.photo_position), set[str]()
        for substitutes in range(MAX_SUBSTITUTES + 1):
            for _ in range(self.balance.attempts):
                start = self._try_control_edit(good, rng) if with_control else good
                bad, completed = self._add_violations(start, names, rng)
                if not substitutes:
                    attempts = [count + (position <= completed) for position, count in enumerate(attempts)]
                counterpart = self.sampler.add_control_edit(good, names[0], rng) if with_control_pair and bad else good
                if bad is not None and counterpart is not None:
                    return _ExamplePair(counterpart, bad, tuple(attempts))
                good = self.sampler.select_photo(rng.random())
            failed = min(completed, len(names) - 1)
            impossible.add(names[failed])
            substitute = self._draw_violation((*names, *impossible), rng)
            names = (*names[:failed], substitute, *names[failed + 1 :])
        return _ExamplePair(good, None, tuple(attempts))

    def _add_violations(
        self, edited: EditedPhoto | None, names: tuple[str, ...], rng: Rng
    ) -> tuple[EditedPhoto | None, int]:
        """Add all violations; returns the photo, None if one cannot be made, and the number made before that."""
        for number, name in enumerate(names):
            edited = self.sampler.add_violation(edited, name, rng) if edited else None
            if edited is None:
                return None, number
        return edited, len(names)

    def _try_control_edit(self, edited: EditedPhoto, rng: Rng) -> EditedPhoto:
        """Apply a control edit for a random violation if the photo allows it."""
        return self.sampler.add_control_edit(edited, self._draw_violation((), rng), rng) or edited

    def _draw_violation(self, names: tuple[str, ...], rng: Rng) -> str:
        """Draw a random violation, if possible none of `names`."""
        others = [name for name in self.violation_shares if name not in names] or list(self.violation_shares)
        return others[int(rng.integers(len(others)))]

    def _augment(
        self,
        photos: list[EditedPhoto],
        example_specs: Sequence[ExampleSpec],
        attempts: tuple[int, ...],
        rng: Rng,
        *,
        first: int,
        pair_id: int = -1,
    ) -> tuple[RenderedExample, ...]:
        """Augment the photos alike, and label the results.

        Args:
            photos: One photo, or the two of a pair.
            example_specs: The plan of each.
            attempts: Photos on which each requested violation was tried.
            rng: Source of randomness.
            first: Number of the first example.
            pair_id: Number of the pair; -1 for a single example.
        """
        group = self.augmenter.augment([edited.canvas for edited in photos], rng)
        quality = int(rng.integers(self.jpeg_quality[0], self.jpeg_quality[1] + 1))
        return tuple(
            self._finish(
                edited,
                canvas,
                quality,
                first + k,
                pair_id,
                _build_stats(example_spec, attempts, group.rejected_draws if k == 0 else 0),
            )
            for k, (edited, canvas, example_spec) in enumerate(zip(photos, group.canvases, example_specs, strict=True))
        )

    def _finish(
        self, edited: EditedPhoto, canvas: Canvas, quality: int, index: int, pair_id: int, stats: GenerationStats
    ) -> RenderedExample:
        """Label a canvas by the oracle's answers."""
        answers = tuple(answer for answer in compute_answers(self.spec, canvas.scene) if answer.readable)
        example = Example(b"", canvas.scene, edited.edits, answers, answers[-1].values, index, pair_id, stats)
        return RenderedExample(canvas.photo, quality, example)


def _build_stats(example_spec: ExampleSpec, attempts: tuple[int, ...], rejected: int) -> GenerationStats:
    if example_spec.category in ("untouched", "control"):
        return GenerationStats(example_spec.category, rejected=rejected)
    return GenerationStats(example_spec.category, example_spec.violations, attempts, rejected)
