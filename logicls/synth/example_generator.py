"""One training example from a seed: what it is to be, a photo, edits, variation, and another look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.models import Spec
from logicls.records import Example, GenerationStats
from logicls.synth.augmentation import Augmenter, AugmentationSettings
from logicls.synth.compositor import Canvas
from logicls.synth.image_ops import Photo
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import (
    SLOTS_PER_BLOCK,
    BalanceSettings,
    ExampleSpec,
    Slot,
    plan_block,
    violation_shares,
)
from logicls.synth.violation_sampler import EditedPhoto, ViolationSampler

Rng = np.random.Generator
MAX_SUBSTITUTES = 3
"""Other violations that are tried in the place of one that cannot be made."""


@dataclass(frozen=True, slots=True)
class _BrokenPair:
    """A photo, and the same photo broken; the second is None where nothing at all could be broken."""

    good: EditedPhoto
    bad: EditedPhoto | None
    attempts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RenderedExample:
    """An example whose photo is not yet encoded."""

    photo: Photo
    jpeg_quality: int
    """Of the JPEG that it is to become, 1 to 100."""
    example: Example
    """All of it but its image, which is empty."""

    def encode(self) -> Example:
        """The example with its image."""
        bgr = cv2.cvtColor(self.photo, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
        if not done:  # pragma: no cover - the encoder takes every uint8 picture
            raise ValueError(f"cannot encode {self.example.scene.photo}")
        return replace(self.example, image=bytes(data))


class ExampleGenerator:
    """Makes the examples of one spec from one bank."""

    def __init__(
        self, spec: Spec, bank: InstanceBank, augmentation: AugmentationSettings, balance: BalanceSettings
    ) -> None:
        self.spec, self.bank, self.balance = spec, bank, balance
        self.sampler = ViolationSampler(spec, bank, balance)
        self.augmenter = Augmenter(spec, augmentation, bank.dataset.scenes)
        self.jpeg_quality = augmentation.jpeg_quality
        self.violation_shares = violation_shares(spec, balance)
        self._block: tuple[tuple[int, int], tuple[Slot, ...]] = ((0, -1), ())
        self._last_pair: tuple[tuple[int, int], tuple[RenderedExample, ...]] = ((0, -1), ())

    def generate(self, seed: int, index: int) -> Example:
        """Example number `index` of the set `seed`: the same two numbers give the same bytes."""
        return self.render(seed, index).encode()

    def render(self, seed: int, index: int) -> RenderedExample:
        """The same before it is encoded."""
        number, half = divmod(index, 2)
        slot = self._planned_slot(seed, number)
        if not slot.is_pair:
            return self._render_single(slot.examples[half], index, np.random.default_rng([seed, 1, index]))
        if self._last_pair[0] != (seed, number):
            rng = np.random.default_rng([seed, 2, number])
            self._last_pair = (seed, number), self._render_pair(slot.examples, number, rng)
        return self._last_pair[1][half]

    def _planned_slot(self, seed: int, number: int) -> Slot:
        deck, place = divmod(number, SLOTS_PER_BLOCK)
        if self._block[0] != (seed, deck):
            self._block = (seed, deck), plan_block(self.balance, self.violation_shares, seed, deck)
        return self._block[1][place]

    def _render_single(self, card: ExampleSpec, index: int, rng: Rng) -> RenderedExample:
        draft = self.sampler.select_photo(card.photo_position)
        tries: tuple[int, ...] = ()
        if card.category == "twin":
            draft = self._add_control_edit(draft, card.violations[0], rng)
        elif card.category != "untouched":
            real = card.category == "broken" and rng.random() < self.balance.real_defects
            defect = self.sampler.sample_real_defect(card.violations[0], rng) if real else None
            both = (
                None
                if defect
                else self._break_rules(card, rng, with_control=rng.random() < self.balance.control_with_broken)
            )
            draft, tries = (both.bad or both.good, both.attempts) if both else (defect or draft, (0,))
        return self._augment([draft], [card], tries, rng, first=index)[0]

    def _render_pair(
        self, cards: tuple[ExampleSpec, ExampleSpec], number: int, rng: Rng
    ) -> tuple[RenderedExample, ...]:
        both = self._break_rules(cards[1], rng, is_control=cards[0].category == "twin")
        drafts = [both.good, both.bad or both.good]
        return self._augment(drafts, cards, both.attempts, rng, first=2 * number, pair=number if both.bad else -1)

    def _add_control_edit(self, draft: EditedPhoto, violation: str, rng: Rng) -> EditedPhoto:
        """A photo with a twin edit; untouched if none of many allows it."""
        for _ in range(self.balance.attempts):
            edited = self.sampler.add_control_edit(draft, violation, rng)
            if edited is not None:
                return edited
            draft = self.sampler.select_photo(rng.random())
        return draft

    def _break_rules(
        self, card: ExampleSpec, rng: Rng, *, with_control: bool = False, is_control: bool = False
    ) -> _BrokenPair:
        """A photo on which what is wanted can be made; another violation stands in for one that none of many allows.

        Args:
            card: What is wanted, and where to begin to look for a photo.
            rng: Chance.
            besides: Whether a twin edit is made first.
            twin: Whether the good one goes through the motions of the first violation.
        """
        names, tries = card.violations, [0] * len(card.violations)
        good = self.sampler.select_photo(card.photo_position)
        for stand_in in range(MAX_SUBSTITUTES + 1):
            for _ in range(self.balance.attempts):
                start = self._try_control_edit(good, rng) if with_control else good
                bad, done = self._add_violations(start, names, rng)
                if not stand_in:
                    tries = [count + (position <= done) for position, count in enumerate(tries)]
                same = self.sampler.add_control_edit(good, names[0], rng) if is_control and bad else good
                if bad is not None and same is not None:
                    return _BrokenPair(same, bad, tuple(tries))
                good = self.sampler.select_photo(rng.random())
            stuck = min(done, len(names) - 1)
            names = (*names[:stuck], self._draw_violation(names, rng), *names[stuck + 1 :])
        return _BrokenPair(good, None, tuple(tries))

    def _add_violations(
        self, draft: EditedPhoto | None, names: tuple[str, ...], rng: Rng
    ) -> tuple[EditedPhoto | None, int]:
        """The draft with all of the violations; None if one cannot be made, and how many could before that."""
        for number, name in enumerate(names):
            draft = self.sampler.add_violation(draft, name, rng) if draft else None
            if draft is None:
                return None, number
        return draft, len(names)

    def _try_control_edit(self, draft: EditedPhoto, rng: Rng) -> EditedPhoto:
        return self.sampler.add_control_edit(draft, self._draw_violation((), rng), rng) or draft

    def _draw_violation(self, names: tuple[str, ...], rng: Rng) -> str:
        """A random violation that is not among the names, if there is one."""
        others = [name for name in self.violation_shares if name not in names] or list(self.violation_shares)
        return others[int(rng.integers(len(others)))]

    def _augment(
        self,
        drafts: list[EditedPhoto],
        cards: Sequence[ExampleSpec],
        tries: tuple[int, ...],
        rng: Rng,
        *,
        first: int,
        pair: int = -1,
    ) -> tuple[RenderedExample, ...]:
        """The drafts, varied alike and looked at again."""
        varied = self.augmenter.augment([draft.canvas for draft in drafts], rng)
        quality = int(rng.integers(self.jpeg_quality[0], self.jpeg_quality[1] + 1))
        return tuple(
            self._finish(
                draft,
                canvas,
                quality,
                first + k,
                pair,
                _generation_stats(card, tries, varied.rejected_draws if k == 0 else 0),
            )
            for k, (draft, canvas, card) in enumerate(zip(drafts, varied.canvases, cards, strict=True))
        )

    def _finish(
        self, draft: EditedPhoto, canvas: Canvas, quality: int, index: int, pair: int, effort: GenerationStats
    ) -> RenderedExample:
        answers = tuple(answer for answer in compute_answers(self.spec, canvas.scene) if answer.readable)
        example = Example(b"", canvas.scene, draft.edits, answers, answers[-1].values, index, pair, effort)
        return RenderedExample(canvas.photo, quality, example)


def _generation_stats(card: ExampleSpec, tries: tuple[int, ...], rejected: int) -> GenerationStats:
    if card.category in ("untouched", "twin"):
        return GenerationStats(card.category, rejected=rejected)
    return GenerationStats(card.category, card.violations, tries, rejected)
