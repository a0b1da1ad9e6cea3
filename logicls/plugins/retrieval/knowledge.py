"""Knowledge folder of one or more products: Markdown pages with front matter, photos, and settings. Needs no torch.

    knowledge.yaml                                encoder, document selection, paths of the products' bundles
    PRODUCT/**/*.md, photos                       pages
    PRODUCT/usual.safetensors, usual.safetensors  photo features of the encoder (`drafting`)

A page with a photo is a visual document, one without a photo is a note:

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

Reports show causes and consequences beside the violation. `documents_of` reads the retrieved pages of a verdict.
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
from logicls.records import Verdict

FENCE = "---"
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class FrontMatter(BaseModel):
    """Front matter of a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: Name
    """Name of the product in its spec."""
    variant: str = ""
    """Variant of the product that the page is about; empty: any."""
    defect: str = ""
    """Violation that the page is about; empty: a good product."""
    photo: str = ""
    """Photo or crop, relative to the page."""


@dataclass(frozen=True, slots=True)
class KnowledgePage:
    """One page of a knowledge folder."""

    name: str
    """Path below the folder, with "/", without suffix."""
    product: str
    variant: str
    defect: str
    photo: Path | None
    """None for a note."""
    description: str
    """Text before the first known heading."""
    causes: str = ""
    consequences: str = ""

    @property
    def is_reference(self) -> bool:
        """Whether it shows a good product."""
        return self.photo is not None and not self.defect

    @property
    def text(self) -> str:
        """Text of the page for a prompt, in one paragraph."""
        about = ", ".join(
            part.replace("_", " ") for part in (self.product, self.variant, self.defect or "good") if part
        )
        parts = [f"{about}:", self.description]
        parts += [f"Causes: {self.causes}"] if self.causes else []
        parts += [f"Consequences: {self.consequences}"] if self.consequences else []
        return " ".join(" ".join(parts).split())


def read_page(path: Path, root: Path) -> KnowledgePage:
    """Read the page in a file below the folder `root`.

    Raises:
        SpecError: Its front matter is not strict YAML or has an unknown key (LC001 to LC025).
        DataError: It has no front matter (LC702), or its photo is missing (LC703).
    """
    file, text = relative_path(path), read_text(path)
    front, body = _split_front_matter(text, file)
    facts = validate_tree(FrontMatter, read_yaml(path, front), file)
    photo = path.parent / facts.photo if facts.photo else None
    if photo is not None and not photo.is_file():
        line = next(n for n, one in enumerate(text.splitlines(), 1) if one.startswith("photo"))
        message = f'its photo "{facts.photo}" is missing.'
        raise DataError(Problem("LC703", message, file, line, 1, "Paths are relative to the page."))
    parts = _split_sections(_COMMENT.sub("", body))
    name = path.relative_to(root).with_suffix("").as_posix()
    return KnowledgePage(name, facts.product, facts.variant, facts.defect, photo, *parts)


def render_page(front: Mapping[str, str], description: str, *, causes: str = "", consequences: str = "") -> str:
    """Render a page as Markdown. A comment stands in for missing causes or consequences."""
    front_matter = "\n".join(f"{key}: {_quote(value)}" for key, value in front.items() if value)
    placeholder = "<!-- Not known yet: write it here. -->"
    sections = f"## Causes\n\n{causes or placeholder}\n\n## Consequences\n\n{consequences or placeholder}\n"
    return f"{FENCE}\n{front_matter}\n{FENCE}\n{description}\n\n{sections}"


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _split_front_matter(text: str, file: str) -> tuple[str, str]:
    """Split a file into front matter and body. The front matter keeps its line numbers for error messages."""
    lines = text.splitlines()
    fences = [n for n, line in enumerate(lines) if line.rstrip() == FENCE]
    if not fences or fences[0] != 0 or len(fences) < 2 or not any(line.strip() for line in lines[1 : fences[1]]):
        advice = "Start the file with a line ---, `product: NAME`, and a line ---."
        raise DataError(Problem("LC702", "has no front matter.", file, 1, 1, advice))
    return "\n" + "\n".join(lines[1 : fences[1]]) + "\n", "\n".join(lines[fences[1] + 1 :])


def _split_sections(body: str) -> tuple[str, str, str]:
    """Split a body into description, causes and consequences; unknown headings stay within their section."""
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
    """Content of knowledge.yaml; all keys but the first are optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    logicls: Literal[1]
    """Version of the format."""
    encoder: str = "base"
    """Image encoder: `base` (the base weights that ship), a nano bundle, or a dual encoder."""
    draw: Literal["q2k", "nearest"] = "nearest"
    """Selection of documents: nearest neighbours, or Q2K sampling, which measured no better and takes longer."""
    budget: int = Field(default=4, ge=1, le=64)
    """Number of documents for a photo."""
    bundles: dict[str, str] = {}
    """Product → its bundle, a path relative to the folder."""


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """A knowledge folder, loaded."""

    path: Path
    settings: KnowledgeConfig
    pages: tuple[KnowledgePage, ...]
    """Sorted by name."""

    @property
    def products(self) -> tuple[str, ...]:
        """Products that have a page."""
        return tuple(sorted({page.product for page in self.pages}))

    @property
    def documents(self) -> tuple[KnowledgePage, ...]:
        """Pages with a photo."""
        return tuple(page for page in self.pages if page.photo is not None)

    @property
    def feature_files(self) -> tuple[Path, ...]:
        """Existing files of photo features."""
        files = (self.path / FEATURES_FILE, *(self.path / product / FEATURES_FILE for product in self.products))
        return tuple(file for file in files if file.is_file())

    def bundle_path(self, product: str) -> Path | None:
        """Return the path of a product's bundle; None if it is not set."""
        path = self.settings.bundles.get(product, "")
        return (self.path / path) if path else None


def read_knowledge(path: Path) -> KnowledgeBase:
    """Read a knowledge folder, and report all problems at once.

    Raises:
        SpecError: knowledge.yaml or a page's front matter is invalid (LC001 to LC025).
        DataError: There are no pages (LC701), or a page lacks its front matter (LC702) or its photo (LC703).
    """
    settings = read_config(path)
    files = sorted(p for p in path.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    if not files:
        advice = "Draft them with `logicls knowledge build SPEC --data DATASET --out FOLDER`."
        raise DataError(Problem("LC701", "the folder has no pages of knowledge.", relative_path(path), advice=advice))
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
    """Return twelve hex digits of the SHA-256 over pages, photos, features and settings.

    Bundle paths are left out. Raises `PhotoError` if a file cannot be read.
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
    """Read the settings of a folder; defaults if it has none."""
    file = path / KNOWLEDGE_FILE
    return (
        validate_tree(KnowledgeConfig, read_yaml(file), relative_path(file))
        if file.exists()
        else KnowledgeConfig(logicls=1)
    )


def read_causes(folder: Path, product: str) -> Mapping[str, tuple[ViolationCause, ...]]:
    """Return violation → causes and consequences from the product's pages, those about any variant first.

    Raises the errors of `read_knowledge`.
    """
    causes: dict[str, list[ViolationCause]] = {}
    for page in sorted(read_knowledge(folder).pages, key=lambda page: page.variant):
        if page.product == product and page.defect and (page.causes or page.consequences):
            cause = ViolationCause(page.name, page.variant, page.causes, page.consequences)
            causes.setdefault(page.defect, []).append(cause)
    return {name: tuple(entries) for name, entries in causes.items()}


def documents_of(verdict: Verdict) -> tuple[str, ...]:
    """Return the names of the pages that the retriever found for a verdict's photo, the most relevant first."""
    result = verdict.plugin_result("retriever")
    documents = dict(result.payload).get("documents") if result else ()
    return tuple(map(str, documents)) if isinstance(documents, tuple) else ()
