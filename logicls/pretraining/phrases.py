"""Referring expressions: phrases that denote some of the components on a photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from logicls.pretraining.scene_builder import SceneBuilder, SceneComponent
from logicls.pretraining.surfaces import Rng

_SUFFIXES = {
    "number": "that shows {}",
    "state": "that is {}",
    "level": "with a {} level",
    "direction": "that points {}",
    "position": "in the {} position",
    "letter": "with the letter {}",
}
"""Attribute → phrase after the name; values of other attributes stand before the name."""
FAMILY_KEYS = ("shape", "fruit", "kind")
"""Attributes that distinguish the members of a family."""
_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
NUMBER_WORDS = ("zero", *_UNITS, "ten", *_TEENS, "twenty", *(f"twenty-{unit}" for unit in _UNITS), "thirty")


class Phrase(NamedTuple):
    """Noun phrase: a name with words before and after it."""

    name: str
    front: str = ""
    tail: str = ""

    @property
    def singular(self) -> str:
        """Singular form."""
        return " ".join(part for part in (self.front, self.name, self.tail) if part)

    @property
    def plural(self) -> str:
        """Plural form."""
        tail = (
            self.tail.replace("that shows", "that show")
            .replace("that is", "that are")
            .replace("that points", "that point")
        )
        return " ".join(part for part in (self.front, pluralize(self.name), tail) if part)


class ReferringExpression(NamedTuple):
    """Phrase and the numbers of the components that it denotes."""

    phrase: Phrase
    components: tuple[int, ...]
    mentioned: frozenset[str]
    """Properties that the phrase states (`colour`, `size`, an attribute), which must not be asked for."""
    is_family: bool = False
    """Whether the name is a hypernym: its members' `shape` or `fruit` may be asked for."""


def pluralize(name: str) -> str:
    """Return the plural of a name."""
    head, of, rest = name.partition(" of ")
    if of:
        return pluralize(head) + of + rest
    irregular = {"die": "dice", "knife": "knives", "leaf": "leaves", "half disc": "half discs", "print": "prints"}
    if name in irregular:
        return irregular[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    return name[:-1] + "ies" if name.endswith("y") and name[-2] not in "aeiou" else name + "s"


def find_expressions(scene: SceneBuilder) -> list[ReferringExpression]:
    """Return all unambiguous referring expressions for the components of a scene."""
    expressions: list[ReferringExpression] = []
    for names in dict.fromkeys(component.names for component in scene.components):
        expressions += _kind_expressions(scene, names)
    for family in dict.fromkeys(component.family for component in scene.components if component.family):
        expressions += _family_expressions(scene, family)
    return expressions


def _family_expressions(scene: SceneBuilder, family: str) -> Iterator[ReferringExpression]:
    members = [number for number, component in enumerate(scene.components) if component.family == family]
    fruit = all(scene.components[number].attribute("fruit") for number in members)
    # "Part" is said where there is nothing else that might be one.
    if family == "shape" and len(members) < len(scene.components):
        return
    nouns = {
        "label": ("label",),
        "shape": ("part", "shape"),
        "fruit": ("fruit",),
        "icon": ("icon", "mark", "picture", "symbol", "logo"),
    }[family]
    name = str(scene.rng.choice(("fruit icon", "fruit picture") if family == "icon" and fruit else nouns))
    yield ReferringExpression(Phrase(name), tuple(members), frozenset(), is_family=True)
    for colour in _distinct_values([scene.components[number] for number in members], "colour"):
        yield _select(scene, members, Phrase(name, colour), ("colour",), colour=colour)._replace(is_family=True)
    for one in _expressions_by_position(scene, members, name):
        yield one._replace(is_family=True)


def _kind_expressions(scene: SceneBuilder, names: tuple[str, ...]) -> Iterator[ReferringExpression]:
    name = str(scene.rng.choice(names))
    members = [number for number, component in enumerate(scene.components) if component.names == names]
    components = [scene.components[number] for number in members]
    yield ReferringExpression(Phrase(name), tuple(members), frozenset())
    colours = _distinct_values(components, "colour")
    sizes = _distinct_values(components, "size")
    for colour in colours:
        yield _select(scene, members, Phrase(name, colour), ("colour",), colour=colour)
        if not _has_both_sizes(components):
            continue
        for size in sizes:
            if any(t.colour == colour and t.size == size for t in components):
                yield _select(
                    scene, members, Phrase(name, f"{size} {colour}"), ("colour", "size"), colour=colour, size=size
                )
    if _has_both_sizes(components):
        for size in sizes:
            yield _select(scene, members, Phrase(name, size), ("size",), size=size)
    yield from _expressions_by_value(scene, members, name)
    yield from _expressions_by_position(scene, members, name)
    yield from _expressions_by_anchor(scene, members, name)


def _distinct_values(components: Sequence[SceneComponent], of: str) -> list[str]:
    values = [component.colour if of == "colour" else component.size for component in components]
    return list(dict.fromkeys(values)) if all(values) else []


def _has_both_sizes(components: Sequence[SceneComponent]) -> bool:
    """Return whether both sizes are present, so that they can be told apart."""
    return {"small", "large"} == {component.size for component in components}


def _select(
    scene: SceneBuilder,
    members: Sequence[int],
    phrase: Phrase,
    mentioned: tuple[str, ...],
    *,
    colour: str = "",
    size: str = "",
) -> ReferringExpression:
    selected = [
        n for n in members if colour in ("", scene.components[n].colour) and size in ("", scene.components[n].size)
    ]
    return ReferringExpression(phrase, tuple(selected), frozenset(mentioned))


def _expressions_by_value(scene: SceneBuilder, members: Sequence[int], name: str) -> Iterator[ReferringExpression]:
    keys = dict.fromkeys(key for number in members for key, _ in scene.components[number].attributes)
    for key in keys:
        values = [scene.components[number].attribute(key) for number in members]
        if not all(values) or key in FAMILY_KEYS:
            continue
        for value in dict.fromkeys(values):
            selected = tuple(number for number, has in zip(members, values, strict=True) if has == value)
            yield ReferringExpression(phrase_with_value(name, key, value), selected, frozenset((key,)))


def phrase_with_value(name: str, attribute: str, value: str) -> Phrase:
    """Return the name with an attribute's value."""
    if value == "empty":
        return Phrase(name, value)
    return Phrase(name, "", _SUFFIXES[attribute].format(value)) if attribute in _SUFFIXES else Phrase(name, value)


def _expressions_by_position(scene: SceneBuilder, members: Sequence[int], name: str) -> Iterator[ReferringExpression]:
    """Yield the left one of two, the leftmost of several and so on, if that is unambiguous."""
    if not 2 <= len(members) <= 8:
        return
    middles = np.array([(t.min(axis=0) + t.max(axis=0)) / 2 for t in (scene.components[n].contour for n in members)])
    pair = len(members) == 2
    position_words = (
        (("left", "right"), ("upper", "lower")) if pair else (("leftmost", "rightmost"), ("topmost", "lowest"))
    )
    for axis, words in enumerate(position_words):
        order = np.argsort(middles[:, axis])
        ordered = middles[order, axis]
        min_gap = 0.1 * (scene.width, scene.height)[axis]
        for word, first, gap in (
            (words[0], order[0], ordered[1] - ordered[0]),
            (words[1], order[-1], ordered[-1] - ordered[-2]),
        ):
            if gap > min_gap:
                yield ReferringExpression(Phrase(name, word), (members[int(first)],), frozenset(("place",)))


def _expressions_by_anchor(scene: SceneBuilder, members: Sequence[int], name: str) -> Iterator[ReferringExpression]:
    """Yield those on one side of a unique component, if all are clearly on one side or the other."""
    unique = [
        n
        for n, component in enumerate(scene.components)
        if sum(t.names == component.names for t in scene.components) == 1
    ]
    anchors = [n for n in unique if n not in members]
    if not anchors or not 1 < len(members) <= 8:
        return
    anchor = scene.components[anchors[int(scene.rng.integers(len(anchors)))]]
    for axis, words in enumerate((("left of", "right of"), ("above", "below"))):
        low, high = float(anchor.contour[:, axis].min()), float(anchor.contour[:, axis].max())
        before = tuple(n for n in members if scene.components[n].contour[:, axis].max() < low)
        after = tuple(n for n in members if scene.components[n].contour[:, axis].min() > high)
        if len(before) + len(after) == len(members):
            for word, selected in zip(words, (before, after), strict=True):
                tail = f"{word} the {anchor.names[0]}"
                yield ReferringExpression(Phrase(name, tail=tail), selected, frozenset(("beside",)))


def number_word(count: int) -> str:
    """Return 0 to 30 in words."""
    return NUMBER_WORDS[count]


def choose(rng: Rng, lines: Sequence[str]) -> str:
    """Choose one of the items at random."""
    return lines[int(rng.integers(len(lines)))]
