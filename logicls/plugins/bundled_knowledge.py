"""Knowledge stored inside a bundle: drafted for its product or copied from a folder, and on by default from then on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError, Problem, relative_path, suggest_name
from logicls.io.atomic import write_text
from logicls.plugins.anomaly.fit import find_good_photos
from logicls.plugins.reasoning.second_look import reject_foreign_model
from logicls.plugins.retrieval.drafting import draft_knowledge
from logicls.plugins.retrieval.knowledge import KNOWLEDGE_FILE, KnowledgeBase, read_knowledge
from logicls.plugins.selection import set_default_plugins
from logicls.plugins.settings import KnowledgeSettings, ReasonerSettings
from logicls.synth.pipeline import SynthesisRequest
from logicls.train.recipe import NANO

KNOWLEDGE_FOLDER = "knowledge"
"""Folder name inside a bundle."""


def check_reasoner(settings: ReasonerSettings, model: str) -> None:
    """Raise `DataError` (LC740) if a hub model is to be trained with a reasoner."""
    if model != NANO:
        reject_foreign_model(settings.name, model)


def check_knowledge(settings: KnowledgeSettings, dataset: Path) -> None:
    """Raise the errors of `bundle_knowledge` that can be found before training."""
    if settings.folder:
        _read_product_knowledge(Path(settings.folder), dataset)
    else:
        find_good_photos(dataset)


def bundle_knowledge(
    dataset: Path, bundle: Path, settings: KnowledgeSettings, *, on_progress: Callable[[int], None] = lambda count: None
) -> int:
    """Draft or copy knowledge into a bundle, make it the default, and return the number of pages.

    Raises:
        SpecError: knowledge.yaml or a page cannot be read (LC001 to LC025).
        DataError: There are no pages or one is invalid (LC701 to LC703), none is about the product (LC708), a photo is
            outside the folder (LC713), or the good photos of the dataset are missing (LC406).
    """
    target = bundle / KNOWLEDGE_FOLDER
    if settings.folder:
        _copy_knowledge(_read_product_knowledge(Path(settings.folder), dataset), target)
    else:
        draft_knowledge(
            SynthesisRequest(dataset / "spec.yaml", find_good_photos(dataset), target, settings.count, settings.seed),
            on_progress=on_progress,
        )
    set_default_plugins(bundle, knowledge=KNOWLEDGE_FOLDER)
    return len(read_knowledge(target).pages)


def _read_product_knowledge(folder: Path, dataset: Path) -> KnowledgeBase:
    """Read a knowledge folder of a product that can be copied. Raises `DataError` (LC708, LC713)."""
    knowledge, product = read_knowledge(folder), load_spec(dataset / "spec.yaml").product.name
    if product not in knowledge.products:
        message = f'no page is about "{product}", the product of the bundle.'
        advice = suggest_name(product, knowledge.products)
        raise DataError(Problem("LC708", message, relative_path(folder), advice=advice))
    root = folder.resolve()
    problems = [
        Problem("LC713", f"its photo is outside {relative_path(folder)} and would not be copied.",
                relative_path(folder / f"{page.name}.md"), advice="Move the photo beside the page.")
        for page in knowledge.documents if page.photo and not page.photo.resolve().is_relative_to(root)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    return knowledge


def _copy_knowledge(knowledge: KnowledgeBase, target: Path) -> None:
    """Copy pages, photos and features, replacing what was there; a path to an encoder folder is adapted."""
    root = knowledge.path.resolve()
    if root == target.resolve():
        return
    shutil.rmtree(target, ignore_errors=True)
    photos = {page.photo.resolve() for page in knowledge.documents if page.photo is not None}
    pages = {root / f"{page.name}.md" for page in knowledge.pages}
    for file in sorted({*photos, *pages, *(file.resolve() for file in knowledge.feature_files)}):
        destination = target / file.relative_to(root)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, destination)
    settings = knowledge.settings
    if (root / settings.encoder).is_dir():
        encoder_path = Path(os.path.relpath(root / settings.encoder, target.resolve())).as_posix()
        settings = settings.model_copy(update={"encoder": encoder_path})
    content = settings.model_copy(update={"bundles": {}}).model_dump()
    write_text(target / KNOWLEDGE_FILE, yaml.safe_dump(content, sort_keys=False))
