"""Random rules that hold on a photo: their limits are read off it, with a margin."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from logicls.records import Box

from .scenery import ATTRIBUTES, PX_PER_MM, Truth, centred, kind

Body = dict[str, Any]
Frames = Sequence[Box | None]
WHOLE: Frames = (None,)
DIRECTIONS = ("above", "below", "left_of", "right_of")
RELATIONS = (*DIRECTIONS, "inside", "centred_in", "at", "overlaps", "touching", "not_touching", "aligned",
             "evenly_spaced", "in_order")  # fmt: skip
KINDS = ("height", "width", "length", "area", "aspect", "fill", "distance", "angle")


def quantity(rng: random.Random, truth: Truth, frames: Frames) -> Body:
    """One thing, with an attribute or not, several together, or weighted; anywhere or in a place."""
    body: Body = {}
    names = rng.sample(truth.present() + truth.absent()[:1], 2)
    way = rng.randrange(4)
    owned = [name for name in names if name in ATTRIBUTES]
    body["of"] = names[0] if way <= 1 else names if way == 2 else {name: rng.randint(1, 3) for name in names}
    if way == 1 and owned:
        key = rng.choice(list(ATTRIBUTES[owned[0]]))
        body |= {"of": owned[0], "with": {key: rng.choice(ATTRIBUTES[owned[0]][key])}}
    if rng.random() < 0.4 and frames is WHOLE:
        body["in"] = rng.choice([place for place in truth.wide() if place not in names])
    counts = [counted(truth, body, frame) for frame in frames]
    return {"quantity": body | limits(rng, min(counts), max(counts))}


def counted(truth: Truth, body: Body, frame: Box | None) -> int:
    """How many there are."""
    weights = body["of"] if isinstance(body["of"], dict) else dict.fromkeys(listed(body["of"]), 1)
    places = truth.places(body["in"], frame) if "in" in body else None
    return sum(
        weight
        for name, weight in weights.items()
        for i in truth.things(name, frame)
        if (places is None or any(centred(i.box, place) for place in places))
        and all(i.attribute(key) == value for key, value in body.get("with", {}).items())
    )


def listed(names: str | list[str]) -> list[str]:
    """One name, or several, as a list."""
    return [names] if isinstance(names, str) else names


def limits(rng: random.Random, low: int, high: int) -> Body:
    """Limits that hold for counts from low to high."""
    way = rng.randrange(4)
    if way == 0 and low > 0:
        return {"at_least": rng.randint(max(low - 1, 1), low)}
    if way == 1:
        return {"at_most": high + rng.choice((0, 0, 1))}
    return {"between": [max(low - rng.randrange(2), 0), high + 1]} if way == 2 or low != high else {"exactly": low}


def layout(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """Any relation that fits, with the tolerance that it needs."""
    relation = rng.choice(RELATIONS)
    make = grouped if relation in ("aligned", "evenly_spaced", "in_order") else paired
    return next((body for body in (make(rng, truth, frames, relation) for _ in range(6)) if body), None)


def paired(rng: random.Random, truth: Truth, frames: Frames, relation: str) -> Body | None:
    """Things that stand in a relation to a place."""
    subject, target = rng.choice(truth.present()), rng.choice(truth.here())
    region = truth.regions.get(target, {})
    if target == "quarters" or (kind(region.get("of", target)) == kind(subject) and relation != "not_touching"):
        return None
    body: Body = {"subject": subject, "relation": relation, "object": target}
    if relation == "centred_in" and rng.random() < 0.4:
        body["axis"] = rng.choice("xy")
    alone = [name for name in truth.here() if len(truth.places(name)) == 1]
    if alone and relation != "overlaps" and frames is WHOLE and rng.random() < 0.3:
        body["relative_to"] = rng.choice(alone)
    needed = [lacking(truth, body, frame) for frame in frames]
    found = [slack for slack in needed if slack is not None]
    return toleranced(rng, body, max(found)) if found else None


def toleranced(rng: random.Random, body: Body, slack: float) -> Body | None:
    """The rule with a tolerance that leaves a margin; None where no tolerance makes it hold."""
    relation = body["relation"]
    if relation == "not_touching":
        tolerance = -slack * rng.uniform(0.2, 0.8)
        if slack > -0.02:
            return None
    else:
        tolerance = max(slack, 0.0) * 1.3 + rng.uniform(0.02, 0.1)
    if relation == "overlaps":
        return {"layout": body} if slack < 0 else None
    if slack < -0.02 and relation not in ("centred_in", "aligned", "evenly_spaced") and rng.random() < 0.6:
        return {"layout": {k: v for k, v in body.items() if k != "relative_to"}}
    most = 1.5 if relation == "aligned" else 0.6
    return {"layout": body | {"tolerance": tolerance}} if tolerance < most else None


def lacking(truth: Truth, body: Body, frame: Box | None) -> float | None:
    """The tolerance that the relation needs in the frame; below 0 where there is room; None where it does not apply."""
    subjects, objects = truth.things(body["subject"], frame), truth.places(body["object"], frame)
    size = truth.places(body["relative_to"])[0] if "relative_to" in body else None
    worst: list[float] = []
    for subject in subjects:
        others = [o for o in objects if o is not subject.box]
        if not others:
            continue
        each = [short(body, subject.box, o, size or o) for o in others]
        worst.append(max(each) if body["relation"] in (*DIRECTIONS, "not_touching") else min(each))
    return max(worst, default=None)


def short(body: Body, one: Box, other: Box, size: Box) -> float:
    """The tolerance that one pair needs."""
    dx, dy = (a - b for a, b in zip(one.centre, other.centre, strict=True))
    out = max(other.x1 - one.x1, one.x2 - other.x2), max(other.y1 - one.y1, one.y2 - other.y2)
    clear = max(one.x1 - other.x2, other.x1 - one.x2, one.y1 - other.y2, other.y1 - one.y2)
    match body["relation"]:
        case "above":
            return dy / size.height
        case "below":
            return -dy / size.height
        case "left_of":
            return dx / size.width
        case "right_of":
            return -dx / size.width
        case "inside":
            return max(out[0] / size.width, out[1] / size.height)
        case "centred_in":
            off = {"x": abs(dx) / size.width, "y": abs(dy) / size.height}
            return max(off[axis] for axis in body.get("axis", "xy"))
        case "at":
            return max(abs(dx) - other.width / 2, 0) / size.width + max(abs(dy) - other.height / 2, 0) / size.height
        case "not_touching":
            return -clear / max(size.width, size.height)
        case _:
            return clear / max(size.width, size.height)


def grouped(rng: random.Random, truth: Truth, frames: Frames, relation: str) -> Body | None:
    """Things in a row, evenly spaced, or one after the other."""
    names = rng.sample(truth.present(), min(len(truth.present()), rng.randint(1, 3)))
    axis = rng.choice("xy")
    body: Body = {"subject": names if len(names) > 1 else names[0], "relation": relation, "axis": axis}
    if relation == "in_order":
        return in_order(truth, body, names, "xy".index(axis), frames)
    least = 2 if relation == "aligned" else 3
    needed = []
    for frame in frames:
        boxes = list({i.id: i.box for name in names for i in truth.things(name, frame)}.values())
        if len(boxes) >= least:
            needed.append(astray(boxes, relation, "xy".index(axis)))
    return toleranced(rng, body, max(needed)) if needed else None


def astray(boxes: list[Box], relation: str, along: int) -> float:
    """By how much a group is off, as a share of the mean size or distance."""
    if relation == "aligned":
        across = [b.centre[1 - along] for b in boxes]
        size = sum((b.width, b.height)[1 - along] for b in boxes) / len(boxes)
        return (max(across) - min(across)) / size
    gaps = [b - a for a, b in pairwise(sorted(b.centre[along] for b in boxes))]
    mean = sum(gaps) / len(gaps)
    return max(abs(g - mean) for g in gaps) / mean if mean > 1 else 100.0


def in_order(truth: Truth, body: Body, names: list[str], along: int, frames: Frames) -> Body | None:
    """Names sorted by where they begin, if none begins before the last one ends."""
    spans = {name: [i.box.centre[along] for i in truth.things(name)] for name in names}
    ordered = sorted(names, key=lambda name: min(spans[name]))
    apart = all(max(spans[a]) + 1 < min(spans[b]) for a, b in pairwise(ordered))
    return {"layout": body | {"subject": ordered}} if len(names) > 1 and apart and frames is WHOLE else None


def measure(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """Any kind; of the photo, of a place, in pixels or in millimetres."""
    size = rng.choice(KINDS)
    one, other = rng.choice(truth.here()), rng.choice(truth.here())
    if size not in ("distance", "angle"):
        one, other = rng.choice(truth.present()), ""
    if {one, other} <= truth.regions.keys():
        return None
    if size == "fill":
        one = "gel" if truth.things("gel") and rng.random() < 0.6 else one
    body: Body = {size: [one, other] if other else one}
    alone = [name for name in truth.here() if len(truth.places(name)) == 1 and name != one]
    if size == "fill" and one != "gel":
        body["relative_to"] = rng.choice(truth.here())
    elif size not in ("fill", "angle", "aspect") and alone and frames is WHOLE and rng.random() < 0.5:
        body["relative_to"] = rng.choice(alone)
    elif size in ("height", "width", "length", "distance") and rng.random() < 0.5:
        body["unit"] = rng.choice(("px", "mm"))
    values = [value for frame in frames for value in measured(truth, body, size, frame)]
    if not values or (size != "angle" and max(values) <= 0):
        return None
    return {"measure": body | (turned(rng, values) if size == "angle" else interval(rng, values))}


def interval(rng: random.Random, values: list[float]) -> Body:
    """Limits around all values."""
    margin = max(values) * rng.uniform(0.05, 0.2)
    low, high = min(values) - margin, max(values) + margin
    way = rng.randrange(3)
    if way == 0 and low > 0:
        return {"at_least": low}
    return {"at_most": high} if way == 1 else {"between": [low, high]}


def turned(rng: random.Random, values: list[float]) -> Body:
    """Limits around all directions; no more than the better part of a turn."""
    first, margin = values[0], rng.uniform(10, 40)
    off = [(value - first + 180) % 360 - 180 for value in values]
    low, high = first + min(off) - margin, first + max(off) + margin
    return {"between": [low, min(high, low + 359)]}


def measured(truth: Truth, body: Body, size: str, frame: Box | None) -> list[float]:
    """Every value in the frame; none if it is not clear what is nearest."""
    if size in ("distance", "angle"):
        ones, others = (truth.places(name, frame) for name in body[size])
        ranked = [
            sorted((o for o in others if o is not one), key=lambda o: math.dist(one.centre, o.centre)) for one in ones
        ]
        gaps = [
            abs(math.dist(one.centre, a.centre) - math.dist(one.centre, b.centre))
            for one, (a, b, *_) in ((one, rest) for one, rest in zip(ones, ranked, strict=True) if len(rest) > 1)
        ]
        if size == "angle" and min(gaps, default=1.0) < 1e-6:
            return []
        pairs = [(one, rest[0]) for one, rest in zip(ones, ranked, strict=True) if rest]
        return [between(size, one, nearest) / unit(truth, body, size) for one, nearest in pairs]
    boxes = [i.box for i in truth.things(body[size], frame)]
    if size == "fill":
        places = truth.places(body.get("relative_to", "jar"), frame)
        return [sum(box.intersection(place) for box in boxes) / place.area for place in places] if boxes else []
    return [sized(size, box) / unit(truth, body, size) for box in boxes]


def orientation(rng: random.Random, truth: Truth, frames: Frames) -> Body | None:
    """The angles that are there, of their own or to another component; symmetric or not."""
    of = rng.choice(truth.present())
    others = [name for name in truth.present() if len(truth.things(name)) == 1 and kind(name) != kind(of)]
    carrier = rng.choice(others) if others and rng.random() < 0.3 else None
    base = truth.things(carrier)[0].angle if carrier else 0.0
    angles = sorted({(i.angle - base) % 360 for i in truth.things(of)})
    if len(angles) > 2:
        return None
    body: Body = {"of": of, "tolerance": rng.choice((5, 10, 20, 40)), **({"relative_to": carrier} if carrier else {})}
    if angles != [0.0] or rng.random() < 0.4:
        body["is"] = angles if len(angles) > 1 else angles[0]
    return {"orientation": body | rng.choice(({}, {}, {"symmetry": 180}, {"symmetry": 90}))}


def between(size: str, one: Box, other: Box) -> float:
    """How far, or in which direction."""
    (x1, y1), (x2, y2) = one.centre, other.centre
    return math.dist((x1, y1), (x2, y2)) if size == "distance" else math.degrees(math.atan2(y1 - y2, x2 - x1))


def unit(truth: Truth, body: Body, size: str) -> float:
    """What is 1."""
    if "unit" in body:
        return 1.0 if body["unit"] == "px" else PX_PER_MM
    if size in ("angle", "aspect"):
        return 1.0
    photo = Box(0, 0, truth.scene.width, truth.scene.height)
    return sized(size, truth.places(body["relative_to"])[0] if "relative_to" in body else photo)


def sized(size: str, box: Box) -> float:
    """The size of a box."""
    sizes = {
        "height": box.height, "width": box.width, "area": box.width * box.height, "aspect": box.width / box.height,
    }  # fmt: skip
    return sizes.get(size, math.hypot(box.width, box.height))
