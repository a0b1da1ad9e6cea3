"""Weights and configurations of version 0.1 load under the present names, and are saved under these."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from logicls.io.resources import resource_path
from logicls.models.nano import NanoConfig, NanoForImageTextToText
from logicls.models.nano.model import RENAMED_WEIGHTS
from logicls.models.nano.processor import expand_model, expand_processor

OLD_KEYS = {"stem_width": "near", "orientation_invariant": "any_way"}


@pytest.fixture(scope="module")
def detailed_model(model) -> NanoForImageTextToText:
    """The small model with a crop encoder, so that it has weights of every kind."""
    torch.manual_seed(0)
    return NanoForImageTextToText(NanoConfig(**model.config.to_dict() | {"detail": 2, "orientation_invariant": True}))


def old_name(name: str) -> str:
    """Return the name of a weight in version 0.1."""
    for old, new in RENAMED_WEIGHTS.items():
        if name == new or (new.endswith(".") and name.startswith(new)):
            return old + name.removeprefix(new)
    return name


@pytest.fixture
def legacy_folder(detailed_model, tmp_path):
    """The model in a folder as version 0.1 saved it."""
    folder = tmp_path / "old"
    detailed_model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {old_name(name): weight for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    for new, old in OLD_KEYS.items():
        config[old] = config.pop(new)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def read_names(file) -> set[str]:
    """Read the names of the weights in a file."""
    with safe_open(file, "pt") as weights:
        return set(weights.keys())


def test_every_old_name_is_mapped(detailed_model):
    """The table covers the weights of version 0.1: no two names coincide, and each entry is used."""
    names = [old_name(name) for name in detailed_model.state_dict()]

    assert len(set(names)) == len(names)
    used = {old for old in RENAMED_WEIGHTS if any(name.startswith(old) for name in names)}
    assert used == set(RENAMED_WEIGHTS)


@pytest.mark.parametrize("load", [AutoModelForImageTextToText, NanoForImageTextToText])
def test_an_old_folder_loads_and_is_saved_under_new_names(detailed_model, legacy_folder, tmp_path, load):
    """Weights and sizes are the same; the saved folder has new names and loads again."""
    loaded, report = load.from_pretrained(legacy_folder, output_loading_info=True)
    loaded.save_pretrained(tmp_path / "new")
    again = load.from_pretrained(tmp_path / "new")

    expected = detailed_model.state_dict()
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert (loaded.config.stem_width, loaded.config.orientation_invariant, loaded.config.detail) == (16, True, 2)
    for model in (loaded, again):
        assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())
    assert read_names(tmp_path / "new" / "model.safetensors") == set(expected)
    saved = json.loads((tmp_path / "new" / "config.json").read_text())
    assert set(OLD_KEYS.values()) & set(saved) == set()
    assert (saved["stem_width"], saved["orientation_invariant"]) == (16, True)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_checkpoint_of_a_training_run_loads(detailed_model, prefix):
    """Lightning saves weights with a prefix; old and new names load, strictly."""
    expected = detailed_model.state_dict()
    module = torch.nn.Module()
    module.model = NanoForImageTextToText(detailed_model.config)
    target = module if prefix else module.model

    target.load_state_dict({prefix + old_name(name): weight for name, weight in expected.items()})
    old = {name: weight.clone() for name, weight in module.model.state_dict().items()}
    target.load_state_dict({prefix + name: weight for name, weight in expected.items()})

    assert all(torch.equal(old[name], weight) for name, weight in expected.items())
    assert all(torch.equal(module.model.state_dict()[name], weight) for name, weight in expected.items())


def test_the_shipped_base_weights_load():
    """Every weight of the base arrives in the expanded model."""
    base = resource_path("train/base")
    file = load_file(base / "model.safetensors")

    model = expand_model(base, expand_processor(base, ["wrong_pin"], (64, 64), 2))

    weights = model.state_dict()
    for name, weight in weights.items():
        if name.startswith("detection_head.crop_encoder.projection."):
            continue  # new with each product
        if name.startswith("detection_head.crop_encoder.backbone."):
            source = load_file(base / "look.safetensors")[name.removeprefix("detection_head.crop_encoder.backbone.")]
        else:
            source = file.get(name, file.get(old_name(name)))
        assert torch.equal(weight[: len(source)], source.float()), name
    assert len(file) == sum(".crop_encoder." not in name for name in weights)
