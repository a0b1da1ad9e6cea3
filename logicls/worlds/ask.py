"""Questions about what was drawn, with their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from logicls.worlds.colours import Rng
from logicls.worlds.picking import missing, pick
from logicls.worlds.rules import verdict
from logicls.worlds.say import FAMILY_KEYS, Meant, drawn, meant, number_word
from logicls.worlds.stage import Draft, Stage

LOCATE = (
    "where is every {one}?",
    "locate each {one}",
    "find every {one} on the photo",
    "show where each {one} is",
    "give the box of every {one}",
    "where are all {many}?",
    "box all {many}",
    "mark each {one}",
    "point out every {one}",
    "detect the {many}",
    "find all {many}",
    "locate the {many}",
    "draw a box around each {one}",
    "{one}: where?",
)
LOCATE_ONE = (
    "where is the {one}?",
    "locate the {one}",
    "find the {one}",
    "show where the {one} is",
    "give the box of the {one}",
)
EACH = (
    "which {attribute} does each {one} have?",
    "name the {attribute} of every {one}",
    "what is the {attribute} of each {one}?",
    "read off each {one}'s {attribute}",
    "tell the {attribute} of every {one}",
)
SINGLE = (
    "which {attribute} does the {one} have?",
    "what is the {attribute} of the {one}?",
    "name the {attribute} of the {one}",
    "read off the {attribute} of the {one}",
    "{attribute} of the {one}?",
)
COUNT = (
    "how many {many} are there?",
    "count the {many}",
    "number of {many}?",
    "how many {many} do you see?",
    "what is the number of {many}?",
)
MOST = 8
"""Things whose attributes one question asks for."""


def questions(stage: Stage) -> list[Draft]:
    """5 to 9 drafts: the stage's own first among them, no two alike."""
    rng = stage.rng
    known = meant(stage)
    makers: list[tuple[float, Callable[[], Draft | None]]] = [
        (0.39, lambda: _locate(rng, known)),
        (0.05, lambda: _absent(stage, known)),
        (0.32, lambda: _attribute(stage, known)),
        (0.07, lambda: _count(stage, known)),
        (0.15, lambda: verdict(stage, known)),
        (0.02, lambda: _odd(stage, known)),
    ]
    weights = [weight for weight, _ in makers]
    wanted = int(rng.integers(5, 10))
    own = [stage.drafts[number] for number in rng.permutation(len(stage.drafts)).tolist()][: wanted - 2]
    found = {draft.text: draft for draft in own}
    for _ in range(40):
        if len(found) >= wanted:
            break
        draft = makers[int(rng.choice(len(makers), p=weights))][1]()
        if draft is not None:
            found.setdefault(draft.text, draft)
    return [list(found.values())[number] for number in rng.permutation(len(found)).tolist()]


def _odd(stage: Stage, known: Sequence[Meant]) -> Draft | None:
    """The only one of several that has another colour."""
    one = pick(stage.rng, [one for one in known if not one.said and not one.wide and len(one.things) > 3])
    if one is None:
        return None
    colours = [stage.things[number].colour for number in one.things]
    rare = [number for number, colour in zip(one.things, colours, strict=True) if colours.count(colour) == 1]
    if len(set(colours)) != 2 or len(rare) != 1:
        return None
    return Draft(
        "locate", drawn(stage.rng, LOCATE_ONE).format(one=f"{one.phrase.one} that is not like the others"), tuple(rare)
    )


def _locate(rng: Rng, known: Sequence[Meant]) -> Draft | None:
    one = pick(rng, known)
    if one is None:
        return None
    lines = LOCATE_ONE if "place" in one.said or (len(one.things) == 1 and rng.random() < 0.4) else LOCATE
    return Draft("locate", drawn(rng, lines).format(one=one.phrase.one, many=one.phrase.many), one.things)


def _absent(stage: Stage, known: Sequence[Meant]) -> Draft:
    """Something that is not there: another kind, or a kind that is there in a colour that is not."""
    phrase = missing(stage)
    return Draft("locate", drawn(stage.rng, LOCATE).format(one=phrase.one, many=phrase.many))


def _attribute(stage: Stage, known: Sequence[Meant]) -> Draft | None:
    rng = stage.rng
    one = pick(rng, known)
    if one is None or not 1 <= len(one.things) <= MOST:
        return None
    things = [stage.things[number] for number in one.things]
    keys = dict.fromkeys(key for thing in things for key, _ in thing.attributes if one.wide or key not in FAMILY_KEYS)
    told = {key: tuple(thing.attribute(key) for thing in things) for key in keys}
    told["colour"] = tuple(thing.colour for thing in things)
    if {thing.size for thing in stage.things if thing.names == things[0].names} == {"small", "large"}:
        told["size"] = tuple(thing.size for thing in things)
    open_keys = [key for key, values in told.items() if all(values) and key not in one.said]
    if not open_keys:
        return None
    rare = [key for key in open_keys if key not in ("colour", "size")]
    key = drawn(rng, rare if rare and rng.random() < 0.75 else open_keys)
    text = drawn(rng, SINGLE if len(things) == 1 else EACH).format(attribute=key, one=one.phrase.one)
    return Draft("attribute", text, one.things, told[key], paired=True)


def _count(stage: Stage, known: Sequence[Meant]) -> Draft | None:
    rng = stage.rng
    one = None if rng.random() < 0.12 else pick(rng, known)
    phrase, count = (missing(stage), 0) if one is None else (one.phrase, len(one.things))
    if count > 30 or (one is not None and "place" in one.said):
        return None
    return Draft("attribute", drawn(rng, COUNT).format(many=phrase.many), (), (number_word(count),))
