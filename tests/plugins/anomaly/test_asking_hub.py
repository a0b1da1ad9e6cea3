"""The same question of models of the hub."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from logicls.models.bundle import load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter
from logicls.models.hub.bundle_io import describe_base
from logicls.models.hub.chat_template import make_inputs, read_chat_format
from logicls.models.hub.loading import conventions_for, find_checkpoint, load_model, load_processor
from logicls.models.hub.shared_prefix import append_text, move_inputs
from logicls.plugins.anomaly.prior_query import ANSWERS, QUESTION, build_prior_query, freeze_weights

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]
FAMILIES = ("qwen2_5_vl", "smolvlm", "llava")


@pytest.fixture(scope="module")
def make_hub(checkpoint, box_spec, tmp_path_factory):
    """Makes a bundle of a family."""

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
def test_without_tokens_it_is_the_models_own_answer(make_hub, family):
    """Photo and question read as one text give the same odds of yes against no."""
    bundle = make_hub(family)
    asking, processor = build_prior_query(bundle), bundle.processor
    talk = read_chat_format(processor, bundle.hub.base)
    yes, no = (processor.tokenizer(talk.format_answer(word), add_special_tokens=False)["input_ids"] for word in ANSWERS)
    words = processor.tokenizer(talk.format_question(QUESTION), add_special_tokens=False)["input_ids"]
    alike = next(k for k, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other)
    photo = good_photo(0)
    with torch.no_grad():
        found = asking.log_odds(asking.encode([photo]), torch.zeros(1, 0, asking.width), asking.embed_question())
        given = append_text(make_inputs(processor, talk, [photo]), [*words, *yes[:alike]])
        said = bundle.model(**move_inputs(bundle.model, given), logits_to_keep=1).logits[0, -1]

    assert float(found[0]) == pytest.approx(float(said[yes[alike]] - said[no[alike]]), abs=1e-3)


def test_tokens_stand_behind_the_photo(make_hub):
    """They are seen, photos of two sizes are asked at once, and a gradient reaches them and no weight."""
    asking = build_prior_query(make_hub("qwen2_5_vl"))
    tokens = torch.randn(2, 4, asking.width, generator=torch.Generator().manual_seed(1)).requires_grad_()
    seen = asking.encode([good_photo(0), flawed_photo(1)[:64]])

    with freeze_weights(asking.model):
        odds = asking.log_odds(seen, tokens, asking.embed_question())
        odds.sum().backward()

    assert not torch.allclose(odds, asking.log_odds(seen, tokens[:, :0], asking.embed_question()), atol=1e-3)
    assert bool((tokens.grad.abs().amax(-1) > 0).all())
    assert all(weight.grad is None for weight in asking.model.parameters())
