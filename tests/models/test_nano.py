"""Network of nano: Hugging Face interface, independent branches, cache, losses and detection head."""

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
    """A photo of noise, 48 x 40 pixels."""
    return np.random.default_rng(3).integers(0, 256, (48, 40, 3), np.uint8)


@pytest.fixture
def pixels(processor, photo) -> torch.Tensor:
    """Pixel values of the photo."""
    return processor.image_processor(photo)["pixel_values"]


def pack_branches(codec, branches: list[list[int]]) -> dict[str, torch.Tensor]:
    """Concatenate the photo's placeholders and several branches of tokens."""
    count = codec.processor.image_tokens
    ids = [codec.image] * count + [token for branch in branches for token in branch]
    numbers = [0] * count + [n for n, branch in enumerate(branches, 1) for _ in branch]
    return {"input_ids": torch.tensor([ids]), "branch_ids": torch.tensor([numbers])}


@torch.inference_mode()
def test_branches_are_independent(model, codec, pixels):
    """A question has the same logits alone and among others, at any position."""
    texts = [codec.encode_prompt(question) for question in QUESTIONS]
    count = codec.processor.image_tokens

    together = model(**pack_branches(codec, texts), pixel_values=pixels).logits[0, count:]

    alone = [model(**pack_branches(codec, [text]), pixel_values=pixels).logits[0, count:] for text in texts]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


@torch.inference_mode()
def test_attention_within_a_branch_is_causal(model, codec, pixels):
    """A token changes the logits after it and none before it."""
    text = codec.encode_prompt(QUESTIONS[0])
    other = [*text[:2], (text[2] + 1) % model.config.vocab_size, *text[3:]]

    logits = [model(**pack_branches(codec, [t]), pixel_values=pixels).logits[0, codec.processor.image_tokens :]
              for t in (text, other)]  # fmt: skip

    changed = [not torch.allclose(a, b, atol=1e-4) for a, b in zip(*logits, strict=True)]
    assert changed == [False, False] + [True] * (len(text) - 2)


@torch.inference_mode()
def test_logits_depend_on_the_photo(model, processor, pixels):
    """The same question about another photo has other logits."""
    inputs = processor(text=QUESTIONS[0])

    first, second = (model(**inputs, pixel_values=p).logits[0, -1] for p in (pixels, 255 - pixels))

    assert not torch.allclose(first, second, atol=1e-2)


@torch.inference_mode()
def test_generation_is_the_same_with_and_without_a_cache(model, processor, photo):
    """`generate` gives the tokens of repeated full passes in both cases."""
    inputs = processor(photo, QUESTIONS[0])
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    for _ in range(6):
        logits = model(input_ids=ids, attention_mask=mask, pixel_values=inputs["pixel_values"]).logits
        ids, mask = torch.cat([ids, logits[:, -1:].argmax(-1)], 1), torch.nn.functional.pad(mask, (0, 1), value=1)
    expected = {"do_sample": False, "min_new_tokens": 6, "max_new_tokens": 6, "eos_token_id": None}

    cached = model.generate(**inputs, **expected, use_cache=True)
    plain = model.generate(**inputs, **expected, use_cache=False)

    assert (cached.tolist(), plain.tolist()) == (ids.tolist(), ids.tolist())


@torch.inference_mode()
def test_generation_without_a_cache_keeps_none(model, processor, photo):
    """`generate(use_cache=False)` returns no cache."""
    inputs = processor(photo, QUESTIONS[0])

    out = model.generate(**inputs, max_new_tokens=2, do_sample=False, use_cache=False, return_dict_in_generate=True)

    assert out.past_key_values is None


@torch.inference_mode()
def test_left_padding_does_not_change_logits(model, processor, photo):
    """A short question in a batch with a long one has the logits and tokens that it has alone."""
    short, long = "pin?", "which rules are broken, and where, and why?"
    alone, both = processor(photo, short), processor([photo, photo], [long, short])
    expected = {"do_sample": False, "max_new_tokens": 5}

    logits = model(**alone).logits[0], model(**both).logits[1, -alone["input_ids"].shape[1] :]
    tokens = model.generate(**alone, **expected)[0], model.generate(**both, **expected)[1]

    ends = [t[len(i["input_ids"][0]) :].tolist() for t, i in zip(tokens, (alone, both), strict=True)]
    assert both["attention_mask"][1, 0] == 0
    assert torch.allclose(*logits, atol=1e-4)
    assert ends[0] == ends[1][: len(ends[0])]


@torch.inference_mode()
def test_a_saved_model_is_complete(tmp_path, model, processor, photo):
    """The Auto classes load it: inputs and logits are the same, and weights are safetensors."""
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
def test_logits_of_selected_positions(model, processor, photo):
    """Logits of the last positions or of given ones equal those of all; hidden states are complete."""
    inputs = processor(photo, QUESTIONS[0])

    every, last, some = (model(**inputs, logits_to_keep=keep) for keep in (0, 2, torch.tensor([3, 7])))

    assert torch.allclose(last.logits, every.logits[:, -2:], atol=1e-5)
    assert torch.allclose(some.logits, every.logits[:, [3, 7]], atol=1e-5)
    assert some.hidden.shape == every.hidden.shape


@torch.inference_mode()
def test_questions_continue_from_the_cache(model, processor, pixels):
    """Photo, questions and next tokens in three passes have the logits of one pass."""
    one, other = (processor(text=text)["input_ids"][0] for text in QUESTIONS)
    tokens = int((one == model.config.image_token_id).sum())
    texts, cache = (one[tokens:], other[tokens:]), DynamicCache()
    rows = [one[:tokens], torch.cat(texts), torch.tensor([5, 6])]
    numbers = [torch.zeros(tokens), *(torch.full((len(text),), k + 1.0) for k, text in enumerate(texts))]
    branches = torch.cat([*numbers, torch.tensor([1.0, 2.0])]).long()[None]

    full = model(torch.cat(rows)[None], pixels, branch_ids=branches).logits
    parts, length = [], 0
    for row in rows:
        length += len(row)
        given = pixels if not parts else None
        parts.append(model(row[None], given, branch_ids=branches[:, :length], past_key_values=cache).logits)

    assert torch.allclose(torch.cat(parts, 1), full, atol=1e-4)


BOX = (10.0, 20.0, 30.0, 52.0)
"""A box in pixels of the input."""


def make_batch(codec, answers: list[list[int]], boxes: list[tuple[tuple[float, ...], int, int]], **changes: object):
    """Make a training batch of one photo. `answers`: tokens of each question; `boxes`: (box, question, value)."""
    texts = [[*codec.encode_prompt(q), *a] for q, a in zip(QUESTIONS, answers, strict=True)]
    inputs = pack_branches(codec, texts)
    labels, at = torch.full_like(inputs["input_ids"], IGNORE_INDEX), codec.processor.image_tokens
    for text, answer in zip(texts, answers, strict=True):
        at += len(text)
        labels[0, at - len(answer) - 1 : at - 1] = torch.tensor(answer)
    edges, questions, values = zip(*boxes, strict=True)
    return {
        **inputs, "labels": labels, "weights": torch.ones(1, 2), "located": torch.tensor([[True, False]]),
        "boxes": torch.tensor([edges]), "box_question": torch.tensor([questions]), "box_value": torch.tensor([values]),
        **changes,
    }  # fmt: skip


def test_the_loss_is_the_weighted_mean_over_questions(model, codec, pixels):
    """A question of weight 0 does not count; its own loss is still returned."""
    answers = [codec.encode_answer([], 1, located=True), codec.encode_answer(["red"], 1, located=False)]
    boxes = [(BOX, 0, IGNORE_INDEX), (BOX, 1, codec.value_token("red"))]

    out = [
        model(**make_batch(codec, answers, boxes, weights=torch.tensor([w])), pixel_values=pixels)
        for w in ((1.0, 1.0), (0.0, 2.0), (1.0, 3.0))
    ]

    first, second = out[0].question_loss[0].tolist()
    assert [float(o.loss.detach()) for o in out] == [
        pytest.approx((first + second) / 2, rel=1e-4), pytest.approx(second, rel=1e-4),
        pytest.approx((first + 3 * second) / 4, rel=1e-4),
    ]  # fmt: skip
    assert out[1].question_loss[0].tolist() == pytest.approx([first, second], rel=1e-4)


def test_a_missing_question_has_no_loss(model, codec, pixels):
    """An example may have fewer questions than others of its batch: the loss is nan, not correct, and has no weight."""
    answers = [codec.encode_answer([], 1, located=True), codec.encode_answer(["red"], 1, located=False)]
    batch = make_batch(codec, answers, [(BOX, 0, IGNORE_INDEX)])
    more = batch | {"weights": torch.ones(1, 3), "located": torch.tensor([[True, False, False]])}

    out = [model(**one, pixel_values=pixels) for one in (batch, more)]

    assert out[1].question_loss[0, 2].isnan()
    assert not out[1].question_correct[0, 2]
    assert float(out[1].loss.detach()) == pytest.approx(float(out[0].loss.detach()), rel=1e-5)


@pytest.mark.parametrize(("change", "question"), [("location", 0), ("number", 0), ("value", 1), ("token", 1)])
def test_every_part_of_the_target_changes_the_loss_of_its_question(model, codec, pixels, change, question):
    """Another location, number, value or token changes the loss of that question, and of no other."""
    red, blue = codec.value_token("red"), codec.value_token("blue")
    box, number, value, word = BOX, 1, red, "red"
    answers = [codec.encode_answer([], number, located=True), codec.encode_answer([word], 1, located=False)]
    before = make_batch(codec, answers, [(box, 0, IGNORE_INDEX), (box, 1, value)])
    if change == "location":
        box = (40.0, 60.0, 60.0, 90.0)
    number = 2 if change == "number" else number
    value, word = (blue if change == "value" else value), ("blue" if change == "token" else word)
    answers = [codec.encode_answer([], number, located=True), codec.encode_answer([word], 1, located=False)]
    after = make_batch(codec, answers, [(box, 0, IGNORE_INDEX), (BOX, 1, value)])

    losses = [model(**batch, pixel_values=pixels).question_loss[0] for batch in (before, after)]

    changed = (losses[0] - losses[1]).abs() > 1e-4
    assert changed.tolist() == [question == 0, question == 1]


def test_diagonal_neighbours_are_two_local_maxima():
    """Of horizontal neighbours the higher one is a maximum; diagonal ones both are, unless one between is higher."""
    logits = torch.full((1, 1, 6, 6), -5.0)
    for row, column, logit in (
        (0, 0, 3.0),
        (0, 1, 2.0),
        (3, 1, 3.0),
        (4, 2, 2.0),
        (2, 4, 3.0),
        (2, 5, 2.5),
        (3, 5, 2.0),
    ):
        logits[0, 0, row, column] = logit

    assert local_maxima(logits, 0.5)[0, 0].nonzero().tolist() == [[0, 0], [2, 4], [3, 1], [4, 2]]
    assert local_maxima(logits, 0.9)[0, 0].nonzero().tolist() == [[0, 0], [2, 4], [3, 1]]


@pytest.mark.slow
def test_training_on_one_photo_converges(model, codec, pixels):
    """After some steps answers are correct, the instance is detected, and its box is exact to a quarter of a cell."""
    model = type(model)(model.config).train()
    answers = [codec.encode_answer([], 1, located=True), codec.encode_answer(["red"], 1, located=False)]
    batch = make_batch(codec, answers, [(BOX, 0, IGNORE_INDEX), (BOX, 1, codec.value_token("red"))])
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    before = model(**batch, pixel_values=pixels)
    for _ in range(240):
        optimiser.zero_grad()
        model(**batch, pixel_values=pixels).loss.backward()
        optimiser.step()

    out = model(**batch, pixel_values=pixels)
    ids = pack_branches(codec, [codec.encode_prompt(QUESTIONS[0])])
    read = model(**ids, pixel_values=pixels)
    queries = read.hidden[:, -1:]
    cells = local_maxima(model.detection_head.score_centres(read.feature_map, queries), 0.5)[0, 0].nonzero()
    _, boxes = model.detection_head.regress_boxes(read.feature_map, queries, cells[:, :1].T, cells[:, 1:].T)

    assert not before.question_correct.all()
    assert out.question_correct.all()
    assert cells.tolist() == [[4, 2]]
    assert (boxes[0, 0] * 8).tolist() == pytest.approx(BOX, abs=2)


@torch.inference_mode()
def test_the_input_size_is_free(model, codec, processor):
    """The weights accept other sizes than that of the configuration."""
    ids = torch.tensor([[codec.image] * 8 + codec.encode_prompt(QUESTIONS[0])])

    out = model(ids, pixel_values=torch.zeros(1, 3, 32, 64, dtype=torch.uint8))

    assert tuple(out.feature_map.shape[2:]) == (4, 8)


@pytest.mark.parametrize("factor", [2, 3])
def test_downscaled_bytes_equal_average_pooling(factor):
    """They are equal bit for bit, in any memory format."""
    photos = torch.randint(0, 256, (2, 36, 24, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    expected = torch.nn.functional.avg_pool2d(photos.float(), factor)

    for given in (photos, photos.contiguous(), photos.float()):
        assert torch.equal(average_downscale(given, factor), expected)


def test_pixels_are_normalized_in_place():
    """The result equals that of `normalize`."""
    photos = torch.randint(0, 256, (2, 3, 8, 8)).float()
    expected = normalize(photos)

    assert torch.equal(normalize_(photos), expected)
    assert torch.equal(photos, expected)


def test_photos_are_encoded_equally_in_training_and_inference(model, pixels):
    """Chunks give the same tokens and feature map; pixels are not changed."""
    five = torch.cat([pixels, 255 - pixels, pixels // 2, pixels // 3, pixels // 4])
    given = five.clone()

    training = model.encode_photos(five)
    with torch.inference_mode():
        inference = model.encode_photos(five)

    assert torch.equal(five, given)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(training, inference, strict=True))
    assert not torch.allclose(inference[0][0], inference[0][1], atol=1e-2)


@torch.inference_mode()
def test_kept_positions_equal_those_of_a_full_pass(model, codec, pixels):
    """Hidden states, logits and the cache are those of a pass over all positions."""
    texts, count = [codec.encode_prompt(question) for question in QUESTIONS], codec.processor.image_tokens
    inputs = pack_branches(codec, texts)
    ids, branches = inputs["input_ids"], inputs["branch_ids"]
    positions, caches, reads = torch.tensor([2, len(texts[0]) - 1]), [], []
    for which in ({}, {"positions_to_keep": positions}):
        cache = DynamicCache()
        model(ids[:, :count], pixels, branch_ids=branches[:, :count], past_key_values=cache)
        reads.append(model(ids[:, count:], branch_ids=branches, past_key_values=cache, **which))
        caches.append(cache)

    full, few = reads
    assert few.hidden.shape[1] == 2
    assert torch.allclose(few.hidden, full.hidden[:, positions], atol=1e-5)
    assert torch.allclose(few.logits, full.logits[:, positions], atol=1e-5)
    for one, other in zip(*(cache.layers for cache in caches), strict=True):
        assert torch.allclose(one.keys, other.keys, atol=1e-5)
        assert torch.allclose(one.values, other.values, atol=1e-5)
