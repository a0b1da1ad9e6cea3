"""Expert `patches`: PatchCore (Roth et al., CVPR 2022) on nano's stem and fixed filters. The recommended expert.

It needs neither texts nor a download.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from logicls.anomaly.features import (
    BATCH_SIZE,
    PatchFeatureExtractor,
    Whitening,
    average_neighbourhood,
    build_extractor,
    fit_whitening,
)
from logicls.anomaly.memory_bank import (
    MemoryBank,
    PatchFeatures,
    build_memory_bank,
    exclude_photo,
    measure_leave_one_out,
)
from logicls.anomaly.scores import ScoreThreshold, fit_threshold, photos_needed
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.regions import FlawLocalizer, localizer_from_state, localizer_to_json
from logicls.plugins.anomaly.storage import (
    ExpertState,
    invalid_state_error,
    read_expert_state,
    to_half,
    write_expert_state,
)
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import AnomalyDetection, Photo

MAX_FIT_PHOTOS = 80
"""Photos in the memory bank if as many remain as the threshold's guarantee needs."""


@dataclass(frozen=True, slots=True)
class PatchScores:
    """Heatmap and features of one photo."""

    heatmap: Float[Tensor, "rows columns"]
    """Standardised distance of each patch."""
    features: Float[Tensor, "rows columns width"]
    bank: MemoryBank

    def score_at(self, cell: int) -> float:
        """Return the re-weighted score of a cell (eq. 7)."""
        return float(self.heatmap.flatten()[cell]) * self.bank.reweighting_factor(self.features.flatten(0, 1)[cell])

    @property
    def image_score(self) -> float:
        """Score of the heatmap's maximum."""
        return self.score_at(int(self.heatmap.argmax()))


@dataclass(frozen=True, slots=True)
class PatchCoreModel:
    """Everything learned from good photos."""

    whitening: Whitening
    bank: MemoryBank
    window: int

    def embed(self, maps: Float[Tensor, "photos channels rows columns"]) -> PatchFeatures:
        """Return whitened patch features of feature maps."""
        return self.whitening(average_neighbourhood(maps, self.window))

    def score(self, maps: Float[Tensor, "photos channels rows columns"]) -> list[PatchScores]:
        """Score photos, given as feature maps of the extractor."""
        features = self.embed(maps)
        heatmaps = self.bank.standardise(self.bank.distances(features))
        return [
            PatchScores(heatmap, photo_features, self.bank)
            for heatmap, photo_features in zip(heatmaps, features, strict=True)
        ]


class PatchCoreExpert:
    """PatchCore expert."""

    def __init__(self, extractor: PatchFeatureExtractor, model: PatchCoreModel, localizer: FlawLocalizer) -> None:
        self.extractor, self.model, self.localizer = extractor, model, localizer

    def detect_anomalies(self, photos: Sequence[Photo]) -> list[AnomalyDetection]:
        """Detect the anomaly of each photo, or return its score if there is none."""
        if not photos:
            return []
        scores = self.model.score(self.extractor.extract(photos))
        return [
            self.localizer.localize(photo_scores.heatmap.numpy(), photo_scores.score_at, photo)
            for photo_scores, photo in zip(scores, photos, strict=True)
        ]


def fit_model(maps: Float[Tensor, "photos channels rows columns"], settings: ExpertSettings) -> PatchCoreModel:
    """Fit whitening and memory bank to feature maps of good photos."""
    maps = average_neighbourhood(maps, settings.averaging_window)
    whitening = fit_whitening(maps)
    features: PatchFeatures = whitening(maps)
    generator = torch.Generator().manual_seed(settings.seed)
    return PatchCoreModel(
        whitening,
        build_memory_bank(features, settings.coreset_ratio, settings.neighbourhood, generator),
        settings.averaging_window,
    )


def fit_patchcore(
    photos: Sequence[Photo], extractor: PatchFeatureExtractor, settings: ExpertSettings
) -> tuple[PatchCoreModel, ScoreThreshold]:
    """Fit a model, and a threshold on scores of photos that are not in the memory bank.

    With enough photos the threshold is fitted to held-out ones. Otherwise all are in the memory bank, and each is
    scored leave-one-out.
    """
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(settings.seed)).tolist()
    if len(photos) >= MAX_FIT_PHOTOS + photos_needed(settings.overkill):
        model = fit_model(extractor.extract([photos[n] for n in order[:MAX_FIT_PHOTOS]]), settings)
        held_out = [photos[n] for n in order[MAX_FIT_PHOTOS:]]
        batches = [held_out[k : k + BATCH_SIZE] for k in range(0, len(held_out), BATCH_SIZE)]
        scores = [one.image_score for batch in batches for one in model.score(extractor.extract(batch))]
        return model, fit_threshold(scores, settings.overkill, is_held_out=True)
    maps = extractor.extract([photos[n] for n in order])
    model = fit_model(maps, settings)
    return model, fit_threshold(leave_one_out_scores(model, maps), settings.overkill)


def leave_one_out_scores(model: PatchCoreModel, maps: Float[Tensor, "photos channels rows columns"]) -> list[float]:
    """Score each training photo with its own patches left out (the whitening still includes them)."""
    features = model.embed(maps)
    distances, scores = measure_leave_one_out(model.bank, features), []
    for photo in range(len(maps)):
        bank = exclude_photo(model.bank, distances, photo)
        heatmap = bank.standardise(distances.nearest[photo : photo + 1])[0]
        scores.append(PatchScores(heatmap, features[photo], bank).image_score)
    return scores


def write_patchcore(bundle: Bundle, model: PatchCoreModel, localizer: FlawLocalizer) -> None:
    """Write the model into the bundle."""
    bank, whitening = model.bank, model.whitening
    tensors = {
        "patches": to_half(bank.patches), "rows": bank.rows.short(), "columns": bank.columns.short(),
        "mean": bank.mean, "deviation": bank.deviation, "centre": whitening.mean, "axes": whitening.axes,
    }  # fmt: skip
    metadata = {"bundle": bundle.id, "reach": bank.reach, "window": model.window, **localizer_to_json(localizer)}
    write_expert_state(bundle.path, "patches", ExpertState(tensors, metadata))


def load_expert(bundle: Bundle) -> PatchCoreExpert:
    """Load the expert of a bundle. Raises `BundleError` (LC721, LC722)."""
    state = read_expert_state(bundle.path, "patches", bundle.id)
    try:
        tensors = state.tensors
        rows, columns = tensors["rows"].long(), tensors["columns"].long()
        bank = MemoryBank(
            tensors["patches"].float(), rows, columns, torch.full_like(rows, -1), state.get_int("reach"),
            tensors["mean"], tensors["deviation"],
        )  # fmt: skip
        model = PatchCoreModel(Whitening(tensors["centre"], tensors["axes"]), bank, state.get_int("window"))
        localizer = localizer_from_state(state)
        extractor = build_extractor(bundle, localizer.frame.size)
        if len(model.whitening.axes) != extractor.channels:
            raise ValueError(
                f"features of {len(model.whitening.axes)} channels, but the extractor has {extractor.channels}"
            )
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise invalid_state_error(bundle.path, "patches", error) from error
    return PatchCoreExpert(extractor, model, localizer)
