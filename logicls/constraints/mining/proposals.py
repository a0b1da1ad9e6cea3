"""Results of rule mining: proposed rules, open questions, and the regions that the rules need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
MAX_NAME_LENGTH = 60
"""Maximum length of a name, characters."""
MAX_PHOTOS_NAMED = 3
"""Number of photos that a question names."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Constraint that holds on every photo to which it applies."""

    id: str
    family: str
    body: Mapping[str, object]
    """Keys and values of the family, as written in YAML."""
    violation: str | Mapping[str, str]
    support: str
    """Number of photos on which it holds, and to which it applies: `335/335`."""
    each: str = ""
    """Scope in each of which it is checked separately; empty for the whole photo."""
    note: str = ""
    """Coverage of its limits, or an explanation."""
    unless_broken: tuple[str, ...] = ()

    @property
    def content(self) -> dict[str, object]:
        """Constraint as written in YAML."""
        more: dict[str, object] = {"each": self.each} if self.each else {}
        more |= {"unless_broken": list(self.unless_broken)} if self.unless_broken else {}
        return {"id": self.id, self.family: self.body, "violation": self.violation, **more}

    @property
    def constant_component(self) -> str:
        """Component whose number on a photo the rule fixes; empty for other rules."""
        of = self.body.get("of")
        is_plain = "exactly" in self.body and not {"in", "with"} & set(self.body) and not self.each
        return of if isinstance(of, str) and is_plain else ""

    @property
    def references(self) -> set[str]:
        """Names of components and regions in the rule."""
        words = {word.partition(".")[0] for item in self.body.values() for word in _iterate_strings(item)}
        return words | {self.each} if self.each else words


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """Rule that holds on all but a few photos, or that no edit breaks."""

    text: str
    """Statement of the rule and its exceptions."""
    proposal: Proposal
    """Rule to add if the answer is yes."""


@dataclass(frozen=True, slots=True)
class RegionProposal:
    """Region that a proposed rule needs."""

    name: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, fractions of the photo or of the component `of`."""
    of: str = ""
    grid: tuple[int, int] | None = None
    """Columns and rows into which it is divided."""

    @property
    def body(self) -> dict[str, object]:
        """Region as written in YAML."""
        grid = {"grid": self.grid} if self.grid else {}
        return {**({"of": self.of} if self.of else {}), "box": self.box, **grid}


@dataclass(frozen=True, slots=True)
class MiningResult:
    """Results of one or several miners."""

    proposals: tuple[Proposal, ...] = ()
    questions: tuple[OpenQuestion, ...] = ()
    regions: tuple[RegionProposal, ...] = ()

    def __add__(self, other: MiningResult) -> MiningResult:
        return MiningResult(
            self.proposals + other.proposals, self.questions + other.questions, self.regions + other.regions
        )  # fmt: skip


@dataclass(slots=True)
class NameRegistry:
    """Registry of names that keeps them unique."""

    used: set[str] = field(default_factory=set)

    def add(self, name: str) -> str:
        """Register a name, shortened and numbered if necessary, and return it."""
        unique, number = truncate_name(name), 1
        while unique in self.used:
            number += 1
            unique = truncate_name(name, f"_{number}")
        self.used.add(unique)
        return unique


def truncate_name(name: str, suffix: str = "") -> str:
    """Shorten a name, and append a suffix, to at most `MAX_NAME_LENGTH` characters."""
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


def list_photos(photos: Sequence[str]) -> str:
    """Join the first photos and the number of the others to a text."""
    listed = ", ".join(photos[:MAX_PHOTOS_NAMED])
    return listed if len(photos) <= MAX_PHOTOS_NAMED else f"{listed} and {len(photos) - MAX_PHOTOS_NAMED} more"


def _iterate_strings(value: object) -> Iterator[str]:
    """Yield all strings in a nested value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_iterate_strings(key), *_iterate_strings(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iterate_strings(item)
