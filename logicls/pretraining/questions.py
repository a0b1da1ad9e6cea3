"""Questions about what was drawn, with their answers.

What a question is about: some of the things that are there, or something that is not.

Rules about what was drawn, in words, and which of them are broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from logicls.pretraining.catalogue import free_beside
from logicls.pretraining.phrases import FAMILY_KEYS, Meant, Phrase, drawn, meant, number_word
from logicls.pretraining.scene_builder import Draft, Rule, Stage, Thing
from logicls.pretraining.surfaces import COLOURS, Rng, alike


def pick(rng: Rng, known: Sequence[Meant]) -> Meant | None:
    """One of them; phrases that mean several things more often than those that tell one by its place."""
    if not known:
        return None
    weights = np.array(
        [
            (0.3 if "place" in one.said else 0.7 if "beside" in one.said else 1.0)
            * (1 + 0.6 * np.log1p(len(one.things)))
            for one in known
        ]
    )
    return known[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]


def missing(stage: Stage) -> Phrase:
    """What is not on the photo, nor anything that might be taken for it."""
    rng = stage.rng
    coloured = [thing for thing in stage.things if thing.colour]
    if coloured and rng.random() < 0.6:
        thing = coloured[int(rng.integers(len(coloured)))]
        here = {other.colour for other in stage.things if other.names == thing.names}
        free = [c for c in COLOURS if c not in here and not any(alike(c, other) for other in here)]
        if free:
            return Phrase(drawn(rng, thing.names), drawn(rng, free))
    free_kinds = free_beside(stage.kinds)
    kind = free_kinds[int(rng.integers(len(free_kinds)))]
    colour = drawn(rng, kind.colours) if kind.colours and rng.random() < 0.4 else ""
    return Phrase(drawn(rng, kind.names), colour)


VERDICT = (
    "which rules are broken? {rules}",
    "rules: {rules} what, if anything, is wrong?",
    "{rules} is anything wrong here, and what?",
    "this must hold: {rules} name the defects",
    "check the product. {rules} list the defects",
    "{rules} which is broken?",
)
RULES = (
    "at least one",
    "no",
    "exactly",
    "every is",
    "the number of every is",
    "all have the same colour",
    "that is not like the others",
    "the is left of the",
    "the is above the",
)
"""The words of rules that are made from any photo's things."""


def verdict(stage: Stage, known: Sequence[Meant]) -> Draft | None:
    """One to three rules, and which of them are broken."""
    rng = stage.rng
    rules = list(stage.rules) if rng.random() < 0.85 else []
    rules = [rules[number] for number in rng.permutation(len(rules)).tolist()][:2]
    wanted = int(rng.integers(1, 4))
    for _ in range(8):
        rule = _rule(stage, known)
        if len(rules) < wanted and rule is not None and rule.text not in {other.text for other in rules}:
            rules.append(rule)
    if not rules:
        return None
    text = " ".join(f"{rule.text}{'.' if number == len(rules) - 1 else ';'}" for number, rule in enumerate(rules))
    broken = tuple(dict.fromkeys(rule.broken for rule in rules if rule.broken))
    return Draft("verdict", drawn(rng, VERDICT).format(rules=text), (), broken or ("none",))


def _rule(stage: Stage, known: Sequence[Meant]) -> Rule | None:
    """A rule about what is there, which holds or not."""
    rng, one = stage.rng, pick(stage.rng, known)
    if one is None or rng.random() < 0.1:
        phrase = missing(stage)
        return Rule(f"at least one {phrase.one}", "missing") if rng.random() < 0.4 else Rule(f"no {phrase.one}")
    things = [stage.things[number] for number in one.things]
    keys = [key for key in dict(things[0].attributes) if key not in (*FAMILY_KEYS, *one.said)] if things else []
    if keys and rng.random() < 0.6:
        return _valued(rng, one, things, drawn(rng, keys))
    coloured = len(things) > 1 and all(thing.colour for thing in things) and "colour" not in one.said
    if coloured and rng.random() < 0.4:
        return _coloured(rng, one, [thing.colour for thing in things])
    if rng.random() < 0.3:
        return _ordered(stage, known)
    return _counted(rng, one, len(things)) if "place" not in one.said and len(things) <= 28 else None


def _coloured(rng: Rng, one: Meant, colours: list[str]) -> Rule:
    if rng.random() < 0.5:
        return Rule(f"all {one.phrase.many} have the same colour", "odd" if len(set(colours)) > 1 else "")
    colour = drawn(rng, colours)
    return Rule(f"every {one.phrase.one} is {colour}", "mismatch" if set(colours) != {colour} else "")


def _valued(rng: Rng, one: Meant, things: Sequence[Thing], key: str) -> Rule | None:
    """Every one of them has that value, or does not."""
    values = [thing.attribute(key) for thing in things]
    wanted = "filled" if "filled" in values else "on" if key == "state" else drawn(rng, values)
    if not all(values) or (key == "state" and set(values) == {"empty"}):
        return None
    broken = {"state": "off" if wanted == "on" else "empty", "orientation": "turned", "direction": "turned"}.get(
        key, "wrong"
    )
    text = f"the {key} of {'the' if len(things) == 1 else 'every'} {one.phrase.one} is {wanted}"
    return Rule(text, "" if set(values) == {wanted} else broken)


def _counted(rng: Rng, one: Meant, count: int) -> Rule:
    if rng.random() < 0.08:
        return Rule(f"no {one.phrase.many}", "extra" if count else "")
    wanted = count if rng.random() < 0.45 else max(count + int(rng.choice((-2, -1, 1, 2))), 1)
    name = one.phrase.one if wanted == 1 else one.phrase.many
    word = number_word(wanted)
    form = drawn(rng, ("{word} {name}", "exactly {word} {name}"))
    return Rule(form.format(word=word, name=name), "missing" if count < wanted else "extra" if count > wanted else "")


def _ordered(stage: Stage, known: Sequence[Meant]) -> Rule | None:
    """One thing left of or above another, right or the wrong way round."""
    lone = [one for one in known if len(one.things) == 1 and "place" not in one.said]
    if len(lone) < 2:
        return None
    first, second = (lone[int(number)] for number in stage.rng.choice(len(lone), 2, replace=False))
    if first.things == second.things:
        return None
    boxes = [stage.things[one.things[0]].outline for one in (first, second)]
    axis = int(stage.rng.integers(2))
    (a1, b1), (a2, b2) = ((box[:, axis].min(), box[:, axis].max()) for box in boxes)
    room = 0.02 * (stage.width, stage.height)[axis]
    if b1 + room < a2 or b2 + room < a1:
        words = ("left of", "above")[axis]
        return Rule(f"the {first.phrase.one} is {words} the {second.phrase.one}", "swapped" if b2 < a1 else "")
    return None


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
