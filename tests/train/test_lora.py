"""An adapter for nano: what it trains, and that a bundle has nothing of it left."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from logicls.errors import BundleError, RecipeError
from logicls.io.resources import share
from logicls.models.nano import NanoForImageTextToText
from logicls.predict.self_test import open_bundle
from logicls.train.fit import fit
from logicls.train.lora import adapted, merged
from logicls.train.recipe import LoraSettings, Recipe

GIVEN = LoraSettings(rank=4, alpha=8)
SHORT = Recipe(steps=4, batch=4, visual_tokens=16, checkpoint_every=2, evaluate_every=2, heldout=0.3, lora=GIVEN)
QUIET = {"say": lambda _: None}


def base() -> NanoForImageTextToText:
    """The base weights."""
    return NanoForImageTextToText.from_pretrained(share("train/base"), dtype=torch.float32).eval()


def shown(model: NanoForImageTextToText) -> torch.Tensor:
    """What the model makes of a made photo and a few words."""
    pixels = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[model.config.image_token_id] * 16 + [300, 301, 302]])
    with torch.no_grad():
        return model(ids, pixels).logits


def test_a_fresh_adapter_changes_nothing():
    """Training begins with what the base knows."""
    model = base()
    before = shown(model)

    adapted(model, GIVEN)

    assert torch.equal(shown(model), before)


@pytest.mark.parametrize("stem", [True, False])
def test_linear_maps_are_adapted_and_the_rest_is_trained(stem):
    """Every linear map is frozen beside its adapter; words, norms and convolutions are not, the stem as it is said."""
    model = base()
    maps = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    plain = {name for name, _ in model.named_parameters() if name.rpartition(".")[0] not in maps}

    adapted(model, GIVEN.model_copy(update={"stem": stem}))

    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    changes = {f"{name}.lora_{side}.default.weight" for name in maps for side in "AB"}
    assert trained == changes | {name for name in plain if stem or not name.startswith("stem.")}
    assert {"words.weight", "bias", "pointer.mix.1.weight"} < trained
    assert any(name.startswith("stem.") for name in trained) is stem


def test_what_was_learned_is_in_the_plain_weights():
    """Merged, the model answers as with its adapter, and has the weights' names that it began with."""
    model, generator = base(), torch.Generator().manual_seed(1)
    names, before = set(model.state_dict()), shown(model)
    adapter = adapted(model, GIVEN)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05, generator=generator)
    learned = shown(model)

    plain = merged(adapter)

    assert set(plain.state_dict()) == names
    assert torch.allclose(shown(plain), learned, atol=1e-3)
    assert not torch.allclose(learned, before, atol=0.1)


def test_a_weight_that_belongs_nowhere_is_refused():
    """Nothing of an adapter goes into a bundle."""
    model = base()
    adapter = adapted(model, GIVEN)
    model.left = nn.Parameter(torch.zeros(1))

    with pytest.raises(BundleError, match=r"LC513 weights of the adapter are missing or belong nowhere: left\."):
        merged(adapter)


@pytest.mark.slow
def test_a_run_with_an_adapter_ends_in_plain_weights_and_can_be_resumed(synth, tmp_path):
    """The bundle opens; a run that was broken off comes to the same weights."""
    fit(synth, tmp_path / "whole", SHORT, **QUIET)
    with pytest.raises(InterruptedError):
        fit(synth, tmp_path / "broken", SHORT, **QUIET, told=stop_after(3))
    fit(synth, tmp_path / "broken", SHORT, resume=True, **QUIET)

    made = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert set(made[0]) == set(base().state_dict())
    assert all(torch.equal(made[1][name], value) for name, value in made[0].items())
    assert open_bundle(tmp_path / "whole").model.config.width == base().config.width


def stop_after(last: int):
    """A listener that ends the run."""

    def told(step: int, _: float) -> None:
        if step == last:
            raise InterruptedError

    return told


def test_an_adapter_without_a_base_is_refused(tmp_path):
    """There would be nothing to change; a model of the hub has settings of its own."""
    with pytest.raises(ValidationError, match="lora changes base weights"):
        Recipe(base=False, lora=GIVEN)
    with pytest.raises(RecipeError, match="LC430 lora says nothing about the model some/model"):
        fit(tmp_path / "synth", tmp_path / "out", Recipe(model="some/model", lora=GIVEN))
