"""What a bundle carries so that it is plugged in wherever the bundle is: knowledge drafted or copied into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError, Problem, suggest_name, relative_path
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
"""Of a bundle."""


def check_reasoner(settings: ReasonerSettings, model: str) -> None:
    """Raises `DataError` (LC740) where a model of the hub is to be trained."""
    if model != NANO:
        reject_foreign_model(settings.name, model)


def check_knowledge(settings: KnowledgeSettings, dataset: Path) -> None:
    """Raises as `carry_knowledge` does, where that can be told before the model is trained."""
    if settings.folder:
        _read_product_knowledge(Path(settings.folder), dataset)
    else:
        find_good_photos(dataset)


def bundle_knowledge(
    dataset: Path, bundle: Path, settings: KnowledgeSettings, *, on_progress: Callable[[int], None] = lambda count: None
) -> int:
    """Draft or copy knowledge into a bundle, and have it plugged in from now on; returns how many pages there are.

    Raises:
        SpecError: knowledge.yaml or a page cannot be read (LC001 to LC025).
        DataError: There are no pages, or one is broken (LC701 to LC703), none is of the product (LC708), a page shows a
            photo that lies elsewhere (LC713), or the photos that the set was made of are gone (LC406).
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
    """What is known, if that is of the product too, and can travel."""
    knowledge, product = read_knowledge(folder), load_spec(dataset / "spec.yaml").product.name
    if product not in knowledge.products:
        message = f'nothing is known of "{product}", the bundle\'s product.'
        advice = suggest_name(product, knowledge.products)
        raise DataError(Problem("LC708", message, relative_path(folder), advice=advice))
    root = folder.resolve()
    problems = [
        Problem("LC713", f"its photo lies outside of {relative_path(folder)}, and would be left behind.",
                relative_path(folder / f"{page.name}.md"), advice="Put the photo beside the page.")
        for page in knowledge.documents if page.photo and not page.photo.resolve().is_relative_to(root)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    return knowledge


def _copy_knowledge(knowledge: KnowledgeBase, target: Path) -> None:
    """Pages, their photos and features, in the place of what was there; an encoder that is a folder is named anew."""
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
