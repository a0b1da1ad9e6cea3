"""The reader of hub models: answers equal those of single questions, and are always readable."""

from __future__ import annotations

import io
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import LogitsProcessor, LogitsProcessorList

from logicls.errors import BundleError
from logicls.models.bundle import load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter, get_adapter_weights
from logicls.models.hub.bundle_io import describe_base
from logicls.models.hub.chat_template import make_inputs, pad_photo, place_photo
from logicls.models.hub.loading import conventions_for, find_checkpoint, load_model, load_processor
from logicls.models.hub.shared_prefix import append_text
from logicls.predict.plugin_protocols import ProductMatch
from logicls.predict.readers import make_reader
from logicls.predict.readers.hub import (
    MAX_CONTEXT_TOKENS,
    RESERVED_TOKENS,
    HubReader,
    RetrievalPrompter,
    RetrievedContext,
    retrieve_contexts,
)
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.self_test import open_bundle, write_probe

FAMILIES = ["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"]


@pytest.fixture(scope="module")
def make_hub(checkpoint, box_spec, tmp_path_factory):
    """Makes a bundle of a family with a random adapter, merged or not; it must not be changed."""

    @cache
    def make(family: str, merged: bool = False):
        folder, base = tmp_path_factory.mktemp("hub"), find_checkpoint(str(checkpoint(family)))
        torch.manual_seed(1)
        adapter = add_adapter(
            load_model(base.path, precision="float32"), rank=2, alpha=4, dropout=0.1, scope="everywhere"
        )
        with torch.no_grad():
            for weight in get_adapter_weights(adapter).values():
                weight.normal_(std=0.2)
        hub = describe_base(
            base, merged=merged, precision="float32", four_bit=False, boxes=conventions_for(family).boxes
        )
        write_hub_bundle(
            folder / "bundle", adapter=adapter, processor=load_processor(base.path), hub=hub,
            spec_file=box_spec, max_boxes=2,
        )  # fmt: skip
        return load_bundle(folder / "bundle")

    return make


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    """Each family in turn."""
    return request.param


class GrammarLogitsProcessor(LogitsProcessor):
    """Applies a grammar to `generate` of transformers: one question at a time, one token per step."""

    def __init__(self, reader: HubReader, matcher, begin: int) -> None:
        self.reader, self.matcher, self.begin = reader, matcher.deep_copy(), begin
        self.seen = 0

    def __call__(self, ids, scores):
        """Set tokens that the grammar forbids to minus infinity."""
        for token in ids[0, self.begin + self.seen :].tolist():
            self.matcher.consume_token(token)
            self.seen += 1
        forced = self.matcher.compute_ff_tokens()
        if forced:
            only = torch.full_like(scores, -torch.inf)
            only[0, forced[0]] = 0.0
            return only
        if self.matcher.is_stopped():
            forced = [self.reader.decoder.end]
        mask = torch.from_numpy(self.reader.decoder._mask(self.matcher))
        return scores.masked_fill(~mask, -torch.inf)


def generate_answer(reader: HubReader, photo, compiled) -> str:
    """Generate the text of one answer with `generate` of transformers."""
    bundle, codec = reader.bundle, reader.codec
    shown = place_photo((photo.shape[1], photo.shape[0]), bundle.processor)
    inputs = append_text(make_inputs(bundle.processor, codec.chat_format, [pad_photo(photo, shown)]), compiled.prompt)
    begin = inputs["input_ids"].shape[1]
    end = codec.chat_format.end_token
    out = bundle.model.generate(
        **inputs, do_sample=False, max_new_tokens=200, eos_token_id=end, pad_token_id=end,
        logits_processor=LogitsProcessorList([GrammarLogitsProcessor(reader, compiled.matcher, begin)]),
    )  # fmt: skip
    return codec.detokenize([token for token in out[0, begin:].tolist() if token != end])


@pytest.mark.slow
def test_parallel_answers_equal_those_of_one_at_a_time(make_hub, photos, family):
    """Texts equal those of greedy decoding by transformers with the same grammar."""
    reader = HubReader(make_hub(family))

    for photo in photos[:2]:
        with torch.inference_mode():
            prefix, _ = reader.encode_photos([photo])
            texts = [reader._text(tokens) for tokens in reader.answer_queries(prefix)[0]]

            assert texts == [generate_answer(reader, photo, compiled) for compiled in reader.compiled_queries]


def test_photos_in_a_batch_are_answered_as_alone(make_hub, photos, family):
    """Photos of one size have the same answers and features in a batch; other sizes form batches of their own."""
    reader = make_reader(make_hub(family))
    given = [photos[0], 255 - photos[0], photos[1], photos[0]]

    predictions, alone = predict_arrays(reader, given), [predict_arrays(reader, [photo])[0] for photo in given]

    for one, other in zip(predictions, alone, strict=True):
        for a, b in zip((*one.answers, one.stated), (*other.answers, other.stated), strict=True):
            assert (a.query, a.values, a.boxes, a.readable) == (b.query, b.values, b.boxes, b.readable)
            assert (a.confidence, *a.probabilities) == pytest.approx((b.confidence, *b.probabilities), abs=1e-3)
        assert dict(one.violation_probabilities) == pytest.approx(dict(other.violation_probabilities), abs=1e-3)
        assert np.abs(one.feature - other.feature).max() < 1e-4
    assert np.abs(predictions[0].feature - predictions[1].feature).max() > 1e-3


@pytest.mark.slow
def test_merged_and_separate_adapters_answer_equally(make_hub, photos, family):
    """Answers and boxes are equal, and confidences differ by rounding alone."""
    predictions = [predict_arrays(make_reader(make_hub(family, merged)), photos) for merged in (False, True)]

    for one, other in zip(*predictions, strict=True):
        for a, b in zip((*one.answers, one.stated), (*other.answers, other.stated), strict=True):
            assert (a.query, a.values, a.boxes, a.readable) == (b.query, b.values, b.boxes, b.readable)
            assert a.confidence == pytest.approx(b.confidence, abs=1e-3)
        assert dict(one.violation_probabilities) == pytest.approx(dict(other.violation_probabilities), abs=1e-3)


def test_answers_belong_to_their_questions(make_hub, photos, family):
    """Every question has an answer; values are options, boxes lie in the photo, probabilities are in (0, 1]."""
    bundle = make_hub(family)
    prediction = predict_arrays(make_reader(bundle), photos[:1])[0]

    options = {"attribute:pin.colour": {"red", "blue"}, "attribute:lid.shape": {"round", "square"}, "locate:pin": set()}
    height, width, _ = photos[0].shape
    assert {answer.query for answer in prediction.answers} == set(options)
    assert all(set(answer.values) <= options[answer.query] for answer in prediction.answers)
    assert set(prediction.stated.values) <= set(bundle.spec.violations)
    assert [name for name, _ in prediction.violation_probabilities] == list(bundle.spec.violations)
    assert all(0 <= box.x1 <= box.x2 <= width for answer in prediction.answers for box in answer.boxes)
    assert all(0 <= box.y1 <= box.y2 <= height for answer in prediction.answers for box in answer.boxes)
    numbers = [
        *(answer.confidence for answer in (*prediction.answers, prediction.stated)),
        *dict(prediction.violation_probabilities).values(),
    ]
    assert all(0 < number <= 1 for number in numbers)


def test_make_reader_chooses_by_the_bundle(make_hub, bundle):
    """Nano has its reader, a hub model another one."""
    assert type(make_reader(bundle)) is NanoReader
    assert type(make_reader(make_hub("llava"))) is HubReader
    with pytest.raises(TypeError, match="no hub model"):
        HubReader(bundle)


class ScriptedPrefix:
    """Replaces an encoded photo: the model is confident of given texts, each a prompt with its answer."""

    def __init__(self, texts: list[list[int]], vocabulary: int) -> None:
        self.texts, self.vocabulary, self.rows = texts, vocabulary, []
        self.feature = torch.zeros(1, 4)

    def branch(self, count: int) -> ScriptedPrefix:
        """Start continuations."""
        other = ScriptedPrefix(self.texts, self.vocabulary)
        other.rows = [[] for _ in range(count)]
        return other

    def keep_rows(self, rows: list[int]) -> None:
        """Keep these rows alone."""
        self.rows = [self.rows[row] for row in rows]

    def step(self, chunks, keep: int = 1) -> torch.Tensor:
        """Return logits: 20 for the next token of a text, 0 for any other."""
        logits = torch.zeros(len(chunks), keep, self.vocabulary)
        for row, chunk in enumerate(chunks):
            self.rows[row] = [*self.rows[row], *chunk]
            for place in range(keep):
                seen = self.rows[row][: len(self.rows[row]) - keep + 1 + place]
                for text in self.texts:
                    if text[: len(seen)] == seen and len(text) > len(seen):
                        logits[row, place, text[len(seen)]] = 20.0
        return logits


class ScriptedReader(HubReader):
    """A reader whose model gives these answers, by the id of the question."""

    def __init__(self, bundle, said: dict[str, str]) -> None:
        super().__init__(bundle)
        self.said = said

    def encode_photos(self, photos, context=None):
        """Return a prefix that continues with the answers."""
        codec = self.codec
        texts = [
            [
                *asked.prompt,
                *codec.tokenize(codec.answer_prefix(asked.query) + self.said[asked.query.id]),
                codec.chat_format.end_token,
            ]
            for asked in self.compiled_queries
        ]
        return ScriptedPrefix(texts, self.decoder.vocabulary), place_photo(
            (photos[0].shape[1], photos[0].shape[0]), self.bundle.processor
        )


class UndecidedReader(ScriptedReader):
    """A reader whose model gives either of two answers."""

    def __init__(self, bundle, said: dict[str, str], other: dict[str, str]) -> None:
        super().__init__(bundle, said)
        self.other = ScriptedReader(bundle, other)

    def encode_photos(self, photos, context=None):
        """Return a prefix that continues with both, equally likely."""
        (one, shown), (other, _) = super().encode_photos(photos), self.other.encode_photos(photos)
        return ScriptedPrefix([*one.texts, *other.texts], one.vocabulary), shown


SAID = {
    "locate:pin": "[100, 200, 300, 400] [500, 500, 1000, 1000]", "attribute:pin.colour": "red, blue",
    "attribute:lid.shape": "none", "verdict": "extra_pin, missing_pin",
}  # fmt: skip


def test_answers_of_a_confident_model_are_parsed(make_hub, photos):
    """Boxes are in pixels of the photo, values in order, `none` is empty; all confidences are 1."""
    prediction = predict_arrays(ScriptedReader(make_hub("qwen3_vl"), SAID), photos[:1])[0]

    answers = {answer.query: answer for answer in (*prediction.answers, prediction.stated)}
    edges = [[box.x1, box.y1, box.x2, box.y2] for box in answers["locate:pin"].boxes]
    assert edges == [pytest.approx([6, 16, 18, 32]), pytest.approx([30, 40, 60, 80])]
    assert answers["attribute:pin.colour"].values == ("red", "blue")
    assert (answers["attribute:lid.shape"].values, answers["attribute:lid.shape"].readable) == ((), True)
    assert prediction.stated.values == ("extra_pin", "missing_pin")
    assert all(a.readable and a.confidence == pytest.approx(1, abs=1e-3) for a in answers.values())
    assert {query: answer.probabilities for query, answer in answers.items()} == {
        "locate:pin": pytest.approx((1, 1, 0), abs=1e-3), "attribute:pin.colour": pytest.approx((1, 1), abs=1e-3),
        "attribute:lid.shape": (), "verdict": pytest.approx((1, 1), abs=1e-3),
    }  # fmt: skip
    assert dict(prediction.violation_probabilities) == pytest.approx(
        {"missing_pin": 1, "extra_pin": 1, "lid-goes-with-pin": 0}, abs=1e-3
    )


def test_an_answer_without_end_is_unreadable(make_hub, photos):
    """One box or value more than in training ends an answer, and makes it unreadable."""
    box = "[1, 2, 3, 4]"
    said = {**SAID, "locate:pin": " ".join([box] * 9), "attribute:pin.colour": ", ".join(["red"] * 9)}

    prediction = predict_arrays(ScriptedReader(make_hub("qwen3_vl"), said), photos[:1])[0]

    answers = {answer.query: answer for answer in prediction.answers}
    assert [(len(a.boxes), len(a.values), a.readable) for a in answers.values()] == [
        (2, 0, False) if query == "locate:pin" else (0, 2, False) if query == "attribute:pin.colour" else (0, 0, True)
        for query in answers
    ]


def test_confidence_depends_on_the_number_of_boxes_and_not_on_their_location(make_hub, photos):
    """Two equally likely locations leave the confidence at 1; two equally likely counts do not."""
    bundle, found = make_hub("qwen3_vl"), {}
    for name, other in (("place", "[700, 200, 300, 400] [500, 500, 1000, 1000]"), ("number", "[100, 200, 300, 400]")):
        reader = UndecidedReader(bundle, SAID, {**SAID, "locate:pin": other})

        answer = next(a for a in predict_arrays(reader, photos[:1])[0].answers if a.query == "locate:pin")

        found[name] = (answer.confidence, *answer.probabilities)
    assert found == {
        "place": pytest.approx((1, 1, 1, 0), abs=1e-3),
        "number": pytest.approx((0.5, 1, 0.5, 0), abs=1e-3),
    }


@pytest.fixture
def copy(make_hub, synth_photos, tmp_path):
    """A copy of a bundle with its probe, to be changed."""
    path = shutil.copytree(make_hub("qwen2_5_vl").path, tmp_path / "bundle")
    write_probe(load_bundle(path), synth_photos)
    return path


@pytest.fixture(scope="module")
def synth_photos(photos, tmp_path_factory):
    """A dataset of two photos."""
    folder, data = tmp_path_factory.mktemp("photos"), []
    for photo in photos[:2]:
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "JPEG", quality=95)
        data.append({"bytes": file.getvalue(), "path": None})
    (folder / "data").mkdir()
    pq.write_table(pa.table({"image": data}), folder / "data" / "train-00000-of-00001.parquet")
    return folder


def refusals(path) -> list[str]:
    """Messages for a bundle that cannot be opened, with its folder replaced."""
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    return [str(problem).replace(str(path), "HERE") for problem in caught.value.problems]


def test_a_valid_bundle_opens_and_a_changed_adapter_does_not(copy):
    """The probe is replayed; one changed byte of the adapter is found before the model is loaded."""
    assert open_bundle(copy).hub is not None

    file = copy / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))

    assert refusals(copy) == ["HERE LC503 the trained weights changed since the bundle was made. Train again."]


def test_other_versions_are_named_where_answers_differ(copy):
    """The message lists the libraries with other versions."""
    facts, expected = copy / "bundle.json", copy / "probe" / "expected.json"
    facts.write_text(facts.read_text().replace('"peft": "', '"peft": "0.1-'))
    sound = open_bundle(copy).versions
    expected.write_text(expected.read_text().replace('"verdict"', '"other"', 1))

    said = refusals(copy)

    assert {name for name, _ in sound} == {"torch", "transformers", "peft"}
    assert len(said) == 2
    assert all(" LC505 probe 0.jpg, " in line for line in said)
    assert all(
        "Train again, or restore the library versions: peft " in line and " instead of 0.1-" in line for line in said
    )


class FakeRetriever:
    """Matches every photo with the same product."""

    def __init__(self, notes: tuple[str, ...], reference: Path | None, review_reason: str = "") -> None:
        self.match = ProductMatch("box", notes=notes, reference=reference, review_reason=review_reason)

    def match_products(self, photos: list[np.ndarray]) -> list[ProductMatch]:
        """Return the match for each photo."""
        return [self.match] * len(photos)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm", "llava"])
def test_retrieved_context_is_in_the_prompt(make_hub, photos, tmp_path, family):
    """Reference photo and notes come before the photo, and change the predictions."""
    Image.fromarray(photos[1]).save(tmp_path / "good.png")
    bundle = make_hub(family)
    reader = HubReader(bundle, FakeRetriever(("box: a red pin", "box: a round lid"), tmp_path / "good.png"))
    known = retrieve_contexts(reader._retriever, photos[:1])[0]

    inputs, bare = (
        reader._prompter.make_inputs(photos[:1], known),
        reader._prompter.make_inputs(photos[:1], RetrievedContext()),
    )
    predictions = predict_arrays(reader, photos[:2])

    text = bundle.processor.tokenizer.decode(inputs["input_ids"][0])
    assert "a red pin" in text
    assert "a round lid" in text
    image = bundle.model.config.image_token_id
    assert (inputs["input_ids"] == image).sum() > (bare["input_ids"] == image).sum()
    plain = predict_arrays(HubReader(bundle), photos[:2])
    assert [[a.query for a in prediction.answers] for prediction in predictions] == [
        [a.query for a in prediction.answers] for prediction in plain
    ]
    assert [prediction.violation_probabilities for prediction in predictions] != [
        prediction.violation_probabilities for prediction in plain
    ]


def test_context_is_shortened_to_the_models_window(make_hub, photos, tmp_path):
    """The last notes are removed first, then the reference photo; the rest leaves room for an answer."""
    Image.fromarray(photos[1]).save(tmp_path / "good.png")
    bundle = make_hub("qwen2_5_vl")
    known = RetrievedContext(tuple(f"note {number} " + "word " * 120 for number in range(6)), tmp_path / "good.png")
    plenty = RetrievalPrompter(bundle.processor, bundle.hub.base, 4096)
    bare = plenty.make_inputs(photos[:1], RetrievedContext())["input_ids"].shape[1]

    kept, _ = plenty.fit_context(photos[0], known)
    length = plenty.make_inputs(photos[:1], known)["input_ids"].shape[1]
    narrow, _ = RetrievalPrompter(bundle.processor, bundle.hub.base, bare + RESERVED_TOKENS).fit_context(
        photos[0], known
    )

    assert 0 < len(kept.notes) < 6
    assert kept.notes == known.notes[: len(kept.notes)]
    assert length - bare <= MAX_CONTEXT_TOKENS
    assert narrow == RetrievedContext()


def test_a_photo_of_another_product_gets_no_context(photos):
    """Notes of another product would mislead."""
    assert retrieve_contexts(FakeRetriever(("x",), None, "shows another product: lid"), photos[:1]) == [
        RetrievedContext()
    ]
