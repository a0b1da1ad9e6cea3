"""What was found in the photos: rules for a person to accept, and questions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
MAX_NAME_LENGTH = 60
"""Characters of a name, at most."""
MAX_PHOTOS_NAMED = 3
"""Photos that are named."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A constraint that holds on every photo it applies to."""

    id: str
    family: str
    body: Mapping[str, object]
    """The family's keys, as they are written in YAML."""
    violation: str | Mapping[str, str]
    support: str
    """On how many photos it holds: `335/335`."""
    each: str = ""
    """The place in which it is checked by itself; empty for the whole photo."""
    note: str = ""
    """What the limits promise, or how the rule is meant."""
    unless_broken: tuple[str, ...] = ()

    @property
    def content(self) -> dict[str, object]:
        """The constraint as it is written."""
        more: dict[str, object] = {"each": self.each} if self.each else {}
        more |= {"unless_broken": list(self.unless_broken)} if self.unless_broken else {}
        return {"id": self.id, self.family: self.body, "violation": self.violation, **more}

    @property
    def constant_component(self) -> str:
        """The component of which it says that there is always the same number; empty where it says no such thing."""
        of = self.body.get("of")
        plain = isinstance(of, str) and "exactly" in self.body and not {"in", "with"} & set(self.body) and not self.each
        return str(of) if plain else ""

    @property
    def references(self) -> set[str]:
        """The components and places that it speaks about."""
        words = {word.partition(".")[0] for item in self.body.values() for word in _words(item)}
        return words | {self.each} if self.each else words


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A rule that all but a few photos obey."""

    text: str
    """What holds where, and which photos are exceptions."""
    proposal: Proposal
    """The rule that it would be."""


@dataclass(frozen=True, slots=True)
class RegionProposal:
    """A region that a rule needs."""

    name: str
    box: tuple[float, float, float, float]
    """Fractions of the photo, or of the component `of`: left, top, right, bottom."""
    of: str = ""
    grid: tuple[int, int] | None = None
    """Columns and rows of the places that it is divided into."""

    @property
    def body(self) -> dict[str, object]:
        """The region as it is written."""
        divided = {"grid": self.grid} if self.grid else {}
        return {**({"of": self.of} if self.of else {}), "box": self.box, **divided}


@dataclass(frozen=True, slots=True)
class MiningResult:
    """What one search came to."""

    proposals: tuple[Proposal, ...] = ()
    questions: tuple[OpenQuestion, ...] = ()
    regions: tuple[RegionProposal, ...] = ()

    def __add__(self, other: MiningResult) -> MiningResult:
        return MiningResult(
            self.proposals + other.proposals, self.questions + other.questions, self.regions + other.regions
        )  # fmt: skip


@dataclass(slots=True)
class NameRegistry:
    """Hands out names that are legal and used once."""

    used: set[str] = field(default_factory=set)

    def add(self, wanted: str) -> str:
        """The name that was wanted, or one like it."""
        name, number = truncate_name(wanted), 1
        while name in self.used:
            number += 1
            name = truncate_name(wanted, f"_{number}")
        self.used.add(name)
        return name


def _words(value: object) -> Iterator[str]:
    """Every text in the value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_words(key), *_words(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def truncate_name(wanted: str, ending: str = "") -> str:
    """A name of at most sixty characters."""
    return wanted[: MAX_NAME_LENGTH - len(ending)] + ending


def list_photos(photos: Sequence[str]) -> str:
    """The first few of the photos, and how many more there are."""
    shown = ", ".join(photos[:MAX_PHOTOS_NAMED])
    return shown if len(photos) <= MAX_PHOTOS_NAMED else f"{shown} and {len(photos) - MAX_PHOTOS_NAMED} more"
