"""JSON Schema of the spec, for completion and validation in editors.

The schema is draft-07, which the YAML support of editors reads, and is generated from the pydantic models; docstrings
become descriptions. In one point it is stricter than the loader: a key without a value is invalid. Checks across the
whole file, such as undeclared names, are made by `logicls check` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from logicls.constraints.spec.models import Spec

DRAFT = "http://json-schema.org/draft-07/schema#"
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
    """Return the schema as the text of a file."""
    return json.dumps(build_schema(), indent=2) + "\n"


def build_schema() -> dict[str, Any]:
    """Build the JSON Schema, draft-07, of a spec file with the registered families."""
    schema = Spec.model_json_schema(schema_generator=_Draft7Generator, ref_template="#/definitions/{model}")
    schema |= {"definitions": schema.pop("$defs", {}), "examples": [dict(EXAMPLE)]}
    return {"$schema": DRAFT, **schema, "title": "LogiCls spec"}


class _Draft7Generator(GenerateJsonSchema):
    """Generator of draft-07 from pydantic's models, which are written for draft 2020-12."""

    schema_dialect = DRAFT

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit titles: they only repeat the keys."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Omit null: a key without a value is left out."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Omit empty defaults."""
        generated = super().default_schema(schema)
        return {key: value for key, value in generated.items() if key != "default" or value not in (None, "", [], {})}

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """List the positions of a tuple under `items`, as in draft-07."""
        generated = super().tuple_schema(schema)
        positions = generated.pop("prefixItems", None)
        if positions is None:
            return generated
        return {**generated, "items": positions, "additionalItems": generated.get("items", False)}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Forbid keys that do not match the pattern."""
        generated = super().dict_schema(schema)
        return {**generated, "additionalProperties": False} if "patternProperties" in generated else generated

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Put references with a description into `allOf`: draft-07 ignores what is beside a `$ref`."""
        generated = super().model_schema(schema)
        properties = generated.get("properties", {})
        for key, field in properties.items():
            properties[key] = _wrap_reference(field)
        return generated


def _wrap_reference(field: JsonSchemaValue) -> JsonSchemaValue:
    rest = {key: value for key, value in field.items() if key != "$ref"}
    if "description" in rest:
        rest["description"] = " ".join(rest["description"].split())
    if "$ref" not in field:
        return rest
    return {**rest, "allOf": [{"$ref": field["$ref"]}]} if rest else field
