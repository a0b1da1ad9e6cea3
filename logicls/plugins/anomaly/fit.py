"""`logicls expert fit`: an expert out of annotated photos of good products, written into the bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from logicls.data.coco import read_for
from logicls.data.image_io import read_photo
from logicls.errors import DataError, Problem, relative
from logicls.io.run_manifest import claimed
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly import (
    patchcore as patches,
)
from logicls.plugins.anomaly import (
    prior_expert as priors,
)
from logicls.plugins.anomaly import (
    prototype_expert as prototypes,
)
from logicls.plugins.anomaly import (
    text_expert as texts,
)
from logicls.plugins.anomaly.features import input_size, build_extractor
from logicls.plugins.anomaly.regions import ScoreThreshold, FlawLocalizer, ComponentZones, fit_zones
from logicls.plugins.selection import set_default_plugins
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Photo

MIN_GOOD_PHOTOS = 10
"""Good photos below which nothing can be told."""


def find_good_photos(dataset: Path) -> Path:
    """The dataset of good photos that a set was made of. Raises `DataError` (LC406)."""
    data = Path(str(claimed(dataset / "synth.json").get("data", "")))
    if not (data / "annotations.json").is_file():
        message = "the annotated photos that it was made of are not there."
        advice = "Fit the expert with `logicls expert fit`, and name them."
        raise DataError(Problem("LC406", message, relative(dataset), advice=advice))
    return data


def fit_expert(
    bundle: Bundle,
    data: Path,
    settings: ExpertSettings,
    *,
    start_progress: Callable[[int], Callable[[int], object]] = lambda total: lambda count: None,
) -> ScoreThreshold:
    """Fit, write, and have it plugged in from now on.

    `begin` is told the number of photos before the first is read; what it gives is told how many more were read.

    Raises:
        DataError: The dataset cannot be used, or has too few photos (LC720).
        PhotoError: A photo cannot be read.
    """
    dataset = read_for(bundle.spec, data)
    if len(dataset.scenes) < MIN_GOOD_PHOTOS:
        message = f"has {len(dataset.scenes)} good photos; an expert needs {MIN_GOOD_PHOTOS}, and should have 50."
        raise DataError(Problem("LC720", message, relative(data), advice="Take more photos of good products."))
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
    """Of that kind, written."""
    if settings.kind == "texts":
        return texts.fit_texts(bundle, photos, zones, settings)
    if settings.kind == "priors":
        return priors.fit_priors(bundle, photos, zones, settings)
    extractor = build_extractor(bundle, input_size(photos, settings.cells))
    match settings.kind:
        case "patches":
            model, threshold = patches.fit_patchcore(photos, extractor, settings)
            patches.write_patchcore(bundle, model, FlawLocalizer(threshold, extractor.frame, zones))
        case "prototypes":
            prototypes, threshold = prototypes.fit_prototypes(photos, extractor, settings)
            prototypes.write_prototypes(bundle, prototypes, FlawLocalizer(threshold, extractor.frame, zones))
        case _:
            assert_never(settings.kind)
    return threshold
