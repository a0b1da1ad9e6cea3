"""Draft of a knowledge folder from a product's spec, its good photos and synthetic defects.

Existing pages are never overwritten, since people may have edited them. Beside the pages, `usual.safetensors` holds
features [photos width] of good and synthetic photos, some of them defective: a defect does not make another product.
The file at the top of the folder holds features of rendered scenes of unrelated objects; their mean is the centre of
the embedding space. Each variant of the product gets a reference page with its medoid photo.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import yaml
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from logicls.constraints.spec.models import Spec
from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import write_bytes, write_text
from logicls.plugins.retrieval.embedding import ImageEncoder, ImageFeatures, load_encoder
from logicls.plugins.retrieval.knowledge import FEATURES_FILE, KNOWLEDGE_FILE, KnowledgeConfig, read_config, render_page
from logicls.predict.folder.runner import iterate_batches
from logicls.predict.plugin_protocols import Photo
from logicls.pretraining.scene_generator import generate_scene
from logicls.records import Scene
from logicls.synth.example_generator import ExampleGenerator
from logicls.synth.pipeline import SynthesisRequest, load_source


def write_photo_features(folder: Path, features: ImageFeatures, encoder: ImageEncoder) -> None:
    """Write features and the encoder's id into a product's folder, or into the top folder."""
    tensors = {"features": np.ascontiguousarray(features, np.float32)}
    write_bytes(folder / FEATURES_FILE, save(tensors, metadata={"encoder": encoder.id}))


def read_photo_features(folder: Path, encoder: ImageEncoder, width: int) -> ImageFeatures:
    """Read the features in a folder.

    Raises:
        DataError: The file is missing or cannot be read (LC706), or another encoder wrote it (LC704).
    """
    file = folder / FEATURES_FILE
    advice = "Run `logicls knowledge build` for the product again."
    try:
        with safe_open(file, "numpy") as archive:
            encoder_id, features = (archive.metadata() or {}).get("encoder", "?"), archive.get_tensor("features")
    except (OSError, SafetensorError) as error:
        message = "photo features are missing, or cannot be read."
        raise DataError(Problem("LC706", message, relative_path(file), advice=advice)) from error
    if features.ndim != 2 or features.shape[1] != width or encoder_id != encoder.id:
        message = f'has features of width {features.shape[-1]} by "{encoder_id}", but "{encoder.id}" has width {width}.'
        raise DataError(Problem("LC704", message, relative_path(file), advice=advice))
    return np.asarray(features)


MAX_REFERENCES = 12
"""Number of variants that get a reference page, those with most photos first."""


def variant_name(scene: Scene) -> str:
    """Join the attribute values that all bearers on a photo agree on; empty if there are none.

    Components and attributes are in order, so the same variant has the same name on every photo.
    """
    values: dict[tuple[str, str], set[str]] = {}
    for instance in scene.instances:
        for name, value in instance.attributes:
            values.setdefault((instance.component, name), set()).add(value)
    agreed = dict.fromkeys(next(iter(found)) for _, found in sorted(values.items()) if len(found) == 1)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "-".join(agreed))


def select_references(scenes: Sequence[Scene], features: ImageFeatures) -> dict[str, Scene]:
    """Select the medoid photo of each variant: the smallest summed distance to the variant's other photos.

    `features` has a row per scene.
    """
    by_variant: dict[str, list[int]] = {}
    for number, scene in enumerate(scenes):
        by_variant.setdefault(variant_name(scene), []).append(number)
    chosen = sorted(sorted(by_variant), key=lambda name: -len(by_variant[name]))[:MAX_REFERENCES]
    return {name: scenes[_medoid(by_variant[name], features)] for name in sorted(chosen)}


def _medoid(rows: Sequence[int], features: ImageFeatures) -> int:
    points = features[list(rows)].astype(np.float64)
    squares = (points**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0)).sum(1)
    return rows[int(distances.argmin())]


MAX_GOOD_PHOTOS = 200
"""Most good photos to embed, evenly spaced over the dataset."""
CENTRE_SCENES = 24
"""Number of rendered scenes whose mean feature is the centre of the embedding space."""
MAX_ATTEMPTS = 40
"""Photos on which a violation is tried before its page is written without a photo."""
PAGE_PHOTO_SIDE = 640
"""Longer side of a page's photo at most, pixels."""
BATCH_SIZE = 16
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnowledgeDraft:
    """Result of a draft."""

    written: tuple[str, ...]
    """Pages written, relative to the folder."""
    existing: tuple[str, ...]
    """Pages that existed and were not changed."""
    without_photo: tuple[str, ...]
    """Violations that could be synthesised on no photo; their pages have no photo."""


def draft_knowledge(
    order: SynthesisRequest, *, encoder: str = "", bundle: str = "", on_progress: Callable[[int], None] = lambda _: None
) -> KnowledgeDraft:
    """Draft a product's pages in `order.out`, and write the features of its photos.

    Args:
        order: Spec, data, folder and seed; `count` is the number of synthetic examples to embed beside the good photos.
        encoder: Encoder of the folder; if left out the folder's present one, `base` at first.
        bundle: Path of the product's bundle relative to the folder, for routing.
        on_progress: Called with the number of photos embedded since the last call.

    Raises:
        SpecError: The spec or knowledge.yaml is invalid.
        DataError: The data is invalid (LC101 to LC111).
        BundleError: The encoder cannot be used (LC510, LC705).
    """
    source = load_source(order)
    maker, product = source.create_generator(), order.out / source.spec.product.name
    image_encoder = load_encoder(
        update_settings(order.out, encoder, {product.name: bundle} if bundle else {}).encoder, order.out
    )
    scenes = sample_evenly(source.dataset.scenes, MAX_GOOD_PHOTOS)
    good = _embed_photos((maker.bank.load_photo(scene) for scene in scenes), image_encoder, on_progress)
    synthetic = _embed_photos(
        (maker.render(order.seed, k).photo for k in range(order.count)), image_encoder, on_progress
    )
    write_photo_features(product, np.concatenate([good, synthetic]), image_encoder)
    unrelated = (
        generate_scene(np.random.default_rng([order.seed, k]), (208, 160)).pixels for k in range(CENTRE_SCENES)
    )
    write_photo_features(order.out, _embed_photos(unrelated, image_encoder, lambda _: None), image_encoder)
    pages = PageWriter(product)
    for constraint in source.spec.constraints:
        pages.add(f"rules/{constraint.id}", {}, f"Rule: {constraint.text}.", consequences=constraint.why)
    for variant, scene in select_references(scenes, good).items():
        description = "A good product." if not variant else f"A good product, variant {variant}."
        pages.add(
            f"references/{variant or 'good'}", {"variant": variant}, description, photo=maker.bank.load_photo(scene)
        )
    rng = np.random.default_rng([order.seed, CENTRE_SCENES])
    without = tuple(
        name for name in source.spec.violations if not _draft_defect_page(source.spec, maker, pages, name, rng)
    )
    return KnowledgeDraft(tuple(pages.written), tuple(pages.existing), without)


def update_settings(folder: Path, encoder: str, bundles: Mapping[str, str]) -> KnowledgeConfig:
    """Add encoder and bundles to the folder's settings, write them if they changed, and return them."""
    before = read_config(folder)
    changes = {"bundles": {**before.bundles, **bundles}, **({"encoder": encoder} if encoder else {})}
    after = before.model_copy(update=changes)
    if after != before or not (folder / KNOWLEDGE_FILE).exists():
        write_text(folder / KNOWLEDGE_FILE, yaml.safe_dump(after.model_dump(), sort_keys=False))
    return after


def sample_evenly(items: Sequence[T], count: int) -> list[T]:
    """Select at most `count` items, evenly spaced from first to last."""
    if len(items) <= count:
        return list(items)
    return [items[int(k)] for k in np.linspace(0, len(items) - 1, count)]


class PageWriter:
    """Writer of one product's pages; an existing page is left unchanged."""

    def __init__(self, product: Path) -> None:
        self.written: list[str] = []
        self.existing: list[str] = []
        self._product = product

    def add(
        self,
        name: str,
        front: Mapping[str, str],
        description: str,
        *,
        consequences: str = "",
        photo: Photo | None = None,
    ) -> None:
        """Write a page, with its photo beside it if there is one."""
        file = self._product / f"{name}.md"
        if file.exists():
            self.existing.append(name)
            return
        photo_entry = {}
        if photo is not None:
            write_bytes(file.with_suffix(".jpg"), _encode_jpeg(photo))
            photo_entry = {"photo": f"{file.stem}.jpg"}
        text = render_page(
            {"product": self._product.name, **front, **photo_entry}, description, consequences=consequences
        )
        write_text(file, text)
        self.written.append(name)


def _embed_photos(photos: Iterable[Photo], encoder: ImageEncoder, on_progress: Callable[[int], None]) -> ImageFeatures:
    features = []
    for batch in iterate_batches(photos, BATCH_SIZE):
        features.append(encoder.embed(batch))
        on_progress(len(batch))
    return np.concatenate(features)


def _draft_defect_page(
    spec: Spec, maker: ExampleGenerator, pages: PageWriter, name: str, rng: np.random.Generator
) -> bool:
    """Draft the page of a violation; return False if no photo allowed to synthesise it."""
    rules = [c for c in spec.constraints if any(c.violation_name(side) == name for side in c.failure_modes)]
    description = "Defect: " + "; or ".join(f"violates the rule: {rule.text}" for rule in rules) + "."
    consequences = "; ".join(dict.fromkeys(rule.why for rule in rules if rule.why))
    photo = None
    for _ in range(MAX_ATTEMPTS):
        broken = maker.sampler.add_violation(maker.sampler.select_photo(rng.random()), name, rng)
        if broken is not None:
            photo = broken.canvas.photo
            break
    pages.add(f"defects/{name}", {"defect": name}, description, consequences=consequences, photo=photo)
    return photo is not None


def _encode_jpeg(photo: Photo) -> bytes:
    image = Image.fromarray(np.asarray(photo))
    image.thumbnail((PAGE_PHOTO_SIDE, PAGE_PHOTO_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()
