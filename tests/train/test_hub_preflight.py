"""Preflight of hub models: errors come before the first step."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from logicls.errors import DataError
from logicls.models.hub.adapters import add_adapter
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, conventions_for, load_model, load_processor
from logicls.models.hub.shared_prefix import PrefixBranches
from logicls.train.hub_dataset import HubExamples, open_rows
from logicls.train.hub_preflight import (
    check_shared_prefix,
    estimate_memory,
    format_bytes,
    measure_part_time,
    preflight_hub,
    read_available_memory,
)


@pytest.fixture(scope="module")
def loaded(checkpoint, synth, tmp_path_factory):
    """Function that loads model and examples of a family."""
    rows = open_rows(synth, tmp_path_factory.mktemp("cache"))

    def opened(family: str):
        processor, model = load_processor(checkpoint(family)), load_model(checkpoint(family), precision="float32")
        coordinates = box_format_for(conventions_for(family).boxes, processor)
        return model, HubExamples(
            rows, processor, HubAnswerCodec(coordinates, read_chat_format(processor, family), processor.tokenizer)
        )

    return opened


def error_of(action, *args) -> str:
    """Return the message of the error that a call raises."""
    with pytest.raises(DataError) as caught:
        action(*args)
    return str(caught.value)


@pytest.mark.parametrize("family", ["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def test_counts_are_those_of_the_batches(loaded, family):
    """The longest example is that of the batches, and every photo has the visual tokens of the processor."""
    model, examples = loaded(family)
    counts: list[int] = []

    flight = preflight_hub(examples, model, family, on_progress=counts.append)

    longest = 0
    for number, row in enumerate(examples.rows):
        inputs = examples.processor(
            text=[examples.codec.chat_format.prompt_prefix], images=[[examples.load_image(number)]]
        )
        turns = list(examples.encode_turns(row))
        length = len(inputs["input_ids"][0]) + max(len(turn.question) + len(turn.answer) for turn in turns)
        longest = max(longest, length)
        visual = sum(token == model.config.image_token_id for token in inputs["input_ids"][0])
        assert flight.visual_tokens[0] <= visual <= flight.visual_tokens[1]
    assert (flight.count, len(flight.lengths), sum(counts)) == (20, 20, 20)
    assert flight.lengths[-1] == longest
    assert flight.max_boxes == max(
        max(map(len, (*row["boxes"], *row["values"]))) for row in examples.rows
    )  # fmt: skip


def test_report_has_tokens_and_the_smallest_component(loaded):
    """Maximum, 95 %, visual tokens; the smallest component, its example, and advice."""
    model, examples = loaded("qwen3_vl")

    flight = preflight_hub(examples, model, "tiny")

    share = flight.visual_tokens[1] / (examples.rows[0]["width"] * examples.rows[0]["height"])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for row in examples.rows for boxes in row["boxes"] for box in boxes]
    name, tokens, number = flight.smallest_component
    assert tokens == pytest.approx(min(areas) * share)
    assert flight.report == [
        f"20 examples of at most {flight.lengths[-1]} tokens, 95 % of at most {flight.lengths[18]}; "
        f"{flight.visual_tokens[1]} of them visual; the context length is 4096",
        f"smallest component: {name}, {tokens:.1f} visual tokens (example {number})",
        f"warning: {name} may be too small; crop the photos, or let the processor make larger pictures "
        "(hub.processor in the recipe)",
    ]


def test_an_overview_is_not_counted_twice(loaded):
    """Tiles show the photo once; the overview adds no detail."""
    model, examples = loaded("idefics3")

    flight = preflight_hub(examples, model, "tiny")

    row = examples.rows[flight.smallest_component[2]]
    area = min((box[2] - box[0]) * (box[3] - box[1]) for boxes in row["boxes"] for box in boxes)
    assert flight.visual_tokens == (20, 20)
    assert flight.smallest_component[1] == pytest.approx(area * 16 / (row["width"] * row["height"]))


def test_too_long_examples_are_refused(loaded):
    """All are counted, the first ones named; nothing is truncated."""
    model, examples = loaded("llava")
    model.config.text_config.max_position_embeddings = 150

    message = error_of(preflight_hub, examples, model, "tiny")

    assert message.startswith("tiny LC433 example 0, 1, 2, 3, 4 and 15 more: up to ")
    assert message.endswith(
        " tokens, more than the context length of 150. "
        "Let the processor make smaller pictures (hub.processor in the recipe)."
    )


@pytest.mark.parametrize(
    ("family", "spoil"),
    [
        ("idefics3", lambda processor: setattr(processor, "image_seq_len", 5)),
        ("llava", lambda processor: setattr(processor, "num_additional_image_tokens", 3)),
        ("llava_onevision", lambda processor: setattr(processor, "num_image_tokens", 25)),
        ("qwen2_5_vl", lambda processor: setattr(processor.image_processor, "merge_size", 1)),
    ],
)
def test_placeholders_are_compared_with_visual_tokens(loaded, family, spoil):
    """A processor that does not match its model is found on the first example."""
    model, examples = loaded(family)
    spoil(examples.processor)

    message = error_of(preflight_hub, examples, model, "tiny")

    assert message.startswith("tiny LC432 example 0: ")
    assert message.endswith(" Check the model's processor files.")


def test_a_photo_that_the_processor_refuses_is_named(loaded, monkeypatch):
    """By the number of its example."""
    model, examples = loaded("qwen3_vl")
    strip = np.zeros((2, 900, 3), np.uint8)
    monkeypatch.setattr(HubExamples, "load_image", lambda self, number: strip)

    message = error_of(preflight_hub, examples, model, "tiny")

    assert message.startswith("tiny LC432 example 0: the processor refuses the photo: absolute aspect ratio must be")


@pytest.mark.parametrize("family", ["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def test_every_family_shares_a_prefix(loaded, family):
    """Questions with a shared prefix have the answers of single ones."""
    model, examples = loaded(family)

    check_shared_prefix(examples, model, family)


def test_wrong_positions_are_detected(loaded, monkeypatch):
    """Wrong positions give other answers; a model that fails is refused too."""
    model, examples = loaded("qwen2_5_vl")
    plain = PrefixBranches.step

    def shifted(self, chunks, keep=1):
        self.position_shift = self.position_shift + 7
        return plain(self, chunks, keep)

    monkeypatch.setattr(PrefixBranches, "step", shifted)
    message = error_of(check_shared_prefix, examples, model, "tiny")
    monkeypatch.setattr(PrefixBranches, "step", lambda *_: (_ for _ in ()).throw(ValueError("no such thing\nmore")))
    failed = error_of(check_shared_prefix, examples, model, "tiny")

    assert message.startswith("tiny LC434 questions cannot share a photo prefix with this model: its answers are ")
    assert "with this model: it fails: no such thing. Choose a model of another family." in failed


def test_measuring_time_changes_nothing(loaded):
    """Neither weights nor gradients nor random state."""
    model, examples = loaded("llava")
    model = add_adapter(model, rank=2, alpha=4, dropout=0.5, scope="language").get_base_model().train()
    flight = preflight_hub(examples, model, "tiny")
    before, state = {n: w.clone() for n, w in model.named_parameters()}, torch.get_rng_state()

    seconds = measure_part_time(examples, model, flight, 2)

    assert seconds > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weight, before[name]) and weight.grad is None for name, weight in model.named_parameters())


def test_memory_is_estimated_from_sizes(loaded):
    """For a model of known sizes; gradient checkpointing reduces, and more rows increase the activations."""
    model, _ = loaded("llava")
    adapter = add_adapter(model, rank=2, alpha=4, dropout=0.0, scope="language")
    base = adapter.get_base_model()
    given = {"tokens": 100, "answer_tokens": 10}

    plain = estimate_memory(base, rows=2, **given, gradient_checkpointing=False)
    again = estimate_memory(base, rows=2, **given, gradient_checkpointing=True)
    wider = estimate_memory(base, rows=4, **given, gradient_checkpointing=False)

    trained = sum(w.numel() for w in base.parameters() if w.requires_grad)
    assert plain.weights == sum(w.numel() for w in base.parameters()) * 4
    assert plain.optimizer == trained * 12
    assert plain.activations == 2 * 2 * 100 * 64 * 68
    assert again.activations == 2 * 100 * 64 * (68 + 2 * 4)
    assert plain.logits == 2 * 10 * 338 * 12
    assert wider.activations == 2 * plain.activations
    assert plain.total == plain.weights + plain.optimizer + plain.activations + plain.logits
    assert read_available_memory() > 1e8
    assert [format_bytes(count) for count in (12_340_000_000, 5_600_000)] == ["12.3 GB", "5.6 MB"]


def test_image_token_has_one_of_two_names():
    """Older configurations call it an index."""
    from logicls.train.hub_preflight import read_image_token

    assert [read_image_token(SimpleNamespace(**{name: 7})) for name in ("image_token_id", "image_token_index")] == [
        7,
        7,
    ]
