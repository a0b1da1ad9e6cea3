"""Photos of many products: each goes to its product's bundle, or to a person."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from logicls.errors import DataError, Problem, relative
from logicls.io.atomic import open_atomic
from logicls.plugins.retrieval.knowledge import FILE as SETTINGS
from logicls.plugins.retrieval.knowledge import Knowledge
from logicls.plugins.retrieval.product_matcher import Documents
from logicls.predict.folder.runner import batched
from logicls.predict.input.listing import list_photos, no_photos_error, escape_name
from logicls.predict.input.loader import LoadedPhoto, make_loader

REVIEW = "review"
"""Where photos of no known product go."""
FILE = "routes.csv"
COLUMNS = ("photo", "product", "variant", "likeness", "nearest", "reason")


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a photo goes."""

    photo: str
    product: str
    """Empty where a person has to say."""
    variant: str = ""
    likeness: float = 0.0
    nearest: str = ""
    """The product whose document is the most alike, known or not."""
    reason: str = ""
    """Why it goes to review."""


def route(retriever: Documents, photos: Path, *, batch: int = 16, without: Path | None = None) -> Iterator[Routed]:
    """Where each photo below the folder goes, in the order of their names; `without` is a folder that is left out.

    Raises:
        DataError: There are no photos (LC311, LC312), or a folder cannot be listed (LC604).
    """
    names = list_photos(photos, exclude=without)
    first = next(names, None)
    if first is None:
        raise no_photos_error(photos)
    with make_loader(photos, None, 0) as opened:
        for some in batched(opened.stream(chain([first], names)), batch):
            yield from _routed(retriever, some)


def write_routes(routed: Iterable[Routed], out: Path) -> dict[str, tuple[str, ...]]:
    """Write routes.csv; returns the photos that go to each product, and to review."""
    names: dict[str, list[str]] = {}
    with open_atomic(out / FILE) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for one in routed:
            names.setdefault(one.product or REVIEW, []).append(one.photo)
            likeness = f"{one.likeness:.3f}"
            rows.writerow(
                (escape_name(one.photo), one.product or REVIEW, one.variant, likeness, one.nearest, one.reason)
            )
    return {name: tuple(some) for name, some in sorted(names.items())}


def bundles_of(knowledge: Knowledge) -> dict[str, Path]:
    """Each product's bundle, checked before hours of work. Raises `DataError` for those that have none (LC709)."""
    found, problems = {}, []
    for product in knowledge.products:
        path = knowledge.bundle_of(product)
        if path is not None and (path / "bundle.json").is_file():
            found[product] = path
            continue
        message = f'no bundle of "{product}" is known.' if path is None else f'the bundle of "{product}" is not there.'
        where = relative(knowledge.path / SETTINGS if path is None else path)
        problems.append(
            Problem("LC709", message, where, advice="Say where it is: `logicls knowledge build … --bundle`.")
        )
    if problems:
        raise DataError(problems)
    return found


def _routed(retriever: Documents, photos: Sequence[LoadedPhoto]) -> Iterator[Routed]:
    recalls = iter(retriever.recall([photo.pixels for photo in photos if photo.pixels is not None]))
    for photo in photos:
        if photo.pixels is None:
            yield Routed(photo.name, "", reason=photo.error)
        else:
            found = next(recalls)
            yield Routed(photo.name, found.product, found.variant, found.likeness, found.nearest, found.doubt)
