"""The form of answers, as servers are told it: JSON Schema for all of them, regular expressions for lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import assert_never

from logicls import trail
from logicls.models.coordinates import Coordinates, Size
from logicls.records import Subquery


def units_of(coordinates: Coordinates, size: Size) -> Size:
    """How many units the sides of a picture of that (width, height) have, where boxes are numbers of JSON."""
    return (coordinates.bins, coordinates.bins) if coordinates.bins else size


def schema_of(queries: Sequence[Subquery], coordinates: Coordinates, size: Size, most: int) -> Mapping[str, object]:
    """JSON Schema of an object with an answer to every question."""
    edge: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": max(units_of(coordinates, size))}
    if coordinates.bins and coordinates.decimals:
        edge["type"] = "number"
    box = {"type": "array", "items": edge, "minItems": 4, "maxItems": 4}

    def value(query: Subquery) -> Mapping[str, object]:
        match query.kind:
            case "locate":
                return {"type": "array", "items": box, "maxItems": most}
            case "attribute":
                return {"type": "array", "items": {"type": "string", "enum": [*query.options]}, "maxItems": most}
            case "verdict":
                names = {"type": "string", "enum": [*query.options]}
                return {"type": "array", "items": names, "maxItems": len(query.options)}
            case _:
                assert_never(query.kind)

    return {
        "type": "object",
        "properties": {query.id: value(query) for query in queries},
        "required": [query.id for query in queries],
        "additionalProperties": False,
    }


def regex_of(query: Subquery, coordinates: Coordinates, most: int) -> str | None:
    """Every line that answers a question; None where the model's boxes have tokens that are no text."""
    head = rf"\s?{escaped(f'{trail.MARK}{query.id} = ')}"
    match query.kind:
        case "locate":
            if re.search(r"<\||<loc", coordinates.form):
                return None
            some = _repeated(_box(coordinates), escaped(coordinates.between), most)
        case "attribute":
            some = _repeated(f"({'|'.join(map(escaped, query.options))})", ", ", most)
        case "verdict":
            some = _subsets(query.options)
        case _:
            assert_never(query.kind)
    return f"{head}({trail.NONE}|{some})"


def escaped(text: str) -> str:
    """The text as a regular expression, by the signs that every dialect knows."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


def _repeated(one: str, between: str, most: int) -> str:
    return f"{one}({between}{one}){{0,{most - 1}}}"


def _box(coordinates: Coordinates) -> str:
    whole = f"[0-9]{{{coordinates.digits or 1},5}}"
    number = rf"{whole}\.[0-9]{{{coordinates.decimals}}}" if coordinates.decimals else whole
    pieces = re.split(r"\{[xy][12]\}", coordinates.form)
    return number.join(escaped(piece) for piece in pieces)


def _subsets(options: Sequence[str]) -> str:
    """Some of the options, each at most once and in alphabetical order, as the trail names violations."""
    names = [escaped(name) for name in sorted(options)]
    begun = [name + "".join(f"(, {later})?" for later in names[place + 1 :]) for place, name in enumerate(names)]
    return f"({'|'.join(begun)})"
