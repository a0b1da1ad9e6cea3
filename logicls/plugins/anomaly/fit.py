"""Fitting of an expert to annotated good photos (`logicls expert fit`); its state is written into the bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from logicls.anomaly.features import build_extractor, input_size
from logicls.anomaly.scores import ScoreThreshold
from logicls.data.defects import read_dataset_with_defects, select_good
from logicls.data.image_io import read_photo
from logicls.errors import DataError, Problem, relative_path
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.patchcore import fit_patchcore, write_patchcore
from logicls.plugins.anomaly.prior_expert import fit_priors
from logicls.plugins.anomaly.prototype_expert import fit_prototypes, write_prototypes
from logicls.plugins.anomaly.regions import ComponentZones, FlawLocalizer, fit_zones
from logicls.plugins.anomaly.text_expert import fit_texts
from logicls.plugins.selection import set_default_plugins
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Photo
from logicls.train.appearance import find_source_photos

MIN_GOOD_PHOTOS = 10
"""Least number of good photos to fit an expert."""


def find_good_photos(dataset: Path) -> Path:
    """Return the dataset of good photos that a synthetic dataset was made from. Raises `DataError` (LC406)."""
    return find_source_photos(dataset, "Fit the expert with `logicls expert fit --data DATASET`.")


def fit_expert(
    bundle: Bundle,
    data: Path,
    settings: ExpertSettings,
    *,
    start_progress: Callable[[int], Callable[[int], object]] = lambda total: lambda count: None,
) -> ScoreThreshold:
    """Fit an expert, write it into the bundle, make it the bundle's default, and return its threshold.

    `start_progress` is called with the number of photos before the first is read; it returns a function that is called
    with the number of photos read since.

    Raises:
        DataError: The dataset is invalid, or has too few photos (LC720).
        PhotoError: A photo cannot be read.
    """
    dataset = select_good(read_dataset_with_defects(bundle.spec, data))
    if len(dataset.scenes) < MIN_GOOD_PHOTOS:
        message = f"has {len(dataset.scenes)} good photos; an expert needs at least {MIN_GOOD_PHOTOS}, better 50."
        raise DataError(Problem("LC720", message, relative_path(data), advice="Take more photos of good products."))
    advance, photos = start_progress(len(dataset.scenes)), []
    for scene in dataset.scenes:
        photos.append(read_photo(dataset.image_path(scene)))
        advance(1)
    threshold = _fit_kind(bundle, photos, fit_zones(dataset.scenes), settings)
    set_default_plugins(bundle.path, expert=settings.kind)
    return threshold


def _fit_kind(
    bundle: Bundle, photos: Sequence[Photo], zones: ComponentZones, settings: ExpertSettings
) -> ScoreThreshold:
    """Fit and write an expert of the settings' kind."""
    if settings.kind == "texts":
        return fit_texts(bundle, photos, zones, settings)
    if settings.kind == "priors":
        return fit_priors(bundle, photos, zones, settings)
    extractor = build_extractor(bundle, input_size(photos, settings.patches))
    match settings.kind:
        case "patches":
            model, threshold = fit_patchcore(photos, extractor, settings)
            write_patchcore(bundle, model, FlawLocalizer(threshold, extractor.frame, zones))
        case "prototypes":
            prototypes, threshold = fit_prototypes(photos, extractor, settings)
            write_prototypes(bundle, prototypes, FlawLocalizer(threshold, extractor.frame, zones))
        case _:
            assert_never(settings.kind)
    return threshold
