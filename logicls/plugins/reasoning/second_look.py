"""The reasoner: which photos get a second look, and the verdict after it.

The ways to look again: think tokens that climb, those that do not, and simply a larger input.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from logicls.errors import DataError, Problem
from logicls.models.bundle import Bundle
from logicls.models.nano.processor import NanoImageProcessor, NanoProcessor
from logicls.plugins.reasoning.latent_reasoning import Offer, Offered, Pace, Sampled, Slope, Thought, climbed, exact
from logicls.plugins.reasoning.slot_entropy import Keys, Slots, keys_of, openness, reward, thought_into, uncertainty
from logicls.plugins.reasoning.visual_injection import Closer, Size, attention, larger, most_attended
from logicls.plugins.registry import found
from logicls.plugins.settings import STEPLESS, ReasonerSettings
from logicls.predict.decision import UNSTATED, Grounds, grounds_of, unread, verdict_on
from logicls.predict.plugin_protocols import Photo
from logicls.predict.readers.nano import Prediction, NanoReader, EncodedPhotos
from logicls.records import SecondLook, Verdict

TOKENS = 4
"""K, think tokens."""
PATCHES = 2
"""m, patches that a think token is offered at a time."""
FINER = 2.0
"""How many times as many pixels on a side a patch has that is shown again."""
SPREAD = 0.1
"""σ of sampled rewards, as a share of the think tokens' root mean square."""
CLOSER = 1.15
"""How many times as many pixels on a side the whole photo has that is looked at again. At 1.5 nano, which has learned
things at one size, no longer knew them."""


@dataclass(frozen=True, slots=True)
class Again:
    """What a second look came to."""

    look: Prediction | None
    """None where nothing rose, so that the first look stands."""
    rewards: tuple[float, ...] = ()
    """Without think tokens, with those it began with, and after each step."""
    kept: int = 0
    """Offers of finer patches that were kept."""


@runtime_checkable
class Way(Protocol):
    """A way to look again."""

    def look(self, photo: UInt8[np.ndarray, "h w 3"]) -> Again:
        """At one photo, as it was taken."""
        ...


class LookCloser:
    """The control that is simplest: the same questions, the whole photo with a larger input."""

    def __init__(self, bundle: Bundle, finer: float = CLOSER) -> None:
        self._pass = NanoReader(enlarged(bundle, finer))

    def look(self, photo: UInt8[np.ndarray, "h w 3"]) -> Again:
        """At one photo, as it was taken."""
        return Again(self._pass.predict_pixels([photo])[0])


@dataclass(frozen=True, slots=True)
class Thinking:
    """How think tokens are made."""

    slope: Literal["exact", "sampled", "none"] = "exact"
    """none: they stay as they began, which is a control."""
    injected: bool = True
    """Whether they are shown finer what they look at."""
    tokens: int = TOKENS
    patches: int = PATCHES
    finer: float = FINER
    closer: float = CLOSER
    """Of `LookCloser`."""
    pace: Pace = Pace()  # noqa: RUF009  frozen
    seed: int = 0


class Think:
    """Latent reasoning over the embedded model."""

    def __init__(self, bundle: Bundle, thinking: Thinking) -> None:
        self._pass, self._how = NanoReader(bundle), thinking

    @torch.no_grad()
    def look(self, photo: UInt8[np.ndarray, "h w 3"]) -> Again:
        """At one photo, as it was taken."""
        one, size = self._pass, (photo.shape[1], photo.shape[0])
        seen = one.encode_photos([photo])
        keys = keys_of(seen)
        read = one.answer_queries(seen)
        slots = Slots(one, keys, read, one.detect(read, [size])[0])
        came, bare = self._thought(photo, keys, slots, seen.feature)
        rewards = (bare, *came.rewards)
        if self._how.slope != "none" and came.rewards[-1] <= bare:
            return Again(None, rewards, came.kept)
        cache = thought_into(one.bundle.model, keys, came.tokens)
        again = one.answer_queries(EncodedPhotos(seen.feature_map, seen.feature, cache, seen.fine_pixels))
        return Again(one.to_predictions(again, [size])[0], rewards, came.kept)

    def _thought(
        self, photo: UInt8[np.ndarray, "h w 3"], keys: Keys, slots: Slots, feature: Float[Tensor, "1 width"]
    ) -> tuple[Thought, float]:
        """What was thought, and the reward without any thought."""
        how, rng = self._how, torch.Generator().manual_seed(self._how.seed)
        start = begun(feature, how.tokens, rng)

        def worth(tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, " batch"]:
            return reward(slots.entropies(tokens))

        bare = float(worth(start[:, :0]))
        if how.slope == "none":
            return Thought(start, (float(worth(start)),)), bare
        slope: Slope = exact if how.slope == "exact" else Sampled(rng, SPREAD * float(start.square().mean().sqrt()))
        return climbed(start, worth, slope, how.pace, self._offers(photo, keys) if how.injected else None), bare

    def _offers(self, photo: UInt8[np.ndarray, "h w 3"], keys: Keys) -> Offer:
        """Of the patches that think tokens attend to most, finer."""
        model, how = self._pass.bundle.model, self._how
        height, width = self._pass.bundle.processor.image_processor.size
        closer = Closer(model, (height, width), photo, how.finer)

        def offer(tokens: Float[Tensor, "1 tokens width"]) -> Offered:
            looked = most_attended(attention(model, keys, tokens), how.patches)
            cells = [tuple(cell for patch in patches for cell in closer.of(patch)) for patches in looked]
            return [(some, closer.tokens[:, list(some)]) for some in cells]

        return offer


def begun(feature: Float[Tensor, "1 width"], count: int, rng: torch.Generator) -> Float[Tensor, "1 tokens width"]:
    """Think tokens to begin with: around the photo's mean visual token, as far from it as it is from nothing."""
    noise = torch.randn(1, count, feature.shape[1], generator=rng)
    return feature[:, None] + noise * feature.square().mean().sqrt()


def enlarged(bundle: Bundle, finer: float) -> Bundle:
    """The same bundle with so many times as many pixels of input on a side; boxes are found in the photo as before."""
    height, width = bundle.processor.image_processor.size
    size: Size = larger((height, width), finer)
    images = NanoImageProcessor(size, bundle.processor.image_processor.detail)
    return replace(bundle, processor=NanoProcessor(images, bundle.processor.tokenizer))


OPEN = 1.01
"""Entropy of a slot, in bits, from which on a photo is looked at again whatever its verdict. Above 1 none is: where
verdicts are sure a second look only unsettled them (at 0.95, 1 review of 132 became 5), at fifty times the time."""
SEEDED = frozenset({"latent", "latent-sampled", "latent-still", "random"})
"""Reasoners in which something is drawn by chance."""


@dataclass(frozen=True, slots=True)
class Second:
    """Looks again, in one way, at photos of one bundle."""

    name: str
    grounds: Grounds
    way: Way
    open: float = OPEN
    """As `OPEN`."""

    def rethink(self, photo: Photo, verdict: Verdict) -> Verdict | None:
        """The verdict after a second look; None where there is no need of one, or a person has to see it anyway."""
        if lasting(verdict) or (verdict.outcome != "review" and openness(verdict.answers) < self.open):
            return None
        began = time.perf_counter()
        again = self.way.look(photo)
        first = verdict
        if again.look is not None:
            size = (verdict.width, verdict.height)
            came = verdict_on(self.grounds, again.look, verdict.photo, photo, size=size)
            first = replace(came, sha256=verdict.sha256, bundle=verdict.bundle, version=verdict.version)
        taken = round(time.perf_counter() - began, 6)
        if again.rewards:  # what was climbed, reward = 1 - mean entropy
            open_ = [1 - again.rewards[0], 1 - again.rewards[-1 if again.look is not None else 0]]
        else:
            open_ = [uncertainty(verdict.answers), uncertainty(first.answers)]
        record = SecondLook(
            self.name, verdict.outcome, taken, tuple(round(r, 6) for r in again.rewards), again.kept,
            again.look is not None, first.outcome, tuple(round(entropy, 6) for entropy in open_),
        )  # fmt: skip
        return replace(first, seconds=round(verdict.seconds + taken, 6), second_look=record)


def second_of(bundle: Bundle, settings: ReasonerSettings) -> Second:
    """The reasoner of these settings. Raises `DataError` (LC700, LC740)."""
    made: Second = found("reasoner", settings.name)(bundle, _thinking_of(settings))
    return made if settings.open is None else replace(made, open=settings.open)


def in_effect(settings: ReasonerSettings) -> tuple[tuple[str, float], ...]:
    """The settings with what holds where they say nothing, as a verdict's record has them."""
    thinking = _thinking_of(settings)
    if settings.name == "closer":
        told = [("larger", thinking.closer)]
    else:
        steps = [] if settings.name in STEPLESS else [("steps", float(thinking.pace.steps))]
        told = [("tokens", float(thinking.tokens)), *steps]
    return (*told, *([("open", settings.open)] if settings.open is not None else []))


def _thinking_of(settings: ReasonerSettings) -> Thinking:
    usual = Thinking()
    pace = usual.pace if settings.steps is None else replace(usual.pace, steps=settings.steps)
    return replace(usual, tokens=settings.tokens or usual.tokens, pace=pace)


def lasting(verdict: Verdict) -> tuple[str, ...]:
    """The doubts that no second look takes away: of the photo itself, not of what was read on it."""
    passing = {*unread(verdict.findings), UNSTATED}
    return tuple(doubt for doubt in verdict.unconditional_reasons if doubt not in passing)


def latent(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:
    """Think tokens that climb by the exact gradient, and are shown finer what they look at. Raises `DataError`."""
    return _thinking("latent", bundle, thinking)


def latent_sampled(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:
    """The same by the estimate of the gradient from sampled rewards."""
    return _thinking("latent-sampled", bundle, replace(thinking, slope="sampled"))


def latent_still(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:
    """Think tokens that climb and are shown nothing: the control of the injection."""
    return _thinking("latent-still", bundle, replace(thinking, injected=False))


def random(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:
    """Think tokens that stay as they were drawn: the control of the climb."""
    return _thinking("random", bundle, replace(thinking, slope="none", injected=False))


def closer(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:
    """The whole photo with an input `thinking.closer` times as large, no think tokens: the control of it all."""
    _refuse_foreign("closer", bundle)
    return Second("closer", grounds_of(bundle), LookCloser(bundle, thinking.closer))


def _thinking(name: str, bundle: Bundle, thinking: Thinking) -> Second:
    _refuse_foreign(name, bundle)
    return Second(name, grounds_of(bundle), Think(bundle, thinking))


def _refuse_foreign(name: str, bundle: Bundle) -> None:
    """LC740 for any model but the embedded one."""
    if bundle.hub is not None or bundle.is_external:
        refuse_foreign(name, bundle.hub.base if bundle.hub is not None else "a model that runs elsewhere")


def refuse_foreign(name: str, whose: str) -> NoReturn:
    """Raises `DataError` (LC740): another model than the embedded one answers."""
    message = f'the reasoner "{name}" looks into the embedded model, and here {whose} answers.'
    advice = "Leave out --reasoner, or train the bundle without --model."
    raise DataError(Problem("LC740", message, advice=advice))
