"""One pass: whatever the weights are, every answer can be read; and the words of a question decide its answer."""

from __future__ import annotations

import runpy
from dataclasses import replace

import numpy as np
import pytest
import torch

from logicls.constraints.checker.decomposition import decompose, locate_query_id
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.predict.readers.detections import Detection, answer_location, answer_attribute
from logicls.predict.readers.nano import Prediction, NanoReader
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Box, Subquery
from logicls.train.batching import collate
from logicls.train.encoding import EncodedExample


def all_of(look: Prediction) -> tuple[Answer, ...]:
    """The answers and the stated verdict."""
    return (*look.answers, look.stated)


def said(answer: Answer) -> tuple[object, ...]:
    """What does not depend on rounding."""
    return answer.query, answer.values, len(answer.boxes), answer.readable


def numbers(look: Prediction) -> list[float]:
    """What does: edges, confidences, chances."""
    edges = [edge for a in all_of(look) for b in a.boxes for edge in (b.x1, b.y1, b.x2, b.y2)]
    return [*edges, *(a.confidence for a in all_of(look)), *(chance for _, chance in look.violation_probabilities)]


@pytest.fixture(scope="module")
def looks(bundle, photos) -> list[Prediction]:
    """One look at all photos."""
    return NanoReader(bundle).predict_pixels(photos)


def test_every_question_has_an_answer_of_its_kind(bundle, looks):
    """In the spec's order, and with nothing that its kind of question cannot have for an answer."""
    queries = decompose(bundle.spec)

    answers = [all_of(look) for look in looks]

    for given in answers:
        assert [a.query for a in given] == [q.id for q in queries]
        for query, answer in zip(queries, given, strict=True):
            assert set(answer.values) <= set(query.options)
            assert not (answer.boxes and query.kind != "locate")
            assert 0 <= answer.confidence <= 1


def test_boxes_lie_in_the_photo(looks, photos):
    """Edges are in order and inside, whatever the photo's proportions."""
    found = [(box, photo.shape) for look, photo in zip(looks, photos, strict=True)
             for answer in look.answers for box in answer.boxes]  # fmt: skip

    assert found
    assert all(0 <= b.x1 <= b.x2 <= shape[1] and 0 <= b.y1 <= b.y2 <= shape[0] for b, shape in found)


def test_a_photo_is_read_alike_alone_and_among_others(bundle, looks, photos):
    """A batch changes no answer."""
    alone = [NanoReader(bundle).predict_pixels([photo])[0] for photo in photos]

    assert [[said(a) for a in all_of(look)] for look in alone] == [[said(a) for a in all_of(look)] for look in looks]
    assert [numbers(look) for look in alone] == [pytest.approx(numbers(look), abs=1e-2) for look in looks]


def test_chances_are_those_of_the_specs_violations(bundle, looks):
    """One probability for each defect, 0 to 1."""
    assert [tuple(name for name, _ in look.violation_probabilities) for look in looks] == [
        bundle.spec.violations
    ] * len(looks)
    assert all(0 <= chance <= 1 for look in looks for _, chance in look.violation_probabilities)


def rigged(bundle, favoured: list[str]) -> NanoReader:
    """The same bundle with a model that says the first of the favoured tokens that is allowed."""
    codec = NanoAnswerCodec(bundle.processor)
    scores = torch.zeros(bundle.model.config.vocab_size)
    for place, token in enumerate(favoured):
        scores[codec.token_id(token)] = 50.0 - 10 * place

    class Sure(torch.nn.Module):
        """The model with other logits."""

        config, detection_head, compute_logits = (
            bundle.model.config,
            bundle.model.detection_head,
            bundle.model.compute_logits,
        )

        def forward(self, *args, **kwargs):
            out = bundle.model(*args, **kwargs)
            out.logits = scores.expand_as(out.logits)
            return out

    return NanoReader(replace(bundle, model=Sure()))


def test_nothing_is_an_answer(bundle, photos):
    """A model that says `<none>` is read as: there is none."""
    look = rigged(bundle, ["<none>"]).predict_pixels(photos[:1])[0]

    assert said(look.stated)[1:] == ((), 0, True)


def test_a_model_that_never_stops_is_doubted(bundle, photos):
    """No more values than there can be, no violation twice; and hardly any confidence, as it would have gone on."""
    look = rigged(bundle, ["<missing_pin>", "<extra_pin>", "<round>"]).predict_pixels(photos[:1])[0]

    shape = next(answer for answer in look.answers if answer.query == "attribute:lid.shape")
    assert (shape.values, shape.readable) == (("round",) * bundle.max_boxes, True)
    assert (set(look.stated.values), look.stated.readable) == ({"missing_pin", "extra_pin"}, True)
    assert max(shape.confidence, look.stated.confidence) < 1e-6


def lit(chances: list[float], boxes: list[Box]) -> list[Detection]:
    """Lights with these chances."""
    return [Detection(chance, (0.0, 0.0, 1.0, 1.0), box) for chance, box in zip(chances, boxes, strict=True)]


def test_bright_lights_are_the_answer():
    """Those that are likelier than not, in reading order; the chance is that of these and no others."""
    query = Subquery("locate:pin", "locate", "pin")
    boxes = [Box(50, 50, 60, 60), Box(10, 10, 20, 20), Box(80, 10, 90, 20)]

    answer = answer_location(query, lit([0.9, 0.8, 0.25], boxes), (100, 100))

    assert answer.boxes == (boxes[1], boxes[0])
    assert answer.confidence == pytest.approx(0.9 * 0.8 * 0.75)


def test_an_attribute_is_read_of_each_bearer(bundle, photos):
    """As many values as things, each out of the question's own; no thing, no value."""
    one_pass = NanoReader(bundle)
    query = next(q for q in one_pass.queries if q.kind == "attribute")
    chart, asked = torch.randn(2, 64 // 2, 8, 8), torch.randn(2, 64)
    bearers = lit([0.9, 0.9], [Box(0, 0, 8, 8), Box(20, 20, 40, 40)])

    some, none = answer_attribute(bundle.model, one_pass.codec, query, [bearers, []], chart, asked)

    assert len(some.values) == 2
    assert set(some.values) <= set(query.options)
    assert 0 < some.confidence <= 1
    assert none == Answer(query.id)


@pytest.mark.checkout
def test_every_answer_can_be_read_whatever_is_on_the_photo(bundle, root):
    """Noise and its like through random weights; and what holds no answer of a question is told."""
    bench = runpy.run_path(str(root / "tests" / "bench" / "noise_photos.py"))
    reader = NanoReader(bundle)

    looks = reader.predict_pixels(list(bench["odd_photos"](140)))

    assert [bench["faults"](reader.queries, all_of(look)) for look in looks] == [[]] * 140
    assert len({str([said(a) for a in all_of(look)]) for look in looks}) > 10
    wrong = [replace(answer, values=("green",), readable=False) for answer in all_of(looks[0])]
    assert bench["faults"](reader.queries, tuple(wrong)) == [query.id for query in reader.queries]


def test_questions_are_answered_alike_alone_and_among_others(bundle, photos):
    """In one row with all others, or each in a pass of its own: the same boxes, values and chances."""
    together, alone = NanoReader(bundle), NanoReader(bundle)
    verdict = together.queries[-1]
    wanted = together.predict_pixels(photos)

    found = []
    for query in together.queries[:-1]:
        others = [q for q in together.queries if q.id == locate_query_id(query.id) and q is not query]
        some = NanoReader(bundle)
        some.queries = (*others, query, verdict)
        found.append([next(a for a in look.answers if a.query == query.id) for look in some.predict_pixels(photos)])
    alone.queries = (verdict,)
    stated = [look.stated for look in alone.predict_pixels(photos)]

    for each, given in zip([*found, stated], zip(*map(all_of, wanted), strict=True), strict=True):
        assert [said(answer) for answer in each] == [said(answer) for answer in given]
        assert [a.confidence for a in each] == pytest.approx([a.confidence for a in given], abs=1e-4)


def test_a_step_is_made_only_where_the_model_has_a_choice(bundle, photos):
    """Photo and questions are read in two passes, and words that can be nothing but the end cost none."""
    quiet = rigged(bundle, ["<none>"])
    calls = []
    quiet.bundle.model.register_forward_hook(lambda *_: calls.append(1))

    quiet.predict_pixels(photos)

    assert len(calls) == 2


def test_logits_are_made_where_they_are_wanted(bundle, photos):
    """Of the words after which an answer in words begins; of the photo none."""
    reader, shapes = NanoReader(bundle), []

    class Watched(torch.nn.Module):
        """The model, telling of its logits."""

        config, detection_head, compute_logits = (
            bundle.model.config,
            bundle.model.detection_head,
            bundle.model.compute_logits,
        )

        def forward(self, *args, **kwargs):
            out = bundle.model(*args, **kwargs)
            shapes.append(tuple(out.logits.shape[:2]))
            return out

    NanoReader(replace(bundle, model=Watched())).predict_pixels(photos[:2])

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


def squares(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Box]]:
    """A grey photo with a red and a blue square that do not touch, and where they are."""
    photo = np.full((64, 64, 3), 120, np.uint8)
    boxes = {}
    halves = rng.permutation([0, 32])
    for name, left, colour in zip(("red_square", "blue_square"), halves, ((220, 30, 30), (30, 30, 220)), strict=True):
        x, y = int(left + rng.integers(1, 15)), int(rng.integers(1, 47))
        photo[y : y + 16, x : x + 16] = colour
        boxes[f"locate:{name}"] = Box(x, y, x + 16, y + 16)
    return photo, boxes


@pytest.mark.slow
def test_the_words_of_a_question_decide(make_bundle):
    """After a short training the same photo has the red square for one question and the blue one for the other."""
    bundle = make_bundle(SQUARES)
    codec, rng = NanoAnswerCodec(bundle.processor), np.random.default_rng(0)
    scenes = [squares(rng) for _ in range(12)]
    prompts = tuple(tuple(codec.encode_prompt(canonical_question(q, bundle.spec))) for q in decompose(bundle.spec))
    examples = [
        EncodedExample(
            prompts,
            tuple(tuple(codec.encode_answer([], count, located=count == 1)) for count in (1, 1, 0)),
            (1.0,) * 3,
            (
                ((codec.box_to_input(red, (64, 64)), IGNORE_INDEX),),
                ((codec.box_to_input(blue, (64, 64)), IGNORE_INDEX),),
                (),
            ),
            (True, True, False),
        )
        for red, blue in ((boxes["locate:red_square"], boxes["locate:blue_square"]) for _, boxes in scenes)
    ]
    pixels = np.stack([bundle.processor.image_processor.fitted(photo) for photo, _ in scenes])
    batch = collate(examples, pixels, codec, bundle.processor.image_tokens)
    optimiser = torch.optim.AdamW(bundle.model.parameters(), 2e-3)
    bundle.model.train()
    for _ in range(200):
        optimiser.zero_grad()
        bundle.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(bundle.model.parameters(), 1.0)
        optimiser.step()
    bundle.model.eval()

    looks = NanoReader(bundle).predict_pixels([photo for photo, _ in scenes])

    overlaps = [
        [answer.boxes[0].iou(boxes[answer.query]) if len(answer.boxes) == 1 else 0.0 for answer in look.answers]
        for look, (_, boxes) in zip(looks, scenes, strict=True)
    ]
    assert min(map(min, overlaps)) > 0.5, overlaps
    assert [(look.stated.values, look.stated.readable) for look in looks] == [((), True)] * len(scenes)
