"""A page of knowledge: Markdown with front matter; with a photo it is a visual document, without one a note.

---
product: dosing_kit
defect: wrong_mark
photo: wrong_mark.jpg
---
The mark on the label is not that of the liquid.

## Causes
…

## Consequences
…

Needs no torch.

A folder of knowledge: pages of one product or several, and the settings that hold for all of them.

knowledge.yaml           encoder, how documents are drawn, where the products' bundles are
PRODUCT/**/*.md, photos  pages
PRODUCT/usual.safetensors, usual.safetensors  what photos look like to the encoder (`usual`)

Needs no torch.

What reports say beside a violation: what brings it about, and what comes of it. Needs no torch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.models import Name
from logicls.constraints.spec.yaml_reader import read_text, read_yaml
from logicls.data.image_io import sha256
from logicls.errors import DataError, LogiClsError, Problem, relative
from logicls.predict.plugin_protocols import Cause

MARK = "---"
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class Front(BaseModel):
    """What stands above a page's text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: Name
    """The spec's name of it."""
    variant: str = ""
    """Which variant of the product it is about; any if left out."""
    defect: str = ""
    """The violation that it is about; a good product if left out."""
    photo: str = ""
    """A photo or crop, relative to the page."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of one thing."""

    name: str
    """Its path below the folder, with "/", without its suffix."""
    product: str
    variant: str
    defect: str
    photo: Path | None
    """None for a note."""
    said: str
    """What it looks like; the text before the first heading that is known."""
    causes: str = ""
    consequences: str = ""

    @property
    def is_reference(self) -> bool:
        """Whether it shows a good product."""
        return self.photo is not None and not self.defect

    @property
    def text(self) -> str:
        """All of it as a prompt says it, in one paragraph."""
        about = ", ".join(
            part.replace("_", " ") for part in (self.product, self.variant, self.defect or "good") if part
        )
        parts = [f"{about}:", self.said]
        parts += [f"Causes: {self.causes}"] if self.causes else []
        parts += [f"Consequences: {self.consequences}"] if self.consequences else []
        return " ".join(" ".join(parts).split())


def read_page(path: Path, root: Path) -> Page:
    """The page in a file below the folder `root`.

    Raises:
        SpecError: Its front matter is not strict YAML or has a key that there is not (LC001 to LC025).
        DataError: It has no front matter (LC702), or its photo is not there (LC703).
    """
    file, text = relative(path), read_text(path)
    front, body = _parted(text, file)
    facts = validate_tree(Front, read_yaml(path, front), file)
    photo = path.parent / facts.photo if facts.photo else None
    if photo is not None and not photo.is_file():
        line = next(n for n, one in enumerate(text.splitlines(), 1) if one.startswith("photo"))
        message = f'its photo "{facts.photo}" is not there.'
        raise DataError(Problem("LC703", message, file, line, 1, "Paths are relative to the page."))
    parts = _sections(_COMMENT.sub("", body))
    name = path.relative_to(root).with_suffix("").as_posix()
    return Page(name, facts.product, facts.variant, facts.defect, photo, *parts)


def page_text(front: Mapping[str, str], said: str, *, causes: str = "", consequences: str = "") -> str:
    """A page's file. Where there is nothing to say of causes or consequences, a comment asks for it."""
    head = "\n".join(f"{key}: {_quoted(value)}" for key, value in front.items() if value)
    missing = "<!-- Not known yet: write it here. -->"
    sections = f"## Causes\n\n{causes or missing}\n\n## Consequences\n\n{consequences or missing}\n"
    return f"{MARK}\n{head}\n{MARK}\n{said}\n\n{sections}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _parted(text: str, file: str) -> tuple[str, str]:
    """The front matter, with as many lines before it as in the file, and what comes after it."""
    lines = text.splitlines()
    ends = [n for n, line in enumerate(lines) if line.rstrip() == MARK]
    if not ends or ends[0] != 0 or len(ends) < 2 or not any(line.strip() for line in lines[1 : ends[1]]):
        advice = "Begin it with a line ---, `product: NAME`, and a line ---."
        raise DataError(Problem("LC702", "has no front matter.", file, 1, 1, advice))
    return "\n" + "\n".join(lines[1 : ends[1]]) + "\n", "\n".join(lines[ends[1] + 1 :])


def _sections(body: str) -> tuple[str, str, str]:
    """What is said, the causes, the consequences; other headings belong to the part that they stand in."""
    parts: dict[str, list[str]] = {"": [], "causes": [], "consequences": []}
    into = ""
    for line in body.splitlines():
        heading = _HEADING.match(line)
        known = heading.group(1).strip().lower() if heading else ""
        if known in parts and known:
            into = known
        else:
            parts[into].append(line)
    said, causes, consequences = ("\n".join(lines).strip() for lines in parts.values())
    return said, causes, consequences


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
    return validate_tree(Settings, read_yaml(file), relative(file)) if file.exists() else Settings(logicls=1)


def causes_of(folder: Path, product: str) -> Mapping[str, tuple[Cause, ...]]:
    """Violation → what the product's pages say of it, those about any variant first. Raises as `read_knowledge`."""
    found: dict[str, list[Cause]] = {}
    for page in sorted(read_knowledge(folder).pages, key=lambda page: page.variant):
        if page.product == product and page.defect and (page.causes or page.consequences):
            cause = Cause(page.name, page.variant, page.causes, page.consequences)
            found.setdefault(page.defect, []).append(cause)
    return {name: tuple(some) for name, some in found.items()}
