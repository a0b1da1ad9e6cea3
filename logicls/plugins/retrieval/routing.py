"""Routing of photos of many products: each to its product's bundle, or to review."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import open_atomic
from logicls.plugins.retrieval.knowledge import KNOWLEDGE_FILE as SETTINGS
from logicls.plugins.retrieval.knowledge import KnowledgeBase
from logicls.plugins.retrieval.product_matcher import DocumentRetriever
from logicls.predict.folder.runner import iterate_batches
from logicls.predict.input.listing import escape_name, list_photos, no_photos_error
from logicls.predict.input.loader import LoadedPhoto, make_loader

REVIEW = "review"
"""Destination of photos of no known product."""
ROUTES_FILE = "routes.csv"
COLUMNS = ("photo", "product", "variant", "likeness", "nearest", "reason")


@dataclass(frozen=True, slots=True)
class Route:
    """Destination of one photo."""

    photo: str
    product: str
    """Empty if a person has to decide."""
    variant: str = ""
    likeness: float = 0.0
    nearest: str = ""
    """Product with the most similar photo, whether it matches or not."""
    reason: str = ""
    """Reason for review."""


def route_photos(
    retriever: DocumentRetriever, photos: Path, *, batch: int = 16, exclude: Path | None = None
) -> Iterator[Route]:
    """Route each photo below a folder, sorted by name; the folder `exclude` is skipped.

    Raises:
        DataError: There are no photos (LC311, LC312), or a folder cannot be listed (LC604).
    """
    names = list_photos(photos, exclude=exclude)
    first = next(names, None)
    if first is None:
        raise no_photos_error(photos)
    with make_loader(photos, None, 0) as photo_loader:
        for batch_photos in iterate_batches(photo_loader.stream(chain([first], names)), batch):
            yield from _route_batch(retriever, batch_photos)


def write_routes(routes: Iterable[Route], out: Path) -> dict[str, tuple[str, ...]]:
    """Write routes.csv, and return the photos of each product and of review."""
    names: dict[str, list[str]] = {}
    with open_atomic(out / ROUTES_FILE) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for route in routes:
            names.setdefault(route.product or REVIEW, []).append(route.photo)
            likeness = f"{route.likeness:.3f}"
            rows.writerow(
                (
                    escape_name(route.photo),
                    route.product or REVIEW,
                    route.variant,
                    likeness,
                    route.nearest,
                    route.reason,
                )
            )
    return {name: tuple(photos) for name, photos in sorted(names.items())}


def find_bundles(knowledge: KnowledgeBase) -> dict[str, Path]:
    """Return each product's bundle. Raises `DataError` (LC709) if any is missing, before hours of prediction."""
    bundles, problems = {}, []
    for product in knowledge.products:
        path = knowledge.bundle_path(product)
        if path is not None and (path / "bundle.json").is_file():
            bundles[product] = path
            continue
        message = f'no bundle is set for "{product}".' if path is None else f'the bundle of "{product}" is missing.'
        location = relative_path(knowledge.path / SETTINGS if path is None else path)
        problems.append(Problem("LC709", message, location, advice="Set it with `logicls knowledge build … --bundle`."))
    if problems:
        raise DataError(problems)
    return bundles


def _route_batch(retriever: DocumentRetriever, photos: Sequence[LoadedPhoto]) -> Iterator[Route]:
    recalls = iter(retriever.match_products([photo.pixels for photo in photos if photo.pixels is not None]))
    for photo in photos:
        if photo.pixels is None:
            yield Route(photo.name, "", reason=photo.error)
        else:
            recall = next(recalls)
            yield Route(
                photo.name,
                recall.product,
                recall.variant,
                recall.similarity,
                recall.nearest_product,
                recall.review_reason,
            )
