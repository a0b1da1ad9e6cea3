"""Answers become text that a model's grammar lets through, and are read back."""

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
    """The grammars' side of a model."""
    vocabulary = each.model.config.get_text_config().vocab_size
    return ConstrainedDecoder(each.processor.tokenizer, vocabulary=vocabulary, end=each.codec.chat_format.end_token)


def accepted(decoder: ConstrainedDecoder, codec: HubAnswerCodec, query: Subquery, text: str) -> bool:
    """True where the grammar lets the tokens of the text through, and the answer may end there."""
    matcher, tokens = decoder.make_matcher(codec.make_grammar(query, MOST)), codec.tokenize(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.fixture
def decoder(each):
    """Grammars of the family."""
    return decoder_of(each)


@per_family
@given(size=SIZES, shares=st.lists(st.tuples(SHARE, SHARE, SHARE, SHARE), max_size=MOST))
def test_boxes_come_back(each, decoder, size, shares):
    """Any boxes on any photo: through tokens and back, and the grammar knows them all.

    To half a unit of the family, and half a tenth of a pixel each time that the trail writes them.
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
def test_values_come_back(each, decoder, values):
    """Any list of an attribute's values, repeats included."""
    answer = Answer(COLOUR.id, tuple(values))

    text = each.codec.encode(answer, (100, 100))

    assert accepted(decoder, each.codec, COLOUR, text)
    assert each.codec.decode(each.codec.detokenize(each.codec.tokenize(text)), (100, 100)) == answer


@per_family
@given(names=st.sets(st.sampled_from(VERDICT.options)))
def test_verdicts_come_back(each, decoder, names):
    """Any set of violations, in the alphabetical order of the trail."""
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
def test_what_is_no_answer_is_not_let_through(opened, query, value):
    """Words of another question, half a box, too many values, names twice or in another order."""
    codec, decoder = opened("qwen3_vl").codec, decoder_of(opened("qwen3_vl"))

    assert not accepted(decoder, codec, query, codec.answer_prefix(query) + value)
    assert accepted(decoder, codec, query, codec.answer_prefix(query) + "none")


def test_a_grammar_that_is_none_is_refused(decoder):
    """With the reason."""
    with pytest.raises(ValueError, match="nowhere"):
        decoder.make_matcher("start: nowhere\n")


@pytest.mark.parametrize("text", ["", "prose", "@ locate:pin", "@ locate:pin = [1, 2", "@ a = b\n@ c = d", "@ x = !"])
def test_what_cannot_be_read_is_none(opened, text):
    """Nonsense, and more than one answer."""
    assert opened("llava").codec.decode(text, (100, 100)) is None
