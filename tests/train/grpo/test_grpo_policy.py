"""Policies of the stage grpo: nano and models of the hub follow the same protocol."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from logicls.models.bundle import load_bundle
from logicls.models.hub.adapters import add_adapter
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, conventions_for, load_model, load_processor
from logicls.records import Answer
from logicls.train.fit import fit
from logicls.train.grpo.policies import HubPolicy, NanoPolicy
from logicls.train.grpo.rewards import Policy, Task, make_tasks
from logicls.train.hub_dataset import HubExamples, open_rows
from logicls.train.metrics_log import SILENT
from logicls.train.recipe import Recipe

TINY = Recipe(
    steps=2, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, validation=0.3
)
FAMILIES = ["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"]


@pytest.fixture(scope="module")
def rows(synth, tmp_path_factory):
    """Dataset."""
    return open_rows(synth, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def nano(synth, rows, tmp_path_factory) -> NanoPolicy:
    """Policy of a nano with hardly any training."""
    out = tmp_path_factory.mktemp("nano")
    fit(synth, out, TINY, observer=SILENT)
    return NanoPolicy(load_bundle(out), rows)


@pytest.fixture(scope="module")
def hub(checkpoint, rows):
    """Function that makes the policy of a model family."""

    def made(family: str) -> HubPolicy:
        processor, model = load_processor(checkpoint(family)), load_model(checkpoint(family), precision="float32")
        coordinates = box_format_for(conventions_for(family).boxes, processor)
        codec = HubAnswerCodec(coordinates, read_chat_format(processor, family), processor.tokenizer)
        adapter = add_adapter(model, rank=2, alpha=4, dropout=0.0, scope="language").eval()
        return HubPolicy(adapter, HubExamples(rows, processor, codec))

    return made


def draw_tasks(policy: Policy, rows, count: int = 3) -> list[Task]:
    """Take two questions about each of a few photos."""
    tasks_ = [[one for one in make_tasks(rows[k], k) if policy.generates(one.query)] for k in range(count)]
    return [tokens[place] for tokens in tasks_ for place in (0, -1)]


def score_one_by_one(policy: Policy, task: Task, generated: list[int]) -> list[torch.Tensor]:
    """Compute the logits of each token as `generate` does: from the full prompt, anew for each."""
    prompts, given = policy.make_prompts([task])
    out = []
    for length in range(len(generated)):
        text = [*prompts[0], *generated[:length]]
        rows = {name: value if isinstance(value, torch.Tensor) else
                torch.tensor([[*value[0], *([0] * length)]]) for name, value in given.items()}  # fmt: skip
        ids = torch.tensor([text])
        with torch.no_grad():
            out.append(policy.model(input_ids=ids, attention_mask=torch.ones_like(ids), **rows).logits[0, -1])
    return out


def assert_same_scores(policy: Policy, rows) -> None:
    """Check that the loss uses the probabilities that answers were sampled from."""
    tasks_ = draw_tasks(policy, rows)
    generated = [[7, 9, policy.end_token], [11, policy.end_token]] * 3

    with torch.no_grad():
        found = policy.score(policy.model, tasks_, generated)

    for one, tokens, logits in zip(tasks_, generated, found, strict=True):
        assert torch.allclose(logits, torch.stack(score_one_by_one(policy, one, tokens)), atol=2e-3)


def test_nano_scores_packed_answers_like_single_ones(nano, rows):
    """Each answer in a pack of branches has the logits that it has alone."""
    assert isinstance(nano, Policy)
    assert_same_scores(nano, rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_padding_does_not_change_hub_scores(hub, rows, family):
    """Each answer in a padded batch has the logits that it has alone."""
    policy = hub(family)

    assert isinstance(policy, Policy)
    assert_same_scores(policy, rows)


@pytest.mark.parametrize("family", ["nano", *FAMILIES])
def test_greedy_tokens_are_the_likeliest_of_the_scores(nano, hub, rows, family):
    """Greedy decoding returns the tokens with the highest logits of the loss."""
    policy = nano if family == "nano" else hub(family)
    task = draw_tasks(policy, rows)[0]
    prompts, given = policy.make_prompts([task])
    tensors = {name: value if isinstance(value, torch.Tensor) else torch.tensor(value) for name, value in given.items()}

    ids = torch.tensor(prompts)
    generated = policy.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), **tensors, max_new_tokens=3, do_sample=False,
        eos_token_id=None, pad_token_id=0,
    )[0, ids.shape[1] :].tolist()  # fmt: skip

    with torch.no_grad():
        logits = policy.score(policy.model, [task], [generated])[0]
    assert logits.argmax(-1).tolist() == generated


def test_nano_generates_from_a_shared_photo_as_from_full_prompts(nano, rows):
    """Sharing a photo between answers, beside questions of other lengths, changes no token."""
    tasks_ = [one for k in range(3) for one in make_tasks(rows[k], k)[-4:]]
    given = GenerationConfig(
        max_new_tokens=5, do_sample=False, eos_token_id=nano.end_token, pad_token_id=nano.codec.pad
    )

    generated = nano.generate(tasks_, given)

    for task, tokens in zip(tasks_, generated, strict=True):
        prompts, pixels = nano.make_prompts([task])
        ids = torch.tensor(prompts)
        alone = nano.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), **pixels, generation_config=given
        )  # fmt: skip
        assert tokens == alone[0, ids.shape[1] :].tolist()
    assert len({len(prompt) for prompt in nano.make_prompts(tasks_)[0]}) > 1


def test_nano_generates_the_verdict_only(nano, rows):
    """All components of the sample product are located, so that the verdict alone is generated."""
    assert {one.query for k in range(20) for one in make_tasks(rows[k], k) if nano.generates(one.query)} == {"verdict"}


def test_nano_decodes_violations_or_none(nano, rows):
    """Violations, or `none`; other tokens are not an answer."""
    task, codec = draw_tasks(nano, rows)[-1], nano.codec
    names = [codec.value_token(name) for name in nano.queries["verdict"].options[:2]]

    generated = [[*names, codec.end], [codec.none, codec.end], [*names], [codec.none, names[0], codec.end], [codec.end],
            [codec.count_token(3), codec.end]]  # fmt: skip

    found = [nano.decode(task, tokens) for tokens in generated]
    assert found[:2] == [Answer("verdict", nano.queries["verdict"].options[:2]), Answer("verdict")]
    assert found[2:] == [None] * 4


def test_hub_decodes_encoded_answers(hub, rows):
    """Boxes are within the rounding of the family's coordinates; a line without an end is not an answer."""
    policy = hub("qwen3_vl")
    for task, turn in zip(make_tasks(rows[0], 0), policy.examples.encode_turns(rows[0]), strict=True):
        found = policy.decode(task, list(turn.answer))

        assert (found.query, found.values, len(found.boxes)) == (
            task.query,
            task.true_answer.values,
            len(task.true_answer.boxes),
        )
        assert all(a.iou(b) > 0.8 for a, b in zip(found.boxes, task.true_answer.boxes, strict=True))
        assert policy.decode(task, list(turn.answer[:-1])) is None
        assert len(turn.answer) <= policy.max_tokens


@pytest.mark.parametrize("family", ["nano", "llava"])
def test_evaluation_covers_every_question(nano, hub, rows, family):
    """An example matches exactly when each answer is correct; an untrained model has none."""
    policy = nano if family == "nano" else hub(family)

    found = policy.evaluate([0, 1, 2])

    assert (found.examples, found.exact_match) == (3, 0.0)
    assert 0 <= found.answer_accuracy < 1
    assert found.loss > 0


def test_auxiliary_loss_excludes_generated_answers(nano, hub, rows):
    """The loss of nano leaves generated answers out; hub models have no auxiliary loss."""
    tasks_ = draw_tasks(nano, rows)
    nano.model.zero_grad()

    loss = nano.auxiliary_loss(nano.model, tasks_)
    loss.backward()

    answers = nano.score_examples([0, 1, 2])[0]
    pointed = torch.tensor([[not nano.generates(q) for q in rows[k]["queries"]] for k in range(3)])
    assert float(loss.detach()) == pytest.approx(float(answers[0][pointed].mean()), abs=1e-4)
    assert nano.model.detection_head.coarse_projection.weight.grad.abs().sum() > 0
    policy = hub("llava")
    assert policy.auxiliary_loss(policy.model, tasks_) is None
