"""Attributes as rules speak of them, and edits that change one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from logicls.constraints.plan import Replace, Rng
from logicls.constraints.reading import words
from logicls.records import Instance


def spoken(what: str) -> str:
    """`thing.attribute` as people say it."""
    thing, attribute = what.split(".")
    return f"{words(thing)}'s {words(attribute)}"


def with_value(target: Instance, attribute: str, value: str) -> Replace:
    """The same thing with that value in the target's place."""
    facts = {**dict(target.attributes), attribute: value}
    return Replace(target.id, target.component, tuple(sorted(facts.items())))


def another(target: Instance, attribute: str, values: Sequence[str], rng: Rng) -> Iterator[tuple[Replace]]:
    """The target with one of the values that it does not have."""
    other = [value for value in values if value != target.attribute(attribute)]
    if other:
        yield (with_value(target, attribute, other[int(rng.integers(len(other)))]),)
