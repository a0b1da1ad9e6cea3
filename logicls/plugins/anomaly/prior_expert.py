"""The expert whose view the model itself is given: AD Expert with Loc and Vis as prior tokens.

ADSeeker (arXiv 2508.03088). Vis, the way from both maps to tokens, and the question that is asked after them are
learned on good photos and on flaws made on them (`damage`); the model stays as it is, and its answer is the score. Its
box is where Loc is worst.

Where Loc comes from that prior tokens are made of: prototypes that were learned, or an encoder and words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from logicls.data.image_io import fitted
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.features import Tower, input_size, tower_of
from logicls.plugins.anomaly.prior_query import Asking, asking_of, still
from logicls.plugins.anomaly.prior_tokens import Parts, PriorTokens, where_loss
from logicls.plugins.anomaly.prototype_expert import ASIDE, Judge, Made, charts_of, learn_judge, make_some
from logicls.plugins.anomaly.regions import Bar, Frame, Judgement, Zones, bar_of, judgement_of, judgement_to_json
from logicls.plugins.anomaly.storage import Kept, file_of, read_kept, unreadable, write_kept
from logicls.plugins.anomaly.text_expert import RIGHT, WRONG, Encoder, encoder_of, loc_of, refuse_dimension
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Flaw, Photo


@runtime_checkable
class Loc(Protocol):
    """Says where patches are like what is wrong."""

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        ...

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """What it knows."""
        ...

    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Learned:
    """By prototypes of good and flawed patches."""

    tower: Tower
    judge: Judge

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        return self.tower.frame

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The weights of its layers, and its prototypes."""
        return {f"judge.{name}": value for name, value in self.judge.state_dict().items()}

    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, 0 to 1."""
        return charts_of(self.judge, self.tower, photos)


@dataclass(frozen=True, slots=True)
class Worded:
    """By embeddings of words for what is right and wrong."""

    encoder: Encoder
    right: Float[Tensor, "rights width"]
    wrong: Float[Tensor, "wrongs width"]

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        return self.encoder.frame

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The words."""
        return {"right": self.right, "wrong": self.wrong}

    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, 0 to 1."""
        return torch.stack([self._chart(photo) for photo in photos])

    def _chart(self, photo: Photo) -> Float[Tensor, "rows columns"]:
        return loc_of(self.encoder.patches(photo), self.right, self.wrong, self.frame.size)


def worded(name: str) -> Worded:
    """That of the encoder of that name or folder. Raises `DataError` (LC725)."""
    encoder = encoder_of(name)
    return Worded(encoder, encoder.words(RIGHT), encoder.words(WRONG))


def loc_from(bundle: Bundle, kept: Kept, size: tuple[int, int], file: Path) -> Loc:
    """That of an expert's file. Raises `KeyError`, `RuntimeError`, `DataError` (LC725), `BundleError` (LC726)."""
    name, held = str(kept.facts["encoder"]), kept.tensors
    if name:
        encoder, right = encoder_of(name), held["right"]
        refuse_dimension(name, encoder.width, right.shape[1], file)
        return Worded(encoder, right, held["wrong"])
    weights = {name[6:]: value for name, value in held.items() if name.startswith("judge.")}
    judge = Judge(weights["embeds.0.weight"].shape[1]).eval()
    judge.load_state_dict(weights)
    return Learned(tower_of(bundle, size), judge)


BATCH = 8
RATE, RATE_OF_VIS = 1e-2, 3e-3
CLEAN = 0.5
"""Share of photos without a made flaw."""
CHECKED = 25
"""Steps after which it is looked whether photos kept aside are told apart better than before."""
PATIENCE = 6
"""Such looks in a row without a gain after which it ends."""
POOL, HELD = 400, 64
"""Photos, with and without a made flaw, that are learned from, and on which it is seen how well."""
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
        self,
        photos: Sequence[Photo],
        charts: Float[Tensor, "photos rows columns"],
        seen: Float[Tensor, "photos channels fewer_rows fewer_columns"],
        parts: Parts = "both",
    ) -> Float[Tensor, " photos"]:
        """Logit of the probability that anything is wrong; `charts` are Loc of the photos, `seen` what Vis sees."""
        given = self.tokens(charts, seen, parts)
        return self.asking.odds(self.asking.see(photos), given, self.tokens.question)

    def look(self, photos: Sequence[Photo]) -> Float[Tensor, "photos channels rows columns"]:
        """What Vis makes of photos."""
        seen: Tensor = self.tokens.vis(pixels(photos, self.size))
        return seen

    @torch.no_grad()
    def charts(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, some at a time."""
        return torch.cat([self.loc.charts(photos[k : k + AT_A_TIME]) for k in range(0, len(photos), AT_A_TIME)])

    @torch.no_grad()
    def told(
        self, photos: Sequence[Photo], charts: Float[Tensor, "photos rows columns"], parts: Parts = "both"
    ) -> Float[Tensor, " photos"]:
        """The answers, some photos at a time."""
        parted = [slice(k, k + AT_A_TIME) for k in range(0, len(photos), AT_A_TIME)]
        return torch.cat([self.odds(photos[k], charts[k], self.look(photos[k]), parts) for k in parted])


class PriorExpert:
    """Examines photos."""

    def __init__(self, view: View, judgement: Judgement) -> None:
        self.view, self.judgement = view, judgement

    def examine(self, photos: Sequence[Photo]) -> list[Flaw]:
        """The flaw of each photo, or how far it is from having one."""
        if not photos:
            return []
        charts = self.view.charts(photos)
        odds = self.view.told(photos, charts).tolist()
        return [self._flaw(*one) for one in zip(charts, odds, photos, strict=True)]

    def _flaw(self, chart: Float[Tensor, "rows columns"], said: float, photo: Photo) -> Flaw:
        """What was said is about the worst place."""
        return self.judgement.flaw(chart.numpy(), lambda _: said, photo)


def pixels(photos: Sequence[Photo], size: tuple[int, int]) -> Float[Tensor, "photos 3 height across"]:
    """Photos in one size, 0 to 255."""
    same = np.stack([fitted(size, photo) for photo in photos])
    return torch.from_numpy(same).permute(0, 3, 1, 2).float()


@dataclass(frozen=True, slots=True)
class Pool:
    """Photos with and without a made flaw, and Loc of each."""

    made: Made
    charts: Float[Tensor, "photos rows columns"]


def pool_of(photos: Sequence[Photo], count: int, view: View, rng: np.random.Generator) -> Pool:
    """So many of them."""
    small = [fitted((view.size[0] * COARSER, view.size[1] * COARSER), photo) for photo in photos]
    made = make_some(small, count, rng, clean=CLEAN)
    return Pool(made, view.charts(made.photos).clone())


def learn_tokens(
    pool: Pool,
    held: Pool,
    view: View,
    settings: ExpertSettings,
    told: Callable[[int, float], None] = lambda number, loss: None,
) -> None:
    """Learns on a pool, and keeps what told photos of the other apart best. `told` hears how well, each time."""
    rng, tokens = np.random.default_rng(settings.seed), view.tokens
    slower = [*tokens.vis.parameters(), *tokens.where.parameters()]
    others = [weight for name, weight in tokens.named_parameters() if not name.startswith(("vis.", "where."))]
    optimizer = torch.optim.AdamW([{"params": slower}, {"params": others}], RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [RATE_OF_VIS, RATE], total_steps=settings.steps)
    best, idle, state = float("inf"), 0, tokens.state_dict()
    for number in range(1, settings.steps + 1):
        optimizer.zero_grad()
        _lost(view, pool, rng.integers(len(pool.charts), size=BATCH).tolist()).backward()
        optimizer.step()
        schedule.step()
        if number % CHECKED and number < settings.steps:
            continue
        now = float(loss(view.told(held.made.photos, held.charts), held.made.types))
        told(number, now)
        idle = 0 if now < best else idle + 1
        if now < best:
            best, state = now, {name: value.clone() for name, value in tokens.state_dict().items()}
        if idle == PATIENCE:
            break
    tokens.load_state_dict(state)


def _lost(view: View, pool: Pool, some: Sequence[int]) -> Float[Tensor, ""]:
    """The loss of some photos: of the answer, and of where Vis sees flaws, without which it learns hardly anything."""
    photos, types = [pool.made.photos[k] for k in some], [pool.made.types[k] for k in some]
    seen = view.look(photos)
    where = where_loss(view.tokens.where(seen)[:, 0], pool.made.cover[some])
    return loss(view.odds(photos, pool.charts[some], seen), types) + where


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
        view = begun(asking, loc, tower_of(bundle, (height // COARSER, width // COARSER)), kept, settings.seed)
        rng = np.random.default_rng(settings.seed)
        pool = pool_of(kept, min(POOL, BATCH * settings.steps), view, rng)
        learn_tokens(pool, pool_of(held, HELD, view, rng), view, settings)
    bar = bar_of(view.told(aside, view.charts(aside)).tolist(), settings.overkill, aside=True)
    write_priors(bundle, view, Judgement(bar, loc.frame, zones), settings.encoder)
    return bar


def _loc(bundle: Bundle, photos: Sequence[Photo], size: tuple[int, int], settings: ExpertSettings) -> Loc:
    """By words where there is an encoder, else by prototypes, which are learned first."""
    if settings.encoder:
        return worded(settings.encoder)
    tower = tower_of(bundle, size)
    return Learned(tower, learn_judge(photos, tower, settings.steps, settings.seed))


def begun(asking: Asking, loc: Loc, vis: Tower, photos: Sequence[Photo], seed: int) -> View:
    """Before anything is learned: `vis` is the stem that Vis begins as, and the size of its input."""
    question = asking.question()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokens = PriorTokens(asking.width, len(question), vis.stem)
        tokens.start(asking.usual(photos[:AT_A_TIME]), question, loc.charts(photos[:AT_A_TIME]))
    return View(asking, loc, tokens, vis.size)


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
        judgement, size = judgement_of(kept), (kept.whole("look_height"), kept.whole("look_width"))
        tokens = PriorTokens(asking.width, len(weights["question"]), tower_of(bundle, size).stem).eval()
        tokens.load_state_dict(weights)
        loc = loc_from(bundle, kept, judgement.frame.size, file_of(bundle.path, "priors"))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise unreadable(bundle.path, "priors", error) from error
    return PriorExpert(View(asking, loc, tokens, size), judgement)
