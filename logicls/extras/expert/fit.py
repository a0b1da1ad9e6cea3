"""`logicls expert fit`: an expert out of annotated photos of good products, written into the bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from logicls.claim import claimed
from logicls.data.named import read_for
from logicls.data.picture import read_photo
from logicls.errors import DataError, Problem, relative
from logicls.extras.expert import patches, priors, prototypes, texts
from logicls.extras.expert.bar import Bar
from logicls.extras.expert.places import Judgement, Zones, zones_of
from logicls.extras.expert.tower import input_size, tower_of
from logicls.extras.standing import stand
from logicls.models.bundle import Bundle
from logicls.plugins import Photo
from logicls.train.expert_recipe import ExpertSettings

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
