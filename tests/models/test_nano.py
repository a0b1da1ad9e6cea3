"""nano is an ordinary Hugging Face model, and a question's answer depends on the photo and its own words alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from logicls.models.nano.model import IGNORED
from logicls.records import Box

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


def labelled(codec, answer: list[int], at: int, label: int | None = None) -> tuple[dict[str, torch.Tensor], int]:
    """One question with its answer, only the answer's token `at` learned (as `label`); and the place of its label."""
    prompt = codec.prompt(QUESTIONS[0])
    inputs = packed(codec, [[*prompt, *answer]])
    labels = torch.full_like(inputs["input_ids"], IGNORED)
    place = codec.processor.image_tokens + len(prompt) - 1 + at
    labels[0, place] = answer[at] if label is None else label
    return {**inputs, "labels": labels}, place


@torch.inference_mode()
def test_branches_do_not_see_each_other(model, codec, pixels):
    """A question's logits are the same alone and among others, wherever it stands."""
    texts = [codec.prompt(question) for question in QUESTIONS]
    count = codec.processor.image_tokens

    together = model(**packed(codec, texts), pixel_values=pixels).logits[0, count:]

    alone = [model(**packed(codec, [text]), pixel_values=pixels).logits[0, count:] for text in texts]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


@torch.inference_mode()
def test_words_change_the_words_after_them(model, codec, pixels):
    """Within a branch a word is seen by those after it and by none before it."""
    text = codec.prompt(QUESTIONS[0])
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
def test_only_labelled_positions_are_learned(model, codec, pixels):
    """The loss is that of the labelled positions: another answer label changes it, what is not labelled does not."""
    answer = [codec.token("<red>"), codec.end]
    inputs, place = labelled(codec, answer, 0)
    other, _ = labelled(codec, answer, 0, codec.token("<blue>"))
    everything = model(**packed(codec, [[*codec.prompt(QUESTIONS[0]), *answer]]), pixel_values=pixels).logits

    losses = [float(model(**i, pixel_values=pixels).loss) for i in (inputs, other)]

    scores = everything[0, place].log_softmax(-1)
    assert losses == pytest.approx([-float(scores[codec.token(f"<{v}>")]) for v in ("red", "blue")], abs=1e-4)
    assert losses[0] != pytest.approx(losses[1], abs=1e-3)


@torch.inference_mode()
def test_weights_scale_a_positions_loss(model, codec, pixels):
    """The loss is the weighted mean, so that a position of weight 0 counts for nothing."""
    inputs, place = labelled(codec, [codec.token("<red>"), codec.end], 0)
    alone = float(model(**inputs, pixel_values=pixels).loss)
    inputs["labels"][0, place + 1] = codec.end
    weights = torch.zeros(inputs["labels"].shape)
    weights[0, place] = 0.5

    weighted = float(model(**inputs, weights=weights, pixel_values=pixels).loss)

    assert weighted == pytest.approx(alone, abs=1e-4)
    assert float(model(**inputs, pixel_values=pixels).loss) != pytest.approx(alone, abs=1e-3)


def test_a_near_miss_costs_less(model, codec):
    """Who is sure of the neighbouring bin pays less than who is sure of a far one; words are all alike."""
    target = torch.tensor([codec.first_loc + 8])
    sure = 10.0 * torch.eye(model.config.vocab_size)
    guesses = [codec.first_loc + 8 + off for off in (0, 1, 2, 5)] + [codec.token("<red>")]

    losses = [float(model.losses(sure[[guess]], target)) for guess in guesses]
    words = [float(model.losses(sure[[guess]], torch.tensor([codec.end]))) for guess in guesses]

    assert losses == sorted(losses)
    assert losses[0] + 1 < losses[1] + 1 < losses[2] < losses[3]
    assert words == pytest.approx([words[0]] * len(guesses))


def test_a_box_in_pixels_is_four_tokens(codec):
    """A coordinate's token is its bin's: left to right is the first to the last."""
    tokens = codec.answer([], [Box(0, 0, 64, 96)], (64, 96))

    assert tokens == [codec.first_loc, codec.first_loc, codec.first_loc + 15, codec.first_loc + 15, codec.end]
