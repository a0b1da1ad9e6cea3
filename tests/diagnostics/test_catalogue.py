"""Catalogue of error codes: it is complete, and its examples have the problems they illustrate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import logicls
from logicls.constraints.spec.loader import load_spec_file
from logicls.data.dataset_lint import check_spec
from logicls.diagnostics.codes import LEVELS, Code, catalogue, exit_code, find_code, is_code
from logicls.errors import LogiClsError, Problem, SpecError

PENDING: frozenset[str] = frozenset()
"""Codes in the catalogue that nothing raises yet."""
PENDING_CORRECTED: frozenset[str] = frozenset()
"""Codes whose corrected example cannot be loaded yet."""
WITHOUT_TEXT = frozenset({"LC001", "LC002", "LC003", "LC048", "LC050", "LC051", "LC056", "LC057", "LC058"})
"""Codes about specs that cannot be illustrated by the text of a spec."""

SPEC_CODES = [code for code in catalogue().values() if code.corrected]
DEFAULT_PARTS = {
    "logicls": "logicls: 1\n",
    "product": "product: {name: box}\n",
    "components": "components:\n  pin: {attributes: {colour: [red, blue]}}\n",
    "constraints": "constraints:\n  - id: four-pins\n    quantity: {of: pin, exactly: 4}\n",
}
"""Parts of a spec that examples in the catalogue omit."""


def complete_spec(text: str) -> str:
    """Add the omitted parts to an example; return it unchanged if it is not part of a spec."""
    present = set(re.findall(r"^(\w+):", text, flags=re.MULTILINE))
    if not present & {*DEFAULT_PARTS, "regions", "variants", "examples"}:
        return text
    before = [part for key, part in DEFAULT_PARTS.items() if key not in present and key != "constraints"]
    after = [DEFAULT_PARTS["constraints"]] if "constraints" not in present else []
    return "".join([*before, text, *after])


def problems(path: Path) -> list[Problem]:
    """Return all problems that `logicls check` finds in a spec."""
    try:
        return list(check_spec(load_spec_file(path)))
    except SpecError as error:
        return list(error.problems)


def find_used_codes(folder: Path) -> set[str]:
    """Return the codes in the Python files below a folder."""
    return {code for path in folder.rglob("*.py") for code in re.findall(r'"(LC\d{3})"', path.read_text("utf-8"))}


def find_problems(path: Path, text: str, code: Code) -> set[str]:
    """Return the codes of a spec's problems; notes only if they have the given code."""
    path.write_text(complete_spec(text), encoding="utf-8")
    return {p.code for p in problems(path) if p.code == code.code or catalogue()[p.code].level != "note"}


def test_the_catalogue_has_exactly_the_codes_in_the_source():
    """Every code in the source is in the catalogue, and vice versa."""
    codes = find_used_codes(Path(logicls.__file__).parent)

    assert len(codes) > 60
    assert PENDING & codes == set()
    assert codes | PENDING == set(catalogue())


def test_a_new_code_in_the_source_is_detected(tmp_path):
    """The check above can fail: a code in a file is found."""
    (tmp_path / "new.py").write_text('Problem("LC777", "is new.")\n')

    assert find_used_codes(tmp_path) == {"LC777"}


def test_entries_are_complete():
    """Codes are sorted, titles are unique and short, all levels are used, texts are sentences."""
    entries = list(catalogue().values())

    assert [entry.code for entry in entries] == sorted(entry.code for entry in entries)
    assert all(re.fullmatch(r"LC\d{3}", entry.code) for entry in entries)
    assert len({entry.title for entry in entries}) == len(entries)
    assert {entry.level for entry in entries} == set(LEVELS)
    assert [e.code for e in entries if not (e.meaning.endswith(".") and e.fix.endswith(".") and e.example)] == []
    assert [e.code for e in entries if e.title.endswith(".") or len(e.title) > 40] == []


def test_every_code_about_specs_has_a_runnable_example():
    """Only codes that are not about the text of a spec have none."""
    spec_codes = {code for code in catalogue() if code.startswith("LC0")}

    assert spec_codes - {code.code for code in SPEC_CODES} == WITHOUT_TEXT


@pytest.mark.parametrize("code", SPEC_CODES, ids=lambda code: code.code)
def test_the_example_has_exactly_this_problem(tmp_path, code):
    """The example of a code has this problem and no other."""
    if code.code in PENDING:
        pytest.skip("not raised yet")

    assert find_problems(tmp_path / "box.yaml", code.example, code) == {code.code}


@pytest.mark.parametrize("code", SPEC_CODES, ids=lambda code: code.code)
def test_the_corrected_example_has_no_problem(tmp_path, code):
    """The corrected example passes the check."""
    if code.code in PENDING_CORRECTED:
        pytest.skip("not read yet")

    assert find_problems(tmp_path / "box.yaml", code.corrected, code) == set()


@pytest.mark.parametrize("code", SPEC_CODES, ids=lambda code: code.code)
def test_the_message_of_an_example(workdir, check_message, code):
    """The printed message, with source line and caret, equals the golden file."""
    if code.code in PENDING:
        pytest.skip("not raised yet")
    Path("box.yaml").write_text(complete_spec(code.example), encoding="utf-8")

    check_message(code.code, lambda: [p for p in problems(Path("box.yaml")) if p.code == code.code])


def test_every_code_has_a_golden_text():
    """Each code has a golden file, and there are no others."""
    golden = {path.stem for path in (Path(__file__).parents[1] / "golden" / "codes").glob("*.txt")}

    assert golden == set(catalogue()) - PENDING


@pytest.mark.parametrize(("word", "title"), [("LC021", "unknown key"), ("lc021", "unknown key"), ("Lc244", None)])
def test_codes_ignore_case(word, title):
    """Codes are found in upper and lower case."""
    assert is_code(word)
    assert find_code(word).code == word.upper()
    assert title in (None, find_code(word).title)


def test_a_file_is_not_a_code():
    """`explain` distinguishes codes from file names."""
    assert not any(is_code(word) for word in ("lc.yaml", "box.yaml", "LC021.yaml", "./LC021", ""))


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("LC21", 'Did you mean "LC021"?'),
        ("lc-021", 'Did you mean "LC021"?'),
        ("LC0021", 'Did you mean "LC021"?'),
        ("LC98989", "Codes consist of LC and three digits."),
    ],
)
def test_a_similar_code_is_suggested(word, advice):
    """A mistyped code is an error that suggests a similar one."""
    with pytest.raises(LogiClsError) as caught:
        find_code(word)

    assert str(caught.value) == f'LC904 there is no code "{word}". {advice}'


def test_notes_do_not_fail_a_check():
    """Only errors and warnings give exit code 1."""
    note, warning, error = (Problem(code, "x.") for code in ("LC047", "LC040", "LC120"))

    assert [exit_code(ps) for ps in ([], [note], [note, warning], [error])] == [0, 0, 1, 1]
