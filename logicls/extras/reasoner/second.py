"""The reasoner: which photos get a second look, and the verdict after it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import NoReturn

from logicls.errors import DataError, Problem
from logicls.extras.by_name import found
from logicls.extras.reasoner.entropy import openness, uncertainty
from logicls.extras.reasoner.look import LookCloser, Think, Thinking, Way
from logicls.models.bundle import Bundle
from logicls.plugins import Photo
from logicls.predict.grounds import Grounds, grounds_of, verdict_on
from logicls.predict.verdict import UNSTATED, unread
from logicls.records import SecondLook, Verdict
from logicls.train.reasoner_recipe import STEPLESS, ReasonerSettings

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
    return tuple(doubt for doubt in verdict.doubts if doubt not in passing)


def latent(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:  # noqa: B008  frozen
    """Think tokens that climb by the exact gradient, and are shown finer what they look at. Raises `DataError`."""
    return _thinking("latent", bundle, thinking)


def latent_sampled(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:  # noqa: B008  frozen
    """The same by the estimate of the gradient from sampled rewards."""
    return _thinking("latent-sampled", bundle, replace(thinking, slope="sampled"))


def latent_still(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:  # noqa: B008  frozen
    """Think tokens that climb and are shown nothing: the control of the injection."""
    return _thinking("latent-still", bundle, replace(thinking, injected=False))


def random(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:  # noqa: B008  frozen
    """Think tokens that stay as they were drawn: the control of the climb."""
    return _thinking("random", bundle, replace(thinking, slope="none", injected=False))


def closer(bundle: Bundle, thinking: Thinking = Thinking()) -> Second:  # noqa: B008  frozen
    """The whole photo with an input `thinking.closer` times as large, no think tokens: the control of it all."""
    _refuse_foreign("closer", bundle)
    return Second("closer", grounds_of(bundle), LookCloser(bundle, thinking.closer))


def _thinking(name: str, bundle: Bundle, thinking: Thinking) -> Second:
    _refuse_foreign(name, bundle)
    return Second(name, grounds_of(bundle), Think(bundle, thinking))


def _refuse_foreign(name: str, bundle: Bundle) -> None:
    """LC740 for any model but the embedded one."""
    if bundle.hub is not None or bundle.foreign:
        refuse_foreign(name, bundle.hub.base if bundle.hub is not None else "a model that runs elsewhere")


def refuse_foreign(name: str, whose: str) -> NoReturn:
    """Raises `DataError` (LC740): another model than the embedded one answers."""
    message = f'the reasoner "{name}" looks into the embedded model, and here {whose} answers.'
    advice = "Leave out --reasoner, or train the bundle without --model."
    raise DataError(Problem("LC740", message, advice=advice))
