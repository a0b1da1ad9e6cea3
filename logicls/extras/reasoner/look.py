"""The ways to look again: think tokens that climb, those that do not, and simply a larger input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from logicls.extras.reasoner.climb import Offer, Offered, Pace, Thought, climbed
from logicls.extras.reasoner.entropy import reward
from logicls.extras.reasoner.gaze import Closer, Size, attention, larger, most_attended
from logicls.extras.reasoner.slope import Sampled, Slope, exact
from logicls.extras.reasoner.slots import Keys, Slots, keys_of, thought_into
from logicls.models.bundle import Bundle
from logicls.models.nano.processor import NanoImageProcessor, NanoProcessor
from logicls.predict.read.one_pass import Look, OnePass, Seen

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

    look: Look | None
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
        self._pass = OnePass(enlarged(bundle, finer))

    def look(self, photo: UInt8[np.ndarray, "h w 3"]) -> Again:
        """At one photo, as it was taken."""
        return Again(self._pass.look([photo])[0])


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
        self._pass, self._how = OnePass(bundle), thinking

    @torch.no_grad()
    def look(self, photo: UInt8[np.ndarray, "h w 3"]) -> Again:
        """At one photo, as it was taken."""
        one, size = self._pass, (photo.shape[1], photo.shape[0])
        seen = one.see([photo])
        keys = keys_of(seen)
        read = one.ask(seen)
        slots = Slots(one, keys, read, one.lights(read, [size])[0])
        came, bare = self._thought(photo, keys, slots, seen.feature)
        rewards = (bare, *came.rewards)
        if self._how.slope != "none" and came.rewards[-1] <= bare:
            return Again(None, rewards, came.kept)
        cache = thought_into(one.bundle.model, keys, came.tokens)
        again = one.ask(Seen(seen.chart, seen.feature, cache, seen.photo))
        return Again(one.told(again, [size])[0], rewards, came.kept)

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
