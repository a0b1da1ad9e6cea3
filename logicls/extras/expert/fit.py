"""`logicls expert fit`: an expert out of annotated photos of good products, written into the bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from logicls.data.coco import read_dataset
from logicls.data.picture import read_photo
from logicls.errors import DataError, Problem, relative
from logicls.extras.expert.bar import Bar
from logicls.extras.expert.patches import fit_patches, write_patches
from logicls.extras.expert.tower import input_size, tower_of
from logicls.extras.standing import stand
from logicls.models.bundle import Bundle
from logicls.train.expert_recipe import ExpertSettings

LEAST = 10
"""Good photos below which nothing can be told."""


def fit_expert(
    bundle: Bundle,
    data: Path,
    settings: ExpertSettings,
    *,
    read: Callable[[int], None] = lambda count: None,
) -> Bar:
    """Fit, write, and have it plugged in from now on. `read` is told how many more photos were read.

    Raises:
        DataError: The dataset cannot be used, or has too few photos (LC720).
        PhotoError: A photo cannot be read.
    """
    dataset = read_dataset(data)
    if len(dataset.scenes) < LEAST:
        message = f"has {len(dataset.scenes)} good photos; an expert needs {LEAST}, and should have 50."
        raise DataError(Problem("LC720", message, relative(data), advice="Take more photos of good products."))
    photos = []
    for scene in dataset.scenes:
        photos.append(read_photo(dataset.image_path(scene)))
        read(1)
    tower = tower_of(bundle, input_size(photos, settings.cells))
    known, bar = fit_patches(photos, tower, settings)
    write_patches(bundle, tower, known, bar)
    stand(bundle.path, "expert", settings.kind)
    return bar
