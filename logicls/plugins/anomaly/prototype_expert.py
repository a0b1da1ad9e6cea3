"""The expert that learned what good and what flawed patches are like: AD Expert with nano's stem in the place of CLIP.

ADSeeker (arXiv 2508.03088) holds patch embeddings against texts of what is right and wrong. nano has no such texts: a
layer on its stem's maps and prototypes E_t+ and E_t- are learned instead, on good photos and on flaws made on them
(`damage`). Which type a flaw is most like is told by sparse codes in type-level prompts (`prompts`), layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from logicls.data.image_io import fitted
from logicls.models.bundle import Bundle
from logicls.models.nano.detection_head import CELL_PIXELS
from logicls.plugins.anomaly.features import Tower, ratio, tower_of
from logicls.plugins.anomaly.regions import Bar, Judgement, bar_of, judgement_of, judgement_to_json
from logicls.plugins.anomaly.sparse_prompts import Hierarchy, Level, Sparsity, learn_hierarchy
from logicls.plugins.anomaly.storage import Kept, halved, read_kept, unreadable, write_kept
from logicls.plugins.anomaly.synthetic_flaws import TYPES, damaged
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Flaw, Photo

WIDTH, RIGHTS, EACH = 64, 16, 4
"""Of an embedding; prototypes of what is right, and of each type of what is wrong."""
BATCH = 6
RATE = 1e-2
ASIDE = 4
"""Every so manieth good photo is kept aside for the bar."""
COVERED = 0.15
"""Share of a cell that a made flaw must cover for the cell to count as flawed; less than that counts as neither."""
SMOOTH = 3
"""Cells, on each axis, over which the map is averaged."""
EXAMPLES = 40
"""Of each type, that prompts are learned from."""


class Judge(nn.Module):
    """Embeds patches, and holds them against prototypes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in (channels, WIDTH, WIDTH):
            layers += [nn.Conv2d(before, WIDTH, 3, 1, 1, bias=False), nn.GroupNorm(WIDTH, WIDTH), nn.ReLU(True)]
        self.embeds = nn.Sequential(*layers)
        self.right = nn.Parameter(torch.rand(RIGHTS, WIDTH))
        self.wrong = nn.Parameter(torch.rand(EACH * len(TYPES), WIDTH))

    def forward(self, maps: Float[Tensor, "photos channels rows columns"]) -> Float[Tensor, "photos rows columns"]:
        """Loc before it is brought to the photo's size: 0 (like what is right) to 1."""
        embedded = self.embeds(maps).permute(0, 2, 3, 1)
        return ratio(embedded, self.right.relu(), self.wrong.relu())


@dataclass(frozen=True, slots=True)
class Made:
    """Photos in the input's size, some with a made flaw."""

    photos: list[Photo]
    cover: Float[Tensor, "photos rows columns"]
    """Share of each cell that is flawed."""
    types: tuple[int, ...]
    """Of each flaw; -1 for a photo without one."""


def make_some(photos: Sequence[Photo], count: int, rng: np.random.Generator, *, clean: float = 0.25) -> Made:
    """So many, drawn from photos in the input's size; a share stays `clean`."""
    out, covers, types = [], [], []
    for _ in range(count):
        photo = _varied(photos[int(rng.integers(len(photos)))], rng)
        kind = -1 if rng.random() < clean else int(rng.integers(len(TYPES)))
        mask = np.zeros(photo.shape[:2], bool)
        if kind >= 0:
            photo, mask = damaged(photo, tuple(TYPES)[kind], rng)
        size = photo.shape[1] // CELL_PIXELS, photo.shape[0] // CELL_PIXELS
        covers.append(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))
        out.append(photo)
        types.append(kind)
    return Made(out, torch.from_numpy(np.stack(covers)), tuple(types))


def _varied(photo: Photo, rng: np.random.Generator) -> Photo:
    """A little brighter or darker, of another colour, turned and moved: as good photos differ."""
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-2, 2), rng.uniform(0.99, 1.01))
    turn[:, 2] += rng.uniform(-0.01, 0.01, 2) * width
    moved = cv2.warpAffine(photo, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.clip(moved * rng.uniform(0.93, 1.07) * rng.uniform(0.98, 1.02, 3), 0, 255).astype(np.uint8)


def learn_judge(
    photos: Sequence[Photo], tower: Tower, steps: int, seed: int, told: Callable[[int], None] = lambda _: None
) -> Judge:
    """Learns on made flaws. `told` hears of each step."""
    rng = np.random.default_rng(seed)
    small = [fitted(tower.size, photo) for photo in photos]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge(tower.both(small[:1]).shape[1])
    optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for number in range(steps):
        made = make_some(small, BATCH, rng)
        optimizer.zero_grad()
        loss(judge(tower.both(made.photos).clone()), made.cover).backward()
        optimizer.step()
        schedule.step()
        told(number + 1)
    return judge.eval()


def loss(loc: Float[Tensor, "photos rows columns"], cover: Float[Tensor, "photos rows columns"]) -> Tensor:
    """Cross-entropy of Loc, flawed cells counting as much as good ones; cells with a little of a flaw do not count."""
    loc = loc.clamp(1e-4, 1 - 1e-4)
    bad, good = cover >= COVERED, cover == 0
    worse = -loc[bad].log().mean() if bad.any() else loc.sum() * 0
    focus = loc[good].detach()
    return worse - (focus * (1 - loc[good]).log()).sum() / focus.sum().clamp_min(1e-6) - (1 - loc[good]).log().mean()


@dataclass(frozen=True, slots=True)
class Learned:
    """All that the expert knows."""

    judge: Judge
    prompts: Hierarchy

    def charts(self, tower: Tower, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, averaged over a few cells."""
        return charts_of(self.judge, tower, photos)


@torch.inference_mode()
def charts_of(judge: Judge, tower: Tower, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
    """Loc of photos, averaged over a few cells."""
    loc = torch.cat([judge(tower.both([photo])) for photo in photos])
    return F.avg_pool2d(loc[:, None], SMOOTH, 1, SMOOTH // 2, count_include_pad=False)[:, 0]


class PrototypeExpert:
    """Examines photos."""

    def __init__(self, tower: Tower, learned: Learned, judgement: Judgement) -> None:
        self.tower, self.learned, self.judgement = tower, learned, judgement

    def examine(self, photos: Sequence[Photo]) -> list[Flaw]:
        """The flaw of each photo, or how far it is from having one."""
        if not photos:
            return []
        charts = self.learned.charts(self.tower, photos)
        return [self._flaw(chart, photo) for chart, photo in zip(charts, photos, strict=True)]

    def _flaw(self, chart: Float[Tensor, "rows columns"], photo: Photo) -> Flaw:
        scores = torch.logit(chart.clamp(1e-4, 1 - 1e-4)).flatten()

        def told(place: int) -> str:
            return f"most like: {self.type_at(photo, place)}"

        return self.judgement.flaw(chart.numpy(), lambda place: float(scores[place]), photo, told)

    @torch.inference_mode()
    def type_at(self, photo: Photo, place: int) -> str:
        """The type whose prompts make up most of the patch in a cell, by its number."""
        layers = [layer.flatten(2)[:, :, place] for layer in self.tower.layers([photo])]
        strengths = self.learned.prompts.strengths(layers)[0]
        return self.learned.prompts.names[int(strengths.argmax())] if float(strengths.max()) > 0 else "no type known"


def score_of(chart: Float[Tensor, "rows columns"]) -> float:
    """The logit of the worst place."""
    return float(torch.logit(chart.max().clamp(1e-4, 1 - 1e-4)))


def at_worst(layers: Sequence[Tensor], charts: Float[Tensor, "photos rows columns"]) -> list[Tensor]:
    """Each layer's features at the worst place of each photo."""
    worst = charts.flatten(1).argmax(1)
    return [layer.flatten(2)[torch.arange(len(layer)), :, worst] for layer in layers]


def learn_prompts(photos: Sequence[Photo], tower: Tower, seed: int, sparsity: Sparsity = Sparsity()) -> Hierarchy:  # noqa: B008  frozen
    """Type-level prompts of each of the tower's layers, from the middles of made flaws."""
    rng, small = np.random.default_rng(seed), [fitted(tower.size, photo) for photo in photos]
    made = make_some(small, EXAMPLES * len(TYPES), rng, clean=0.0)
    seen = [at_worst(tower.layers([p]), cover[None]) for p, cover in zip(made.photos, made.cover, strict=True)]
    layers = [torch.cat([one[number] for one in seen]) for number in range(len(seen[0]))]
    return learn_hierarchy(layers, torch.tensor(made.types), tuple(TYPES), seed=seed, sparsity=sparsity)


def fit_prototypes(
    photos: Sequence[Photo], tower: Tower, settings: ExpertSettings, told: Callable[[int], None] = lambda _: None
) -> tuple[Learned, Bar]:
    """Learns from all photos but those kept aside, on which the bar is set."""
    aside = list(photos[ASIDE - 1 :: ASIDE])
    kept = [photo for place, photo in enumerate(photos) if place % ASIDE != ASIDE - 1]
    judge = learn_judge(kept, tower, settings.steps, settings.seed, told)
    learned = Learned(judge, learn_prompts(kept, tower, settings.seed))
    return learned, bar_of([score_of(chart) for chart in learned.charts(tower, aside)], settings.overkill, aside=True)


def write_prototypes(bundle: Bundle, learned: Learned, judgement: Judgement) -> None:
    """Into the bundle."""
    levels = learned.prompts.levels
    tensors = {f"judge.{name}": halved(value) for name, value in learned.judge.state_dict().items()}
    tensors |= {f"prompts.{number}": level.prompts for number, level in enumerate(levels)}
    tensors |= {f"types.{number}": level.types for number, level in enumerate(levels)}
    sparsity = learned.prompts.sparsity
    facts = {
        "bundle": bundle.id, "names": list(learned.prompts.names), "levels": len(levels), "weight": sparsity.weight,
        "steps": sparsity.steps, **judgement_to_json(judgement),
    }  # fmt: skip
    write_kept(bundle.path, "prototypes", Kept(tensors, facts))


def make(bundle: Bundle) -> PrototypeExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722)."""
    kept = read_kept(bundle.path, "prototypes", bundle.id)
    try:
        weights = {name[6:]: value.float() for name, value in kept.tensors.items() if name.startswith("judge.")}
        judge = Judge(weights["embeds.0.weight"].shape[1]).eval()
        judge.load_state_dict(weights)
        names, held = kept.facts["names"], kept.tensors
        levels = tuple(
            Level(held[f"prompts.{n}"], held[f"types.{n}"]) for n in range(kept.whole("levels"))
        )  # fmt: skip
        sparsity = Sparsity(kept.number("weight"), kept.whole("steps"))
        prompts = Hierarchy(levels, tuple(map(str, names)) if isinstance(names, list) else (), sparsity)
        judgement = judgement_of(kept)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise unreadable(bundle.path, "prototypes", error) from error
    return PrototypeExpert(tower_of(bundle, judgement.frame.size), Learned(judge, prompts), judgement)
