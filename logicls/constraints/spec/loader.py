"""Loader of specs: reports every fault with its line, its column and advice."""

from __future__ import annotations

import importlib
import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from logicls.constraints.spec.yaml_reader import Tree, TreePath, read_yaml
from logicls.errors import Problem, SpecError, relative_path, suggest_name

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Spec

M = TypeVar("M", bound=BaseModel)
_Match: TypeAlias = "tuple[TreePath, TreePath | None]"
"""Path to a value, and the path at which a step was first skipped; None if no step was skipped."""

_TYPE_NAMES = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
_TYPE_ERRORS = {f"{kind}_{suffix}": text for kind, text in _TYPE_NAMES.items() for suffix in ("type", "parsing")} | {
    "int_from_float": "a whole number",
    "model_attributes_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    """A pydantic error with its path in the YAML tree."""

    error: ErrorDetails
    path: TreePath
    """Path to the value; ends with the absent key for `missing`."""
    union: TreePath | None
    """Path to the value that no branch of a union accepted; None outside of unions."""


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A spec with the positions of all keys and values in its file."""

    spec: Spec
    tree: Tree
    file: str

    def make_problem(self, code: str, message: str, path: TreePath, advice: str = "") -> Problem:
        """Build the problem for the value at `path`."""
        return Problem(code, _to_sentence(message), self.file, *self.tree.position(path), advice)


def load_spec(path: Path) -> Spec:
    """Load and check a spec.

    Raises:
        SpecError: With all problems, sorted by line: LC001 to LC013 if the file is not strict YAML, LC020 to LC025 if
            it is not a spec, LC030 to LC037 for undeclared names and other semantic faults.
    """
    return load_spec_file(path).spec


def load_spec_file(path: Path) -> SpecFile:
    """Load and check a spec with the positions in its file. Raises as `load_spec` does."""
    # A file that is not YAML is reported before the models are imported, which takes longer.
    tree = read_yaml(path)
    references = importlib.import_module("logicls.constraints.spec.references")
    spec_file = SpecFile(validate_tree(references.Spec, tree, relative_path(path)), tree, relative_path(path))
    problems = [
        spec_file.make_problem(code, message, place, advice)
        for place, message, advice, code in references.find_faults(spec_file.spec)
    ]
    if problems:
        raise SpecError(_sort_by_line(problems))
    return spec_file


def validate_tree(model: type[M], tree: Tree, file: str) -> M:
    """Validate a YAML tree as a pydantic model, strictly: numbers in quotes are text, and `true` is not 1.

    Raises:
        SpecError: With all problems, sorted by line.
    """
    if not isinstance(tree.value, dict):
        complaint = "is empty." if tree.value is None else "is not a mapping of keys to values."
        raise SpecError(Problem("LC020", complaint, file, *tree.position(()), "Start with `logicls: 1`."))
    try:
        # In strict mode pydantic accepts lists for tuples only in JSON.
        return model.model_validate_json(json.dumps(tree.value), strict=True)
    except ValidationError as error:
        faults = _collapse([_locate(tree.value, e) for e in error.errors(include_url=False)])
        raise SpecError(
            _sort_by_line([_make_problem(f, expected, model, tree, file) for f, expected in faults])
        ) from error


def format_caret(problem: Problem, text: str) -> str:
    """Return the problem's line of `text` with a ^ under its column; empty if there is no such line."""
    lines = text.split("\n")
    if not 1 <= problem.line <= len(lines):
        return ""
    margin = f"{problem.line} | "
    line = lines[problem.line - 1].rstrip("\r")
    # Tabs are preserved, so that the terminal indents the ^ as far as the text above it.
    before = "".join("\t" if c == "\t" else " " for c in line[: max(problem.column - 1, 0)])
    return f"{margin}{line}\n{' ' * (len(margin) - 2)}| {before}^"


def _locate(value: object, error: ErrorDetails) -> _Fault:
    """Find the path of a pydantic error in the YAML tree; pydantic's own path contains the names of union branches."""
    key = error["loc"][-1:] == ("[key]",)
    loc = error["loc"][:-1] if error["type"] == "missing" or key else error["loc"]
    found = None if key else _walk(value, loc, lambda node: node == error["input"], set())
    path, union = found or _walk(value, loc, lambda node: True, set()) or ((), None)
    if error["type"] == "missing":
        path = (*path, error["loc"][-1])
    return _Fault(error, path, union)


def _walk(
    value: object, loc: TreePath, matches: Callable[[object], bool], visited: set[tuple[int, int]]
) -> _Match | None:
    """Return the path along `loc` to a matching value that skips steps as late as possible; None if there is none.

    `visited` holds dead ends: in nested rules the same keys repeat, and the number of paths doubles at each level.
    """
    if not loc:
        return ((), None) if matches(value) else None
    if (id(value), len(loc)) in visited:
        return None
    for inner in _children(value, loc[0]):
        match = _walk(inner, loc[1:], matches, visited)
        if match is not None:
            return (loc[0], *match[0]), None if match[1] is None else (loc[0], *match[1])
    match = _walk(value, loc[1:], matches, visited)
    if match is None:
        visited.add((id(value), len(loc)))
    return None if match is None else (match[0], ())


def _children(value: object, part: str | int) -> list[object]:
    """Return the value under a key or index in a list; an empty list if there is none."""
    if isinstance(value, dict):
        return [value[part]] if part in value else []
    return [value[part]] if isinstance(value, list) and isinstance(part, int) and part < len(value) else []


def _collapse(faults: Sequence[_Fault]) -> list[tuple[_Fault, str]]:
    """Reduce the faults to one per value, with the expected types for a type error.

    Each branch of a union reports errors; type errors are dropped if another branch got further.
    """
    first_faults: dict[tuple[TreePath, str], _Fault] = {}
    expected_types: dict[tuple[TreePath, str], list[str]] = {}
    further = {f.union for f in faults if f.union is not None and f.error["type"] not in _TYPE_ERRORS}
    for fault in faults:
        expected = _TYPE_ERRORS.get(fault.error["type"])
        if expected and fault.union in further and fault.path == fault.union:
            continue
        at = (fault.path, "type" if expected else fault.error["type"])
        first_faults.setdefault(at, fault)
        if expected and expected not in expected_types.setdefault(at, []):
            expected_types[at].append(expected)
    return [(fault, " or ".join(expected_types.get(at, []))) for at, fault in first_faults.items()]


def _make_problem(fault: _Fault, expected: str, model: type[BaseModel], tree: Tree, file: str) -> Problem:
    """Build the problem for a fault."""
    error, path = fault.error, fault.path
    code, message, advice = _describe_error(error, path, expected, model, tree.value)
    key = error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)
    return Problem(code, _to_sentence(message), file, *tree.position(path, key=key), advice)


def _describe_error(
    error: ErrorDetails, path: TreePath, expected: str, model: type[BaseModel], value: object
) -> tuple[str, str, str]:
    """Return code, message and advice of a pydantic error."""
    value_text, subject = _quote_value(error["input"]), _path_text(path, value)
    match error["type"]:
        case "extra_forbidden":
            allowed = sorted(allowed_keys(model, path[:-1]))
            return (
                "LC021",
                f'unknown key "{path[-1]}" {_location_text(path[:-1], value)}',
                suggest_name(str(path[-1]), allowed),
            )
        case "missing" if isinstance(path[-1], int):
            return "LC022", f"{subject} is missing", ""
        case "missing":
            return "LC022", f'missing key "{path[-1]}" {_location_text(path[:-1], value)}', ""
        case _ if expected:
            quotes = expected == "text" and isinstance(error["input"], int | float)
            return "LC023", f"{subject}: expected {expected}, got {value_text}", "Put it in quotes." if quotes else ""
        case "literal_error" | "enum":
            expected_values = str(error.get("ctx", {}).get("expected", ""))
            words = [word.strip("'") for word in expected_values.replace(" or ", ", ").split(", ")]
            return (
                "LC024",
                f"{subject}: {value_text} is not one of the allowed values",
                suggest_name(str(error["input"]), words),
            )
        case "string_pattern_mismatch":
            return "LC024", f"{subject}: {value_text} is not a name", _name_advice(error)
        case "value_error":
            return "LC025", f"{subject}: {error['msg'].removeprefix('Value error, ')}", ""
        case _:
            _, should, rest = error["msg"].partition(" should ")
            return "LC024", f"{subject}: {value_text} should {rest}" if should else f"{subject}: {error['msg']}", ""


def _name_advice(error: ErrorDetails) -> str:
    if "\\." in str(error.get("ctx", {}).get("pattern", "")):
        return "Write component.attribute."
    return "Use letters, digits, _ and -."


def allowed_keys(model: type[BaseModel], path: TreePath) -> set[str]:
    """Return the keys that are allowed at `path` of a model, as written in YAML."""
    annotations: list[object] = [model]
    for part in path:
        annotations = [inner for annotation in annotations for inner in _child_annotations(annotation, part)]
    return {
        field.alias or name
        for annotation in annotations
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        for name, field in annotation.model_fields.items()
    }


def _child_annotations(annotation: object, part: str | int) -> list[object]:
    """Return the types that a key or index of a value of that type may have, with unions unfolded."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = [f for name, f in annotation.model_fields.items() if part == (f.alias or name)]
        return [branch for field in fields for branch in _unfold_union(field.annotation)]
    origin, args = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type) or not args:
        return []
    if issubclass(origin, Mapping):
        return _unfold_union(args[1])
    if origin is tuple and isinstance(part, int) and Ellipsis not in args:
        return _unfold_union(args[part]) if part < len(args) else []
    return _unfold_union(args[0])


def _unfold_union(annotation: object) -> list[object]:
    """Return the branches of a union, without annotations."""
    if get_origin(annotation) is Annotated:
        return _unfold_union(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [leaf for branch in get_args(annotation) for leaf in _unfold_union(branch)]
    return [annotation]


def _location_text(path: TreePath, value: object) -> str:
    return f"in {_path_text(path, value)}" if path else "at the top level"


def _path_text(path: TreePath, value: object) -> str:
    """Describe a path from the inside out: `between of quantity of 'pins-per-box'`."""
    names: list[str] = []
    start = 0
    if path[:1] == ("constraints",) and len(path) > 1 and isinstance(path[1], int):
        start = 2
        name = _constraint_id(value, path[1])
        short = f"'{name}'" if name else f"constraint {path[1] + 1}"
        names.append(f"constraint {short}" if name and len(path) == 2 else short)
    names += [f"item {part + 1}" if isinstance(part, int) else part for part in path[start:]]
    return " of ".join(reversed(names)) or "the spec"


def _constraint_id(value: object, index: int) -> str:
    """Return the id of a constraint; empty if it has none."""
    for part in ("constraints", index, "id"):
        value = next(iter(_children(value, part)), None)
    return value if isinstance(value, str) else ""


def _quote_value(value: object) -> str:
    """Return the value as written, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _to_sentence(message: str) -> str:
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _sort_by_line(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda p: (p.line, p.column))
