"""One training example from a seed: what it is to be, a photo, edits, variation, and another look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.models import Spec
from logicls.records import GenerationStats, Example
from logicls.synth.augmentation import Augmenter, Strength
from logicls.synth.compositor import Canvas
from logicls.synth.image_ops import Photo
from logicls.synth.instance_bank import Bank
from logicls.synth.sampling_plan import SLOTS, Balance, Card, Slot, deal, wanted
from logicls.synth.violation_sampler import Draft, Drafter

Rng = np.random.Generator
STAND_INS = 3
"""Other violations that are tried in the place of one that cannot be made."""


@dataclass(frozen=True, slots=True)
class _Broken:
    """A photo, and the same photo broken; the second is None where nothing at all could be broken."""

    good: Draft
    bad: Draft | None
    tries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An example whose photo is not yet encoded."""

    photo: Photo
    quality: int
    """Of the JPEG that it is to become, 1 to 100."""
    example: Example
    """All of it but its image, which is empty."""

    def encoded(self) -> Example:
        """The example with its image."""
        bgr = cv2.cvtColor(self.photo, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        if not done:  # pragma: no cover - the encoder takes every uint8 picture
            raise ValueError(f"cannot encode {self.example.scene.photo}")
        return replace(self.example, image=bytes(data))


class Maker:
    """Makes the examples of one spec from one bank."""

    def __init__(self, spec: Spec, bank: Bank, strength: Strength, balance: Balance) -> None:
        self.spec, self.bank, self.balance = spec, bank, balance
        self.drafter = Drafter(spec, bank, balance)
        self.augment = Augmenter(spec, strength, bank.dataset.scenes)
        self.quality = strength.quality
        self.wanted = wanted(spec, balance)
        self._deck: tuple[tuple[int, int], tuple[Slot, ...]] = ((0, -1), ())
        self._last: tuple[tuple[int, int], tuple[Picture, ...]] = ((0, -1), ())

    def make(self, seed: int, index: int) -> Example:
        """Example number `index` of the set `seed`: the same two numbers give the same bytes."""
        return self.picture(seed, index).encoded()

    def picture(self, seed: int, index: int) -> Picture:
        """The same before it is encoded."""
        number, half = divmod(index, 2)
        slot = self._slot(seed, number)
        if not slot.is_pair:
            return self._single(slot.cards[half], index, np.random.default_rng([seed, 1, index]))
        if self._last[0] != (seed, number):
            rng = np.random.default_rng([seed, 2, number])
            self._last = (seed, number), self._pair(slot.cards, number, rng)
        return self._last[1][half]

    def _slot(self, seed: int, number: int) -> Slot:
        deck, place = divmod(number, SLOTS)
        if self._deck[0] != (seed, deck):
            self._deck = (seed, deck), deal(self.balance, self.wanted, seed, deck)
        return self._deck[1][place]

    def _single(self, card: Card, index: int, rng: Rng) -> Picture:
        draft = self.drafter.photo(card.place)
        tries: tuple[int, ...] = ()
        if card.fate == "twin":
            draft = self._twin(draft, card.wanted[0], rng)
        elif card.fate != "untouched":
            real = card.fate == "broken" and rng.random() < self.balance.real
            defect = self.drafter.real(card.wanted[0], rng) if real else None
            both = None if defect else self._broken(card, rng, besides=rng.random() < self.balance.twin_besides)
            draft, tries = (both.bad or both.good, both.tries) if both else (defect or draft, (0,))
        return self._examples([draft], [card], tries, rng, first=index)[0]

    def _pair(self, cards: tuple[Card, Card], number: int, rng: Rng) -> tuple[Picture, ...]:
        both = self._broken(cards[1], rng, twin=cards[0].fate == "twin")
        drafts = [both.good, both.bad or both.good]
        return self._examples(drafts, cards, both.tries, rng, first=2 * number, pair=number if both.bad else -1)

    def _twin(self, draft: Draft, violation: str, rng: Rng) -> Draft:
        """A photo with a twin edit; untouched if none of many allows it."""
        for _ in range(self.balance.tries):
            edited = self.drafter.twin(draft, violation, rng)
            if edited is not None:
                return edited
            draft = self.drafter.photo(rng.random())
        return draft

    def _broken(self, card: Card, rng: Rng, *, besides: bool = False, twin: bool = False) -> _Broken:
        """A photo on which what is wanted can be made; another violation stands in for one that none of many allows.

        Args:
            card: What is wanted, and where to begin to look for a photo.
            rng: Chance.
            besides: Whether a twin edit is made first.
            twin: Whether the good one goes through the motions of the first violation.
        """
        names, tries = card.wanted, [0] * len(card.wanted)
        good = self.drafter.photo(card.place)
        for stand_in in range(STAND_INS + 1):
            for _ in range(self.balance.tries):
                start = self._besides(good, rng) if besides else good
                bad, done = self._all(start, names, rng)
                if not stand_in:
                    tries = [count + (position <= done) for position, count in enumerate(tries)]
                same = self.drafter.twin(good, names[0], rng) if twin and bad else good
                if bad is not None and same is not None:
                    return _Broken(same, bad, tuple(tries))
                good = self.drafter.photo(rng.random())
            stuck = min(done, len(names) - 1)
            names = (*names[:stuck], self._other(names, rng), *names[stuck + 1 :])
        return _Broken(good, None, tuple(tries))

    def _all(self, draft: Draft | None, names: tuple[str, ...], rng: Rng) -> tuple[Draft | None, int]:
        """The draft with all of the violations; None if one cannot be made, and how many could before that."""
        for number, name in enumerate(names):
            draft = self.drafter.broken(draft, name, rng) if draft else None
            if draft is None:
                return None, number
        return draft, len(names)

    def _besides(self, draft: Draft, rng: Rng) -> Draft:
        return self.drafter.twin(draft, self._other((), rng), rng) or draft

    def _other(self, names: tuple[str, ...], rng: Rng) -> str:
        """A random violation that is not among the names, if there is one."""
        others = [name for name in self.wanted if name not in names] or list(self.wanted)
        return others[int(rng.integers(len(others)))]

    def _examples(
        self,
        drafts: list[Draft],
        cards: Sequence[Card],
        tries: tuple[int, ...],
        rng: Rng,
        *,
        first: int,
        pair: int = -1,
    ) -> tuple[Picture, ...]:
        """The drafts, varied alike and looked at again."""
        varied = self.augment.vary([draft.canvas for draft in drafts], rng)
        quality = int(rng.integers(self.quality[0], self.quality[1] + 1))
        return tuple(
            self._picture(
                draft, canvas, quality, first + k, pair, _effort(card, tries, varied.rejected if k == 0 else 0)
            )
            for k, (draft, canvas, card) in enumerate(zip(drafts, varied.canvases, cards, strict=True))
        )

    def _picture(
        self, draft: Draft, canvas: Canvas, quality: int, index: int, pair: int, effort: GenerationStats
    ) -> Picture:
        answers = tuple(answer for answer in compute_answers(self.spec, canvas.scene) if answer.readable)
        example = Example(b"", canvas.scene, draft.edits, answers, answers[-1].values, index, pair, effort)
        return Picture(canvas.photo, quality, example)


def _effort(card: Card, tries: tuple[int, ...], rejected: int) -> GenerationStats:
    if card.fate in ("untouched", "twin"):
        return GenerationStats(card.fate, rejected=rejected)
    return GenerationStats(card.fate, card.wanted, tries, rejected)
