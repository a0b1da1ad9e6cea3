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
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from logicls.constraints.load import validate
from logicls.constraints.spec import Name
from logicls.constraints.yaml_tree import read_text, read_yaml
from logicls.errors import DataError, Problem, relative

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
    facts = validate(Front, read_yaml(path, front), file)
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
