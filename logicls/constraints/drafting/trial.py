"""A draft put to the test: can its rules be broken by an edit of these photos?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from logicls.constraints.against_data import Audit
from logicls.constraints.drafting.draft import Draft
from logicls.constraints.drafting.proposal import Found, Proposal, Question
from logicls.records import Scene

ROUNDS = 3
"""Times that a draft is tried again after rules were taken out of it."""


def settled(draft: Draft, scenes: Sequence[Scene]) -> Draft:
    """The draft without the rules that no edit breaks: of those, training would see nothing.

    They become questions. What is left of a component that no other rule speaks about stays. A rule that can be broken
    on one side only stays as it is, and says so.
    """
    for _ in range(ROUNDS):
        audit = Audit(draft.spec())
        for scene in scenes:
            audit.add(scene)
        unmade = list(audit.unmade())
        stuck = {constraint.id for constraint, _, all_of_them in unmade if all_of_them}
        if not stuck:
            return replace(draft, found=_noted(draft.found, {c.id: missing for c, missing, _ in unmade}))
        draft = replace(draft, found=_without(draft.found, stuck, {component.name for component in draft.components}))
    return draft


def _noted(found: Found, halves: Mapping[str, list[str]]) -> Found:
    """The rules, with what synthesis will not show of them."""
    rules = []
    for rule in found.proposals:
        missing = halves.get(rule.id)
        told = f"no edit of these photos makes {', '.join(missing)}: synthesis will not show it" if missing else ""
        rules.append(replace(rule, note="; ".join(filter(None, (rule.note, told)))))
    return replace(found, proposals=tuple(rules))


def _without(found: Found, stuck: set[str], components: set[str]) -> Found:
    kept: list[Proposal] = []
    questions = list(found.questions)
    for rule in found.proposals:
        others = [other for other in found.proposals if other is not rule and other.id not in stuck]
        if rule.id not in stuck or not rule.things & components <= {t for other in others for t in other.things}:
            kept.append(rule)
        else:
            said = f"{rule.id} holds on {rule.support} photos, but no edit of them breaks it."
            questions.append(Question(said, rule))
    ids = {rule.id for rule in kept}
    places = tuple(place for place in found.places if any(place.name in rule.things for rule in kept))
    rules = (replace(r, unless_broken=tuple(other for other in r.unless_broken if other in ids)) for r in kept)
    return Found(tuple(rules), tuple(questions), places)
