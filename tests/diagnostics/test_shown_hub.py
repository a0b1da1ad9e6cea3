"""What people see when a model of the hub, or a bundle of one, cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file, save_file

from logicls.io.resources import resource_path
from logicls.models.bundle import load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.bundle_io import describe_base, hash_weights
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, find_checkpoint, conventions_for, load_model, load_processor
from logicls.models.hub.shared_prefix import PrefixBranches
from logicls.synth.pipeline import SynthesisRequest, build_dataset
from logicls.train.fit import fit
from logicls.train.hub_dataset import HubExamples, open_rows
from logicls.train.hub_preflight import preflight_hub, check_shared_prefix
from logicls.train.recipe import Recipe

ORDER = SynthesisRequest(
    resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), Path("synth"), 2, 0
)
FAMILY = "llava"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(checkpoint, tmp_path_factory) -> Path:
    """A folder with `model`, a tiny one, and `synth`, two training examples."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(checkpoint(FAMILY), folder / "model")
    build_dataset(replace(ORDER, out=folder / "synth"), workers=1)
    return folder


@pytest.fixture
def bench(desk, made) -> Path:
    """The folder that one works in, with its own `model` and `synth`."""
    shutil.copytree(made, desk, dirs_exist_ok=True)
    return desk


def opened() -> tuple[object, HubExamples]:
    """The model, and the examples as its processor sees them."""
    processor, model = load_processor(Path("model")), load_model(Path("model"), precision="float32")
    coordinates = box_format_for(conventions_for(FAMILY).boxes, processor)
    codec = HubAnswerCodec(coordinates, read_chat_format(processor, "model"), processor.tokenizer)
    return model, HubExamples(open_rows(Path("synth"), Path("cache")), processor, codec)


def bundled() -> None:
    """A bundle of the model, its base in `model` below."""
    base = replace(find_checkpoint("model"), name="model")
    hub = describe_base(base, merged=False, precision="float32", four_bit=False, boxes=conventions_for(FAMILY).boxes)
    adapter = add_adapter(load_model(base.path, precision="float32"), rank=2, alpha=4, dropout=0.0, scope="language")
    write_hub_bundle(
        Path("bundle"), adapter=adapter, processor=load_processor(base.path), hub=hub, spec_file=ORDER.spec, max_boxes=5
    )


def no_template() -> object:
    """A model that was not made to answer questions."""
    Path("model/chat_template.jinja").unlink()
    return opened()


def other_processor() -> object:
    """A processor that puts more placeholders than there are visual tokens."""
    model, examples = opened()
    examples.processor.num_additional_image_tokens = 3
    return preflight_hub(examples, model, "model")


def short_model() -> object:
    """A model that reads few tokens."""
    model, examples = opened()
    examples.processor.tokenizer.model_max_length = 60
    # What is shown are counts of tokens: not of what synthesis makes today, which may make another thing tomorrow.
    row = {"image": examples.rows[0]["image"], "width": 320, "height": 320, "queries": ["locate:pin"],
           "questions": ["where is every pin?"], "values": [[]], "boxes": [[[10.0, 20.0, 30.0, 40.0]]]}  # fmt: skip
    return preflight_hub(replace(examples, rows=datasets.Dataset.from_list([row])), model, "model")


def forgetful_model() -> object:
    """A model whose cache is of another kind."""
    model, examples = opened()

    def refuse(*_: object) -> object:
        raise NotImplementedError("this cache cannot be repeated")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrefixBranches, "step", refuse)
        return check_shared_prefix(examples, model, "model")


def damaged_model() -> object:
    """Weights that were cut off."""
    weights = Path("model/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:3])
    return load_model(Path("model"), precision="float32")


def four_bits() -> object:
    """A model in four bits where there is no GPU."""
    return load_model(Path("model"), precision="float32", four_bit=True)


def renamed_adapter() -> object:
    """An adapter that another program has written, with another name for one weight."""
    bundled()
    file = Path("bundle/adapter_model.safetensors")
    weights = load_file(file)
    first = sorted(weights)[0]
    weights[first.replace("base_model.model", "model")] = weights.pop(first)
    save_file(weights, file)
    facts = Path("bundle/bundle.json")
    there = json.loads(facts.read_text())
    there["id"] = hash_weights(Path("bundle"), there["hub"])
    facts.write_text(json.dumps(there))
    return load_bundle(Path("bundle"))


def newer_base() -> object:
    """A base model that was replaced after the training."""
    bundled()
    Path("model/config.json").write_text(Path("model/config.json").read_text() + "\n")
    return load_bundle(Path("bundle"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC430": lambda: fit(Path("synth"), Path("new"), Recipe(model="Qwen/Qwen3-VL-2B-Instruct", online=0.25)),
    "LC431": no_template,
    "LC432": other_processor,
    "LC433": short_model,
    "LC434": forgetful_model,
    "LC510": lambda: find_checkpoint("Qwen/Qwen3-VL-2B-Instruct"),
    "LC511": damaged_model,
    "LC512": four_bits,
    "LC513": renamed_adapter,
    "LC514": newer_base,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("bench")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    if code == "LC512" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    look_right(code, TRIGGERS[code])
