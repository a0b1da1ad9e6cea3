"""What a tokenizer learns from: every word of questions and answers about made photos, and more words of the trade."""

from __future__ import annotations

from logicls.worlds import say, vocabulary
from logicls.worlds.ask import COUNT, EACH, LOCATE, LOCATE_ONE, SINGLE
from logicls.worlds.catalogue import KINDS
from logicls.worlds.colours import COLOURS
from logicls.worlds.rules import RULES, VERDICT
from logicls.worlds.say import NUMBER_WORDS, Phrase
from logicls.worlds.scene_words import ATTRIBUTES, DEFECTS, PLACES, SAID, THING_NAMES


def values() -> list[str]:
    """Every word that an answer may be, sorted."""
    own = {value for kind in KINDS for value in kind.values}
    shapes = {kind.value for kind in KINDS if kind.family}
    closed = {value for options in ATTRIBUTES.values() for value in options}
    return sorted({*COLOURS, *NUMBER_WORDS, *own, *shapes, *closed, *DEFECTS})


def wordings() -> list[str]:
    """Texts that hold every word of every question, and a vocabulary of parts, colours, shapes and materials."""
    names = sorted({name for kind in KINDS for name in kind.names} | set(THING_NAMES))
    attributes = sorted(
        {kind.attribute for kind in KINDS if kind.attribute} | set(ATTRIBUTES) | {"colour", "size", "number"}
    )
    phrases = [Phrase(name) for name in names]
    phrases += [
        say.said("part", key, value) for kind in KINDS for key in (kind.attribute,) if key for value in kind.values
    ]
    texts = [
        line.format(one=p.one, many=p.many, attribute="", rules="") for p in phrases for line in (LOCATE[0], LOCATE[5])
    ]
    texts += [line.format(one="part", many="parts", attribute=key) for key in attributes for line in (*EACH, *SINGLE)]
    texts += [line.format(one="part", many="parts", rules="rule") for line in (*LOCATE, *LOCATE_ONE, *COUNT, *VERDICT)]
    texts += [*RULES, *PLACES, *SAID, *COLOURS, *NUMBER_WORDS, *values(), *vocabulary.texts()]
    return [" ".join(text.replace("{", " ").replace("}", " ").split()) for text in texts]
