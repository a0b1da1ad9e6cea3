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

from logicls.data.image_io import letterbox
from logicls.models.bundle import Bundle
from logicls.models.nano.detection_head import CELL_PIXELS
from logicls.plugins.anomaly.features import PatchFeatureExtractor, build_extractor, localization_ratio
from logicls.plugins.anomaly.regions import (
    FlawLocalizer,
    ScoreThreshold,
    fit_threshold,
    localizer_from_state,
    localizer_to_json,
)
from logicls.plugins.anomaly.sparse_prompts import (
    PromptHierarchy,
    PromptLayer,
    SparseCodingSettings,
    fit_prompt_hierarchy,
)
from logicls.plugins.anomaly.storage import (
    ExpertState,
    invalid_state_error,
    read_expert_state,
    to_half,
    write_expert_state,
)
from logicls.plugins.anomaly.synthetic_flaws import FLAW_TYPES, add_flaw
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import AnomalyDetection, Photo

EMBEDDING_WIDTH, NORMAL_PROTOTYPES, PROTOTYPES_PER_TYPE = 64, 16, 4
"""Of an embedding; prototypes of what is right, and of each type of what is wrong."""
BATCH_SIZE = 6
LEARNING_RATE = 1e-2
HELD_OUT_STRIDE = 4
"""Every so manieth good photo is kept aside for the bar."""
MIN_COVERAGE = 0.15
"""Share of a cell that a made flaw must cover for the cell to count as flawed; less than that counts as neither."""
SMOOTHING_WINDOW = 3
"""Cells, on each axis, over which the map is averaged."""
EXAMPLES_PER_TYPE = 40
"""Of each type, that prompts are learned from."""


class PrototypeNetwork(nn.Module):
    """Embeds patches, and holds them against prototypes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in (channels, EMBEDDING_WIDTH, EMBEDDING_WIDTH):
            layers += [
                nn.Conv2d(before, EMBEDDING_WIDTH, 3, 1, 1, bias=False),
                nn.GroupNorm(EMBEDDING_WIDTH, EMBEDDING_WIDTH),
                nn.ReLU(True),
            ]
        self.embedding = nn.Sequential(*layers)
        self.normal = nn.Parameter(torch.rand(NORMAL_PROTOTYPES, EMBEDDING_WIDTH))
        self.anomalous = nn.Parameter(torch.rand(PROTOTYPES_PER_TYPE * len(FLAW_TYPES), EMBEDDING_WIDTH))

    def forward(self, maps: Float[Tensor, "photos channels rows columns"]) -> Float[Tensor, "photos rows columns"]:
        """Loc before it is brought to the photo's size: 0 (like what is right) to 1."""
        embedded = self.embedding(maps).permute(0, 2, 3, 1)
        return localization_ratio(embedded, self.normal.relu(), self.anomalous.relu())


@dataclass(frozen=True, slots=True)
class FlawedPhotos:
    """Photos in the input's size, some with a made flaw."""

    photos: list[Photo]
    coverage: Float[Tensor, "photos rows columns"]
    """Share of each cell that is flawed."""
    types: tuple[int, ...]
    """Of each flaw; -1 for a photo without one."""


def generate_flawed_photos(
    photos: Sequence[Photo], count: int, rng: np.random.Generator, *, clean_share: float = 0.25
) -> FlawedPhotos:
    """So many, drawn from photos in the input's size; a share stays `clean`."""
    flawed, coverage, types = [], [], []
    for _ in range(count):
        photo = _augment(photos[int(rng.integers(len(photos)))], rng)
        kind = -1 if rng.random() < clean_share else int(rng.integers(len(FLAW_TYPES)))
        mask = np.zeros(photo.shape[:2], bool)
        if kind >= 0:
            photo, mask = add_flaw(photo, tuple(FLAW_TYPES)[kind], rng)
        size = photo.shape[1] // CELL_PIXELS, photo.shape[0] // CELL_PIXELS
        coverage.append(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))
        flawed.append(photo)
        types.append(kind)
    return FlawedPhotos(flawed, torch.from_numpy(np.stack(coverage)), tuple(types))


def _augment(photo: Photo, rng: np.random.Generator) -> Photo:
    """A little brighter or darker, of another colour, turned and moved: as good photos differ."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-2, 2), rng.uniform(0.99, 1.01))
    matrix[:, 2] += rng.uniform(-0.01, 0.01, 2) * width
    warped = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.clip(warped * rng.uniform(0.93, 1.07) * rng.uniform(0.98, 1.02, 3), 0, 255).astype(np.uint8)


def fit_network(
    photos: Sequence[Photo],
    extractor: PatchFeatureExtractor,
    steps: int,
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
) -> PrototypeNetwork:
    """Learns on made flaws. `told` hears of each step."""
    rng = np.random.default_rng(seed)
    resized = [letterbox(extractor.size, photo) for photo in photos]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PrototypeNetwork(extractor.extract_stem(resized[:1]).shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for number in range(steps):
        batch = generate_flawed_photos(resized, BATCH_SIZE, rng)
        optimizer.zero_grad()
        prototype_loss(network(extractor.extract_stem(batch.photos).clone()), batch.coverage).backward()
        optimizer.step()
        schedule.step()
        on_step(number + 1)
    return network.eval()


def prototype_loss(loc: Float[Tensor, "photos rows columns"], coverage: Float[Tensor, "photos rows columns"]) -> Tensor:
    """Cross-entropy of Loc, flawed cells counting as much as good ones; cells with a little of a flaw do not count."""
    loc = loc.clamp(1e-4, 1 - 1e-4)
    is_flawed, is_good = coverage >= MIN_COVERAGE, coverage == 0
    flawed_loss = -loc[is_flawed].log().mean() if is_flawed.any() else loc.sum() * 0
    weight = loc[is_good].detach()
    return (
        flawed_loss
        - (weight * (1 - loc[is_good]).log()).sum() / weight.sum().clamp_min(1e-6)
        - (1 - loc[is_good]).log().mean()
    )


@dataclass(frozen=True, slots=True)
class PrototypeModel:
    """All that the expert knows."""

    network: PrototypeNetwork
    prompts: PromptHierarchy

    def localize(
        self, extractor: PatchFeatureExtractor, photos: Sequence[Photo]
    ) -> Float[Tensor, "photos rows columns"]:
        """Loc of photos, averaged over a few cells."""
        return localize(self.network, extractor, photos)


@torch.inference_mode()
def localize(
    network: PrototypeNetwork, extractor: PatchFeatureExtractor, photos: Sequence[Photo]
) -> Float[Tensor, "photos rows columns"]:
    """Loc of photos, averaged over a few cells."""
    loc = torch.cat([network(extractor.extract_stem([photo])) for photo in photos])
    return F.avg_pool2d(loc[:, None], SMOOTHING_WINDOW, 1, SMOOTHING_WINDOW // 2, count_include_pad=False)[:, 0]


class PrototypeExpert:
    """Examines photos."""

    def __init__(self, extractor: PatchFeatureExtractor, model: PrototypeModel, localizer: FlawLocalizer) -> None:
        self.extractor, self.model, self.localizer = extractor, model, localizer

    def detect_anomalies(self, photos: Sequence[Photo]) -> list[AnomalyDetection]:
        """The flaw of each photo, or how far it is from having one."""
        if not photos:
            return []
        heatmaps = self.model.localize(self.extractor, photos)
        return [self._flaw(heatmap, photo) for heatmap, photo in zip(heatmaps, photos, strict=True)]

    def _flaw(self, heatmap: Float[Tensor, "rows columns"], photo: Photo) -> AnomalyDetection:
        scores = torch.logit(heatmap.clamp(1e-4, 1 - 1e-4)).flatten()

        def describe(cell: int) -> str:
            return f"most like: {self.classify_patch(photo, cell)}"

        return self.localizer.localize(heatmap.numpy(), lambda place: float(scores[place]), photo, describe)

    @torch.inference_mode()
    def classify_patch(self, photo: Photo, cell: int) -> str:
        """The type whose prompts make up most of the patch in a cell, by its number."""
        layers = [layer.flatten(2)[:, :, cell] for layer in self.extractor.extract_layers([photo])]
        strengths = self.model.prompts.type_strengths(layers)[0]
        return self.model.prompts.names[int(strengths.argmax())] if float(strengths.max()) > 0 else "no type known"


def image_score(heatmap: Float[Tensor, "rows columns"]) -> float:
    """The logit of the worst place."""
    return float(torch.logit(heatmap.max().clamp(1e-4, 1 - 1e-4)))


def peak_features(layers: Sequence[Tensor], heatmaps: Float[Tensor, "photos rows columns"]) -> list[Tensor]:
    """Each layer's features at the worst place of each photo."""
    peaks = heatmaps.flatten(1).argmax(1)
    return [layer.flatten(2)[torch.arange(len(layer)), :, peaks] for layer in layers]


def fit_prompts(
    photos: Sequence[Photo],
    extractor: PatchFeatureExtractor,
    seed: int,
    sparsity: SparseCodingSettings = SparseCodingSettings(),
) -> PromptHierarchy:
    """Type-level prompts of each of the tower's layers, from the middles of made flaws."""
    rng, resized = np.random.default_rng(seed), [letterbox(extractor.size, photo) for photo in photos]
    examples = generate_flawed_photos(resized, EXAMPLES_PER_TYPE * len(FLAW_TYPES), rng, clean_share=0.0)
    features = [
        peak_features(extractor.extract_layers([p]), cover[None])
        for p, cover in zip(examples.photos, examples.coverage, strict=True)
    ]
    layers = [torch.cat([one[number] for one in features]) for number in range(len(features[0]))]
    return fit_prompt_hierarchy(layers, torch.tensor(examples.types), tuple(FLAW_TYPES), seed=seed, settings=sparsity)


def fit_prototypes(
    photos: Sequence[Photo],
    extractor: PatchFeatureExtractor,
    settings: ExpertSettings,
    on_step: Callable[[int], None] = lambda _: None,
) -> tuple[PrototypeModel, ScoreThreshold]:
    """Learns from all photos but those kept aside, on which the bar is set."""
    held_out = list(photos[HELD_OUT_STRIDE - 1 :: HELD_OUT_STRIDE])
    training_photos = [photo for place, photo in enumerate(photos) if place % HELD_OUT_STRIDE != HELD_OUT_STRIDE - 1]
    network = fit_network(training_photos, extractor, settings.steps, settings.seed, on_step)
    model = PrototypeModel(network, fit_prompts(training_photos, extractor, settings.seed))
    return model, fit_threshold(
        [image_score(heatmap) for heatmap in model.localize(extractor, held_out)], settings.overkill, is_held_out=True
    )


def write_prototypes(bundle: Bundle, model: PrototypeModel, localizer: FlawLocalizer) -> None:
    """Into the bundle."""
    levels = model.prompts.layers
    tensors = {f"judge.{name}": to_half(value) for name, value in model.network.state_dict().items()}
    tensors |= {f"prompts.{number}": level.prompts for number, level in enumerate(levels)}
    tensors |= {f"types.{number}": level.types for number, level in enumerate(levels)}
    sparsity = model.prompts.settings
    metadata = {
        "bundle": bundle.id, "names": list(model.prompts.names), "levels": len(levels), "weight": sparsity.weight,
        "steps": sparsity.steps, **localizer_to_json(localizer),
    }  # fmt: skip
    write_expert_state(bundle.path, "prototypes", ExpertState(tensors, metadata))


def load_expert(bundle: Bundle) -> PrototypeExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722)."""
    state = read_expert_state(bundle.path, "prototypes", bundle.id)
    try:
        weights = {name[6:]: value.float() for name, value in state.tensors.items() if name.startswith("judge.")}
        network = PrototypeNetwork(weights["embeds.0.weight"].shape[1]).eval()
        network.load_state_dict(weights)
        names, tensors = state.metadata["names"], state.tensors
        levels = tuple(
            PromptLayer(tensors[f"prompts.{n}"], tensors[f"types.{n}"]) for n in range(state.get_int("levels"))
        )  # fmt: skip
        sparsity = SparseCodingSettings(state.get_float("weight"), state.get_int("steps"))
        prompts = PromptHierarchy(levels, tuple(map(str, names)) if isinstance(names, list) else (), sparsity)
        localizer = localizer_from_state(state)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise invalid_state_error(bundle.path, "prototypes", error) from error
    return PrototypeExpert(build_extractor(bundle, localizer.frame.size), PrototypeModel(network, prompts), localizer)
