"""Phrases that mean some of the things on a photo, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from logicls.pretraining.scene_builder import Stage, Thing
from logicls.pretraining.surfaces import Rng

_TAILS = {
    "number": "that shows {}",
    "state": "that is {}",
    "level": "with a {} level",
    "direction": "that points {}",
    "position": "in the {} position",
    "letter": "with the letter {}",
}
"""How an attribute's value is said after the name; others stand before it."""
FAMILY_KEYS = ("shape", "fruit", "kind")
"""Attributes that tell the members of a family apart."""
_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
NUMBER_WORDS = ("zero", *_UNITS, "ten", *_TEENS, "twenty", *(f"twenty-{unit}" for unit in _UNITS), "thirty")


class Phrase(NamedTuple):
    """Words around a name."""

    name: str
    front: str = ""
    tail: str = ""

    @property
    def one(self) -> str:
        """For one of them."""
        return " ".join(part for part in (self.front, self.name, self.tail) if part)

    @property
    def many(self) -> str:
        """For several."""
        tail = (
            self.tail.replace("that shows", "that show")
            .replace("that is", "that are")
            .replace("that points", "that point")
        )
        return " ".join(part for part in (self.front, plural(self.name), tail) if part)


class Meant(NamedTuple):
    """A phrase and the numbers of the things that it means."""

    phrase: Phrase
    things: tuple[int, ...]
    said: frozenset[str]
    """What the phrase tells of them (`colour`, `size`, an attribute): not to be asked for."""
    wide: bool = False
    """The name is that of a family: its members' `shape` or `fruit` may be asked for."""


def plural(name: str) -> str:
    """More than one of it."""
    head, of, rest = name.partition(" of ")
    if of:
        return plural(head) + of + rest
    irregular = {"die": "dice", "knife": "knives", "leaf": "leaves", "half disc": "half discs", "print": "prints"}
    if name in irregular:
        return irregular[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    return name[:-1] + "ies" if name.endswith("y") and name[-2] not in "aeiou" else name + "s"


def meant(stage: Stage) -> list[Meant]:
    """Every way in which the photo's things can be told apart, each clear to a person."""
    found: list[Meant] = []
    for names in dict.fromkeys(thing.names for thing in stage.things):
        found += _of(stage, names)
    for family in dict.fromkeys(thing.family for thing in stage.things if thing.family):
        found += _of_family(stage, family)
    return found


def _of_family(stage: Stage, family: str) -> Iterator[Meant]:
    members = [number for number, thing in enumerate(stage.things) if thing.family == family]
    fruit = all(stage.things[number].attribute("fruit") for number in members)
    # "Part" is said where there is nothing else that might be one.
    if family == "shape" and len(members) < len(stage.things):
        return
    nouns = {
        "label": ("label",),
        "shape": ("part", "shape"),
        "fruit": ("fruit",),
        "icon": ("icon", "mark", "picture", "symbol", "logo"),
    }[family]
    name = str(stage.rng.choice(("fruit icon", "fruit picture") if family == "icon" and fruit else nouns))
    yield Meant(Phrase(name), tuple(members), frozenset(), wide=True)
    for colour in _all([stage.things[number] for number in members], "colour"):
        yield _where(stage, members, Phrase(name, colour), ("colour",), colour=colour)._replace(wide=True)
    for one in _by_place(stage, members, name):
        yield one._replace(wide=True)


def _of(stage: Stage, names: tuple[str, ...]) -> Iterator[Meant]:
    name = str(stage.rng.choice(names))
    members = [number for number, thing in enumerate(stage.things) if thing.names == names]
    things = [stage.things[number] for number in members]
    yield Meant(Phrase(name), tuple(members), frozenset())
    colours = _all(things, "colour")
    sizes = _all(things, "size")
    for colour in colours:
        yield _where(stage, members, Phrase(name, colour), ("colour",), colour=colour)
        if not _mixed(things):
            continue
        for size in sizes:
            if any(t.colour == colour and t.size == size for t in things):
                yield _where(
                    stage, members, Phrase(name, f"{size} {colour}"), ("colour", "size"), colour=colour, size=size
                )
    if _mixed(things):
        for size in sizes:
            yield _where(stage, members, Phrase(name, size), ("size",), size=size)
    yield from _by_value(stage, members, name)
    yield from _by_place(stage, members, name)
    yield from _beside(stage, members, name)


def _all(things: Sequence[Thing], of: str) -> list[str]:
    values = [thing.colour if of == "colour" else thing.size for thing in things]
    return list(dict.fromkeys(values)) if all(values) else []


def _mixed(things: Sequence[Thing]) -> bool:
    """Whether both sizes are there, so that a person can tell which is which."""
    return {"small", "large"} == {thing.size for thing in things}


def _where(
    stage: Stage, members: Sequence[int], phrase: Phrase, said: tuple[str, ...], *, colour: str = "", size: str = ""
) -> Meant:
    kept = [n for n in members if colour in ("", stage.things[n].colour) and size in ("", stage.things[n].size)]
    return Meant(phrase, tuple(kept), frozenset(said))


def _by_value(stage: Stage, members: Sequence[int], name: str) -> Iterator[Meant]:
    asked = dict.fromkeys(key for number in members for key, _ in stage.things[number].attributes)
    for key in asked:
        values = [stage.things[number].attribute(key) for number in members]
        if not all(values) or key in FAMILY_KEYS:
            continue
        for value in dict.fromkeys(values):
            kept = tuple(number for number, has in zip(members, values, strict=True) if has == value)
            yield Meant(said(name, key, value), kept, frozenset((key,)))


def said(name: str, attribute: str, value: str) -> Phrase:
    """The name with an attribute's value."""
    if value == "empty":
        return Phrase(name, value)
    return Phrase(name, "", _TAILS[attribute].format(value)) if attribute in _TAILS else Phrase(name, value)


def _by_place(stage: Stage, members: Sequence[int], name: str) -> Iterator[Meant]:
    """The left one of two, the leftmost of several, where that is plain to see."""
    if not 2 <= len(members) <= 8:
        return
    middles = np.array([(t.min(axis=0) + t.max(axis=0)) / 2 for t in (stage.things[n].outline for n in members)])
    pair = len(members) == 2
    ends = (("left", "right"), ("upper", "lower")) if pair else (("leftmost", "rightmost"), ("topmost", "lowest"))
    for axis, words in enumerate(ends):
        order = np.argsort(middles[:, axis])
        places = middles[order, axis]
        room = 0.1 * (stage.width, stage.height)[axis]
        for word, first, gap in (
            (words[0], order[0], places[1] - places[0]),
            (words[1], order[-1], places[-1] - places[-2]),
        ):
            if gap > room:
                yield Meant(Phrase(name, word), (members[int(first)],), frozenset(("place",)))


def _beside(stage: Stage, members: Sequence[int], name: str) -> Iterator[Meant]:
    """Those on one side of a thing that there is once, where all are plainly on one or the other."""
    lone = [n for n, thing in enumerate(stage.things) if sum(t.names == thing.names for t in stage.things) == 1]
    anchors = [n for n in lone if n not in members]
    if not anchors or not 1 < len(members) <= 8:
        return
    anchor = stage.things[anchors[int(stage.rng.integers(len(anchors)))]]
    for axis, words in enumerate((("left of", "right of"), ("above", "below"))):
        low, high = float(anchor.outline[:, axis].min()), float(anchor.outline[:, axis].max())
        before = tuple(n for n in members if stage.things[n].outline[:, axis].max() < low)
        after = tuple(n for n in members if stage.things[n].outline[:, axis].min() > high)
        if len(before) + len(after) == len(members):
            for word, kept in zip(words, (before, after), strict=True):
                tail = f"{word} the {anchor.names[0]}"
                yield Meant(Phrase(name, tail=tail), kept, frozenset(("beside",)))


def number_word(count: int) -> str:
    """0 to 30 in words."""
    return NUMBER_WORDS[count]


def drawn(rng: Rng, lines: Sequence[str]) -> str:
    """One of the lines."""
    return lines[int(rng.integers(len(lines)))]
