"""Random products: a good photo, and a spec whose every rule holds on it or does not apply."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from logicls.constraints.spec.models import Spec
from logicls.records import Scene

from .rules import WHOLE, Body, Frames, counted, layout, measure, orientation, quantity
from .scenery import ATTRIBUTES, COLOURS, Truth, kind, scenery

COLOURED = ("pin", "cap", "gel", "small_pin", "red_pin", "blue_cap")
FAMILIES = ("quantity", *["layout"] * 4, "composition", "match", "connection", "attribute", "appearance",
            *["measure"] * 3, *["orientation"] * 2, "all", "any", "not")  # fmt: skip


def product(rng: random.Random) -> tuple[Spec, Scene]:
    """A spec of two to six rules of any family, and a photo on which they hold."""
    truth = scenery(rng)
    constraints: list[Body] = []
    while len(constraints) < 2 or (len(constraints) < 6 and rng.random() < 0.6):
        constraint = conditional(rng, truth)
        if constraint is not None:
            constraint |= {"id": f"c{len(constraints)}"}
            if constraints and rng.random() < 0.2:
                constraint["unless_broken"] = [rng.choice(constraints)["id"]]
            constraints.append(named(rng, constraint))
    return Spec.model_validate({**truth.head, "constraints": constraints}), truth.scene


def conditional(rng: random.Random, truth: Truth) -> Body | None:
    """A rule, now and then within each of some places, or where another rule holds."""
    if rng.random() < 0.15:
        place = rng.choice(truth.wide())
        makers: tuple[Callable[[random.Random, Truth, Frames], Body | None], ...]
        makers = (quantity, quantity, layout, measure, attribute, all_of)
        body = rng.choice(makers)(rng, truth, truth.places(place))
        scope: Body = {"each": place}
    else:
        body, scope = rule(rng, truth, WHOLE), {}
    if body is None:
        return None
    if rng.random() < 0.15:
        condition = rule(rng, truth, WHOLE) if rng.random() < 0.8 else wrong(rng, truth)
        scope |= {"when": condition} if condition else {}
    return body | scope


def named(rng: random.Random, constraint: Body) -> Body:
    """With a name for the defect, for either side, by how many, or with none."""
    name, way = f"v{constraint['id']}", rng.randrange(4)
    sided = any(family in constraint for family in ("quantity", "measure", "orientation"))
    if way == 0 or (way >= 2 and not sided):
        return constraint | {"violation": name}
    if way >= 2 and "orientation" in constraint:
        return constraint | {"violation": {"turned": f"{name}-turned", "tilted": f"{name}-tilted"}}
    if way == 2:
        return constraint | {"violation": {"below": f"{name}-few", "above": f"{name}-many"}}
    if way == 3 and "quantity" in constraint:
        below: Body = {"below": {1: f"{name}-1-less", 2: f"{name}-2-less"}} if least(constraint["quantity"]) > 1 else {}
        return constraint | {"violation": {**below, "above": {1: f"{name}-1-more", 2: f"{name}-2-more"}}}
    return constraint


def least(body: Body) -> int:
    """The fewest that are allowed."""
    return int(body.get("exactly", body.get("at_least", body.get("between", [0])[0])))


def rule(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """A rule of any family that holds; None where this draw fits nothing."""
    makers = {
        "quantity": quantity, "layout": layout, "composition": composition, "match": match, "connection": connection,
        "attribute": attribute, "appearance": appearance, "measure": measure,
        "orientation": orientation, "all": all_of, "any": any_of, "not": not_,
    }  # fmt: skip
    make = makers[rng.choice(FAMILIES)]
    return next((body for body in (make(rng, truth, frames) for _ in range(4)) if body), None)


def attribute(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """What all have, what none has, or that all have the same."""
    owners = [name for name in truth.present() if name in ATTRIBUTES]
    if not owners:
        return None
    thing = rng.choice(owners)
    key = rng.choice(list(ATTRIBUTES[thing]))
    found = [[i.attribute(key) for i in truth.things(thing, frame)] for frame in frames]
    there = {value for values in found for value in values}
    missing = [value for value in ATTRIBUTES[thing][key] if value not in there]
    body: Body = {"of": f"{thing}.{key}"}
    if all(len(set(values)) <= 1 for values in found) and max(map(len, found)) > 1 and rng.random() < 0.6:
        return {"attribute": body | {"same": True}}
    if missing and rng.random() < 0.5:
        return {"attribute": body | {"is_not": rng.choice((missing, missing[0]))}}
    return {"attribute": body | {"is": sorted({*there, *missing[1:]})}} if there and missing else None


def appearance(rng: random.Random, truth: Truth, frames: Frames) -> Body:
    """Something that looks as it should, as everything does."""
    overkill = {"overkill": round(rng.uniform(0.001, 0.1), 3)} if rng.random() < 0.5 else {}
    return {"appearance": {"of": rng.choice(truth.present()), **overkill}}


def match(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """Two colours that are equal, or pairs of those that are there."""
    things = [name for name in COLOURED if truth.things(name)]
    if not things or frames is not WHOLE:
        return None
    left, right = rng.choice(things), rng.choice(things)
    if kind(left) == kind(right):
        return None
    lefts, rights = (sorted({str(i.attribute("colour")) for i in truth.things(name)}) for name in (left, right))
    body: Body = {"left": f"{left}.colour", "right": f"{right}.colour"}
    if lefts == rights and len(lefts) == 1 and rng.random() < 0.6:
        return {"match": body}
    others = [colour for colour in COLOURS if colour not in rights]
    pairs: dict[str, Any] = dict.fromkeys(lefts, rights)
    pairs |= {colour: rng.choice(others or list(COLOURS)) for colour in COLOURS if colour not in lefts}
    return {"match": body | {"pairs": pairs}}


def composition(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """A set that is there; one of several; one that goes with another; kinds that exclude each other."""
    body: Body = {"in": rng.choice(truth.wide())} if rng.random() < 0.3 else {}
    counts = {name: counted(truth, {"of": name, **body}, None) for name in (*truth.present(), *truth.absent())}
    there = [name for name, count in counts.items() if count]
    gone = [name for name, count in counts.items() if not count]
    if not there or frames is not WHOLE:
        return None
    first = rng.choice(there)
    some = rng.sample(there, min(len(there), 2))
    exact = {name: counts[name] for name in some}
    way = rng.randrange(4)
    if way == 0:
        body["required"] = rng.choice((some, exact))
        first = some[0]
        if body["required"] is exact:
            body["wrong"] = {"one-more": {first: counts[first] + 1}, "one-less": {first: counts[first] - 1}}
    elif way == 1:
        body["one_of"] = [rng.choice((some, exact)), {first: counts[first] + 2}]
    elif way == 2:
        body |= {"if": [first], "then": rng.choice(([name for name in some if name != first] or [some[0]], exact))}
    elif gone:
        body["exclusive"] = [first, *rng.sample(gone, min(len(gone), 2))]
    return {"composition": body} if len(body) > ("in" in body) else None


def connection(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """Plugs in the same slots of the two sockets; how many slots there are stands with them, or in the rule."""
    if not truth.things("socket") or frames is not WHOLE:
        return None
    return {"connection": {"ends": "plug", "sockets": "socket", "slots": rng.choice((3, "socket.slots"))}}


def all_of(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """Two or three rules that hold."""
    makers = (quantity, layout, measure, attribute, composition, match)
    members = [rng.choice(makers)(rng, truth, frames) for _ in range(3)]
    found = [member for member in members if member is not None]
    return {"all": found} if len(found) > 1 else None


def any_of(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """A rule that holds beside one that may hold or not."""
    one = rng.choice((quantity, attribute, composition, layout))(rng, truth, frames)
    other = wrong(rng, truth) if rng.random() < 0.6 else rule(rng, truth, frames)
    if one is None or other is None or frames is not WHOLE:
        return None
    return {"any": rng.sample([one, other], 2)}


def not_(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """A rule that is broken, must not hold; now and then that of all of several."""
    bad = wrong(rng, truth)
    if bad is None or frames is not WHOLE:
        return None
    fine = quantity(rng, truth, frames)
    return {"not": {"all": [bad, fine]} if rng.random() < 0.2 else bad}


def wrong(rng: random.Random, truth: Truth) -> Body | None:
    """A rule that is broken on the photo."""
    way = rng.randrange(4)
    if way == 0:
        thing = rng.choice(truth.present())
        return {"quantity": {"of": thing, "exactly": counted(truth, {"of": thing}, None) + 1}}
    if way == 1:
        found = [name for name in COLOURED if truth.things(name)]
        if not found:
            return None
        thing = rng.choice(found)
        return {"attribute": {"of": f"{thing}.colour", "is_not": truth.things(thing)[0].attribute("colour")}}
    if way == 2 and truth.absent():
        return {"composition": {"required": [rng.choice(truth.present()), rng.choice(truth.absent())]}}
    return wrong_layout(rng, truth)


def wrong_layout(rng: random.Random, truth: Truth) -> Body | None:
    """Things that lie the other way round, or do not touch."""
    body: Body = {"subject": rng.choice(truth.present()), "object": rng.choice(truth.present())}
    ones, others = ([i.box for i in truth.things(body[key])] for key in ("subject", "object"))
    if max(o.centre[0] for o in ones) + 5 < min(o.centre[0] for o in others):
        return {"layout": body | {"relation": "right_of"}}
    if all(one.intersection(other) == 0 and one is not other for one in ones for other in others):
        return {"layout": body | {"relation": "overlaps"}}
    return None
