"""Strict YAML reader that records the position of every key and value.

It reads PyYAML's events, which carry line and column, and resolves scalars by the YAML 1.2 core schema, not by PyYAML's
1.1: `no`, `on`, `012`, `1:30` and dates are names that a product may have. Keys are always text. Features that hide the
meaning of a spec (duplicate keys, anchors, aliases, tags, several documents) are errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from logicls.errors import Problem, SpecError, relative_path

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
TreePath: TypeAlias = "tuple[str | int, ...]"
Position: TypeAlias = tuple[int, int]

MAX_BYTES = 1_000_000
MAX_DEPTH = 40

_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_TAB = re.compile(r"^ *\t[\t ]*(?=[^\s#])", re.MULTILINE)
_LINE_BREAK = re.compile(r"\r\n?|\n")
# Beyond YAML: PyYAML treats three more characters as line breaks, unlike most editors, and a BOM has no column.
_FORBIDDEN = re.compile(yaml.reader.Reader.NON_PRINTABLE.pattern + "|[\x85\u2028\u2029\ufeff]")


@dataclass(frozen=True, slots=True)
class Tree:
    """Content of a YAML file with positions."""

    value: Value
    positions: Mapping[TreePath, tuple[Position, Position]] = field(repr=False)
    """Path → positions of its key and of its value; both are the same for the items of a list."""

    def position(self, path: TreePath, key: bool = False) -> Position:
        """Return line and column, from 1, of the value at `path` or of its key; of a parent if the path is absent."""
        for length in range(len(path), -1, -1):
            found = self.positions.get(path[:length])
            if found is not None:
                return found[0 if key and length == len(path) else 1]
        return 1, 1


class _TooDeep(Exception):
    """Raised if the file is nested deeper than `MAX_DEPTH`."""


class _Builder:
    """Builder of values from YAML events that collects all problems."""

    def __init__(self, events: Iterator[yaml.Event], file: str) -> None:
        self.events = events
        self.file = file
        self.positions: dict[TreePath, tuple[Position, Position]] = {}
        self.problems: list[Problem] = []

    def add_problem(self, code: str, message: str, position: Position, advice: str = "") -> None:
        self.problems.append(Problem(code, message, self.file, *position, advice))

    def document(self) -> Value:
        """Build the first document; a second one is a problem."""
        value: Value = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    advice = "Keep one document a file: remove the line `---`."
                    self.add_problem("LC010", "a second YAML document starts here.", _event_position(event), advice)
                    break
            elif isinstance(event, yaml.NodeEvent):
                value = self.node(event, (), None)
        return value

    def node(self, event: yaml.Event, path: TreePath, key: Position | None) -> Value:
        """Build the value that starts with `event`."""
        if len(path) > MAX_DEPTH:
            raise _TooDeep(_event_position(event))
        self.positions[path] = (key or _event_position(event), _event_position(event))
        self.check_indirection(event)
        match event:
            case yaml.ScalarEvent():
                return self.scalar(event)
            case yaml.SequenceStartEvent():
                return self.sequence(path)
            case yaml.MappingStartEvent():
                return self.mapping(path)
            case _:
                return None

    def check_indirection(self, event: yaml.Event) -> None:
        """Add a problem for an alias, an anchor or a tag."""
        advice = "Repeat the value instead."
        name = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            self.add_problem("LC008", f'alias "*{name}" is not allowed.', _event_position(event), advice)
        elif name is not None:
            self.add_problem("LC008", f'anchor "&{name}" is not allowed.', _event_position(event), advice)
        tag = getattr(event, "tag", None)
        if tag is not None:
            display = tag.replace("tag:yaml.org,2002:", "!!")
            advice = "Remove it; put text in quotes."
            self.add_problem("LC009", f'tag "{display}" is not allowed.', _event_position(event), advice)

    def sequence(self, path: TreePath) -> list[Value]:
        items: list[Value] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.node(event, (*path, len(items)), None))
        return items

    def mapping(self, path: TreePath) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self.key(event, path)
            inner = (*path, key)
            if key in entries:
                line = self.positions[inner][0][0]
                advice = "Keep one of the two."
                self.add_problem(
                    "LC007", f'duplicate key "{key}": it is already in line {line}.', _event_position(event), advice
                )
            entries[key] = self.node(next(self.events), inner, _event_position(event))
        return entries

    def key(self, event: yaml.Event, path: TreePath) -> str:
        """Return the key as written."""
        if isinstance(event, yaml.ScalarEvent):
            self.check_indirection(event)
            return self.text(event)
        if isinstance(event, yaml.AliasEvent):
            self.check_indirection(event)
        else:
            self.add_problem("LC012", "a list or a mapping cannot be a key.", _event_position(event), "Use a name.")
            self.node(event, (*path, ""), None)
        return ""

    def text(self, event: yaml.ScalarEvent) -> str:
        """Return the scalar's text; escape sequences may contain characters that are not allowed."""
        text = str(event.value)
        invalid = next((c for c in text if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        if invalid is None:
            return text
        self.add_problem(
            "LC004", f"character U+{ord(invalid):04X} is not allowed.", _event_position(event), "Remove it."
        )
        return ""

    def scalar(self, event: yaml.ScalarEvent) -> Value:
        """Return the constant or number of a plain scalar, else its text."""
        text = self.text(event)
        if event.style is not None:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if not _FLOAT.fullmatch(text):
            return text
        number = float(text)
        if math.isinf(number):
            display = text if len(text) <= 30 else text[:27] + "..."
            self.add_problem(
                "LC013", f"number {display} is too large.", _event_position(event), "Put it in quotes if it is a name."
            )
            return 0
        return int(text) if _INT.fullmatch(text) else number


def read_yaml(path: Path, text: str | None = None) -> Tree:
    """Read a YAML file strictly.

    Args:
        path: The file; only its name is used where `text` is given.
        text: Text to read instead of the file's content.

    Raises:
        SpecError: With all problems, LC001 to LC013.
    """
    file = relative_path(path)
    source = read_text(path) if text is None else text.removeprefix("\ufeff")
    _check_characters(source, file)
    builder = _Builder(iter(()), file)
    value: Value = None
    try:
        builder.events = yaml.parse(source, Loader=yaml.SafeLoader)
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax_problem(error, file))
    except _TooDeep as error:
        builder.add_problem("LC011", f"nested more than {MAX_DEPTH} levels deep.", error.args[0])
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError, StopIteration) as error:
        builder.add_problem("LC006", f"cannot be read as YAML: {error}.", (1, 1))
    if builder.problems:
        raise SpecError(sorted(builder.problems, key=lambda p: (p.line, p.column)))
    return Tree(value, builder.positions)


def read_text(path: Path) -> str:
    """Return the file's text without a byte order mark.

    Raises:
        SpecError: The file is missing, too large, or not UTF-8 (LC001 to LC003).
    """
    file = relative_path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(Problem("LC001", f"cannot be read: {error.strerror or error}.", file, 1, 1)) from error
    if len(data) > MAX_BYTES:
        raise SpecError(_size_problem(file))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The error's offset does not include a byte order mark.
        skipped = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        position = _offset_position(data[skipped : skipped + error.start].decode("utf-8", "replace"))
        message = f"byte 0x{data[skipped + error.start]:02x} is not UTF-8."
        raise SpecError(Problem("LC003", message, file, *position, "Save the file as UTF-8.")) from error


def _size_problem(file: str) -> Problem:
    return Problem("LC002", "is larger than 1 MB.", file, 1, 1, "A spec is a few kilobytes: split it.")


def _check_characters(text: str, file: str) -> None:
    """Raise `SpecError` for forbidden characters and for tabs in the indentation."""
    if len(text) > MAX_BYTES:
        raise SpecError(_size_problem(file))
    problems = [
        _character_problem(text, found.start(), file)
        for pattern in (_FORBIDDEN, _LEADING_TAB)
        for found in list(pattern.finditer(text))[:20]
    ]
    if problems:
        raise SpecError(sorted(problems, key=lambda p: (p.line, p.column)))


def _character_problem(text: str, start: int, file: str) -> Problem:
    """Build the problem for a forbidden character, or for the first tab of an indentation, at `start`."""
    if _FORBIDDEN.match(text[start]):
        name = "NUL character" if text[start] == "\0" else f"character U+{ord(text[start]):04X}"
        return Problem("LC004", f"{name} is not allowed.", file, *_offset_position(text[:start]), "Remove it.")
    return _tab_problem(file, *_offset_position(text[: text.index("\t", start)]))


def _tab_problem(file: str, line: int, column: int) -> Problem:
    return Problem("LC005", "a tab is used for indentation.", file, line, column, "Replace it with spaces.")


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    """Build the problem for a PyYAML error, in one line."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message = " ".join(part for part in (error.context, error.problem) if part)
    if "'\\t'" in message:
        return _tab_problem(file, line, column)
    advice = ""
    if "mapping values are not allowed" in message:
        advice = "Check the indentation, and put text that contains a colon in quotes."
    elif "cannot start any token" in message:
        advice = "Put the text in quotes."
    return Problem("LC006", f"is not YAML: {message}.", file, line, column, advice)


def _offset_position(before: str) -> Position:
    """Return line and column, from 1, of the character after `before`."""
    breaks = [found.end() for found in _LINE_BREAK.finditer(before)]
    return len(breaks) + 1, len(before) - (breaks[-1] if breaks else 0) + 1


def _event_position(event: yaml.Event) -> Position:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
