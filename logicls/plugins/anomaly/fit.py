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
from logicls.plugins.anomaly.features import input_size, tower_of
from logicls.plugins.anomaly.regions import Bar, Judgement, Zones, zones_of
from logicls.plugins.selection import stand
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Photo

LEAST = 10
"""Good photos below which nothing can be told."""


def photos_of(synth: Path) -> Path:
    """The dataset of good photos that a set was made of. Raises `DataError` (LC406)."""
    data = Path(str(claimed(synth / "synth.json").get("data", "")))
    if not (data / "annotations.json").is_file():
        message = "the annotated photos that it was made of are not there."
        advice = "Fit the expert with `logicls expert fit`, and name them."
        raise DataError(Problem("LC406", message, relative(synth), advice=advice))
    return data


def fit_expert(
    bundle: Bundle,
    data: Path,
    settings: ExpertSettings,
    *,
    begin: Callable[[int], Callable[[int], object]] = lambda total: lambda count: None,
) -> Bar:
    """Fit, write, and have it plugged in from now on.

    `begin` is told the number of photos before the first is read; what it gives is told how many more were read.

    Raises:
        DataError: The dataset cannot be used, or has too few photos (LC720).
        PhotoError: A photo cannot be read.
    """
    dataset = read_for(bundle.spec, data)
    if len(dataset.scenes) < LEAST:
        message = f"has {len(dataset.scenes)} good photos; an expert needs {LEAST}, and should have 50."
        raise DataError(Problem("LC720", message, relative(data), advice="Take more photos of good products."))
    read, photos = begin(len(dataset.scenes)), []
    for scene in dataset.scenes:
        photos.append(read_photo(dataset.image_path(scene)))
        read(1)
    bar = _fitted(bundle, photos, zones_of(dataset.scenes), settings)
    stand(bundle.path, expert=settings.kind)
    return bar


def _fitted(bundle: Bundle, photos: Sequence[Photo], zones: Zones, settings: ExpertSettings) -> Bar:
    """Of that kind, written."""
    if settings.kind == "texts":
        return texts.fit_texts(bundle, photos, zones, settings)
    if settings.kind == "priors":
        return priors.fit_priors(bundle, photos, zones, settings)
    tower = tower_of(bundle, input_size(photos, settings.cells))
    match settings.kind:
        case "patches":
            known, bar = patches.fit_patches(photos, tower, settings)
            patches.write_patches(bundle, known, Judgement(bar, tower.frame, zones))
        case "prototypes":
            learned, bar = prototypes.fit_prototypes(photos, tower, settings)
            prototypes.write_prototypes(bundle, learned, Judgement(bar, tower.frame, zones))
        case _:
            assert_never(settings.kind)
    return bar
