"""A draft put to the test: every defect that it names must be one that an edit of these photos can make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from logicls.constraints.against_data import TRIED
from logicls.constraints.drafting.draft import Draft
from logicls.constraints.drafting.proposal import Found, Proposal, Question
from logicls.constraints.spec import Spec
from logicls.constraints.violate import aims, violate
from logicls.records import Scene

ROUNDS = 3
"""Times that a draft is tried again after rules were taken out of it."""


def settled(draft: Draft, scenes: Sequence[Scene]) -> Draft:
    """The draft without the sides of rules that no edit breaks: of those, training would see nothing.

    A count or a size keeps its other side. Any other rule becomes a question. What is left of a component that no other
    rule speaks about stays.
    """
    for _ in range(ROUNDS):
        stuck = _stuck(draft.spec(), scenes)
        if not stuck:
            break
        draft = replace(draft, found=_without(draft.found, stuck, {component.name for component in draft.components}))
    return draft


def _stuck(spec: Spec, scenes: Sequence[Scene]) -> dict[str, set[str]]:
    """Constraint → its sides that could not be broken on any of the first photos."""
    found: dict[str, set[str]] = {}
    for aim in aims(spec):
        rng = np.random.default_rng(0)
        if not any(violate(spec, aim, scene, rng) for scene in scenes[:TRIED]):
            found.setdefault(aim.constraint.id, set()).add(aim.side.kind)
    return found


def _without(found: Found, stuck: Mapping[str, set[str]], components: set[str]) -> Found:
    kept: list[Proposal] = []
    questions = list(found.questions)
    for rule in found.proposals:
        sides = stuck.get(rule.id, set())
        others = [other for other in found.proposals if other is not rule and not stuck.get(other.id)]
        halved = _halved(rule, sides) if sides else rule
        if halved:
            kept.append(halved)
        elif not rule.things & components <= {thing for other in others for thing in other.things}:
            kept.append(rule)
        else:
            said = f"{rule.id} holds on {rule.support} photos, but no edit of them breaks it."
            questions.append(Question(said, rule))
    ids = {rule.id for rule in kept}
    places = tuple(place for place in found.places if any(place.name in rule.things for rule in kept))
    rules = (replace(r, unless_broken=tuple(other for other in r.unless_broken if other in ids)) for r in kept)
    return Found(tuple(rules), tuple(questions), places)


def _halved(rule: Proposal, stuck: set[str]) -> Proposal | None:
    """The rule with the limit on the other side only; None where there is none."""
    limit = next((key for key in ("exactly", "between") if key in rule.body), "")
    if not limit or not isinstance(rule.violation, Mapping) or len(stuck) != 1:
        return None
    [side] = stuck
    value = rule.body[limit]
    low, high = value if isinstance(value, list) else (value, value)
    kept = {"at_least": low} if side == "above" else {"at_most": high}
    body = {key: item for key, item in rule.body.items() if key != limit} | kept
    seen = f"always {low}; " if low == high else ""
    note = f"{seen}no edit of these photos makes {rule.violation[side]}, so that side is left open"
    other = "below" if side == "above" else "above"
    return replace(rule, body=body, violation=rule.violation[other], note="; ".join(filter(None, (rule.note, note))))
