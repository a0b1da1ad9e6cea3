"""Questions about a scene with their answers, and rules in words of which some are violated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from logicls.pretraining.catalogue import find_absent_kinds
from logicls.pretraining.phrases import FAMILY_KEYS, Phrase, ReferringExpression, choose, find_expressions, number_word
from logicls.pretraining.scene_builder import QuestionDraft, SceneBuilder, SceneComponent, SceneRule
from logicls.pretraining.surfaces import COLOURS, Rng, are_similar


def choose_expression(rng: Rng, expressions: Sequence[ReferringExpression]) -> ReferringExpression | None:
    """Choose an expression; those of several components more often than those by position."""
    if not expressions:
        return None
    weights = np.array(
        [
            (0.3 if "place" in expression.mentioned else 0.7 if "beside" in expression.mentioned else 1.0)
            * (1 + 0.6 * np.log1p(len(expression.components)))
            for expression in expressions
        ]
    )
    return expressions[int(np.searchsorted(np.cumsum(weights), rng.random() * weights.sum()))]


def choose_absent(scene: SceneBuilder) -> Phrase:
    """Choose a phrase for something that is not on the photo and cannot be confused with a present component."""
    rng = scene.rng
    coloured = [component for component in scene.components if component.colour]
    if coloured and rng.random() < 0.6:
        component = coloured[int(rng.integers(len(coloured)))]
        colours = {other.colour for other in scene.components if other.names == component.names}
        absent_colours = [
            c for c in COLOURS if c not in colours and not any(are_similar(c, other) for other in colours)
        ]
        if absent_colours:
            return Phrase(choose(rng, component.names), choose(rng, absent_colours))
    free_kinds = find_absent_kinds(scene.kinds)
    kind = free_kinds[int(rng.integers(len(free_kinds)))]
    colour = choose(rng, kind.colours) if kind.colours and rng.random() < 0.4 else ""
    return Phrase(choose(rng, kind.names), colour)


VERDICT_TEMPLATES = (
    "which rules are broken? {rules}",
    "rules: {rules} what, if anything, is wrong?",
    "{rules} is anything wrong here, and what?",
    "this must hold: {rules} name the defects",
    "check the product. {rules} list the defects",
    "{rules} which is broken?",
)
RULE_TEXTS = (
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
"""Words of the rules that are generated for any scene; part of the tokenizer's training text."""


def draft_verdict(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> QuestionDraft | None:
    """Draft a question about one to three rules, answered by the defects of the violated ones."""
    rng = scene.rng
    rules = list(scene.rules) if rng.random() < 0.85 else []
    rules = [rules[number] for number in rng.permutation(len(rules)).tolist()][:2]
    count = int(rng.integers(1, 4))
    for _ in range(8):
        rule = _draft_rule(scene, expressions)
        if len(rules) < count and rule is not None and rule.text not in {other.text for other in rules}:
            rules.append(rule)
    if not rules:
        return None
    text = " ".join(f"{rule.text}{'.' if number == len(rules) - 1 else ';'}" for number, rule in enumerate(rules))
    broken = tuple(dict.fromkeys(rule.defect for rule in rules if rule.defect))
    return QuestionDraft("verdict", choose(rng, VERDICT_TEMPLATES).format(rules=text), (), broken or ("none",))


def _draft_rule(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> SceneRule | None:
    """Draft a rule about present components, which holds or is violated."""
    rng, expression = scene.rng, choose_expression(scene.rng, expressions)
    if expression is None or rng.random() < 0.1:
        phrase = choose_absent(scene)
        return (
            SceneRule(f"at least one {phrase.singular}", "missing")
            if rng.random() < 0.4
            else SceneRule(f"no {phrase.singular}")
        )
    components = [scene.components[number] for number in expression.components]
    keys = (
        [key for key in dict(components[0].attributes) if key not in (*FAMILY_KEYS, *expression.mentioned)]
        if components
        else []
    )
    if keys and rng.random() < 0.6:
        return _value_rule(rng, expression, components, choose(rng, keys))
    has_colours = (
        len(components) > 1
        and all(component.colour for component in components)
        and "colour" not in expression.mentioned
    )
    if has_colours and rng.random() < 0.4:
        return _colour_rule(rng, expression, [component.colour for component in components])
    if rng.random() < 0.3:
        return _order_rule(scene, expressions)
    return (
        _count_rule(rng, expression, len(components))
        if "place" not in expression.mentioned and len(components) <= 28
        else None
    )


def _colour_rule(rng: Rng, expression: ReferringExpression, colours: list[str]) -> SceneRule:
    if rng.random() < 0.5:
        return SceneRule(f"all {expression.phrase.plural} have the same colour", "odd" if len(set(colours)) > 1 else "")
    colour = choose(rng, colours)
    return SceneRule(f"every {expression.phrase.singular} is {colour}", "mismatch" if set(colours) != {colour} else "")


def _value_rule(
    rng: Rng, expression: ReferringExpression, components: Sequence[SceneComponent], key: str
) -> SceneRule | None:
    """Draft a rule that all components have a value."""
    values = [component.attribute(key) for component in components]
    required = "filled" if "filled" in values else "on" if key == "state" else choose(rng, values)
    if not all(values) or (key == "state" and set(values) == {"empty"}):
        return None
    broken = {"state": "off" if required == "on" else "empty", "orientation": "turned", "direction": "turned"}.get(
        key, "wrong"
    )
    text = f"the {key} of {'the' if len(components) == 1 else 'every'} {expression.phrase.singular} is {required}"
    return SceneRule(text, "" if set(values) == {required} else broken)


def _count_rule(rng: Rng, expression: ReferringExpression, count: int) -> SceneRule:
    if rng.random() < 0.08:
        return SceneRule(f"no {expression.phrase.plural}", "extra" if count else "")
    required = count if rng.random() < 0.45 else max(count + int(rng.choice((-2, -1, 1, 2))), 1)
    name = expression.phrase.singular if required == 1 else expression.phrase.plural
    word = number_word(required)
    form = choose(rng, ("{word} {name}", "exactly {word} {name}"))
    return SceneRule(
        form.format(word=word, name=name), "missing" if count < required else "extra" if count > required else ""
    )


def _order_rule(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> SceneRule | None:
    """Draft a rule about the order of two components, true or swapped."""
    unique = [one for one in expressions if len(one.components) == 1 and "place" not in one.mentioned]
    if len(unique) < 2:
        return None
    first, second = (unique[int(number)] for number in scene.rng.choice(len(unique), 2, replace=False))
    if first.components == second.components:
        return None
    boxes = [scene.components[one.components[0]].contour for one in (first, second)]
    axis = int(scene.rng.integers(2))
    (a1, b1), (a2, b2) = ((box[:, axis].min(), box[:, axis].max()) for box in boxes)
    min_gap = 0.02 * (scene.width, scene.height)[axis]
    if b1 + min_gap < a2 or b2 + min_gap < a1:
        words = ("left of", "above")[axis]
        return SceneRule(
            f"the {first.phrase.singular} is {words} the {second.phrase.singular}", "swapped" if b2 < a1 else ""
        )
    return None


LOCATE_TEMPLATES = (
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
LOCATE_ONE_TEMPLATES = (
    "where is the {one}?",
    "locate the {one}",
    "find the {one}",
    "show where the {one} is",
    "give the box of the {one}",
)
EACH_TEMPLATES = (
    "which {attribute} does each {one} have?",
    "name the {attribute} of every {one}",
    "what is the {attribute} of each {one}?",
    "read off each {one}'s {attribute}",
    "tell the {attribute} of every {one}",
)
SINGLE_TEMPLATES = (
    "which {attribute} does the {one} have?",
    "what is the {attribute} of the {one}?",
    "name the {attribute} of the {one}",
    "read off the {attribute} of the {one}",
    "{attribute} of the {one}?",
)
COUNT_TEMPLATES = (
    "how many {many} are there?",
    "count the {many}",
    "number of {many}?",
    "how many {many} do you see?",
    "what is the number of {many}?",
)
MAX_COMPONENTS = 8
"""Most components whose attributes one question asks for."""


def draft_questions(scene: SceneBuilder) -> list[QuestionDraft]:
    """Draft 5 to 9 different questions, those of the scene itself included, in random order."""
    rng = scene.rng
    expressions = find_expressions(scene)
    drafters: list[tuple[float, Callable[[], QuestionDraft | None]]] = [
        (0.39, lambda: _draft_locate(rng, expressions)),
        (0.05, lambda: _draft_absent(scene, expressions)),
        (0.32, lambda: _draft_attribute(scene, expressions)),
        (0.07, lambda: _draft_count(scene, expressions)),
        (0.15, lambda: draft_verdict(scene, expressions)),
        (0.02, lambda: _draft_odd(scene, expressions)),
    ]
    weights = [weight for weight, _ in drafters]
    count = int(rng.integers(5, 10))
    own = [scene.drafts[number] for number in rng.permutation(len(scene.drafts)).tolist()][: count - 2]
    drafts = {draft.text: draft for draft in own}
    for _ in range(40):
        if len(drafts) >= count:
            break
        draft = drafters[int(rng.choice(len(drafters), p=weights))][1]()
        if draft is not None:
            drafts.setdefault(draft.text, draft)
    return [list(drafts.values())[number] for number in rng.permutation(len(drafts)).tolist()]


def _draft_odd(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> QuestionDraft | None:
    """Draft a question about the only one of several with another colour."""
    expression = choose_expression(
        scene.rng, [one for one in expressions if not one.mentioned and not one.is_family and len(one.components) > 3]
    )
    if expression is None:
        return None
    colours = [scene.components[number].colour for number in expression.components]
    rare = [number for number, colour in zip(expression.components, colours, strict=True) if colours.count(colour) == 1]
    if len(set(colours)) != 2 or len(rare) != 1:
        return None
    return QuestionDraft(
        "locate",
        choose(scene.rng, LOCATE_ONE_TEMPLATES).format(one=f"{expression.phrase.singular} that is not like the others"),
        tuple(rare),
    )


def _draft_locate(rng: Rng, expressions: Sequence[ReferringExpression]) -> QuestionDraft | None:
    expression = choose_expression(rng, expressions)
    if expression is None:
        return None
    lines = (
        LOCATE_ONE_TEMPLATES
        if "place" in expression.mentioned or (len(expression.components) == 1 and rng.random() < 0.4)
        else LOCATE_TEMPLATES
    )
    return QuestionDraft(
        "locate",
        choose(rng, lines).format(one=expression.phrase.singular, many=expression.phrase.plural),
        expression.components,
    )


def _draft_absent(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> QuestionDraft:
    """Draft a question about an absent kind, or a present kind in an absent colour."""
    phrase = choose_absent(scene)
    return QuestionDraft("locate", choose(scene.rng, LOCATE_TEMPLATES).format(one=phrase.singular, many=phrase.plural))


def _draft_attribute(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> QuestionDraft | None:
    rng = scene.rng
    expression = choose_expression(rng, expressions)
    if expression is None or not 1 <= len(expression.components) <= MAX_COMPONENTS:
        return None
    components = [scene.components[number] for number in expression.components]
    keys = dict.fromkeys(
        key for thing in components for key, _ in thing.attributes if expression.is_family or key not in FAMILY_KEYS
    )
    values_by_key = {key: tuple(thing.attribute(key) for thing in components) for key in keys}
    values_by_key["colour"] = tuple(component.colour for component in components)
    if {component.size for component in scene.components if component.names == components[0].names} == {
        "small",
        "large",
    }:
        values_by_key["size"] = tuple(component.size for component in components)
    open_keys = [key for key, values in values_by_key.items() if all(values) and key not in expression.mentioned]
    if not open_keys:
        return None
    rare = [key for key in open_keys if key not in ("colour", "size")]
    key = choose(rng, rare if rare and rng.random() < 0.75 else open_keys)
    text = choose(rng, SINGLE_TEMPLATES if len(components) == 1 else EACH_TEMPLATES).format(
        attribute=key, one=expression.phrase.singular
    )
    return QuestionDraft("attribute", text, expression.components, values_by_key[key], is_paired=True)


def _draft_count(scene: SceneBuilder, expressions: Sequence[ReferringExpression]) -> QuestionDraft | None:
    rng = scene.rng
    expression = None if rng.random() < 0.12 else choose_expression(rng, expressions)
    phrase, count = (choose_absent(scene), 0) if expression is None else (expression.phrase, len(expression.components))
    if count > 30 or (expression is not None and "place" in expression.mentioned):
        return None
    return QuestionDraft(
        "attribute", choose(rng, COUNT_TEMPLATES).format(many=phrase.plural), (), (number_word(count),)
    )
