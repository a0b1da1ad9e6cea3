"""What the strict YAML reader accepts, and what it says of everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.spec.yaml_reader import MAX_BYTES, read_yaml
from logicls.errors import SpecError

SPEC = Path("box.yaml")
SMALL = 'logicls: 1\nproduct: {name: box}\nconstraints:\n  - id: a\n    quantity: {of: "pin", exactly: 4}\n'


def complaints(text: str) -> list[str]:
    """What is said of the text, a line each."""
    with pytest.raises(SpecError) as caught:
        read_yaml(SPEC, text)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("word", ["no", "on", "off", "yes", "012", "2026-01-02", "1:30", "0x1F", "1_000", ".inf", "="])
def test_words_that_yaml_1_1_would_turn_are_text(word: str) -> None:
    """A product may have parts named `no`, `012` or `1:30`."""
    assert read_yaml(SPEC, f"a: {word}").value == {"a": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [("1", 1), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("1e3", 1000.0), ("true", True), ("~", None), ("", None)],
)
def test_numbers_and_constants(word: str, value: object) -> None:
    """The scalars of the 1.2 core schema have their types."""
    found = read_yaml(SPEC, f"a: {word}").value

    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_quoted_scalars_and_keys_are_text() -> None:
    """Quotes make text of anything, and keys are names."""
    assert read_yaml(SPEC, "1: '1'\ntrue: \"true\"\n").value == {"1": "1", "true": "true"}


def test_position_of_values_keys_and_absent_paths() -> None:
    """Line and column count from 1; what does not exist stands where its nearest parent does."""
    tree = read_yaml(SPEC, SMALL)

    assert tree.position(("constraints", 0, "quantity", "exactly")) == (5, 36)
    assert tree.position(("constraints", 0, "quantity", "exactly"), key=True) == (5, 27)
    assert tree.position(("constraints", 0, "severity")) == (4, 5)
    assert tree.position(("constraints", 0, "severity"), key=True) == (4, 5)
    assert tree.position(()) == (1, 1)


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Windows editors write one."""
    (tmp_path / "box.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert read_yaml(tmp_path / "box.yaml").value == {"a": 1}


def test_empty_file_has_no_value() -> None:
    """An empty file, or comments alone, hold no value."""
    assert read_yaml(SPEC, "# nothing\n").value is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            'box.yaml:3:1 LC007 duplicate key "a": it is already in line 1. Keep one of the two.',
        ),
        ("a: *x\n", 'box.yaml:1:4 LC008 alias "*x" is not allowed. Repeat the value instead.'),
        ("a: &x 1\n", 'box.yaml:1:4 LC008 anchor "&x" is not allowed. Repeat the value instead.'),
        ("a: !!str 1\n", 'box.yaml:1:4 LC009 tag "!!str" is not allowed. Remove it; put text in quotes.'),
        ("a: !evil 1\n", 'box.yaml:1:4 LC009 tag "!evil" is not allowed. Remove it; put text in quotes.'),
        (
            "a: 1\n---\nb: 2\n",
            "box.yaml:2:1 LC010 a second YAML document starts here. Keep one document a file: remove the line `---`.",
        ),
        ("? [1]\n: 2\n", "box.yaml:1:3 LC012 a list or a mapping cannot be a key. Use a name."),
        ("a: 1e999\n", "box.yaml:1:4 LC013 number 1e999 is too large. Put it in quotes if it is a name."),
        ("a: 1\nb: \0\n", "box.yaml:2:4 LC004 NUL character is not allowed. Remove it."),
        ("a: \x07\n", "box.yaml:1:4 LC004 character U+0007 is not allowed. Remove it."),
        ('a: "\\0"\n', "box.yaml:1:4 LC004 character U+0000 is not allowed. Remove it."),
        ('a: "\\ud800"\n', "box.yaml:1:4 LC004 character U+D800 is not allowed. Remove it."),
        ("a: \x85b\n", "box.yaml:1:4 LC004 character U+0085 is not allowed. Remove it."),
        ("a: 1\rb: \u2028c\n", "box.yaml:2:4 LC004 character U+2028 is not allowed. Remove it."),
        ("a: 1\r\nb: \ufeffc\n", "box.yaml:2:4 LC004 character U+FEFF is not allowed. Remove it."),
        (
            'a: "\\UFFFFFFFF"\n',
            "box.yaml:1:1 LC006 cannot be read as YAML: Python int too large to convert to C int.",
        ),
        ("a:\n\tb: 1\n", "box.yaml:2:1 LC005 a tab is used for indentation. Replace it with spaces."),
        ("a:\t1\n", "box.yaml:1:3 LC005 a tab is used for indentation. Replace it with spaces."),
        (
            "a: b: c\n",
            "box.yaml:1:5 LC006 is not YAML: mapping values are not allowed here. "
            "Check the indentation, and put text that contains a colon in quotes.",
        ),
        (
            "a: 'b\n",
            "box.yaml:2:1 LC006 is not YAML: while scanning a quoted scalar found unexpected end of stream.",
        ),
        ("[" * 100_000, "box.yaml:1:42 LC011 nested more than 40 levels deep."),
    ],
)
def test_invalid_files_are_rejected(text: str, said: str) -> None:
    """The complaint points, quotes and advises."""
    assert complaints(text) == [said]


def test_alias_bomb_is_refused_unexpanded() -> None:
    """Every anchor and alias is named; none is followed."""
    bomb = 'a: &a ["x", "x"]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n'

    said = complaints(bomb)

    assert len(said) == 9
    assert all("LC008" in line for line in said)


def test_all_problems_at_once_by_line() -> None:
    """One run of the program shows everything that is to be mended."""
    assert [line.split()[1] for line in complaints("b: !x 1\na: &y 1\na: 2\n")] == ["LC009", "LC008", "LC007"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, too large, not UTF-8: each is said in words."""
    large, latin = tmp_path / "large.yaml", tmp_path / "latin.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes(b"a: 1\nb: gr\xfcn\n")

    messages = []
    for path in (tmp_path / "absent.yaml", large, latin, tmp_path):
        with pytest.raises(SpecError) as caught:
            read_yaml(path)
        messages.append(str(caught.value).removeprefix(f"{tmp_path}"))

    assert messages == [
        "/absent.yaml:1:1 LC001 cannot be read: No such file or directory.",
        "/large.yaml:1:1 LC002 is larger than 1 MB. A spec is a few kilobytes: split it.",
        "/latin.yaml:2:6 LC003 byte 0xfc is not UTF-8. Save the file as UTF-8.",
        ":1:1 LC001 cannot be read: Is a directory.",
    ]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_near_misses_raise_nothing_but_spec_errors(data: st.DataObject) -> None:
    """Whatever a slip of the hand makes of a good file, it is read or refused with a place."""
    text = SMALL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 6))
        put = data.draw(st.text("ab1:-{}[],&*!|>%@`'\"?#~\\ \n\t\0\ud800é", max_size=6) | st.text(max_size=4))
        text = text[:start] + put + text[start + cut :]

    try:
        read_yaml(SPEC, text)
    except SpecError as error:
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)
