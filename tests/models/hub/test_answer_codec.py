"""Answers of hub models as text within a grammar, and back."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.predict.readers.constrained_decoding import ConstrainedDecoder
from logicls.records import Answer, Box, Subquery

LOCATE = Subquery("locate:pin", "locate", "pin")
COLOUR = Subquery("attribute:pin.colour", "attribute", "pin", "colour", options=("red", "red_dark", "blue-2"))
VERDICT = Subquery("verdict", "verdict", options=("missing_pin", "extra_pin", "extra"))
SHARE = st.floats(0, 1)
MOST = 3
SIZES = st.tuples(st.integers(30, 4000), st.integers(30, 4000))
per_family = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def decoder_of(each) -> ConstrainedDecoder:
    """Make the constrained decoder of a model."""
    vocabulary = each.model.config.get_text_config().vocab_size
    return ConstrainedDecoder(each.processor.tokenizer, vocabulary=vocabulary, end=each.codec.chat_format.end_token)


def accepted(decoder: ConstrainedDecoder, codec: HubAnswerCodec, query: Subquery, text: str) -> bool:
    """Tell whether the grammar accepts the tokens of the text as a complete answer."""
    matcher, tokens = decoder.make_matcher(codec.make_grammar(query, MOST)), codec.tokenize(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.fixture
def decoder(each):
    """Constrained decoder of the family."""
    return decoder_of(each)


@per_family
@given(size=SIZES, shares=st.lists(st.tuples(SHARE, SHARE, SHARE, SHARE), max_size=MOST))
def test_boxes_are_encoded_and_decoded(each, decoder, size, shares):
    """Any boxes on any photo are decoded from their tokens, and the grammar accepts them.

    The error is at most half a unit of the format, plus half a tenth of a pixel per conversion to pixels.
    """
    width, height = size
    answer = Answer(LOCATE.id, boxes=tuple(Box(a * width, b * height, c * width, d * height) for a, b, c, d in shares))

    text = each.codec.encode(answer, size)
    found = each.codec.decode(each.codec.detokenize(each.codec.tokenize(text)), size)

    resizing = each.codec.box_format.resize
    units = resizing(size) if resizing else (1000, 1000)
    near = [0.5 * side / count + 2 * 0.05 + 1e-6 for side, count in zip(size, units, strict=True)]
    assert accepted(decoder, each.codec, LOCATE, text)
    assert found is not None
    assert len(found.boxes) == len(answer.boxes)
    for one, other in zip(found.boxes, answer.boxes, strict=True):
        assert max(abs(one.x1 - other.x1), abs(one.x2 - other.x2)) <= near[0]
        assert max(abs(one.y1 - other.y1), abs(one.y2 - other.y2)) <= near[1]


@per_family
@given(values=st.lists(st.sampled_from(COLOUR.options), max_size=MOST))
def test_values_are_encoded_and_decoded(each, decoder, values):
    """Any list of an attribute's values, repetitions included."""
    answer = Answer(COLOUR.id, tuple(values))

    text = each.codec.encode(answer, (100, 100))

    assert accepted(decoder, each.codec, COLOUR, text)
    assert each.codec.decode(each.codec.detokenize(each.codec.tokenize(text)), (100, 100)) == answer


@per_family
@given(names=st.sets(st.sampled_from(VERDICT.options)))
def test_verdicts_are_encoded_and_decoded(each, decoder, names):
    """Any set of violations, in alphabetical order."""
    answer = Answer(VERDICT.id, tuple(sorted(names)))

    text = each.codec.encode(answer, (100, 100))

    assert accepted(decoder, each.codec, VERDICT, text)
    assert each.codec.decode(each.codec.detokenize(each.codec.tokenize(text)), (100, 100)) == answer


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (LOCATE, "red"), (LOCATE, "[1, 2, 3]"), (LOCATE, ""), (COLOUR, "green"), (COLOUR, "red red"),
        (COLOUR, "red, red, red, red"), (VERDICT, "missing_pin, extra"), (VERDICT, "extra, extra"),
        (VERDICT, "none, extra"),
    ],
)  # fmt: skip
def test_invalid_answers_are_rejected_by_the_grammar(opened, query, value):
    """Values of another question, incomplete boxes, too many values, repeated or unsorted names."""
    codec, decoder = opened("qwen3_vl").codec, decoder_of(opened("qwen3_vl"))

    assert not accepted(decoder, codec, query, codec.answer_prefix(query) + value)
    assert accepted(decoder, codec, query, codec.answer_prefix(query) + "none")


def test_an_invalid_grammar_is_an_error(decoder):
    """The message gives the reason."""
    with pytest.raises(ValueError, match="nowhere"):
        decoder.make_matcher("start: nowhere\n")


@pytest.mark.parametrize("text", ["", "prose", "@ locate:pin", "@ locate:pin = [1, 2", "@ a = b\n@ c = d", "@ x = !"])
def test_invalid_text_is_decoded_to_none(opened, text):
    """Invalid text, and more than one answer."""
    assert opened("llava").codec.decode(text, (100, 100)) is None
