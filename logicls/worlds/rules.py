"""Rules about what was drawn, in words, and which of them are broken."""

from __future__ import annotations

from collections.abc import Sequence

from logicls.worlds.colours import Rng
from logicls.worlds.picking import missing, pick
from logicls.worlds.say import FAMILY_KEYS, Meant, drawn, number_word
from logicls.worlds.stage import Draft, Rule, Stage, Thing

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
