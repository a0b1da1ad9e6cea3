"""A folder of knowledge: pages of one product or several, and the settings that hold for all of them.

knowledge.yaml           encoder, how documents are drawn, where the products' bundles are
PRODUCT/**/*.md, photos  pages
PRODUCT/usual.safetensors, usual.safetensors  what photos look like to the encoder (`usual`)

Needs no torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.load import validate
from logicls.constraints.yaml_tree import read_yaml
from logicls.data.picture import sha256
from logicls.errors import DataError, LogiClsError, Problem, relative
from logicls.extras.retriever.page import Page, read_page

FILE = "knowledge.yaml"
USUAL = "usual.safetensors"


class Settings(BaseModel):
    """knowledge.yaml; every key but the first may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    logicls: Literal[1]
    """Version of the format."""
    encoder: str = "base"
    """What photos are compared by: `base` (the base weights that ship), a nano bundle, or a dual encoder."""
    draw: Literal["q2k", "nearest"] = "nearest"
    """How documents are chosen: simply the most alike, or by Q2K's draw, which was not better and takes time."""
    budget: int = Field(default=4, ge=1, le=64)
    """Documents that are drawn for a photo."""
    bundles: dict[str, str] = {}
    """Product → its bundle, a path relative to the folder."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """A folder in memory."""

    path: Path
    settings: Settings
    pages: tuple[Page, ...]
    """In the order of their names."""

    @property
    def products(self) -> tuple[str, ...]:
        """Those that there is a page of."""
        return tuple(sorted({page.product for page in self.pages}))

    @property
    def documents(self) -> tuple[Page, ...]:
        """Pages with a photo."""
        return tuple(page for page in self.pages if page.photo is not None)

    @property
    def features(self) -> tuple[Path, ...]:
        """The files that say what photos look like, those that are there."""
        files = (self.path / USUAL, *(self.path / product / USUAL for product in self.products))
        return tuple(file for file in files if file.is_file())

    def bundle_of(self, product: str) -> Path | None:
        """Where a product's bundle is; None where nobody said."""
        where = self.settings.bundles.get(product, "")
        return (self.path / where) if where else None


def read_knowledge(path: Path) -> Knowledge:
    """Read a folder, telling of all that is wrong in it at once.

    Raises:
        SpecError: knowledge.yaml or the front matter of a page cannot be read (LC001 to LC025).
        DataError: There are no pages (LC701), or one has no front matter (LC702) or no photo where it says (LC703).
    """
    settings = read_settings(path)
    found = sorted(p for p in path.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    if not found:
        advice = "Draft some with `logicls knowledge build SPEC --data DATASET --out FOLDER`."
        raise DataError(Problem("LC701", "there are no pages of knowledge here.", relative(path), advice=advice))
    pages: list[Page] = []
    problems: list[Problem] = []
    for file in found:
        try:
            pages.append(read_page(file, path))
        except LogiClsError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(problems)
    return Knowledge(path, settings, tuple(pages))


def knowledge_hash(knowledge: Knowledge) -> str:
    """Twelve hex digits of the SHA-256 of all that is recalled from: pages, their photos, features, settings.

    Where bundles lie does not count. Raises `PhotoError` where a file cannot be read.
    """
    settings = knowledge.settings.model_dump_json(exclude={"bundles"})
    shown = [page.photo for page in knowledge.documents if page.photo is not None]
    parts = [
        settings,
        *(sha256(file) for file in (*knowledge.features, *shown)),
        *(f"{page.name} {page.text}" for page in knowledge.pages),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def read_settings(path: Path) -> Settings:
    """Those of a folder; the usual ones where it has none."""
    file = path / FILE
    return validate(Settings, read_yaml(file), relative(file)) if file.exists() else Settings(logicls=1)
