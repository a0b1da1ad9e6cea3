"""Adapters: all weights are set, or the mismatch is reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from logicls.errors import BundleError
from logicls.models.hub.adapters import (
    ADAPTER_FILE,
    add_adapter,
    find_target_modules,
    get_adapter_weights,
    load_adapter,
    save_adapter,
)
from logicls.models.hub.loading import load_model


def fresh(folder: Path):
    """A loaded model."""
    return load_model(folder, precision="float32")


@pytest.fixture(scope="module")
def saved(checkpoint, tmp_path_factory):
    """A folder with a random adapter, which must not be changed."""
    adapter = add_adapter(fresh(checkpoint("llava")), rank=2, alpha=4, dropout=0.0, scope="language")
    with torch.no_grad():
        for weight in get_adapter_weights(adapter).values():
            weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(adapter, folder, "tiny")
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    """A copy of the adapter, to be changed."""
    return shutil.copytree(saved, tmp_path / "adapter")


def refusals(checkpoint, folder: Path) -> list[str]:
    """Messages for an adapter, with its folder replaced."""
    with pytest.raises(BundleError) as caught:
        load_adapter(fresh(checkpoint("llava")), folder)
    return [str(problem).replace(str(folder), "HERE") for problem in caught.value.problems]


def test_a_saved_adapter_loads_and_changes_the_model(checkpoint, saved):
    """All weights are equal, and the logits differ from those of the base model."""
    base, ids = fresh(checkpoint("llava")), torch.tensor([[5, 6, 7]])
    before = base(input_ids=ids).logits

    adapter = load_adapter(base, saved)

    written = load_file(saved / ADAPTER_FILE)
    assert set(get_adapter_weights(adapter)) == set(written)
    assert all(torch.equal(value, written[name]) for name, value in get_adapter_weights(adapter).items())
    assert (adapter.get_base_model()(input_ids=ids).logits - before).abs().max() > 1e-3


def test_a_new_adapter_changes_no_logits_and_alone_is_trained(opened):
    """Before the first step the model equals the base model."""
    model, ids = fresh(opened("qwen2_5_vl").base.path), torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids).logits

    adapter = add_adapter(model, rank=2, alpha=4, dropout=0.0, scope="everywhere").eval()

    trained = {name for name, weight in adapter.named_parameters() if weight.requires_grad}
    assert torch.equal(adapter.get_base_model()(input_ids=ids).logits, before)
    assert trained
    assert all("lora_" in name for name in trained)


def test_the_scope_of_an_adapter(each):
    """Seven layers per block of the language model; everywhere adds the vision tower, but never the output layer."""
    language, everywhere = (find_target_modules(each.model, where) for where in ("language", "everywhere"))

    decoder = {id(module) for module in each.model.get_decoder().modules()}
    assert len(language) == 14
    assert all(id(each.model.get_submodule(name)) in decoder for name in language)
    assert set(language) < set(everywhere)
    assert not any(name.endswith("lm_head") for name in everywhere)


def test_a_missing_weight_is_reported(checkpoint, copy):
    """Peft would leave its initial value without a message."""
    weights = load_file(copy / ADAPTER_FILE)
    (lost, *_) = sorted(weights)
    del weights[lost]
    save_file(weights, copy / ADAPTER_FILE)

    said = refusals(checkpoint, copy)

    assert said == [f"HERE LC513 weights of the adapter are missing: {lost}. "
                    "Use the base model that it was trained on, or train again."]  # fmt: skip


def test_unexpected_weights_are_reported(checkpoint, copy):
    """If another program renamed all weights, each is missing and each is unexpected."""
    weights = {
        name.replace("language_model", "text_model"): value for name, value in load_file(copy / ADAPTER_FILE).items()
    }
    save_file(weights, copy / ADAPTER_FILE)

    said = refusals(checkpoint, copy)

    assert [line.partition(": ")[0] for line in said] == [
        "HERE LC513 weights of the adapter are missing", "HERE LC513 weights of the adapter are unexpected",
    ]  # fmt: skip
    assert all(f" and {len(weights) - 3} more." in line for line in said)


def test_a_weight_of_another_shape_is_reported(checkpoint, copy):
    """This happens after training with another rank."""
    weights = load_file(copy / ADAPTER_FILE)
    name = sorted(weights)[0]
    weights[name] = torch.zeros(3, *weights[name].shape[1:])
    save_file(weights, copy / ADAPTER_FILE)

    assert [line.partition(": ")[0] for line in refusals(checkpoint, copy)] == [
        "HERE LC513 weights of the adapter have another shape"
    ]


@pytest.mark.parametrize("name", [ADAPTER_FILE, "adapter_config.json"])
def test_a_missing_file_is_an_error(checkpoint, copy, name):
    """An adapter consists of two files."""
    (copy / name).unlink()

    assert [line.partition(": ")[0] for line in refusals(checkpoint, copy)] == ["HERE LC502 cannot be loaded"]
