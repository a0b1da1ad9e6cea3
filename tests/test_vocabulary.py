"""Names and docstrings are in the field's language: counted over the whole package, with a limit for each count."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import logicls

PACKAGE = Path(logicls.__file__).parent
WORDS = """
told said saying came some lit seen heard asked shown known begun kept gone taken laid whole aside wanted drawn given
light lights glowing chance chances odds chart charts gaze glimpse climb climbed slope sight sights look looks looked
closely twin twins aim usual unlike world worlds deck flight listener desk gatherer deaf stirred heal healed picture
pictures fate grounds settle settled tally worth otherwise plugged sketch worn tries fresh
"""
DIALECT = frozenset(WORDS.split())
"""Words of a private dialect, which no reader would search for; the field has a term for each."""
FRAGMENT = re.compile(
    r"(Of|What|That|Those|Where|How|Whether|Who|Whose|Which|When|Why|As|In|All|So|None|Nothing|The same|The others?|"
    r"By|Beside|From|With|Without|For|Each|Every|Both|More|Most|Such|Than|It|They|There)\b"
)
"""Beginnings of docstrings that do not stand alone: a docstring opens with an imperative or a noun phrase."""
MAX_DIALECT = 0.005
MAX_FRAGMENTS = 0.02
MAX_MODULES = 300
MAX_LINES = 500
MAX_FUNCTION_LINES = 50


def parse_modules(root: Path) -> dict[Path, ast.Module]:
    """Parse every module below a folder."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}


def split_words(name: str) -> set[str]:
    """Split a name in snake_case or CamelCase into its words."""
    return {word for word in re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_") if word}


def iterate_names(tree: ast.Module) -> Iterator[str]:
    """Yield the name of every class, function and parameter, and of every variable where it is assigned."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.FunctionDef(name=name, args=args) | ast.AsyncFunctionDef(name=name, args=args):
                yield name
                optional = [arg for arg in (args.vararg, args.kwarg) if arg]
                every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *optional]
                yield from (arg.arg for arg in every if arg.arg not in ("self", "cls"))
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def iterate_docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the docstring of the module and of each of its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def find_dialect(trees: dict[Path, ast.Module]) -> list[str]:
    """Name every definition that holds a word of the dialect."""
    return [
        f"{path.name}: {name}"
        for path, tree in trees.items()
        for name in iterate_names(tree)
        if split_words(name) & DIALECT
    ]


def find_fragments(trees: dict[Path, ast.Module]) -> list[str]:
    """Name every docstring that opens with a fragment."""
    return [
        f"{path.name}: {text.splitlines()[0]}"
        for path, tree in trees.items()
        for text in iterate_docstrings(tree)
        if FRAGMENT.match(text)
    ]


def find_duplicate_classes(trees: dict[Path, ast.Module]) -> list[str]:
    """Name every public class that is defined more than once."""
    names = Counter(
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return sorted(name for name, count in names.items() if count > 1)


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """The package, parsed."""
    return parse_modules(PACKAGE)


def test_there_is_something_to_count(trees):
    """The counts below are of a package with thousands of names and docstrings."""
    assert sum(1 for tree in trees.values() for _ in iterate_names(tree)) > 10_000
    assert sum(1 for tree in trees.values() for _ in iterate_docstrings(tree)) > 1_000


def test_names_are_the_fields(trees):
    """Of all names and parameters at most 0.5 % hold a word of the dialect."""
    total = sum(1 for tree in trees.values() for _ in iterate_names(tree))

    assert (found := find_dialect(trees)) == found[: int(MAX_DIALECT * total)], f"{len(found)} of {total}"


def test_docstrings_stand_alone(trees):
    """Of all docstrings at most 2 % open with a fragment."""
    total = sum(1 for tree in trees.values() for _ in iterate_docstrings(tree))

    assert (found := find_fragments(trees)) == found[: int(MAX_FRAGMENTS * total)], f"{len(found)} of {total}"


def test_no_class_name_twice(trees):
    """A public class name is defined once in the package."""
    assert find_duplicate_classes(trees) == []


def test_modules_are_few_and_short(trees):
    """There are at most 270 modules, none of them longer than 500 lines."""
    lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in trees}

    assert len(trees) <= MAX_MODULES
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_functions_are_short(trees):
    """No function has more than 50 lines without its docstring, and nine of ten have at most 30."""
    lengths = sorted(
        node.end_lineno - node.lineno + 1 - len((ast.get_docstring(node, clean=False) or "").splitlines())
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )

    assert lengths[-1] <= MAX_FUNCTION_LINES
    assert lengths[int(0.9 * len(lengths))] <= 30


DIALECT_FIXTURE = '''
"""What a photo shows."""


class Seen:
    """Of what is there."""

    def told(self, heard, kept=None):
        """Those that were asked."""
        looked_at = heard
        return looked_at


class Seen:
    """Return the same class again."""
'''


def test_the_counts_can_fail(tmp_path):
    """A module in the dialect is counted: names, parameters, variables, fragments, a class that is defined twice."""
    (tmp_path / "module.py").write_text(DIALECT_FIXTURE)

    trees = parse_modules(tmp_path)

    assert sorted(name.split(": ")[1] for name in find_dialect(trees)) == [
        "Seen", "Seen", "heard", "kept", "looked_at", "told",
    ]  # fmt: skip
    assert [name.split(": ")[1] for name in find_fragments(trees)] == [
        "What a photo shows.", "Of what is there.", "Those that were asked.",
    ]  # fmt: skip
    assert find_duplicate_classes(trees) == ["Seen"]
