"""Query to the model after prior tokens, for nano and for hub models."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from logicls.constraints.checker.decomposition import VERDICT
from logicls.errors import DataError
from logicls.models.bundle import load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter
from logicls.models.hub.bundle_io import describe_base
from logicls.models.hub.chat_template import make_inputs, read_chat_format
from logicls.models.hub.loading import conventions_for, find_checkpoint, load_model, load_processor
from logicls.models.hub.shared_prefix import append_text, move_inputs
from logicls.plugins.anomaly.prior_query import ANSWERS, QUESTION, build_prior_query, freeze_weights
from logicls.predict.readers.nano import NanoReader

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]


def test_log_odds_without_tokens(bundle):
    """Without prior tokens the log-odds of any violation are those of the model itself."""
    query, one = build_prior_query(bundle), NanoReader(bundle)
    photos = [good_photo(0), flawed_photo(1)]
    with torch.no_grad():
        result = query.log_odds(query.encode(photos), torch.zeros(2, 0, query.width), query.embed_question())

        encoded, (number, query) = one.encode_photos(photos), next(
            pair for pair in enumerate(one.queries) if pair[1].id == VERDICT
        )  # fmt: skip
        logits = bundle.model.compute_logits(one.answer_queries(encoded).queries[:, number])
    probabilities = logits[:, [*one.codec.allowed_tokens(query), one.codec.none]].softmax(1)

    assert torch.allclose(result.sigmoid(), 1 - probabilities[:, -1], atol=1e-5)


def test_tokens_change_log_odds(bundle):
    """Prior tokens change the answer."""
    query = build_prior_query(bundle)
    encoded, question = query.encode([good_photo(0)]), query.embed_question()
    with torch.no_grad():
        unchanged = query.log_odds(encoded, torch.zeros(1, 0, query.width), question)
        with_tokens = query.log_odds(
            encoded, torch.randn(1, 4, query.width, generator=torch.Generator().manual_seed(1)), question
        )

    assert not torch.allclose(unchanged, with_tokens, atol=1e-3)


def test_photos_of_a_batch_are_independent(bundle):
    """Two photos of a batch get the same answers as alone."""
    query = build_prior_query(bundle)
    photos = [good_photo(0), flawed_photo(1)]
    tokens = torch.randn(2, 4, query.width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        both = query.log_odds(query.encode(photos), tokens, query.embed_question())
        alone = [
            query.log_odds(query.encode([photo]), batches[None], query.embed_question())
            for photo, batches in zip(photos, tokens, strict=True)
        ]

    assert torch.allclose(both, torch.cat(alone), atol=1e-4)


def test_freeze_weights_restores(bundle):
    """No weight has a gradient inside the context; afterwards each is as before."""
    frozen = next(bundle.model.parameters()).requires_grad_(False)

    with freeze_weights(bundle.model):
        inside = [weight.requires_grad for weight in bundle.model.parameters()]

    assert not any(inside)
    assert [weight.requires_grad for weight in bundle.model.parameters()] == [False] + [True] * (len(inside) - 1)
    assert not frozen.requires_grad


def test_external_model_is_rejected(bundle):
    """An external model accepts no tokens: LC727."""
    with pytest.raises(DataError, match="external model") as caught:
        build_prior_query(replace(bundle, is_external=True))
    assert [problem.code for problem in caught.value.problems] == ["LC727"]


FAMILIES = ("qwen2_5_vl", "smolvlm", "llava")


@pytest.fixture(scope="module")
def make_hub_bundle(checkpoint, box_spec, tmp_path_factory):
    """Return a function that writes a bundle of a hub model family."""

    def make(family: str):
        folder, base = tmp_path_factory.mktemp("hub"), find_checkpoint(str(checkpoint(family)))
        adapter = add_adapter(
            load_model(base.path, precision="float32"), rank=2, alpha=4, dropout=0.1, scope="language"
        )
        hub = describe_base(
            base, merged=False, precision="float32", four_bit=False, boxes=conventions_for(family).boxes
        )
        write_hub_bundle(
            folder / "bundle", adapter=adapter, processor=load_processor(base.path), hub=hub, spec_file=box_spec,
            max_boxes=2,
        )  # fmt: skip
        return load_bundle(folder / "bundle")

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_hub_log_odds_without_tokens(make_hub_bundle, family):
    """Photo and question as one text have the same log-odds of yes against no."""
    bundle = make_hub_bundle(family)
    query, processor = build_prior_query(bundle), bundle.processor
    talk = read_chat_format(processor, bundle.hub.base)
    yes, no = (processor.tokenizer(talk.format_answer(word), add_special_tokens=False)["input_ids"] for word in ANSWERS)
    words = processor.tokenizer(talk.format_question(QUESTION), add_special_tokens=False)["input_ids"]
    common = next(k for k, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other)
    photo = good_photo(0)
    with torch.no_grad():
        result = query.log_odds(query.encode([photo]), torch.zeros(1, 0, query.width), query.embed_question())
        inputs = append_text(make_inputs(processor, talk, [photo]), [*words, *yes[:common]])
        logits = bundle.model(**move_inputs(bundle.model, inputs), logits_to_keep=1).logits[0, -1]

    assert float(result[0]) == pytest.approx(float(logits[yes[common]] - logits[no[common]]), abs=1e-3)


def test_hub_tokens_change_log_odds(make_hub_bundle):
    """Tokens change the answer for photos of two sizes; gradients reach the tokens and no weight."""
    query = build_prior_query(make_hub_bundle("qwen2_5_vl"))
    tokens = torch.randn(2, 4, query.width, generator=torch.Generator().manual_seed(1)).requires_grad_()
    encoded = query.encode([good_photo(0), flawed_photo(1)[:64]])

    with freeze_weights(query.model):
        log_odds = query.log_odds(encoded, tokens, query.embed_question())
        log_odds.sum().backward()

    assert not torch.allclose(log_odds, query.log_odds(encoded, tokens[:, :0], query.embed_question()), atol=1e-3)
    assert bool((tokens.grad.abs().amax(-1) > 0).all())
    assert all(weight.grad is None for weight in query.model.parameters())
