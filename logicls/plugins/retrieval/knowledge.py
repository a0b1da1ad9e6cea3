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
from logicls.data.image_io import file_sha256
from logicls.errors import DataError, LogiClsError, Problem, relative_path
from logicls.predict.plugin_protocols import ViolationCause

FENCE = "---"
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class FrontMatter(BaseModel):
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
class KnowledgePage:
    """What is known of one thing."""

    name: str
    """Its path below the folder, with "/", without its suffix."""
    product: str
    variant: str
    defect: str
    photo: Path | None
    """None for a note."""
    description: str
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
        parts = [f"{about}:", self.description]
        parts += [f"Causes: {self.causes}"] if self.causes else []
        parts += [f"Consequences: {self.consequences}"] if self.consequences else []
        return " ".join(" ".join(parts).split())


def read_page(path: Path, root: Path) -> KnowledgePage:
    """The page in a file below the folder `root`.

    Raises:
        SpecError: Its front matter is not strict YAML or has a key that there is not (LC001 to LC025).
        DataError: It has no front matter (LC702), or its photo is not there (LC703).
    """
    file, text = relative_path(path), read_text(path)
    front, body = _split_front_matter(text, file)
    facts = validate_tree(FrontMatter, read_yaml(path, front), file)
    photo = path.parent / facts.photo if facts.photo else None
    if photo is not None and not photo.is_file():
        line = next(n for n, one in enumerate(text.splitlines(), 1) if one.startswith("photo"))
        message = f'its photo "{facts.photo}" is not there.'
        raise DataError(Problem("LC703", message, file, line, 1, "Paths are relative to the page."))
    parts = _split_sections(_COMMENT.sub("", body))
    name = path.relative_to(root).with_suffix("").as_posix()
    return KnowledgePage(name, facts.product, facts.variant, facts.defect, photo, *parts)


def render_page(front: Mapping[str, str], description: str, *, causes: str = "", consequences: str = "") -> str:
    """A page's file. Where there is nothing to say of causes or consequences, a comment asks for it."""
    front_matter = "\n".join(f"{key}: {_quote(value)}" for key, value in front.items() if value)
    placeholder = "<!-- Not known yet: write it here. -->"
    sections = f"## Causes\n\n{causes or placeholder}\n\n## Consequences\n\n{consequences or placeholder}\n"
    return f"{FENCE}\n{front_matter}\n{FENCE}\n{description}\n\n{sections}"


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _split_front_matter(text: str, file: str) -> tuple[str, str]:
    """The front matter, with as many lines before it as in the file, and what comes after it."""
    lines = text.splitlines()
    fences = [n for n, line in enumerate(lines) if line.rstrip() == FENCE]
    if not fences or fences[0] != 0 or len(fences) < 2 or not any(line.strip() for line in lines[1 : fences[1]]):
        advice = "Begin it with a line ---, `product: NAME`, and a line ---."
        raise DataError(Problem("LC702", "has no front matter.", file, 1, 1, advice))
    return "\n" + "\n".join(lines[1 : fences[1]]) + "\n", "\n".join(lines[fences[1] + 1 :])


def _split_sections(body: str) -> tuple[str, str, str]:
    """What is said, the causes, the consequences; other headings belong to the part that they stand in."""
    parts: dict[str, list[str]] = {"": [], "causes": [], "consequences": []}
    section = ""
    for line in body.splitlines():
        heading = _HEADING.match(line)
        title = heading.group(1).strip().lower() if heading else ""
        if title in parts and title:
            section = title
        else:
            parts[section].append(line)
    description, causes, consequences = ("\n".join(lines).strip() for lines in parts.values())
    return description, causes, consequences


KNOWLEDGE_FILE = "knowledge.yaml"
FEATURES_FILE = "usual.safetensors"


class KnowledgeConfig(BaseModel):
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
class KnowledgeBase:
    """A folder in memory."""

    path: Path
    settings: KnowledgeConfig
    pages: tuple[KnowledgePage, ...]
    """In the order of their names."""

    @property
    def products(self) -> tuple[str, ...]:
        """Those that there is a page of."""
        return tuple(sorted({page.product for page in self.pages}))

    @property
    def documents(self) -> tuple[KnowledgePage, ...]:
        """Pages with a photo."""
        return tuple(page for page in self.pages if page.photo is not None)

    @property
    def feature_files(self) -> tuple[Path, ...]:
        """The files that say what photos look like, those that are there."""
        files = (self.path / FEATURES_FILE, *(self.path / product / FEATURES_FILE for product in self.products))
        return tuple(file for file in files if file.is_file())

    def bundle_path(self, product: str) -> Path | None:
        """Where a product's bundle is; None where nobody said."""
        path = self.settings.bundles.get(product, "")
        return (self.path / path) if path else None


def read_knowledge(path: Path) -> KnowledgeBase:
    """Read a folder, telling of all that is wrong in it at once.

    Raises:
        SpecError: knowledge.yaml or the front matter of a page cannot be read (LC001 to LC025).
        DataError: There are no pages (LC701), or one has no front matter (LC702) or no photo where it says (LC703).
    """
    settings = read_config(path)
    files = sorted(p for p in path.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    if not files:
        advice = "Draft some with `logicls knowledge build SPEC --data DATASET --out FOLDER`."
        raise DataError(Problem("LC701", "there are no pages of knowledge here.", relative_path(path), advice=advice))
    pages: list[KnowledgePage] = []
    problems: list[Problem] = []
    for file in files:
        try:
            pages.append(read_page(file, path))
        except LogiClsError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(problems)
    return KnowledgeBase(path, settings, tuple(pages))


def hash_knowledge(knowledge: KnowledgeBase) -> str:
    """Twelve hex digits of the SHA-256 of all that is recalled from: pages, their photos, features, settings.

    Where bundles lie does not count. Raises `PhotoError` where a file cannot be read.
    """
    settings = knowledge.settings.model_dump_json(exclude={"bundles"})
    photos = [page.photo for page in knowledge.documents if page.photo is not None]
    parts = [
        settings,
        *(file_sha256(file) for file in (*knowledge.feature_files, *photos)),
        *(f"{page.name} {page.text}" for page in knowledge.pages),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def read_config(path: Path) -> KnowledgeConfig:
    """Those of a folder; the usual ones where it has none."""
    file = path / KNOWLEDGE_FILE
    return (
        validate_tree(KnowledgeConfig, read_yaml(file), relative_path(file))
        if file.exists()
        else KnowledgeConfig(logicls=1)
    )


def read_causes(folder: Path, product: str) -> Mapping[str, tuple[ViolationCause, ...]]:
    """Violation → what the product's pages say of it, those about any variant first. Raises as `read_knowledge`."""
    causes: dict[str, list[ViolationCause]] = {}
    for page in sorted(read_knowledge(folder).pages, key=lambda page: page.variant):
        if page.product == product and page.defect and (page.causes or page.consequences):
            cause = ViolationCause(page.name, page.variant, page.causes, page.consequences)
            causes.setdefault(page.defect, []).append(cause)
    return {name: tuple(entries) for name, entries in causes.items()}
