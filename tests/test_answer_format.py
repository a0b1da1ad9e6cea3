"""Answers survive a round trip through text, and no text makes the parser raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.answer_format import ParsedAnswers, format_answers, parse_answers
from logicls.records import Answer, Box

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,12}", fullmatch=True)
WORDS = NAMES.filter(lambda word: word != "none")
EDGES = st.integers(-9999, 99999).map(lambda tenths: tenths / 10)
BOXES = st.lists(st.builds(Box, EDGES, EDGES, EDGES, EDGES), max_size=5).map(tuple)
LOCATION_ANSWERS = st.builds(lambda name, boxes: Answer(f"locate:{name}", boxes=boxes), NAMES, BOXES)
VALUE_ANSWERS = st.builds(
    lambda query, values: Answer(query, tuple(values)),
    st.one_of(st.just("verdict"), st.builds("attribute:{}.{}".format, NAMES, NAMES)),
    st.lists(WORDS, max_size=5),
)
ANSWERS = st.lists(st.one_of(LOCATION_ANSWERS, VALUE_ANSWERS), max_size=6, unique_by=lambda answer: answer.query).map(
    tuple
)


@given(ANSWERS)
def test_round_trip(answers: tuple[Answer, ...]) -> None:
    """Answers with box edges on tenths of a pixel are unchanged."""
    assert parse_answers(format_answers(answers)) == ParsedAnswers(answers, ())


@given(ANSWERS, st.lists(st.text(alphabet=st.characters(exclude_characters="@")), max_size=5))
def test_free_text_is_ignored(answers: tuple[Answer, ...], free_text: list[str]) -> None:
    """Text between the canonical lines changes nothing."""
    text = "\n".join(
        line
        for pair in zip(format_answers(answers).split("\n"), [*free_text, *[""] * 9], strict=False)
        for line in pair
    )

    assert parse_answers(text) == ParsedAnswers(answers, ())


def test_one_canonical_line_per_answer() -> None:
    """The format that the module documents."""
    answers = (
        Answer("locate:icon", boxes=(Box(1.04, 2, 30, 40.06), Box(5, 6, 7, 8))),
        Answer("attribute:juice.colour", ("red", "yellow")),
        Answer("verdict"),
    )

    assert format_answers(answers).splitlines() == [
        "@ locate:icon = [1.0 2.0 30.0 40.1] [5.0 6.0 7.0 8.0]",
        "@ attribute:juice.colour = red, yellow",
        "@ verdict = none",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "@ ",
        "@ verdict",
        "@ verdict =",
        "@ verdict = ",
        "@ verdict = a,b",
        "@ verdict = a, ",
        "@ verdict = a b",
        "@ the verdict = none",
        "@  = none",
        "@ locate:pin = red",
        "@ locate:pin = [1 2 3 4]",
        "@ locate:pin = [1.0 2.0 3.0]",
        "@ locate:pin = [1.0 2.0 3.0 4.0],[1.0 2.0 3.0 4.0]",
        "@ locate:pin = [1.0 2.0 3.0 4.0] ",
        "@ locate:pin = [1.0 2.0 3.0 nan]",
        "@ attribute:pin.colour = [1.0 2.0 3.0 4.0]",
    ],
)
def test_invalid_line_is_returned(line: str) -> None:
    """It is returned verbatim; the lines around it are parsed."""
    assert parse_answers(f"@ a = b\n{line}\n@ c = d") == ParsedAnswers(
        (Answer("a", ("b",)), Answer("c", ("d",))), (line,)
    )


def test_first_answer_to_a_query_counts() -> None:
    """A second answer to the same query is invalid, whatever its value."""
    text = "@ verdict = none\n@ verdict = missing_label"

    assert parse_answers(text) == ParsedAnswers((Answer("verdict"),), ("@ verdict = missing_label",))


@pytest.mark.parametrize("line", ["verdict = none", " @ verdict = none", "@verdict = none", "# @ verdict = none"])
def test_line_without_the_prefix_is_free_text(line: str) -> None:
    """Only a line that starts with the prefix is an answer or invalid."""
    assert parse_answers(line) == ParsedAnswers((), ())


FRAGMENTS = [
    "@ ",
    "@",
    " = ",
    "=",
    "locate:",
    "pin",
    "verdict",
    "none",
    "[",
    "]",
    "1.0",
    "-",
    "9" * 400 + ".0",
    " ",
    ", ",
]
NEAR_MISSES = st.lists(st.sampled_from([*FRAGMENTS, "\n", "\r", "\u2028", "\0", "٣.٣", "é"]), max_size=30).map("".join)


@given(st.one_of(NEAR_MISSES, st.text()))
def test_never_raises(text: str) -> None:
    """Every line with the prefix is an answer or invalid, never both and never lost."""
    lines = [line for line in text.splitlines() if line.startswith("@ ")]

    parsed = parse_answers(text)

    assert len(parsed.answers) + len(parsed.invalid_lines) == len(lines)
    assert set(parsed.invalid_lines) <= set(lines)
