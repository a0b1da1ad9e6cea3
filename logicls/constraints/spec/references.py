"""Semantic checks of a spec: undeclared names, duplicates, cycles and invalid values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from logicls.constraints.families.protocol import Fault, check_values, unknown_name, walk_rules
from logicls.constraints.families.queries import Path, Reference
from logicls.constraints.spec.models import Spec


def find_faults(spec: Spec) -> list[Fault]:
    """Return all semantic faults of a spec."""
    return [
        *_check_declarations(spec),
        *_check_duplicates(spec),
        *_check_constraints(spec),
        *_check_cycles(spec),
        *_check_examples(spec),
    ]


def _check_declarations(spec: Spec) -> Iterator[Fault]:
    for name, component in spec.components.items():
        for attribute, values in component.attributes.items():
            if "none" in values:
                message = f'"none" cannot be a value of {name}.{attribute}: it means that there is no instance'
                yield Fault(("components", name, "attributes", attribute), message, "Use another name.", "LC033")
        for key in ("fills", "leaves"):
            other = getattr(component, key)
            if other is not None and other not in spec.components:
                yield unknown_name(("components", name, key), "component", other, spec.components)
    for name, region in spec.regions.items():
        if region.of is not None and region.of not in spec.components:
            yield unknown_name(("regions", name, "of"), "component", region.of, spec.components)
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
        yield unknown_name((*base, "of"), "component", of, spec.components)
    else:
        for attribute, values in required.items():
            yield from _check_attribute(spec, (*base, "with", attribute), of, attribute, values)


def _check_attribute(spec: Spec, path: Path, name: str, attribute: str, values: str | Iterable[str]) -> Iterator[Fault]:
    """Yield faults for an undeclared attribute or value; nothing for an undeclared component."""
    component = spec.components.get(spec.vocabulary.component(name))
    if component is None:
        return
    if attribute not in component.attributes:
        yield unknown_name(path, f'attribute of "{name}":', attribute, component.attributes)
    else:
        yield from check_values(spec.vocabulary, path, f"{name}.{attribute}", values)


def _check_duplicates(spec: Spec) -> Iterator[Fault]:
    first_index: dict[str, int] = {}
    for index, constraint in enumerate(spec.constraints):
        if constraint.id in first_index:
            message = f'constraint id "{constraint.id}" is already used by constraint {first_index[constraint.id] + 1}'
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
            for fault in rule.check_references(spec.vocabulary):
                yield fault._replace(path=(*path, *fault.path))
        others = [name for name in ids if name != constraint.id]
        for position, other in enumerate(constraint.unless_broken):
            if other not in others:
                yield unknown_name((*base, "unless_broken", position), "constraint", other, others)


def _check_cycles(spec: Spec) -> Iterator[Fault]:
    """Yield constraints that suppress one another in a cycle: if all of them are broken, none is reported."""
    stoppers = {c.id: c.unless_broken for c in spec.constraints}
    for index, constraint in enumerate(spec.constraints):
        reached = list(constraint.unless_broken)
        for other in reached:
            reached += [name for name in stoppers.get(other, []) if name not in reached]
        if constraint.id in reached and constraint.id not in constraint.unless_broken:
            message = f"'{constraint.id}' and the rules in unless_broken suppress each other: none is reported"
            yield Fault(("constraints", index, "unless_broken"), message, "Remove one of the two.", "LC037")


def _check_reference(spec: Spec, path: Path, reference: Reference) -> Iterator[Fault]:
    name, _, attribute = reference.name.partition(".") if reference.role == "attribute" else (reference.name, "", "")
    components = {**spec.components, **spec.variants}
    locations = {**components, **spec.regions} if reference.role == "location" else components
    if name not in locations:
        yield unknown_name(
            path, "component or region" if reference.role == "location" else "component", name, locations
        )
    elif attribute:
        yield from _check_attribute(spec, path, name, attribute, ())


def _check_examples(spec: Spec) -> Iterator[Fault]:
    for index, example in enumerate(spec.examples):
        base: Path = ("examples", index)
        for name, body in example.scene.items():
            if name not in spec.components:
                yield unknown_name((*base, "scene", name), "component", name, spec.components)
            else:
                yield from _check_scene_entry(spec, (*base, "scene", name), name, body)
        for position, name in enumerate(example.breaks):
            if name not in spec.violations:
                yield unknown_name((*base, "breaks", position), "violation", name, spec.violations)


def _check_scene_entry(spec: Spec, path: Path, name: str, body: object) -> Iterator[Fault]:
    """Check one component of an example scene: a number, its properties, or a list of them."""
    if isinstance(body, list) and not any(isinstance(item, list) for item in body):
        for position, item in enumerate(body):
            yield from _check_scene_entry(spec, (*path, position), name, item)
    elif isinstance(body, Mapping):
        for key, value in body.items():
            yield from _check_scene_fact(spec, (*path, key), name, str(key), value)
    elif not _is_count(body):
        advice = "Write how many there are, or a mapping of attributes, count, box, boxes or angle."
        yield Fault(path, f'"{name}" in the scene is {body!r}', advice, "LC025")


def _check_scene_fact(spec: Spec, path: Path, name: str, key: str, value: object) -> Iterator[Fault]:
    if key == "count":
        if not _is_count(value):
            yield Fault(path, f"count is {value!r}", "Write a whole number, 0 to 999.", "LC025")
    elif key in ("box", "boxes"):
        boxes = value if key == "boxes" and isinstance(value, list) else [value]
        if not all(_is_box(box) for box in boxes):
            yield Fault(path, f"{key} is not [left, top, right, bottom]", "Write fractions of the photo.", "LC025")
    elif key == "angle" and key not in spec.attribute_values.get(name, {}):
        angles = value if isinstance(value, list) else [value]
        if not angles or not all(isinstance(a, int | float) and not isinstance(a, bool) for a in angles):
            yield Fault(path, f"angle is {value!r}", "Write degrees, counterclockwise.", "LC025")
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
