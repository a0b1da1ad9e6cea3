"""The expert whose view the model itself is given: AD Expert with Loc and Vis as prior tokens.

ADSeeker (arXiv 2508.03088). Vis, the way from both maps to tokens, and the question that is asked after them are
learned on good photos and on flaws made on them (`damage`); the model stays as it is, and its answer is the score. Its
box is where Loc is worst.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from logicls.extras.expert.asking import Asking, asking_of, still
from logicls.extras.expert.bar import Bar, bar_of
from logicls.extras.expert.kept import Kept, file_of, read_kept, unreadable, write_kept
from logicls.extras.expert.loc import Learned, Loc, loc_from, worded
from logicls.extras.expert.places import Judgement, Zones, judgement_of, judgement_to_json
from logicls.extras.expert.prior_tokens import Parts, PriorTokens, logits_of
from logicls.extras.expert.prototypes import ASIDE, learn_judge, make_some
from logicls.extras.expert.tower import input_size, tower_of
from logicls.models.bundle import Bundle
from logicls.models.fitting import fitted
from logicls.plugins import Flaw, Photo
from logicls.train.expert_recipe import ExpertSettings

BATCH = 8
RATE = 3e-3
CLEAN = 0.5
"""Share of photos without a made flaw."""
CHECKED = 25
"""Steps after which it is looked whether photos kept aside are told apart better than before."""
PATIENCE = 5
"""Such looks in a row without a gain after which it ends."""
HELD = 48
"""Photos, with and without a made flaw, on which that is seen."""
COARSER = 2
"""Vis has so many times fewer pixels, on each axis, than flaws are made on and prototypes look at."""
AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of photos, and what the model then answers."""

    asking: Asking
    loc: Loc
    tokens: PriorTokens
    size: tuple[int, int]
    """(height, width) of Vis's input, pixels."""

    def odds(
        self, photos: Sequence[Photo], charts: Float[Tensor, "photos rows columns"], parts: Parts = "both"
    ) -> Float[Tensor, " photos"]:
        """Logit of the probability that anything is wrong; `charts` are Loc of the photos."""
        given = self.tokens(charts, pixels(photos, self.size), parts)
        return self.asking.odds(self.asking.see(photos), given, self.tokens.question)

    @torch.no_grad()
    def told(
        self, photos: Sequence[Photo], parts: Parts = "both"
    ) -> tuple[Float[Tensor, "photos rows columns"], Float[Tensor, " photos"]]:
        """Loc and the answer, some photos at a time."""
        charts, odds = [], []
        for k in range(0, len(photos), AT_A_TIME):
            some = photos[k : k + AT_A_TIME]
            charts.append(self.loc.charts(some).clone())
            odds.append(self.odds(some, charts[-1], parts))
        return torch.cat(charts), torch.cat(odds)


class PriorExpert:
    """Examines photos."""

    def __init__(self, view: View, judgement: Judgement) -> None:
        self.view, self.judgement = view, judgement

    def examine(self, photos: Sequence[Photo]) -> list[Flaw]:
        """The flaw of each photo, or how far it is from having one."""
        if not photos:
            return []
        charts, odds = self.view.told(photos)
        return [self._flaw(*one) for one in zip(charts, odds.tolist(), photos, strict=True)]

    def _flaw(self, chart: Float[Tensor, "rows columns"], said: float, photo: Photo) -> Flaw:
        """What was said is about the worst place; any other has so much less as Loc says less of it."""
        less = logits_of(chart[None]).flatten()
        less = less - less.max()
        return self.judgement.flaw(chart.numpy(), lambda place: said + float(less[place]), photo)


def pixels(photos: Sequence[Photo], size: tuple[int, int]) -> Float[Tensor, "photos 3 height across"]:
    """Photos in one size, 0 to 255."""
    same = np.stack([fitted(size, photo) for photo in photos])
    return torch.from_numpy(same).permute(0, 3, 1, 2).float()


def learn_tokens(
    photos: Sequence[Photo],
    held: Sequence[Photo],
    view: View,
    settings: ExpertSettings,
    told: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Learns on made flaws, and keeps what told those of `held` photos apart best. `told` hears how well, each time."""
    rng, size = np.random.default_rng(settings.seed), (view.size[0] * COARSER, view.size[1] * COARSER)
    small = [fitted(size, photo) for photo in photos]
    check = make_some([fitted(size, photo) for photo in held], HELD, np.random.default_rng(settings.seed), clean=CLEAN)
    optimizer = torch.optim.AdamW(view.tokens.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=settings.steps)
    best, idle, state = float("inf"), 0, view.tokens.state_dict()
    for number in range(1, settings.steps + 1):
        made = make_some(small, BATCH, rng, clean=CLEAN)
        optimizer.zero_grad()
        loss(view.odds(made.photos, view.loc.charts(made.photos).clone()), made.types).backward()
        optimizer.step()
        schedule.step()
        if number % CHECKED == 0 or number == settings.steps:
            now = float(loss(view.told(check.photos)[1], check.types))
            told(number, now)
            idle = 0 if now < best else idle + 1
            if now < best:
                best, state = now, {name: value.clone() for name, value in view.tokens.state_dict().items()}
        if idle == PATIENCE:
            break
    view.tokens.load_state_dict(state)


def loss(odds: Float[Tensor, " photos"], types: Sequence[int]) -> Float[Tensor, ""]:
    """Binary cross-entropy of the answer; a type below 0 is no flaw."""
    return F.binary_cross_entropy_with_logits(odds, torch.tensor([float(kind >= 0) for kind in types]))


def fit_priors(bundle: Bundle, photos: Sequence[Photo], zones: Zones, settings: ExpertSettings) -> Bar:
    """Learns, sets the bar on photos kept aside, and writes both. Raises `DataError` (LC725, LC727)."""
    asking = asking_of(bundle)
    aside = list(photos[ASIDE - 1 :: ASIDE])
    held = list(photos[1 :: 2 * ASIDE])
    kept = [photo for place, photo in enumerate(photos) if place % ASIDE != ASIDE - 1 and place % (2 * ASIDE) != 1]
    height, width = input_size(photos, settings.cells)
    loc = _loc(bundle, kept, (height, width), settings)
    with still(bundle.model):
        view = begun(asking, loc, (height // COARSER, width // COARSER), kept, settings.seed)
        learn_tokens(kept, held, view, settings)
    bar = bar_of(view.told(aside)[1].tolist(), aside=True)
    write_priors(bundle, view, Judgement(bar, loc.frame, zones), settings.encoder)
    return bar


def _loc(bundle: Bundle, photos: Sequence[Photo], size: tuple[int, int], settings: ExpertSettings) -> Loc:
    """By words where there is an encoder, else by prototypes, which are learned first."""
    if settings.encoder:
        return worded(settings.encoder)
    tower = tower_of(bundle, size)
    return Learned(tower, learn_judge(photos, tower, settings.steps, settings.seed))


def begun(asking: Asking, loc: Loc, size: tuple[int, int], photos: Sequence[Photo], seed: int) -> View:
    """Before anything is learned."""
    question = asking.question()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokens = PriorTokens(asking.width, len(question))
        tokens.start(asking.usual(photos[:AT_A_TIME]), question, loc.charts(photos[:AT_A_TIME]))
    return View(asking, loc, tokens, size)


def write_priors(bundle: Bundle, view: View, judgement: Judgement, encoder: str) -> None:
    """Into the bundle."""
    tensors = {f"tokens.{name}": value for name, value in view.tokens.state_dict().items()}
    facts = {
        "bundle": bundle.id, "encoder": encoder, "look_height": view.size[0], "look_width": view.size[1],
        **judgement_to_json(judgement),
    }  # fmt: skip
    write_kept(bundle.path, "priors", Kept({**tensors, **view.loc.tensors}, facts))


def make(bundle: Bundle) -> PriorExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722, LC726), `DataError` (LC725, LC727)."""
    asking, kept = asking_of(bundle), read_kept(bundle.path, "priors", bundle.id)
    try:
        weights = {name[7:]: value for name, value in kept.tensors.items() if name.startswith("tokens.")}
        tokens = PriorTokens(asking.width, len(weights["question"])).eval()
        tokens.load_state_dict(weights)
        judgement, size = judgement_of(kept), (kept.whole("look_height"), kept.whole("look_width"))
        loc = loc_from(bundle, kept, judgement.frame.size, file_of(bundle.path, "priors"))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise unreadable(bundle.path, "priors", error) from error
    return PriorExpert(View(asking, loc, tokens, size), judgement)
