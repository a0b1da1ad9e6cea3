"""The spec as JSON Schema, so that an editor completes keys and marks slips while one types.

Draft-07, which is what editors' YAML support reads. It is written from the models; docstrings become descriptions.
It is stricter than the loader in one point: a key without a value is refused, because in an editor it is half typed.
What needs more than one place to be told, such as names that resolve, only `logicls check` can say.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from logicls.constraints.spec.models import Spec

DRAFT = "http://json-schema.org/draft-07/schema#"
EXCLUSIVE_KEYS = (
    ("quantity", "layout", "composition", "match", "connection", "attribute", "measure", "all", "any", "not"),
    ("exactly", "at_least", "at_most", "between"),
    ("height", "width", "length", "area", "fill", "distance", "angle"),
    ("required", "one_of", "if", "exclusive"),
    ("is", "is_not", "same"),
)
"""Keys of which exactly one is written, wherever two of them may stand."""
DEPENDENT_KEYS = (("if", "then"), ("then", "if"))
"""Where the first key stands, the second is needed."""
BY_RELATION: tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...] = (
    (("aligned", "evenly_spaced", "in_order"), {"not": {"required": ["object"]}}),
    (("overlaps", "in_order"), {"not": {"required": ["tolerance"]}}),
    (("centred_in", "aligned", "evenly_spaced"), {"required": ["tolerance"]}),
    (
        ("above", "below", "left_of", "right_of", "inside", "centred_in", "at", "overlaps", "touching", "not_touching"),
        {"required": ["object"]},
    ),
)
"""What else is needed, or may not stand, beside some of the relations."""
EXAMPLE: Mapping[str, Any] = {
    "logicls": 1,
    "product": {"name": "box"},
    "components": {"pin": {}},
    "constraints": [
        {
            "id": "four-pins",
            "quantity": {"of": "pin", "exactly": 4},
            "violation": {"below": "missing_pin", "above": "additional_pin"},
        }
    ],
    "examples": [{"scene": {"pin": 3}, "breaks": ["missing_pin"]}],
}


def schema_to_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(build_schema(), indent=2) + "\n"


def build_schema() -> dict[str, Any]:
    """JSON Schema, draft-07, of what a person writes."""
    written = Spec.model_json_schema(schema_generator=_Draft7Generator, ref_template="#/definitions/{model}")
    written |= {"definitions": written.pop("$defs", {}), "examples": [dict(EXAMPLE)]}
    return {"$schema": DRAFT, **written, "title": "LogiCls spec"}


class _Draft7Generator(GenerateJsonSchema):
    """Writes draft-07 where pydantic writes 2020-12, and what the models say only in their validators."""

    schema_dialect = DRAFT

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a key's name in other letters tells nothing."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """What is not written is left out, not null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """No default where there is nothing."""
        written = super().default_schema(schema)
        return {key: value for key, value in written.items() if key != "default" or value not in (None, "", [], {})}

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Draft-07 has a list under `items` for the places of a tuple."""
        written = super().tuple_schema(schema)
        positions = written.pop("prefixItems", None)
        if positions is None:
            return written
        return {**written, "items": positions, "additionalItems": written.get("items", False)}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A key that does not have the pattern is refused."""
        written = super().dict_schema(schema)
        return {**written, "additionalProperties": False} if "patternProperties" in written else written

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """With the fields' docstrings, and which keys go together."""
        written = super().model_schema(schema)
        properties = written.get("properties", {})
        docs = _field_docs(schema["cls"])
        for name, field in schema["cls"].model_fields.items():
            key = field.alias or name
            if key in properties:
                properties[key] = _add_description(properties[key], docs.get(name, ""))
        rules = _key_rules(properties)
        return {**written, "allOf": rules} if rules else written


def _add_description(written: JsonSchemaValue, doc: str) -> JsonSchemaValue:
    """With the docstring; in draft-07 nothing may stand beside a `$ref`."""
    rest = {key: value for key, value in written.items() if key != "$ref"}
    if doc and "description" not in rest:
        rest = {"description": doc, **rest}
    if "$ref" not in written:
        return rest
    return {**rest, "allOf": [{"$ref": written["$ref"]}]} if rest else written


def _key_rules(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Which of these keys go together."""
    rules: list[dict[str, Any]] = []
    for group in EXCLUSIVE_KEYS:
        keys = [key for key in group if key in properties]
        if len(keys) > 1:
            rules.append({"oneOf": [{"required": [key]} for key in keys]})
    rules += [{"dependencies": {a: [b]}} for a, b in DEPENDENT_KEYS if {a, b} <= properties.keys()]
    if "relation" in properties:
        relations_in_schema = properties["relation"].get("enum", [])
        for relations, then in BY_RELATION:
            if applicable := [relation for relation in relations if relation in relations_in_schema]:
                when = {"properties": {"relation": {"enum": applicable}}, "required": ["relation"]}
                rules.append({"if": when, "then": dict(then)})
    return rules


def _field_docs(model: type) -> dict[str, str]:
    """The docstrings under the model's fields, those of its parents too."""
    docs: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            docs |= _docs_in(kind.__module__).get(kind.__name__, {})
    return docs


@cache
def _docs_in(module: str) -> dict[str, dict[str, str]]:
    """Class → field → docstring, of everything in a module. Python itself does not keep them."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _docs_under(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _docs_under(node: ast.ClassDef) -> dict[str, str]:
    docs: dict[str, str] = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            docs[field.target.id] = " ".join(after.value.value.split())
    return docs
