"""The question that is asked after prior tokens."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from logicls.constraints.checker.decomposition import VERDICT
from logicls.errors import DataError
from logicls.plugins.anomaly.prior_query import build_prior_query, freeze_weights
from logicls.predict.readers.nano import NanoReader

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]


def test_without_tokens_it_is_the_models_own_answer(bundle):
    """No tokens and the words as they are: the odds of any violation against none are those of the model's pass."""
    asking, one = build_prior_query(bundle), NanoReader(bundle)
    photos = [good_photo(0), flawed_photo(1)]
    with torch.no_grad():
        found = asking.log_odds(asking.encode(photos), torch.zeros(2, 0, asking.width), asking.embed_question())

        seen, (number, query) = one.encode_photos(photos), next(
            pair for pair in enumerate(one.queries) if pair[1].id == VERDICT
        )  # fmt: skip
        logits = bundle.model.compute_logits(one.answer_queries(seen).queries[:, number])
    chances = logits[:, [*one.codec.allowed_tokens(query), one.codec.none]].softmax(1)

    assert torch.allclose(found.sigmoid(), 1 - chances[:, -1], atol=1e-5)


def test_tokens_change_the_answer(bundle):
    """What stands before the question is seen."""
    asking = build_prior_query(bundle)
    seen, asked = asking.encode([good_photo(0)]), asking.embed_question()
    with torch.no_grad():
        bare = asking.log_odds(seen, torch.zeros(1, 0, asking.width), asked)
        told = asking.log_odds(seen, torch.randn(1, 4, asking.width, generator=torch.Generator().manual_seed(1)), asked)

    assert not torch.allclose(bare, told, atol=1e-3)


def test_photos_of_a_batch_do_not_see_each_other(bundle):
    """Two photos asked at once are answered as each is alone."""
    asking = build_prior_query(bundle)
    photos = [good_photo(0), flawed_photo(1)]
    tokens = torch.randn(2, 4, asking.width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        both = asking.log_odds(asking.encode(photos), tokens, asking.embed_question())
        alone = [
            asking.log_odds(asking.encode([photo]), some[None], asking.embed_question())
            for photo, some in zip(photos, tokens, strict=True)
        ]

    assert torch.allclose(both, torch.cat(alone), atol=1e-4)


def test_still_is_over_when_it_is_over(bundle):
    """Inside no weight learns; what learned before does so again, and what did not does not."""
    frozen = next(bundle.model.parameters()).requires_grad_(False)

    with freeze_weights(bundle.model):
        inside = [weight.requires_grad for weight in bundle.model.parameters()]

    assert not any(inside)
    assert [weight.requires_grad for weight in bundle.model.parameters()] == [False] + [True] * (len(inside) - 1)
    assert not frozen.requires_grad


def test_a_model_elsewhere(bundle):
    """It takes no tokens: LC727."""
    with pytest.raises(DataError, match="runs elsewhere") as caught:
        build_prior_query(replace(bundle, foreign=True))
    assert [problem.code for problem in caught.value.problems] == ["LC727"]
