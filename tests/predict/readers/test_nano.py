"""The reader of nano: every answer is readable whatever the weights, and depends on the text of its question."""

from __future__ import annotations

import runpy
from dataclasses import replace

import numpy as np
import pytest
import torch

from logicls.constraints.checker.decomposition import decompose, locate_query_id
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.predict.readers.detections import answer_attribute, answer_location
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import Detection, Prediction, predict_arrays
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Box, Subquery
from logicls.train.batching import collate
from logicls.train.encoding import EncodedExample, InstanceTarget


def all_answers(prediction: Prediction) -> tuple[Answer, ...]:
    """Return the answers and the stated verdict."""
    return (*prediction.answers, prediction.stated)


def discrete(answer: Answer) -> tuple[object, ...]:
    """Return the parts of an answer that do not depend on rounding."""
    return answer.query, answer.values, len(answer.boxes), answer.readable


def continuous(prediction: Prediction) -> list[float]:
    """Return those that do: edges, confidences, probabilities."""
    edges = [edge for a in all_answers(prediction) for b in a.boxes for edge in (b.x1, b.y1, b.x2, b.y2)]
    return [
        *edges,
        *(a.confidence for a in all_answers(prediction)),
        *(chance for _, chance in prediction.violation_probabilities),
    ]


@pytest.fixture(scope="module")
def predictions(bundle, photos) -> list[Prediction]:
    """Predictions of all photos in one batch."""
    return predict_arrays(NanoReader(bundle), photos)


def test_every_question_has_an_answer_of_its_kind(bundle, predictions):
    """Answers come in the order of the spec, with values and boxes as the kind of question has them."""
    queries = decompose(bundle.spec)

    answers = [all_answers(one) for one in predictions]

    for given in answers:
        assert [a.query for a in given] == [q.id for q in queries]
        for query, answer in zip(queries, given, strict=True):
            assert set(answer.values) <= set(query.options)
            assert not (answer.boxes and query.kind != "locate")
            assert 0 <= answer.confidence <= 1


def test_boxes_lie_in_the_photo(predictions, photos):
    """Edges are sorted and inside the photo, whatever its aspect ratio."""
    found = [(box, photo.shape) for one, photo in zip(predictions, photos, strict=True)
             for answer in one.answers for box in answer.boxes]  # fmt: skip

    assert found
    assert all(0 <= b.x1 <= b.x2 <= shape[1] and 0 <= b.y1 <= b.y2 <= shape[0] for b, shape in found)


def test_a_photo_has_the_same_prediction_alone_and_in_a_batch(bundle, predictions, photos):
    """A batch changes no answer."""
    alone = [predict_arrays(NanoReader(bundle), [photo])[0] for photo in photos]

    assert [[discrete(a) for a in all_answers(one)] for one in alone] == [
        [discrete(a) for a in all_answers(one)] for one in predictions
    ]
    assert [continuous(one) for one in alone] == [pytest.approx(continuous(one), abs=1e-2) for one in predictions]


def test_violation_probabilities_are_those_of_the_spec(bundle, predictions):
    """There is one probability for each violation, 0 to 1."""
    assert [tuple(name for name, _ in one.violation_probabilities) for one in predictions] == [
        bundle.spec.violations
    ] * len(predictions)
    assert all(0 <= chance <= 1 for one in predictions for _, chance in one.violation_probabilities)


class ModelWithHook(NanoForImageTextToText):
    """A copy of a model whose outputs pass through a function."""

    def __init__(self, model, hook) -> None:
        super().__init__(model.config)
        self.load_state_dict(model.state_dict())
        self.hook = hook
        self.eval()

    def forward(self, *args, **kwargs):
        """Run the model, then the function."""
        return self.hook(super().forward(*args, **kwargs))


def biased_reader(bundle, favoured: list[str]) -> NanoReader:
    """Make a reader whose model prefers these tokens, the first one most."""
    codec = NanoAnswerCodec(bundle.processor)
    scores = torch.zeros(bundle.model.config.vocab_size)
    for place, token in enumerate(favoured):
        scores[codec.token_id(token)] = 50.0 - 10 * place

    def set_logits(out):
        out.logits = scores.expand_as(out.logits)
        return out

    return NanoReader(replace(bundle, model=ModelWithHook(bundle.model, set_logits)))


def test_none_is_an_empty_answer(bundle, photos):
    """The token `<none>` is read as an empty, readable answer."""
    prediction = predict_arrays(biased_reader(bundle, ["<none>"]), photos[:1])[0]

    assert discrete(prediction.stated)[1:] == ((), 0, True)


def test_an_answer_without_end_has_low_confidence(bundle, photos):
    """The number of values is limited and violations are not repeated; the confidence is low."""
    prediction = predict_arrays(biased_reader(bundle, ["<missing_pin>", "<extra_pin>", "<round>"]), photos[:1])[0]

    shape = next(answer for answer in prediction.answers if answer.query == "attribute:lid.shape")
    assert (shape.values, shape.readable) == (("round",) * bundle.max_boxes, True)
    assert (set(prediction.stated.values), prediction.stated.readable) == ({"missing_pin", "extra_pin"}, True)
    assert max(shape.confidence, prediction.stated.confidence) < 1e-6


def make_detections(probabilities: list[float], boxes: list[Box]) -> list[Detection]:
    """Make detections with these probabilities."""
    return [Detection(p, (0.0, 0.0, 1.0, 1.0), box) for p, box in zip(probabilities, boxes, strict=True)]


def test_detections_above_the_threshold_are_the_answer():
    """Boxes come in reading order; the confidence is the probability of exactly these detections."""
    query = Subquery("locate:pin", "locate", "pin")
    boxes = [Box(50, 50, 60, 60), Box(10, 10, 20, 20), Box(80, 10, 90, 20)]

    answer = answer_location(query, make_detections([0.9, 0.8, 0.25], boxes), (100, 100))

    assert answer.boxes == (boxes[1], boxes[0])
    assert answer.confidence == pytest.approx(0.9 * 0.8 * 0.75)


def test_an_attribute_is_read_from_each_detection(bundle, photos):
    """There is one value per detection, among the options of the question; without detections there is none."""
    reader = NanoReader(bundle)
    query = next(q for q in reader.queries if q.kind == "attribute")
    feature_map, queries = torch.randn(2, 64 // 2, 8, 8), torch.randn(2, 64)
    detections = make_detections([0.9, 0.9], [Box(0, 0, 8, 8), Box(20, 20, 40, 40)])

    some, none = answer_attribute(bundle.model, reader.codec, query, [detections, []], feature_map, queries)

    assert len(some.values) == 2
    assert set(some.values) <= set(query.options)
    assert 0 < some.confidence <= 1
    assert none == Answer(query.id)


@pytest.mark.checkout
def test_every_answer_is_readable_whatever_the_photo(bundle, root):
    """Noise and similar photos give readable answers with random weights; the benchmark reports invalid answers."""
    bench = runpy.run_path(str(root / "tests" / "bench" / "noise_photos.py"))
    reader = NanoReader(bundle)

    predictions = predict_arrays(reader, list(bench["make_photos"](140)))

    assert [bench["invalid_answers"](reader.queries, all_answers(one)) for one in predictions] == [[]] * 140
    assert len({str([discrete(a) for a in all_answers(one)]) for one in predictions}) > 10
    wrong = [replace(answer, values=("green",), readable=False) for answer in all_answers(predictions[0])]
    assert bench["invalid_answers"](reader.queries, tuple(wrong)) == [query.id for query in reader.queries]


def test_a_question_has_the_same_answer_alone_and_among_others(bundle, photos):
    """Boxes, values and probabilities are the same in one pass with all questions and in a pass of its own."""
    together, alone = NanoReader(bundle), NanoReader(bundle)
    verdict = together.queries[-1]
    wanted = predict_arrays(together, photos)

    found = []
    for query in together.queries[:-1]:
        others = [q for q in together.queries if q.id == locate_query_id(query.id) and q is not query]
        some = NanoReader(bundle)
        some.queries = (*others, query, verdict)
        found.append([next(a for a in one.answers if a.query == query.id) for one in predict_arrays(some, photos)])
    alone.queries = (verdict,)
    stated = [one.stated for one in predict_arrays(alone, photos)]

    for each, given in zip([*found, stated], zip(*map(all_answers, wanted), strict=True), strict=True):
        assert [discrete(answer) for answer in each] == [discrete(answer) for answer in given]
        assert [a.confidence for a in each] == pytest.approx([a.confidence for a in given], abs=1e-4)


def test_the_model_runs_only_where_it_has_a_choice(bundle, photos):
    """Photo and questions take two passes; a token that can only be the end takes none."""
    reader = biased_reader(bundle, ["<none>"])
    calls = []
    reader.bundle.model.register_forward_hook(lambda *_: calls.append(1))

    predict_arrays(reader, photos)

    assert len(calls) == 2


def test_logits_are_computed_only_where_they_are_used(bundle, photos):
    """Only positions after which a token answer begins have logits, and no position of the photo."""
    reader, shapes = NanoReader(bundle), []

    def record_shape(out):
        shapes.append(tuple(out.logits.shape[:2]))
        return out

    predict_arrays(NanoReader(replace(bundle, model=ModelWithHook(bundle.model, record_shape))), photos[:2])

    assert shapes[:2] == [(2, 0), (2, len(reader.token_queries))]


SQUARES = """logicls: 1
product: {name: squares}
components:
  red_square: {}
  blue_square: {}
constraints:
  - {id: one-red, quantity: {of: red_square, exactly: 1}}
  - {id: one-blue, quantity: {of: blue_square, exactly: 1}}
"""


def draw_squares(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Box]]:
    """Draw a red and a blue square that do not touch on grey; returns photo and boxes."""
    photo = np.full((64, 64, 3), 120, np.uint8)
    boxes = {}
    halves = rng.permutation([0, 32])
    for name, left, colour in zip(("red_square", "blue_square"), halves, ((220, 30, 30), (30, 30, 220)), strict=True):
        x, y = int(left + rng.integers(1, 15)), int(rng.integers(1, 47))
        photo[y : y + 16, x : x + 16] = colour
        boxes[f"locate:{name}"] = Box(x, y, x + 16, y + 16)
    return photo, boxes


@pytest.mark.slow
def test_the_text_of_a_question_decides_its_answer(make_bundle):
    """After a short training the same photo has the red square for one question and the blue one for the other."""
    bundle = make_bundle(SQUARES)
    codec, rng = NanoAnswerCodec(bundle.processor), np.random.default_rng(0)
    scenes = [draw_squares(rng) for _ in range(12)]
    prompts = tuple(tuple(codec.encode_prompt(canonical_question(q, bundle.spec))) for q in decompose(bundle.spec))
    examples = [
        EncodedExample(
            prompts,
            tuple(tuple(codec.encode_answer([], count, located=count == 1)) for count in (1, 1, 0)),
            (1.0,) * 3,
            (
                (InstanceTarget(codec.box_to_input(red, (64, 64))),),
                (InstanceTarget(codec.box_to_input(blue, (64, 64))),),
                (),
            ),
            (True, True, False),
        )
        for red, blue in ((boxes["locate:red_square"], boxes["locate:blue_square"]) for _, boxes in scenes)
    ]
    pixels = np.stack([bundle.processor.image_processor.letterbox(photo) for photo, _ in scenes])
    batch = collate(examples, pixels, codec, bundle.processor.image_tokens)
    optimiser = torch.optim.AdamW(bundle.model.parameters(), 2e-3)
    bundle.model.train()
    for _ in range(200):
        optimiser.zero_grad()
        bundle.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(bundle.model.parameters(), 1.0)
        optimiser.step()
    bundle.model.eval()

    predictions = predict_arrays(NanoReader(bundle), [photo for photo, _ in scenes])

    overlaps = [
        [answer.boxes[0].iou(boxes[answer.query]) if len(answer.boxes) == 1 else 0.0 for answer in one.answers]
        for one, (_, boxes) in zip(predictions, scenes, strict=True)
    ]
    assert min(map(min, overlaps)) > 0.5, overlaps
    assert [(one.stated.values, one.stated.readable) for one in predictions] == [((), True)] * len(scenes)
