"""Drafts what is known of a product, for people to go on with: from its spec, good photos, and made defects.

Pages that are there already are left as they are: somebody may have worked on them.

What the photos of a product look like to an encoder, in a file beside its pages.

features   [photos width]: of good photos, and of made ones, some of them broken: a defect makes no other product
The file at the folder's top holds those of made photos of many things, whose mean is the centre of the space.

Which variants of a product there are, and the photo that shows each best.
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
from logicls.errors import DataError, Problem, relative
from logicls.io.atomic import write_bytes, write_text
from logicls.plugins.retrieval.embedding import Encoder, Features, encoder_of
from logicls.plugins.retrieval.knowledge import FILE, USUAL, Settings, page_text, read_settings
from logicls.predict.folder.runner import batched
from logicls.predict.plugin_protocols import Photo
from logicls.pretraining.scene_generator import make_world
from logicls.records import Scene
from logicls.synth.example_generator import Maker
from logicls.synth.pipeline import Order, source_of


def write_usual(folder: Path, features: Features, encoder: Encoder) -> None:
    """Into a product's folder, or into the folder of all."""
    held = {"features": np.ascontiguousarray(features, np.float32)}
    write_bytes(folder / USUAL, save(held, metadata={"encoder": encoder.id}))


def read_usual(folder: Path, encoder: Encoder, width: int) -> Features:
    """The features in a folder.

    Raises:
        DataError: There are none, or they cannot be read (LC706), or another encoder made them (LC704).
    """
    file = folder / USUAL
    advice = "Run `logicls knowledge build` for the product again."
    try:
        with safe_open(file, "numpy") as held:
            made, features = (held.metadata() or {}).get("encoder", "?"), held.get_tensor("features")
    except (OSError, SafetensorError) as error:
        message = "nothing says here how much photos of a product differ."
        raise DataError(Problem("LC706", message, relative(file), advice=advice)) from error
    if features.ndim != 2 or features.shape[1] != width or made != encoder.id:
        message = f'has features of {features.shape[-1]} numbers by "{made}"; "{encoder.id}" gives {width}.'
        raise DataError(Problem("LC704", message, relative(file), advice=advice))
    return np.asarray(features)


MOST = 12
"""Variants that get a reference page, those of most photos first."""


def variant_of(scene: Scene) -> str:
    """The values that tell a photo's variant: of attributes that all their bearers on it agree on; empty for none.

    In the order of components and attributes, so that the same variant has the same name on every photo.
    """
    values: dict[tuple[str, str], set[str]] = {}
    for instance in scene.instances:
        for name, value in instance.attributes:
            values.setdefault((instance.component, name), set()).add(value)
    told = dict.fromkeys(next(iter(some)) for _, some in sorted(values.items()) if len(some) == 1)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "-".join(told))


def references(scenes: Sequence[Scene], features: Features) -> dict[str, Scene]:
    """Variant → the photo that is the most like all others of it: of the smallest summed distance.

    `features` has a row a scene.
    """
    found: dict[str, list[int]] = {}
    for number, scene in enumerate(scenes):
        found.setdefault(variant_of(scene), []).append(number)
    shown = sorted(sorted(found), key=lambda name: -len(found[name]))[:MOST]
    return {name: scenes[_middle(found[name], features)] for name in sorted(shown)}


def _middle(rows: Sequence[int], features: Features) -> int:
    some = features[list(rows)].astype(np.float64)
    squares = (some**2).sum(1)
    far = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * some @ some.T, 0)).sum(1)
    return rows[int(far.argmin())]


MADE = 64
"""Made examples whose features are kept beside those of good photos; about half of them are broken."""
GOOD = 200
"""Good photos at most whose features are kept, evenly from all of them."""
SCENES = 24
"""Made photos of other things that the centre of the space is the mean of."""
TRIES = 40
"""Photos on which a violation is tried before its page goes without one."""
SIDE = 640
"""Longer side of a page's photo at most, pixels."""
BATCH = 16
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a draft came to."""

    written: tuple[str, ...]
    """Pages, relative to the folder."""
    kept: tuple[str, ...]
    """Pages that were there."""
    without: tuple[str, ...]
    """Violations that no photo allowed to be made: their pages have no photo."""


def draft(
    order: Order, *, encoder: str = "", bundle: str = "", done: Callable[[int], None] = lambda _: None
) -> Drafted:
    """Draft a product's pages in `order.out`, and write down what its photos look like.

    Args:
        order: Spec, data, folder and seed; `count` is how many made examples are looked at beside the good photos.
        encoder: What photos are compared by; if left out that of the folder, which is `base` at first.
        bundle: Where the product's bundle is, for routing; a path relative to the folder.
        done: Told how many more photos were looked at.

    Raises:
        SpecError: The spec or knowledge.yaml cannot be used.
        DataError: The data cannot be used (LC101 to LC111).
        BundleError: The encoder cannot be used (LC510, LC705).
    """
    source = source_of(order)
    maker, product = source.maker(), order.out / source.spec.product.name
    seen = encoder_of(settled(order.out, encoder, {product.name: bundle} if bundle else {}).encoder, order.out)
    scenes = evenly(source.dataset.scenes, GOOD)
    good = _looked_at((maker.bank.photo(scene) for scene in scenes), seen, done)
    made = _looked_at((maker.picture(order.seed, k).photo for k in range(order.count)), seen, done)
    write_usual(product, np.concatenate([good, made]), seen)
    others = (make_world(np.random.default_rng([order.seed, k]), (208, 160)).pixels for k in range(SCENES))
    write_usual(order.out, _looked_at(others, seen, lambda _: None), seen)
    pages = Pages(product)
    for constraint in source.spec.constraints:
        pages.add(f"rules/{constraint.id}", {}, f"The rule: {constraint.text}.", why=constraint.why)
    for variant, scene in references(scenes, good).items():
        said = "A good one." if not variant else f"A good one of the variant {variant}."
        pages.add(f"references/{variant or 'good'}", {"variant": variant}, said, photo=maker.bank.photo(scene))
    rng = np.random.default_rng([order.seed, SCENES])
    without = tuple(name for name in source.spec.violations if not _defect(source.spec, maker, pages, name, rng))
    return Drafted(tuple(pages.written), tuple(pages.kept), without)


def settled(folder: Path, encoder: str, bundles: Mapping[str, str]) -> Settings:
    """The folder's settings after these have been added, where they are not there already."""
    before = read_settings(folder)
    changes = {"bundles": {**before.bundles, **bundles}, **({"encoder": encoder} if encoder else {})}
    after = before.model_copy(update=changes)
    if after != before or not (folder / FILE).exists():
        write_text(folder / FILE, yaml.safe_dump(after.model_dump(), sort_keys=False))
    return after


def evenly(items: Sequence[T], most: int) -> list[T]:
    """So many of the items at most, from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[int(k)] for k in np.linspace(0, len(items) - 1, most)]


class Pages:
    """Pages of one product that are added to a folder; one that is there is left as it is."""

    def __init__(self, product: Path) -> None:
        self.written: list[str] = []
        self.kept: list[str] = []
        self._product = product

    def add(self, name: str, front: Mapping[str, str], said: str, *, why: str = "", photo: Photo | None = None) -> None:
        """A page, with the photo beside it if there is one; `why` says what comes of it."""
        file = self._product / f"{name}.md"
        if file.exists():
            self.kept.append(name)
            return
        shown = {}
        if photo is not None:
            write_bytes(file.with_suffix(".jpg"), _jpeg(photo))
            shown = {"photo": f"{file.stem}.jpg"}
        text = page_text({"product": self._product.name, **front, **shown}, said, consequences=why)
        write_text(file, text)
        self.written.append(name)


def _looked_at(photos: Iterable[Photo], encoder: Encoder, done: Callable[[int], None]) -> Features:
    made = []
    for some in batched(photos, BATCH):
        made.append(encoder.embed(some))
        done(len(some))
    return np.concatenate(made)


def _defect(spec: Spec, maker: Maker, pages: Pages, name: str, rng: np.random.Generator) -> bool:
    """The page of a violation; False where no photo allowed to make it, which leaves the page without one."""
    rules = [c for c in spec.constraints if any(c.violation_name(side) == name for side in c.failure_modes)]
    said = "A defect: " + "; or ".join(f"this does not hold: {rule.text}" for rule in rules) + "."
    why = "; ".join(dict.fromkeys(rule.why for rule in rules if rule.why))
    photo = None
    for _ in range(TRIES):
        broken = maker.drafter.broken(maker.drafter.photo(rng.random()), name, rng)
        if broken is not None:
            photo = broken.canvas.photo
            break
    pages.add(f"defects/{name}", {"defect": name}, said, why=why, photo=photo)
    return photo is not None


def _jpeg(photo: Photo) -> bytes:
    picture = Image.fromarray(np.asarray(photo))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()
