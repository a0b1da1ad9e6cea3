"""The catalogue of codes is whole and true: every code is in it, and its examples do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import logicls
from logicls.constraints.spec.loader import load_spec_file
from logicls.data.dataset_lint import check
from logicls.diagnostics.codes import LEVELS, Code, catalogue, exit_code, find_code, is_code
from logicls.errors import LogiClsError, Problem, SpecError

PENDING: frozenset[str] = frozenset()
"""Codes that are in the catalogue before anything raises them."""
PENDING_MENDED: frozenset[str] = frozenset()
"""Codes whose mended example cannot be loaded yet."""
WITHOUT_TEXT = frozenset({"LC001", "LC002", "LC003", "LC048", "LC050", "LC051"})
"""Codes of the spec that are not about its text, so that no text could be the example."""

SPEC_CODES = [code for code in catalogue().values() if code.corrected]
LEFT_OUT = {
    "logicls": "logicls: 1\n",
    "product": "product: {name: box}\n",
    "components": "components:\n  pin: {attributes: {colour: [red, blue]}}\n",
    "constraints": "constraints:\n  - id: four-pins\n    quantity: {of: pin, exactly: 4}\n",
}
"""What an example in the catalogue does not repeat."""


def whole(text: str) -> str:
    """An example with the parts of the spec that it leaves out; as it is where it has no part of a spec."""
    there = set(re.findall(r"^(\w+):", text, flags=re.MULTILINE))
    if not there & {*LEFT_OUT, "regions", "variants", "examples"}:
        return text
    before = [part for key, part in LEFT_OUT.items() if key not in there and key != "constraints"]
    after = [LEFT_OUT["constraints"]] if "constraints" not in there else []
    return "".join([*before, text, *after])


def problems(path: Path) -> list[Problem]:
    """All that `logicls check` finds in a spec."""
    try:
        return list(check(load_spec_file(path)))
    except SpecError as error:
        return list(error.problems)


def used(folder: Path) -> set[str]:
    """The codes that the Python below the folder names."""
    return {code for path in folder.rglob("*.py") for code in re.findall(r'"(LC\d{3})"', path.read_text("utf-8"))}


def found(path: Path, text: str, code: Code) -> set[str]:
    """The codes of a spec's problems; of notes only the one that is looked for."""
    path.write_text(whole(text), encoding="utf-8")
    return {p.code for p in problems(path) if p.code == code.code or catalogue()[p.code].level != "note"}


def test_every_code_is_explained_and_nothing_else():
    """A code that the source names is in the catalogue, and the other way round; pending ones are in neither yet."""
    named = used(Path(logicls.__file__).parent)

    assert len(named) > 60
    assert PENDING & named == set()
    assert named | PENDING == set(catalogue())


def test_a_code_in_the_source_is_seen(tmp_path):
    """The check above can fail: a code in a file is found."""
    (tmp_path / "new.py").write_text('Problem("LC777", "is new.")\n')

    assert used(tmp_path) == {"LC777"}


def test_entries_are_whole():
    """Codes stand in order, no title twice, levels are the three, texts are sentences."""
    entries = list(catalogue().values())

    assert [entry.code for entry in entries] == sorted(entry.code for entry in entries)
    assert all(re.fullmatch(r"LC\d{3}", entry.code) for entry in entries)
    assert len({entry.title for entry in entries}) == len(entries)
    assert {entry.level for entry in entries} == set(LEVELS)
    assert [e.code for e in entries if not (e.meaning.endswith(".") and e.fix.endswith(".") and e.example)] == []
    assert [e.code for e in entries if e.title.endswith(".") or len(e.title) > 40] == []


def test_every_code_of_the_spec_has_an_example_that_can_be_run():
    """Only codes that are not about the spec's text do without."""
    of_spec = {code for code in catalogue() if code.startswith("LC0")}

    assert of_spec - {code.code for code in SPEC_CODES} == WITHOUT_TEXT


@pytest.mark.parametrize("code", SPEC_CODES, ids=lambda code: code.code)
def test_the_example_has_this_problem_and_no_other(tmp_path, code):
    """What the catalogue shows as wrong is refused with exactly that code."""
    if code.code in PENDING:
        pytest.skip("nothing raises it yet")

    assert found(tmp_path / "box.yaml", code.example, code) == {code.code}


@pytest.mark.parametrize("code", SPEC_CODES, ids=lambda code: code.code)
def test_the_mended_example_has_no_problem(tmp_path, code):
    """What the catalogue shows as right is right."""
    if code.code in PENDING_MENDED:
        pytest.skip("nothing reads it yet")

    assert found(tmp_path / "box.yaml", code.mended, code) == set()


@pytest.mark.parametrize("code", SPEC_CODES, ids=lambda code: code.code)
def test_what_is_shown_of_an_example(desk, look_right, code):
    """The text that people see of each code of the spec, with its line and the caret."""
    if code.code in PENDING:
        pytest.skip("nothing raises it yet")
    Path("box.yaml").write_text(whole(code.example), encoding="utf-8")

    look_right(code.code, lambda: [p for p in problems(Path("box.yaml")) if p.code == code.code])


def test_every_code_has_a_golden_text():
    """Each code that something raises has a file that shows what people see, and no file is left over."""
    shown = {path.stem for path in (Path(__file__).parents[1] / "golden" / "codes").glob("*.txt")}

    assert shown == set(catalogue()) - PENDING


@pytest.mark.parametrize(("word", "title"), [("LC021", "unknown key"), ("lc021", "unknown key"), ("Lc244", None)])
def test_a_code_is_found_in_any_capitals(word, title):
    """Nobody should have to hold shift."""
    assert is_code(word)
    assert find_code(word).code == word.upper()
    assert title in (None, find_code(word).title)


def test_a_file_is_not_a_code():
    """`explain` takes either."""
    assert not any(is_code(word) for word in ("lc.yaml", "box.yaml", "LC021.yaml", "./LC021", ""))


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("LC21", 'Did you mean "LC021"?'),
        ("lc-021", 'Did you mean "LC021"?'),
        ("LC0021", 'Did you mean "LC021"?'),
        ("LC98989", "Codes are LC and three digits."),
    ],
)
def test_an_unknown_code_is_answered_with_the_nearest(word, advice):
    """A slip of the hand is mended, not met with a list of all."""
    with pytest.raises(LogiClsError) as caught:
        find_code(word)

    assert str(caught.value) == f'LC904 there is no code "{word}". {advice}'


def test_notes_do_not_fail_a_check():
    """Only errors and warnings end a check with exit code 1."""
    note, warning, error = (Problem(code, "x.") for code in ("LC047", "LC040", "LC120"))

    assert [exit_code(ps) for ps in ([], [note], [note, warning], [error])] == [0, 0, 1, 1]
