"""Loads a spec, and says of everything that is wrong in it where that stands and what to do."""

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
"""Path to a value, and the path at which a step was first skipped; None where every step was taken."""

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
_TYPE_ERRORS = {f"{kind}_{suffix}": said for kind, said in _TYPE_NAMES.items() for suffix in ("type", "parsing")} | {
    "int_from_float": "a whole number",
    "model_attributes_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    """One of pydantic's errors, found in the tree."""

    error: ErrorDetails
    path: TreePath
    """Where it is; ends with the absent key for `missing`."""
    union: TreePath | None
    """The value that none of a union's branches took; None outside of unions."""


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A spec with the places of everything in its file."""

    spec: Spec
    tree: Tree
    file: str

    def make_problem(self, code: str, message: str, path: TreePath, advice: str = "") -> Problem:
        """A problem with what stands at `path`."""
        return Problem(code, _to_sentence(message), self.file, *self.tree.position(path), advice)


def load_spec(path: Path) -> Spec:
    """Read and check a spec.

    Raises:
        SpecError: With every problem found, by line: LC001 to LC013 where it is not strict YAML, LC020 to LC025 where
            it is not a spec, and the codes of `logicls.constraints.spec.models.problems`.
    """
    return load_spec_file(path).spec


def load_spec_file(path: Path) -> SpecFile:
    """The spec together with where everything stands. Raises as `load_spec` does."""
    # The models take longer to import than a broken file takes to be refused.
    tree = read_yaml(path)
    resolve = importlib.import_module("logicls.constraints.spec.references")
    spec_file = SpecFile(validate_tree(resolve.Spec, tree, relative_path(path)), tree, relative_path(path))
    problems = [
        spec_file.make_problem(code, message, where, advice)
        for where, message, advice, code in resolve.find_faults(spec_file.spec)
    ]
    if problems:
        raise SpecError(_sort_by_line(problems))
    return spec_file


def validate_tree(model: type[M], tree: Tree, file: str) -> M:
    """The tree as `model`; numbers in quotes are text, and `true` is not 1.

    Raises:
        SpecError: With every problem, by line.
    """
    if not isinstance(tree.value, dict):
        complaint = "is empty." if tree.value is None else "is not a mapping of keys to values."
        raise SpecError(Problem("LC020", complaint, file, *tree.position(()), "Start with `logicls: 1`."))
    try:
        # By way of JSON: pydantic's strict mode takes lists for tuples only there.
        return model.model_validate_json(json.dumps(tree.value), strict=True)
    except ValidationError as error:
        faults = _collapse([_locate(tree.value, e) for e in error.errors(include_url=False)])
        raise SpecError(
            _sort_by_line([_make_problem(f, expected, model, tree, file) for f, expected in faults])
        ) from error


def format_caret(problem: Problem, text: str) -> str:
    """The line of `text` that the problem is about with a ^ under its column; empty where there is none."""
    lines = text.split("\n")
    if not 1 <= problem.line <= len(lines):
        return ""
    margin = f"{problem.line} | "
    line = lines[problem.line - 1].rstrip("\r")
    # Tabs are kept, so that the terminal moves the ^ as far as the text above it.
    before = "".join("\t" if c == "\t" else " " for c in line[: max(problem.column - 1, 0)])
    return f"{margin}{line}\n{' ' * (len(margin) - 2)}| {before}^"


def _locate(value: object, error: ErrorDetails) -> _Fault:
    """Find pydantic's place in what was written; its own has the names of union branches in between."""
    key = error["loc"][-1:] == ("[key]",)
    loc = error["loc"][:-1] if error["type"] == "missing" or key else error["loc"]
    found = None if key else _walk(value, loc, lambda there: there == error["input"], set())
    path, union = found or _walk(value, loc, lambda there: True, set()) or ((), None)
    if error["type"] == "missing":
        path = (*path, error["loc"][-1])
    return _Fault(error, path, union)


def _walk(
    value: object, loc: TreePath, matches: Callable[[object], bool], visited: set[tuple[int, int]]
) -> _Match | None:
    """The way along `loc` that leads to `goal` and skips as late as it can; None where none does.

    `vain` holds where nothing came of it: in rules of rules the same keys repeat, and the ways double at each of them.
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
    """What stands below `part`: one thing, or none."""
    if isinstance(value, dict):
        return [value[part]] if part in value else []
    return [value[part]] if isinstance(value, list) and isinstance(part, int) and part < len(value) else []


def _collapse(faults: Sequence[_Fault]) -> list[tuple[_Fault, str]]:
    """One fault for each thing written, with the types that would have been right where that is the fault.

    A union's branches each complain. Those that wanted another type are silent if a branch got further.
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
    """What to tell the person who wrote it."""
    error, path = fault.error, fault.path
    code, message, advice = _describe_error(error, path, expected, model, tree.value)
    key = error["type"] == "extra_forbidden" or error["loc"][-1:] == ("[key]",)
    return Problem(code, _to_sentence(message), file, *tree.position(path, key=key), advice)


def _describe_error(
    error: ErrorDetails, path: TreePath, expected: str, model: type[BaseModel], value: object
) -> tuple[str, str, str]:
    """Code, message and advice."""
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
    """The keys that `model` knows at `path`, as they are written in YAML."""
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
    """What may stand below `part` of a value of that type, unions unfolded."""
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
    """The branches of a union, without what is only annotated."""
    if get_origin(annotation) is Annotated:
        return _unfold_union(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [leaf for branch in get_args(annotation) for leaf in _unfold_union(branch)]
    return [annotation]


def _location_text(path: TreePath, value: object) -> str:
    return f"in {_path_text(path, value)}" if path else "at the top level"


def _path_text(path: TreePath, value: object) -> str:
    """What stands at `path`, from the inside out: `between of quantity of 'pins-per-box'`."""
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
    """The id that the constraint was given; empty if it has none."""
    for part in ("constraints", index, "id"):
        value = next(iter(_children(value, part)), None)
    return value if isinstance(value, str) else ""


def _quote_value(value: object) -> str:
    """The value as it was written, in short."""
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
