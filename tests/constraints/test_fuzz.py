"""Slips of the hand and of the disk: whatever becomes of a good spec, it loads, or is refused with a place in it."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from logicls.constraints.checker.counterexamples import find_counterexample, list_targets
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.lint.spec_lint import example_to_scene, lint_spec
from logicls.constraints.spec.loader import SpecFile, load_spec_file
from logicls.constraints.spec.models import Spec
from logicls.errors import Problem, SpecError
from logicls.io.resources import resource_path
from logicls.records import Scene

SECONDS = 2.0
"""Processor time that one file may take."""
FILES = [*sorted(resource_path("constraints").glob("*.yaml")), *[Path(__file__).with_name("wide.yaml")] * 3]
TEXTS = [path.read_text() for path in FILES]
TREES = [yaml.safe_load(text) for text in TEXTS]
SCENES = [
    [example_to_scene(example["scene"], load_spec_file(path).spec)[0] for example in tree["examples"][:3]]
    for path, tree in zip(FILES, TREES, strict=True)
]
ODD = (
    "", "~", "null", "[]", "{}", "[[]]", "{a: }", "[~]", "''", '""', "-1", "0", "1", "1e308", "-1e308", "1e999", ".inf",
    "-.inf", ".nan", "9" * 30, "9" * 400, "0.0000001", "true", "é", "部品", "🔩", "a b", "a.b", "pin.", "x" * 70,
    "&a 1", "*a", "!!python/object:os.system x", '"\\0"', '"\\ud800"', '"\\UFFFFFFFF"', "|", ">", "@", "`", "%", "? x",
    "- ", ": ", "#", "[1, 2", "{a: 1", "---", "...", "%YAML 9.9", "<<: {}", "2026-01-02", "0x1F", "1_000", "no", "'",
)  # fmt: skip
CHARACTERS = "\t\0\r\n\x07\x85\u2028\u2029\ufeff\xa0\u200bé部🔩\ud7ff\ue000\ufffd\"'{}[]:,#&*!|>%@`-?~ a1"
VALUES: tuple[Any, ...] = (
    None, [], {}, [[]], "", "é", "pin", "screw", "x" * 61, -1, 0, 1, 2, 1000, 10**6, 10**30, 0.5, -0.5, 1e-300, 1e300,
    -1e300, True, False, [0, 1], [1, 0], [0.2, 0.2, 0.8, 0.8], [1e300, 0, 1, 1], {"a": None}, [None], {"": ""}, "1",
    {"red": []}, [[[]]], "vial", "screw.head", "juice.colour", {"count": 3}, {"count": 999}, [1, [2]], "none",
)  # fmt: skip
KEYS = (
    "all", "any", "not", "when", "each", "quantity", "layout", "composition", "match", "connection", "attribute",
    "measure", "of", "in", "with", "exactly", "between", "at_least", "violation", "below", "above", "unless_broken",
    "box", "boxes", "grid", "count", "colour", "fills", "leaves", "id", "pairs", "tolerance", "relation", "axis", "if",
)  # fmt: skip
WELL = ("of", "in", "relation", "axis", "subject", "object", "relative_to", "count", "boxes", "box", "severity", "each")
"""Keys under which stands what may well stand under the same key elsewhere."""


def moved_lines(rng: random.Random, text: str) -> str:
    """A line is deleted, doubled, put elsewhere, indented otherwise, or ends the document."""
    lines = text.split("\n")
    at, way = rng.randrange(len(lines)), rng.randrange(5)
    line = lines.pop(at)
    if way == 1:
        lines[at:at] = [line, line]
    elif way == 2:
        lines.insert(rng.randrange(len(lines) + 1), line)
    elif way == 3:
        lines.insert(at, " " * rng.randrange(9) + line.lstrip() if rng.random() < 0.8 else "\t" + line)
    elif way == 4:
        lines.insert(at, rng.choice(("---", "...", "? x", "- x")))
    return "\n".join(lines)


def typed_wrong(rng: random.Random, text: str) -> str:
    """A word loses a letter, swaps two, or is another one of the file's words."""
    words = list(re.finditer(r"[A-Za-z_]{2,}", text))
    if not words:
        return text
    word = rng.choice(words)
    letters = list(word.group())
    at = rng.randrange(len(letters) - 1)
    way = rng.randrange(3)
    if way == 0:
        del letters[at]
    elif way == 1:
        letters[at : at + 2] = letters[at + 1], letters[at]
    else:
        letters = list(rng.choice(words).group())
    return text[: word.start()] + "".join(letters) + text[word.end() :]


def odd_value(rng: random.Random, text: str) -> str:
    """What stands after a colon, in a list or before a comma becomes something odd."""
    values = list(re.finditer(r"(?<=[:,\[{] )[^\n,\]}]*|(?<=[\[{])[^\n,\]}]+", text))
    if not values:
        return text
    value = rng.choice(values)
    return text[: value.start()] + rng.choice(ODD) + text[value.end() :]


def odd_characters(rng: random.Random, text: str) -> str:
    """Characters are put in, or over others."""
    at = rng.randrange(len(text))
    put = "".join(rng.choices(CHARACTERS, k=rng.randrange(1, 4)))
    return text[:at] + put + text[at + rng.randrange(4) :]


def cut(rng: random.Random, text: str) -> str:
    """The file ends too early, or lacks a piece."""
    at = rng.randrange(len(text))
    return text[:at] if rng.random() < 0.5 else text[:at] + text[at + rng.randrange(400) :]


def nested(rng: random.Random, text: str) -> str:
    """A rule is wrapped up to a hundred deep, with a slip at the bottom half of the time."""
    depth, key = rng.choice((1, 3, 8, 17, 18, 19, 20, 30, 100)), rng.choice(("all", "any", "not"))
    one, last = ("{not: ", "}") if key == "not" else (f"{{{key}: [", "]}")
    bottom = rng.choice(("{quantity: {of: screw, exactly: 1}}", "{quantity: {}}", "{x: 1}", "3", "~", "{all: []}"))
    rule = f"  - {{id: deep, {one[1:]}{one * depth}{bottom}{last * depth}{last}\n"
    return text.replace("constraints:\n", "constraints:\n" + rule, 1)


def bomb(rng: random.Random, text: str) -> str:
    """Aliases of aliases, as they blow up a careless reader."""
    lines = [f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, rng.randrange(2, 12))]
    return "\n".join(["b0: &b0 [x, x]", *lines, text])


TEXT_WAYS: tuple[Callable[[random.Random, str], str], ...] = (
    moved_lines, moved_lines, typed_wrong, odd_value, odd_value, odd_value, odd_characters, cut, nested, bomb
)  # fmt: skip


def branches(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a tree, with each of its keys."""
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from branches(value)


def grafted(rng: random.Random, tree: Any) -> str:
    """A value is replaced, mostly by one like it, or by an odd one; or a key is added, renamed or removed."""
    tree = json.loads(json.dumps(tree, default=str))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        examples = [{"": tree.get("examples")}] if rng.random() < 0.3 else []
        found = list(branches(examples or tree))
        way = rng.randrange(-12, 6)
        if way < 0:
            fitting = [(there, k) for there, k in found if k in WELL or type(there[k]) in (int, float)]
            holder, key = rng.choice(fitting or found)
            holder[key] = alike(rng, holder[key], [there[k] for there, k in found if k == key])
            continue
        holder, key = rng.choice(found)
        value = rng.choice(VALUES) if rng.random() < 0.5 else json.loads(json.dumps(rng.choice(found)[0]))
        if way <= 2:
            holder[key] = value
        elif isinstance(holder, list):
            holder.insert(key, value)
        elif way == 3:
            holder[rng.choice(KEYS)] = value
        elif way == 4:
            holder[rng.choice(KEYS)] = holder.pop(key)
        else:
            del holder[key]
    return json.dumps(tree, indent=1, ensure_ascii=False) if rng.random() < 0.1 else yaml_of(tree)


def alike(rng: random.Random, value: Any, others: list[Any]) -> Any:
    """A value that may well stand there: another number, or what stands elsewhere under the same key."""
    if type(value) in (int, float):
        return rng.choice((0, 1, 2, 7, 999, 0.0, 0.1, 0.5, 1.5, value + 1, value * 0.9, value * 1.1, -value))
    return json.loads(json.dumps(rng.choice([other for other in others if type(other) is type(value)])))


def yaml_of(tree: Any) -> str:
    """A line a constraint, which is quicker to read than a value a line."""
    return "\n".join(
        f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}" for key, value in tree.items()
    )


def encoded(rng: random.Random, text: str) -> bytes:
    """Another encoding, bytes that are none, or a file that is far too large."""
    way = rng.randrange(8)
    if way == 7:
        return text.encode() + rng.choice((b"#" * 10_000_000, b"\n- x" * 240_000, b"[" * 900_000))
    if way >= 5:
        data = bytearray(text.encode())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    codec = ("latin-1", "utf-16", "utf-16-le", "utf-8-sig", "utf-32")[way]
    return text.replace("#", "#é", 1).encode(codec, "replace")


def spoiled(number: int) -> tuple[int, bytes]:
    """Which spec, and what became of it; the same for the same number."""
    rng = random.Random(number)
    index = rng.randrange(len(TEXTS))
    way = rng.random()
    if way < 0.5:
        return index, grafted(rng, shorter(rng, TREES[index])).encode("utf-8", "surrogatepass")
    text = TEXTS[index] if rng.random() < 0.5 else yaml_of(shorter(rng, TREES[index]))
    if way > 0.97:
        return index, encoded(rng, text)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        text = rng.choice(TEXT_WAYS)(rng, text + " ")
    return index, text.encode("utf-8", "surrogatepass")


def shorter(rng: random.Random, tree: Any) -> Any:
    """The same spec with a few of its rules and examples: the reader's time goes with the length."""
    kept = [{**c, "unless_broken": []} for c in some(rng, tree["constraints"], 4)]
    kept[-1]["unless_broken"] = [c["id"] for c in kept[:-1]]
    shown = [{"scene": example["scene"]} for example in some(rng, tree["examples"], 2)]
    return {**tree, "constraints": kept, "examples": shown}


def some(rng: random.Random, found: list[Any], most: int) -> list[Any]:
    """A few of them."""
    return rng.sample(found, min(len(found), rng.randint(1, most)))


def places(data: bytes) -> list[str]:
    """The lines of a file as editors count them."""
    return re.split(r"\r\n|\r|\n", data.decode("utf-8-sig", "replace"))


def is_placed(problem: Problem, lines: list[str], file: str) -> bool:
    """Whether it points into the file; the end of a line, and of the file, belongs to it."""
    within = 1 <= problem.line <= len(lines) and 1 <= problem.column <= len(lines[problem.line - 1]) + 1
    return within and problem.file == file and bool(problem.code) and bool(problem.message)


def used(sheet: SpecFile, scenes: list[Scene], number: int) -> list[Problem]:
    """Everything that is done with a spec that loads; what lint says of it."""
    spec = sheet.spec
    found = [sheet.make_problem(f.code, f.message, f.path, f.advice) for f in lint_spec(spec)]
    assert decompose(spec)
    assert spec.hash
    for scene in scenes:
        findings = evaluate(spec, index_answers(compute_answers(spec, scene)), scene.width, scene.height)
        assert [f.constraint for f in findings] == [c.id for c in spec.constraints]
    if number % 20 == 0:
        broken(spec, scenes[0], number)
    return found


def broken(spec: Spec, scene: Scene, number: int) -> None:
    """A rule is broken on purpose, if it can be."""
    for aim in list_targets(spec)[:2]:
        for twin in (False, True):
            find_counterexample(spec, aim, scene, np.random.default_rng(number), is_control=twin)


def survives(number: int, path: Path) -> set[str]:
    """What came of it: `loaded`, or the codes of all problems."""
    index, data = spoiled(number)
    path.write_bytes(data)
    started = time.process_time()
    try:
        said = used(load_spec_file(path), SCENES[index], number)
        came_to = {"loaded"}
    except SpecError as error:
        said, came_to = list(error.problems), {problem.code for problem in error.problems}
    seconds = time.process_time() - started
    astray = [str(problem) for problem in said if not is_placed(problem, places(data), str(path))]

    assert (number, astray, seconds < SECONDS) == (number, [], True)
    return came_to


def fuzzed(numbers: range, folder: Path) -> set[str]:
    """All that came of them; a failure says which number it was."""
    came_to: set[str] = set()
    for number in numbers:
        try:
            came_to |= survives(number, folder / "spec.yaml")
        except Exception as error:
            error.add_note(f"spoiled({number})")
            raise
    return came_to


def test_slips_in_a_good_spec(tmp_path: Path) -> None:
    """Each loads and can be used, or is refused; every problem points into the file, and none takes long."""
    came_to = fuzzed(range(500), tmp_path)

    assert {"loaded", "LC006", "LC021", "LC023", "LC025", "LC030"} <= came_to


@pytest.mark.slow
def test_ten_thousand_slips(tmp_path: Path) -> None:
    """The same, until hardly anything new comes up: all codes of the reader and of the schema."""
    came_to = fuzzed(range(500, 10_500), tmp_path)

    reader = {f"LC0{number:02}" for number in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)}
    assert {"loaded", *reader, *(f"LC0{number}" for number in (20, 21, 22, 23, 24, 25, 30, 31))} <= came_to
