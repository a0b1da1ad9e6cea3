"""What the schema of a spec cannot see: names that mean nothing, and what stands twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from logicls.constraints.families.attribute import Attribute
from logicls.constraints.families.connection import Connection
from logicls.constraints.families.logical import AllOf, AnyOf, Not
from logicls.constraints.families.match import Match
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.protocol import Family, Reference
from logicls.constraints.families.quantity import Quantity
from logicls.constraints.spec.models import Spec
from logicls.errors import suggest_name

Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """Something wrong with a spec."""

    path: Path
    """Keys from the top of the file to where it is."""
    message: str
    advice: str
    code: str


def find_faults(spec: Spec) -> list[Fault]:
    """Every name that does not resolve, and repeats."""
    return [
        *_check_declarations(spec),
        *_check_duplicates(spec),
        *_check_constraints(spec),
        *_check_cycles(spec),
        *_check_examples(spec),
    ]


def walk_rules(rule: Family, path: Path) -> Iterator[tuple[Path, Family]]:
    """The rule and those that it is made of, with the key path of each body."""
    yield path, rule
    if isinstance(rule, AllOf | AnyOf):
        for position, (key, inner) in enumerate(rule.members):
            yield from walk_rules(inner, (*path, position, key))
    elif isinstance(rule, Not):
        yield from walk_rules(rule.member[1], (*path, rule.member[0]))


def _check_declarations(spec: Spec) -> Iterator[Fault]:
    for name, component in spec.components.items():
        for attribute, values in component.attributes.items():
            if "none" in values:
                message = f'"none" cannot be a value of {name}.{attribute}: it is the answer where there is nothing'
                yield Fault(("components", name, "attributes", attribute), message, "Call it otherwise.", "LC033")
        for key in ("fills", "leaves"):
            other = getattr(component, key)
            if other is not None and other not in spec.components:
                yield _unknown_name(("components", name, key), "component", other, spec.components)
    for name, region in spec.regions.items():
        if region.of is not None and region.of not in spec.components:
            yield _unknown_name(("regions", name, "of"), "component", region.of, spec.components)
    kinds = dict.fromkeys(spec.components, "component")
    for kind, names in (("variant", list(spec.variants)), ("region", list(spec.regions))):
        for name in names:
            if name in kinds:
                message = f'{kind} "{name}" has the name of a {kinds[name]}'
                yield Fault((f"{kind}s", name), message, "Rename one of them.", "LC032")
            kinds.setdefault(name, kind)
    for name, variant in spec.variants.items():
        yield from _check_variant(spec, name, variant.of, variant.with_)


def _check_variant(spec: Spec, name: str, of: str, required: Mapping[str, str | list[str]]) -> Iterator[Fault]:
    base: Path = ("variants", name)
    if of in spec.variants:
        message = f'variant "{name}" is of "{of}", which is itself a variant'
        yield Fault((*base, "of"), message, "Name the component, and all its attributes under with.", "LC034")
    elif of not in spec.components:
        yield _unknown_name((*base, "of"), "component", of, spec.components)
    else:
        for attribute, values in required.items():
            yield from _check_attribute(spec, (*base, "with", attribute), of, attribute, values)


def _check_attribute(spec: Spec, path: Path, name: str, attribute: str, values: str | Iterable[str]) -> Iterator[Fault]:
    """An attribute or a value that the thing does not have; nothing for a thing that does not exist."""
    component = spec.components.get(spec.vocabulary.component(name))
    if component is None:
        return
    declared = component.attributes.get(attribute)
    if declared is None:
        yield _unknown_name(path, f'attribute of "{name}":', attribute, component.attributes)
        return
    for value in [values] if isinstance(values, str) else values:
        if value not in declared:
            yield _unknown_name(path, f"value of {name}.{attribute}:", value, declared)


def _check_duplicates(spec: Spec) -> Iterator[Fault]:
    first_index: dict[str, int] = {}
    for index, constraint in enumerate(spec.constraints):
        if constraint.id in first_index:
            message = f'constraint id "{constraint.id}" is already that of constraint {first_index[constraint.id] + 1}'
            yield Fault(("constraints", index, "id"), message, "Give every constraint its own id.", "LC031")
        first_index.setdefault(constraint.id, index)


def _check_constraints(spec: Spec) -> Iterator[Fault]:
    ids = [c.id for c in spec.constraints]
    for index, constraint in enumerate(spec.constraints):
        base: Path = ("constraints", index)
        for reference in constraint.references():
            yield from _check_reference(spec, (*base, *reference.path), reference)
        bodies = list(walk_rules(constraint.rule, (*base, constraint.family)))
        if constraint.when is not None:
            bodies += walk_rules(constraint.when.rule, (*base, "when", constraint.when.family))
        for path, rule in bodies:
            yield from _check_rule(spec, path, rule)
        others = [name for name in ids if name != constraint.id]
        for position, other in enumerate(constraint.unless_broken):
            if other not in others:
                yield _unknown_name((*base, "unless_broken", position), "constraint", other, others)


def _check_cycles(spec: Spec) -> Iterator[Fault]:
    """Constraints that stop one another in a circle: all of them broken, none would say so."""
    stoppers = {c.id: c.unless_broken for c in spec.constraints}
    for index, constraint in enumerate(spec.constraints):
        reached = list(constraint.unless_broken)
        for other in reached:
            reached += [name for name in stoppers.get(other, []) if name not in reached]
        if constraint.id in reached and constraint.id not in constraint.unless_broken:
            message = f"'{constraint.id}' is stopped by what it stops itself: both broken, neither would say so"
            yield Fault(("constraints", index, "unless_broken"), message, "Remove one of the two.", "LC037")


def _check_reference(spec: Spec, path: Path, reference: Reference) -> Iterator[Fault]:
    name, _, attribute = reference.name.partition(".") if reference.role == "attribute" else (reference.name, "", "")
    components = {**spec.components, **spec.variants}
    locations = {**components, **spec.regions} if reference.role == "place" else components
    if name not in locations:
        yield _unknown_name(path, "place" if reference.role == "place" else "component", name, locations)
    elif attribute:
        yield from _check_attribute(spec, path, name, attribute, ())


def _check_rule(spec: Spec, path: Path, rule: Family) -> Iterator[Fault]:
    """What is wrong with the values, and what is missing elsewhere in the spec."""
    match rule:
        case Quantity():
            for attribute, values in rule.with_.items():
                if attribute in _declared_attributes(spec, str(rule.of)):
                    yield from _check_attribute(spec, (*path, "with", attribute), str(rule.of), attribute, values)
        case Match():
            for left in rule.pairs:
                yield from _check_values(spec, (*path, "pairs", left), rule.left, (left,))
                yield from _check_values(spec, (*path, "pairs", left), rule.right, rule.allowed_values(left))
        case Attribute():
            yield from _check_values(
                spec, (*path, "is" if rule.is_ is not None else "is_not"), rule.of, rule.listed_values
            )
        case Connection() if isinstance(rule.slots, str):
            yield from _check_slot_values(spec, (*path, "slots"), rule.slots)
        case Measure():
            yield from _check_measure(spec, path, rule)
        case _:
            return


def _declared_attributes(spec: Spec, name: str) -> Mapping[str, Any]:
    component = spec.components.get(spec.vocabulary.component(name))
    return component.attributes if component else {}


def _check_values(spec: Spec, path: Path, attribute_path: str, values: Iterable[str]) -> Iterator[Fault]:
    name, attribute = attribute_path.split(".")
    if attribute in _declared_attributes(spec, name):
        yield from _check_attribute(spec, path, name, attribute, values)


def _check_slot_values(spec: Spec, path: Path, attribute_path: str) -> Iterator[Fault]:
    name, attribute = attribute_path.split(".")
    wrong = [
        value
        for value in _declared_attributes(spec, name).get(attribute, [])
        if not value.isdecimal() or not int(value)
    ]
    if wrong:
        message = f'{attribute_path} tells how many slots there are, but may be "{wrong[0]}"'
        yield Fault(path, message, 'Its values must be numbers in quotes: ["2", "3"].', "LC036")


def _check_measure(spec: Spec, path: Path, rule: Measure) -> Iterator[Fault]:
    if rule.unit == "mm" and spec.product.px_per_mm is None:
        message = "unit: mm needs to know how large the product is on the photo"
        yield Fault((*path, "unit"), message, "Write px_per_mm under product.", "LC035")
    component = spec.vocabulary.component(rule.of)
    if (
        rule.kind == "fill"
        and not rule.relative_to
        and component in spec.components
        and not spec.vocabulary.fills.get(component)
    ):
        message = f'"{rule.of}" fills nothing'
        yield Fault((*path, "fill"), message, "Write relative_to here, or fills under its component.", "LC035")


def _check_examples(spec: Spec) -> Iterator[Fault]:
    for index, example in enumerate(spec.examples):
        base: Path = ("examples", index)
        for name, body in example.scene.items():
            if name not in spec.components:
                yield _unknown_name((*base, "scene", name), "component", name, spec.components)
            else:
                yield from _check_scene_entry(spec, (*base, "scene", name), name, body)
        for position, name in enumerate(example.breaks):
            if name not in spec.violations:
                yield _unknown_name((*base, "breaks", position), "violation", name, spec.violations)


def _check_scene_entry(spec: Spec, path: Path, name: str, body: object) -> Iterator[Fault]:
    """A component of a scene in short: a number, its facts, or a list of them."""
    if isinstance(body, list) and not any(isinstance(item, list) for item in body):
        for position, item in enumerate(body):
            yield from _check_scene_entry(spec, (*path, position), name, item)
    elif isinstance(body, Mapping):
        for key, value in body.items():
            yield from _check_scene_fact(spec, (*path, key), name, str(key), value)
    elif not _is_count(body):
        advice = "Write how many there are, or a mapping of attributes, count, box or boxes."
        yield Fault(path, f'"{name}" in the scene is {body!r}', advice, "LC025")


def _check_scene_fact(spec: Spec, path: Path, name: str, key: str, value: object) -> Iterator[Fault]:
    if key == "count":
        if not _is_count(value):
            yield Fault(path, f"count is {value!r}", "Write a whole number, 0 to 999.", "LC025")
    elif key in ("box", "boxes"):
        boxes = value if key == "boxes" and isinstance(value, list) else [value]
        if not all(_is_box(box) for box in boxes):
            yield Fault(path, f"{key} is not [left, top, right, bottom]", "Write fractions of the photo.", "LC025")
    elif value == []:
        yield Fault(path, f"{key} is an empty list", "Write a value, or a value for each.", "LC025")
    else:
        values = value if isinstance(value, list) else [value]
        yield from _check_attribute(spec, path, name, key, [str(item) for item in values])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 999


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    numbers = all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in box)
    return numbers and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1


def _unknown_name(path: Path, kind: str, name: str, declared: Iterable[str]) -> Fault:
    return Fault(path, f'unknown {kind} "{name}"', suggest_name(name, declared), "LC030")
