"""The JSON Schema takes what the loader takes, refuses what it refuses, and says what the README says."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from logicls.constraints.spec.json_schema import DRAFT, EXAMPLE, build_schema
from logicls.constraints.spec.loader import allowed_keys, validate_tree
from logicls.constraints.spec.models import Spec, registered_families
from logicls.constraints.spec.yaml_reader import Tree, read_yaml
from logicls.diagnostics.codes import catalogue
from logicls.errors import SpecError
from logicls.io.resources import resource_path

SCHEMA = build_schema()
VALIDATOR = Draft7Validator(SCHEMA)
README = Path(__file__).parents[3] / "docs" / "constraint-language.md"
SPECS = sorted(resource_path("constraints").glob("*.yaml"))
VALUES = {"px", "mm", "x", "y"}
"""Words in the README's column of keys that are values."""


def faults(value: object) -> list[str]:
    """What the schema has against a spec, by path."""
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in VALIDATOR.iter_errors(value)]


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The schema's example with another value at the path; without the key for None."""
    spec = copy.deepcopy(dict(EXAMPLE))
    there: Any = spec
    for part in path[:-1]:
        there = there[part]
    if value is None:
        del there[path[-1]]
    else:
        there[path[-1]] = value
    return spec


def keys(node: dict[str, Any]) -> dict[str, Any]:
    """The keys of a mapping that the schema describes, references and choices followed."""
    if "$ref" in node:
        return keys(SCHEMA["definitions"][node["$ref"].rpartition("/")[2]])
    inner = [keys(part) for word in ("allOf", "anyOf", "oneOf") for part in node.get(word, [])]
    return {key: value for found in (*inner, node.get("properties", {})) for key, value in found.items()}


def items(node: dict[str, Any]) -> dict[str, Any]:
    """What the values of a mapping, or of a list, are."""
    (inner,) = node.get("patternProperties", {}).values() or [node.get("items", node.get("additionalProperties"))]
    return inner


def in_schema() -> Iterator[str]:
    """Everything that may be written, as `place key`."""
    top = keys(SCHEMA)
    constraint = keys(items(top["constraints"]))
    yield from top
    yield from (f"product {key}" for key in keys(top["product"]))
    for place, plural in (("component", "components"), ("region", "regions"), ("variant", "variants")):
        yield from (f"{place} {key}" for key in (keys(items(top[plural])) if plural in top else ()))
    yield from (f"example {key}" for key in keys(items(top["examples"])))
    yield from (f"constraint {key}" for key in constraint)
    for rule in {family.key for family in registered_families()} & set(constraint) - {"all", "any", "not"}:
        yield from (f"{rule} {key}" for key in keys(constraint[rule]))
    yield from (f"relation {name}" for name in keys(constraint["layout"])["relation"]["enum"])


def tables(text: str) -> dict[str, list[list[str]]]:
    """First cell of the head → the rows of each of the page's tables, cells as they stand."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in block.splitlines()]
        found[" ".join(head[:2])] = rows
    return found


def words(cell: str) -> list[str]:
    """The keys in a cell: `key`, `key:` or `key: value`."""
    found = (re.fullmatch(r"(\w+)(:.*)?", code) for code in re.findall(r"`([^`]+)`", cell))
    return [match[1] for match in found if match and match[1] not in VALUES]


def in_readme(text: str) -> Iterator[str]:
    """Everything that the page says may be written, as `place key`."""
    found = tables(text)
    block = re.search(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    spec: Any = read_yaml(Path("page.yaml"), block[1]).value
    yield from spec
    yield from (f"product {key}" for key in spec["product"])
    yield from (f"product {key}" for key in re.findall(r"`product:\s+\{(\w+):", text))
    for place, plural in (("region", "regions"), ("variant", "variants")):
        yield from (f"{place} {key}" for entry in spec[plural].values() for key in entry)
    yield from (f"example {key}" for entry in spec["examples"] for key in entry)
    yield from (f"component {word}" for row in found["component key meaning"] for word in words(row[0]))
    for row in [*found["rule meaning"], *found["constraint key meaning"]]:
        yield from (f"constraint {word}" for word in words(row[0]))
    for row in found["rule meaning"]:
        yield from (f"{words(row[0])[0]} {word}" for word in words(row[2]))
    yield from (f"relation {word}" for row in found["relation meaning"] for word in words(row[0]))


def test_it_is_a_schema_of_draft_07():
    """By its own description, and nothing of a later draft is in it."""
    Draft7Validator.check_schema(SCHEMA)

    text = str(SCHEMA)
    assert SCHEMA["$schema"] == DRAFT
    assert [word for word in ("$defs", "prefixItems", "'null'", "in_'") if word in text] == []
    assert SCHEMA["title"] == "LogiCls spec"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_specs_that_ship_are_valid(path):
    """The schema takes what the loader takes."""
    assert faults(read_yaml(path).value) == []


def test_specs_ship():
    """The test above walks something."""
    assert {"dosing_kit", "juice_bottle"} <= {path.stem for path in SPECS}


def test_its_own_example_is_valid_and_loads():
    """What an editor offers is a spec."""
    assert SCHEMA["examples"] == [EXAMPLE]
    assert faults(EXAMPLE) == []
    assert validate_tree(Spec, Tree(dict(EXAMPLE), {}), "example.yaml").product.name == "box"


RULE = ("constraints", 0)
QUANTITY = (*RULE, "quantity")


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ((*QUANTITY, "exacly"), 4, "constraints/0/quantity: "),
        ((*RULE, "sevrity"), "major", "constraints/0: "),
        (("extra",), 1, ": "),
        ((*QUANTITY, "exactly"), "four", "constraints/0/quantity/exactly: "),
        ((*QUANTITY, "exactly"), True, "constraints/0/quantity/exactly: "),
        ((*QUANTITY, "of"), None, "constraints/0/quantity: "),
        ((*RULE, "id"), 7, "constraints/0/id: "),
        ((*RULE, "id"), None, "constraints/0: "),
        ((*RULE, "severity"), "hgih", "constraints/0/severity: "),
        ((*QUANTITY, "at_most"), 5, "constraints/0/quantity: "),
        ((*QUANTITY, "exactly"), None, "constraints/0/quantity: "),
        ((*RULE, "measure"), {"height": "pin", "at_most": 0.5}, "constraints/0: "),
        ((*RULE, "quantity"), None, "constraints/0: "),
        ((*QUANTITY, "between"), [1], "constraints/0/quantity/between: "),
        ((*QUANTITY, "between"), [1, 2, 3], "constraints/0/quantity/between: "),
        (("components", "a pin"), {}, "components: "),
        (("components",), {}, "components: "),
        (("logicls",), 2, "logicls: "),
        (("product", "version"), 3, "product/version: "),
    ],
)
def test_schema_reports_the_path_of_a_fault(path, value, place):
    """Unknown and missing keys, wrong types, values and combinations: the loader's own list."""
    found = faults(changed(path, value))

    assert found != []
    assert {fault[: len(place)] for fault in found if fault.startswith(place)} == {place}


@given(st.data())
@settings(max_examples=80)
def test_schema_accepts_what_the_loader_accepts(data):
    """Whatever stands at any place of a spec that ships, an editor does not mark what `check` accepts."""
    tree = read_yaml(data.draw(st.sampled_from(SPECS)))
    *path, last = data.draw(st.sampled_from([path for path in tree.positions if path]))
    there: Any = tree.value
    for part in path:
        there = there[part]
    there[last] = data.draw(st.sampled_from([0, 1, 3, -1, 0.5, True, "", "red", "a.b", [], [0.1, 0.2], {}, {"a": 1}]))

    try:
        validate_tree(Spec, tree, "box.yaml")
    except SpecError:
        return
    assert faults(tree.value) == []


def test_keys_that_a_relation_requires():
    """A tolerance where centres are compared with one, an object where there is one."""
    layout = {"subject": "pin", "relation": "centred_in", "object": "pin"}
    rule = {"constraints": [{"id": "a", "layout": layout}]}

    assert faults({**EXAMPLE, **rule}) == ["constraints/0/layout: 'tolerance' is a required property"]
    layout["tolerance"] = 0.1
    assert faults({**EXAMPLE, **rule}) == []


def test_the_catalogue_agrees():
    """Of the catalogue's examples those about the form are refused, and no mended one is."""
    form = ("LC021", "LC022", "LC023", "LC024", "LC025")
    rest = {key: value for key, value in EXAMPLE.items() if key != "examples"}
    texts = {code: (catalogue()[code].example, catalogue()[code].corrected) for code in form}
    found = {
        code: [bool(faults({**rest, **read_yaml(Path("box.yaml"), text).value})) for text in pair]
        for code, pair in texts.items()
    }

    assert found == {code: [True, False] for code in form}


def test_docstrings_are_descriptions():
    """What the models say of a key is what an editor shows of it; no title repeats its name."""
    described = [
        key for d in SCHEMA["definitions"].values() for key in d["properties"].values() if "description" in key
    ]

    assert (
        keys(items(keys(SCHEMA)["components"]))["optional"]["description"]
        == "True if good photos may lack the component."
    )
    assert len(described) > 10
    assert [key for d in SCHEMA["definitions"].values() for key in d["properties"].values() if "title" in key] == []


@pytest.mark.checkout
def test_the_documentation_lists_all_keys():
    """Every rule, key, relation and measure of its tables is in the schema, and the other way round."""
    named, known = set(in_readme(README.read_text(encoding="utf-8"))), set(in_schema())

    assert {"quantity exactly", "relation centred_in", "measure height", "constraint unless_broken"} <= named & known
    assert named - known == set()
    assert known - named == set()


@pytest.mark.checkout
def test_a_key_that_the_documentation_lacks_is_detected():
    """The check above can fail, in either direction."""
    text = README.read_text(encoding="utf-8")

    assert "quantity exactly" not in set(in_readme(text.replace("`exactly: 2`", "")))
    assert "relation bove" in set(in_readme(text.replace("`above`", "`bove`", 1)))


@pytest.mark.parametrize("path", [(), ("product",), ("constraints", 0), ("constraints", 0, "quantity")])
def test_schema_and_loader_allow_the_same_keys(path):
    """The schema's keys are those that "did you mean" is drawn from."""
    node = SCHEMA
    for part in path:
        node = items(node) if isinstance(part, int) else keys(node)[part]

    assert set(keys(node)) == allowed_keys(Spec, path)
