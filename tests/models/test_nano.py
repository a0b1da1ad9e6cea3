"""nano is an ordinary Hugging Face model, and a question's answer depends on the photo and its own words alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, DynamicCache

from logicls.models.nano.blocks import average_downscale
from logicls.models.nano.crop_encoder import normalize, normalize_
from logicls.models.nano.detection_head import local_maxima
from logicls.models.nano.losses import IGNORE_INDEX

QUESTIONS = ("where is every pin?", "which colour has the pin?")


@pytest.fixture
def photo() -> np.ndarray:
    """Noise, 48 x 40 pixels."""
    return np.random.default_rng(3).integers(0, 256, (48, 40, 3), np.uint8)


@pytest.fixture
def pixels(processor, photo) -> torch.Tensor:
    """The photo as the model takes it."""
    return processor.image_processor(photo)["pixel_values"]


def packed(codec, branches: list[list[int]]) -> dict[str, torch.Tensor]:
    """The photo's placeholders and several branches of tokens, side by side."""
    count = codec.processor.image_tokens
    ids = [codec.image] * count + [token for branch in branches for token in branch]
    numbers = [0] * count + [n for n, branch in enumerate(branches, 1) for _ in branch]
    return {"input_ids": torch.tensor([ids]), "branch_ids": torch.tensor([numbers])}


@torch.inference_mode()
def test_branches_do_not_see_each_other(model, codec, pixels):
    """A question's logits are the same alone and among others, wherever it stands."""
    texts = [codec.encode_prompt(question) for question in QUESTIONS]
    count = codec.processor.image_tokens

    together = model(**packed(codec, texts), pixel_values=pixels).logits[0, count:]

    alone = [model(**packed(codec, [text]), pixel_values=pixels).logits[0, count:] for text in texts]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


@torch.inference_mode()
def test_words_change_the_words_after_them(model, codec, pixels):
    """Within a branch a word is seen by those after it and by none before it."""
    text = codec.encode_prompt(QUESTIONS[0])
    other = [*text[:2], (text[2] + 1) % model.config.vocab_size, *text[3:]]

    logits = [model(**packed(codec, [t]), pixel_values=pixels).logits[0, codec.processor.image_tokens :]
              for t in (text, other)]  # fmt: skip

    changed = [not torch.allclose(a, b, atol=1e-4) for a, b in zip(*logits, strict=True)]
    assert changed == [False, False] + [True] * (len(text) - 2)


@torch.inference_mode()
def test_the_photo_matters(model, processor, pixels):
    """The same question of another photo has other logits."""
    inputs = processor(text=QUESTIONS[0])

    first, second = (model(**inputs, pixel_values=p).logits[0, -1] for p in (pixels, 255 - pixels))

    assert not torch.allclose(first, second, atol=1e-2)


@torch.inference_mode()
def test_the_cache_changes_nothing(model, processor, photo):
    """`generate` gives the tokens that repeated full passes give, with its cache and without."""
    inputs = processor(photo, QUESTIONS[0])
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    for _ in range(6):
        logits = model(input_ids=ids, attention_mask=mask, pixel_values=inputs["pixel_values"]).logits
        ids, mask = torch.cat([ids, logits[:, -1:].argmax(-1)], 1), torch.nn.functional.pad(mask, (0, 1), value=1)
    wanted = {"do_sample": False, "min_new_tokens": 6, "max_new_tokens": 6, "eos_token_id": None}

    cached = model.generate(**inputs, **wanted, use_cache=True)
    plain = model.generate(**inputs, **wanted, use_cache=False)

    assert (cached.tolist(), plain.tolist()) == (ids.tolist(), ids.tolist())


@torch.inference_mode()
def test_no_cache_where_none_is_wanted(model, processor, photo):
    """`generate(use_cache=False)` keeps no cache."""
    inputs = processor(photo, QUESTIONS[0])

    out = model.generate(**inputs, max_new_tokens=2, do_sample=False, use_cache=False, return_dict_in_generate=True)

    assert out.past_key_values is None


@torch.inference_mode()
def test_left_padding_changes_nothing(model, processor, photo):
    """A short question beside a long one gets the logits and the tokens that it gets alone."""
    short, long = "pin?", "which rules are broken, and where, and why?"
    alone, both = processor(photo, short), processor([photo, photo], [long, short])
    wanted = {"do_sample": False, "max_new_tokens": 5}

    logits = model(**alone).logits[0], model(**both).logits[1, -alone["input_ids"].shape[1] :]
    tokens = model.generate(**alone, **wanted)[0], model.generate(**both, **wanted)[1]

    ends = [t[len(i["input_ids"][0]) :].tolist() for t, i in zip(tokens, (alone, both), strict=True)]
    assert both["attention_mask"][1, 0] == 0
    assert torch.allclose(*logits, atol=1e-4)
    assert ends[0] == ends[1][: len(ends[0])]


@torch.inference_mode()
def test_a_folder_holds_all_of_it(tmp_path, model, processor, photo):
    """The Auto classes load what was saved: the same tensors in, the same logits out, weights as safetensors."""
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)

    model2 = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    processor2 = AutoProcessor.from_pretrained(tmp_path)

    inputs, inputs2 = (p([photo, photo], list(QUESTIONS)) for p in (processor, processor2))
    assert type(model2) is type(model)
    assert {k: v.tolist() for k, v in inputs2.items()} == {k: v.tolist() for k, v in inputs.items()}
    assert torch.equal(model2(**inputs2).logits, model(**inputs).logits)
    weights = [f.name for f in tmp_path.iterdir() if f.suffix in (".safetensors", ".bin", ".pt", ".pth", ".pkl")]
    assert weights == ["model.safetensors"]


@torch.inference_mode()
def test_only_the_logits_that_are_wanted_are_made(model, processor, photo):
    """So many at the end, or those of given places; hidden states stay those of all."""
    inputs = processor(photo, QUESTIONS[0])

    every, last, some = (model(**inputs, logits_to_keep=keep) for keep in (0, 2, torch.tensor([3, 7])))

    assert torch.allclose(last.logits, every.logits[:, -2:], atol=1e-5)
    assert torch.allclose(some.logits, every.logits[:, [3, 7]], atol=1e-5)
    assert some.hidden.shape == every.hidden.shape


@torch.inference_mode()
def test_a_row_of_questions_goes_on_from_the_cache(model, processor, pixels):
    """Photo, questions and next words in three passes give what one pass over all of it gives."""
    one, other = (processor(text=text)["input_ids"][0] for text in QUESTIONS)
    tokens = int((one == model.config.image_token_id).sum())
    texts, cache = (one[tokens:], other[tokens:]), DynamicCache()
    rows = [one[:tokens], torch.cat(texts), torch.tensor([5, 6])]
    numbers = [torch.zeros(tokens), *(torch.full((len(text),), k + 1.0) for k, text in enumerate(texts))]
    branches = torch.cat([*numbers, torch.tensor([1.0, 2.0])]).long()[None]

    whole = model(torch.cat(rows)[None], pixels, branch_ids=branches).logits
    parts, seen = [], 0
    for row in rows:
        seen += len(row)
        given = pixels if not parts else None
        parts.append(model(row[None], given, branch_ids=branches[:, :seen], past_key_values=cache).logits)

    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-4)


BOX = (10.0, 20.0, 30.0, 52.0)
"""Of a thing, in pixels of the input."""


def learned(codec, answers: list[list[int]], things: list[tuple[tuple[float, ...], int, int]], **changes: object):
    """A batch of one photo whose questions have these answers; things as (box, question, value)."""
    texts = [[*codec.encode_prompt(q), *a] for q, a in zip(QUESTIONS, answers, strict=True)]
    inputs = packed(codec, texts)
    labels, at = torch.full_like(inputs["input_ids"], IGNORE_INDEX), codec.processor.image_tokens
    for text, answer in zip(texts, answers, strict=True):
        at += len(text)
        labels[0, at - len(answer) - 1 : at - 1] = torch.tensor(answer)
    boxes, questions, values = zip(*things, strict=True)
    return {
        **inputs, "labels": labels, "weights": torch.ones(1, 2), "located": torch.tensor([[True, False]]),
        "boxes": torch.tensor([boxes]), "box_question": torch.tensor([questions]), "box_value": torch.tensor([values]),
        **changes,
    }  # fmt: skip


def test_the_loss_is_the_mean_of_the_questions_by_weight(model, codec, pixels):
    """A question of weight 0 counts for nothing; its own loss is still told."""
    answers = [codec.encode_answer([], 1, located=True), codec.encode_answer(["red"], 1, located=False)]
    things = [(BOX, 0, IGNORE_INDEX), (BOX, 1, codec.value_token("red"))]

    out = [
        model(**learned(codec, answers, things, weights=torch.tensor([w])), pixel_values=pixels)
        for w in ((1.0, 1.0), (0.0, 2.0), (1.0, 3.0))
    ]

    first, second = out[0].question_loss[0].tolist()
    assert [float(o.loss.detach()) for o in out] == [
        pytest.approx((first + second) / 2, rel=1e-4), pytest.approx(second, rel=1e-4),
        pytest.approx((first + 3 * second) / 4, rel=1e-4),
    ]  # fmt: skip
    assert out[1].question_loss[0].tolist() == pytest.approx([first, second], rel=1e-4)


def test_a_question_that_is_missing_has_no_loss(model, codec, pixels):
    """Examples may have fewer questions than others of the batch: theirs is nan and not right, and weighs nothing."""
    answers = [codec.encode_answer([], 1, located=True), codec.encode_answer(["red"], 1, located=False)]
    batch = learned(codec, answers, [(BOX, 0, IGNORE_INDEX)])
    more = batch | {"weights": torch.ones(1, 3), "located": torch.tensor([[True, False, False]])}

    out = [model(**some, pixel_values=pixels) for some in (batch, more)]

    assert out[1].question_loss[0, 2].isnan()
    assert not out[1].question_correct[0, 2]
    assert float(out[1].loss.detach()) == pytest.approx(float(out[0].loss.detach()), rel=1e-5)


@pytest.mark.parametrize(("change", "question"), [("place", 0), ("number", 0), ("value", 1), ("word", 1)])
def test_each_kind_of_answer_is_learned(model, codec, pixels, change, question):
    """Another place, number, value or word in the truth changes the loss of that question, and of no other."""
    red, blue = codec.value_token("red"), codec.value_token("blue")
    box, number, value, word = BOX, 1, red, "red"
    before = learned(codec, [codec.encode_answer([], number, located=True), codec.encode_answer([word], 1, located=False)],
                     [(box, 0, IGNORE_INDEX), (box, 1, value)])  # fmt: skip
    if change == "place":
        box = (40.0, 60.0, 60.0, 90.0)
    number = 2 if change == "number" else number
    value, word = (blue if change == "value" else value), ("blue" if change == "word" else word)
    after = learned(codec, [codec.encode_answer([], number, located=True), codec.encode_answer([word], 1, located=False)],
                    [(box, 0, IGNORE_INDEX), (BOX, 1, value)])  # fmt: skip

    losses = [model(**batch, pixel_values=pixels).question_loss[0] for batch in (before, after)]

    moved = (losses[0] - losses[1]).abs() > 1e-4
    assert moved.tolist() == [question == 0, question == 1]


def test_things_that_touch_at_a_corner_are_two():
    """Of two cells side by side the brighter one glows; two at a corner both do, unless one between is brighter."""
    lights = torch.full((1, 1, 6, 6), -5.0)
    for row, column, chance in (
        (0, 0, 3.0),
        (0, 1, 2.0),
        (3, 1, 3.0),
        (4, 2, 2.0),
        (2, 4, 3.0),
        (2, 5, 2.5),
        (3, 5, 2.0),
    ):
        lights[0, 0, row, column] = chance

    assert local_maxima(lights, 0.5)[0, 0].nonzero().tolist() == [[0, 0], [2, 4], [3, 1], [4, 2]]
    assert local_maxima(lights, 0.9)[0, 0].nonzero().tolist() == [[0, 0], [2, 4], [3, 1]]


@pytest.mark.slow
def test_what_is_learned_is_right(model, codec, pixels):
    """After some steps on one photo the answers are right, the thing is lit, its box is read to a quarter of a cell."""
    model = type(model)(model.config).train()
    answers = [codec.encode_answer([], 1, located=True), codec.encode_answer(["red"], 1, located=False)]
    batch = learned(codec, answers, [(BOX, 0, IGNORE_INDEX), (BOX, 1, codec.value_token("red"))])
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    before = model(**batch, pixel_values=pixels)
    for _ in range(240):
        optimiser.zero_grad()
        model(**batch, pixel_values=pixels).loss.backward()
        optimiser.step()

    out = model(**batch, pixel_values=pixels)
    ids = packed(codec, [codec.encode_prompt(QUESTIONS[0])])
    read = model(**ids, pixel_values=pixels)
    asked = read.hidden[:, -1:]
    lit = local_maxima(model.detection_head.score_centres(read.feature_map, asked), 0.5)[0, 0].nonzero()
    _, boxes = model.detection_head.regress_boxes(read.feature_map, asked, lit[:, :1].T, lit[:, 1:].T)

    assert not before.question_correct.all()
    assert out.question_correct.all()
    assert lit.tolist() == [[4, 2]]
    assert (boxes[0, 0] * 8).tolist() == pytest.approx(BOX, abs=2)


@torch.inference_mode()
def test_photos_of_any_size_are_read(model, codec, processor):
    """The same weights take other inputs than those of the configuration."""
    ids = torch.tensor([[codec.image] * 8 + codec.encode_prompt(QUESTIONS[0])])

    out = model(ids, pixel_values=torch.zeros(1, 3, 32, 64, dtype=torch.uint8))

    assert tuple(out.feature_map.shape[2:]) == (4, 8)


@pytest.mark.parametrize("times", [2, 3])
def test_bytes_are_shrunk_to_the_same_means(times):
    """Bit for bit, however photos lie in memory."""
    photos = torch.randint(0, 256, (2, 36, 24, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.avg_pool2d(photos.float(), times)

    for given in (photos, photos.contiguous(), photos.float()):
        assert torch.equal(average_downscale(given, times), wanted)


def test_pixels_are_normed_where_they_lie():
    """As `normed` does it, in the memory that was given."""
    photos = torch.randint(0, 256, (2, 3, 8, 8)).float()
    wanted = normalize(photos)

    assert torch.equal(normalize_(photos), wanted)
    assert torch.equal(photos, wanted)


def test_a_photo_is_read_alike_while_learning_and_afterwards(model, pixels):
    """A few at a time, the same tokens and map; pixels are not changed."""
    five = torch.cat([pixels, 255 - pixels, pixels // 2, pixels // 3, pixels // 4])
    given = five.clone()

    learning = model.encode_photos(five)
    with torch.inference_mode():
        afterwards = model.encode_photos(five)

    assert torch.equal(five, given)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(learning, afterwards, strict=True))
    assert not torch.allclose(afterwards[0][0], afterwards[0][1], atol=1e-2)


@torch.inference_mode()
def test_words_that_are_kept_are_those_of_all(model, codec, pixels):
    """What matters afterwards is as if all had been read to the end, and so is what the cache holds."""
    texts, count = [codec.encode_prompt(question) for question in QUESTIONS], codec.processor.image_tokens
    asked = packed(codec, texts)
    ids, branches = asked["input_ids"], asked["branch_ids"]
    kept, caches, reads = torch.tensor([2, len(texts[0]) - 1]), [], []
    for which in ({}, {"positions_to_keep": kept}):
        cache = DynamicCache()
        model(ids[:, :count], pixels, branch_ids=branches[:, :count], past_key_values=cache)
        reads.append(model(ids[:, count:], branch_ids=branches, past_key_values=cache, **which))
        caches.append(cache)

    whole, few = reads
    assert few.hidden.shape[1] == 2
    assert torch.allclose(few.hidden, whole.hidden[:, kept], atol=1e-5)
    assert torch.allclose(few.logits, whole.logits[:, kept], atol=1e-5)
    for one, other in zip(*(cache.layers for cache in caches), strict=True):
        assert torch.allclose(one.keys, other.keys, atol=1e-5)
        assert torch.allclose(one.values, other.values, atol=1e-5)
