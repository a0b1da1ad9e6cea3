"""What a bundle carries so that it is plugged in wherever the bundle is: knowledge drafted or copied into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError, Problem, did_you_mean, relative
from logicls.io.atomic import write_text
from logicls.plugins.anomaly.fit import photos_of
from logicls.plugins.reasoning.second_look import refuse_foreign
from logicls.plugins.retrieval.drafting import draft
from logicls.plugins.retrieval.knowledge import FILE, Knowledge, read_knowledge
from logicls.plugins.selection import stand
from logicls.plugins.settings import KnowledgeSettings, ReasonerSettings
from logicls.synth.pipeline import Order
from logicls.train.recipe import NANO

FOLDER = "knowledge"
"""Of a bundle."""


def check_reasoner(settings: ReasonerSettings, model: str) -> None:
    """Raises `DataError` (LC740) where a model of the hub is to be trained."""
    if model != NANO:
        refuse_foreign(settings.name, model)


def check_knowledge(settings: KnowledgeSettings, synth: Path) -> None:
    """Raises as `carry_knowledge` does, where that can be told before the model is trained."""
    if settings.folder:
        _of_product(Path(settings.folder), synth)
    else:
        photos_of(synth)


def carry_knowledge(
    synth: Path, bundle: Path, settings: KnowledgeSettings, *, done: Callable[[int], None] = lambda count: None
) -> int:
    """Draft or copy knowledge into a bundle, and have it plugged in from now on; returns how many pages there are.

    Raises:
        SpecError: knowledge.yaml or a page cannot be read (LC001 to LC025).
        DataError: There are no pages, or one is broken (LC701 to LC703), none is of the product (LC708), a page shows a
            photo that lies elsewhere (LC713), or the photos that the set was made of are gone (LC406).
    """
    there = bundle / FOLDER
    if settings.folder:
        _copied(_of_product(Path(settings.folder), synth), there)
    else:
        draft(Order(synth / "spec.yaml", photos_of(synth), there, settings.count, settings.seed), done=done)
    stand(bundle, knowledge=FOLDER)
    return len(read_knowledge(there).pages)


def _of_product(folder: Path, synth: Path) -> Knowledge:
    """What is known, if that is of the product too, and can travel."""
    knowledge, product = read_knowledge(folder), load_spec(synth / "spec.yaml").product.name
    if product not in knowledge.products:
        message = f'nothing is known of "{product}", the bundle\'s product.'
        advice = did_you_mean(product, knowledge.products)
        raise DataError(Problem("LC708", message, relative(folder), advice=advice))
    inside = folder.resolve()
    problems = [
        Problem("LC713", f"its photo lies outside of {relative(folder)}, and would be left behind.",
                relative(folder / f"{page.name}.md"), advice="Put the photo beside the page.")
        for page in knowledge.documents if page.photo and not page.photo.resolve().is_relative_to(inside)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)
    return knowledge


def _copied(knowledge: Knowledge, there: Path) -> None:
    """Pages, their photos and features, in the place of what was there; an encoder that is a folder is named anew."""
    root = knowledge.path.resolve()
    if root == there.resolve():
        return
    shutil.rmtree(there, ignore_errors=True)
    shown = {page.photo.resolve() for page in knowledge.documents if page.photo is not None}
    pages = {root / f"{page.name}.md" for page in knowledge.pages}
    for file in sorted({*shown, *pages, *(file.resolve() for file in knowledge.features)}):
        to = there / file.relative_to(root)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
    settings = knowledge.settings
    if (root / settings.encoder).is_dir():
        moved = Path(os.path.relpath(root / settings.encoder, there.resolve())).as_posix()
        settings = settings.model_copy(update={"encoder": moved})
    told = settings.model_copy(update={"bundles": {}}).model_dump()
    write_text(there / FILE, yaml.safe_dump(told, sort_keys=False))
