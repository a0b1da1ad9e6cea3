"""Messages about Hugging Face models and their bundles."""

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
from logicls.models.hub.loading import box_format_for, conventions_for, find_checkpoint, load_model, load_processor
from logicls.models.hub.shared_prefix import PrefixBranches
from logicls.synth.pipeline import SynthesisRequest, build_dataset
from logicls.train.fit import fit
from logicls.train.hub_dataset import HubExamples, open_rows
from logicls.train.hub_preflight import check_shared_prefix, preflight_hub
from logicls.train.recipe import Recipe

REQUEST = SynthesisRequest(
    resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), Path("synth"), 2, 0
)
FAMILY = "llava"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def artifacts(checkpoint, tmp_path_factory) -> Path:
    """Folder with a tiny `model` and two training examples in `synth`."""
    folder = tmp_path_factory.mktemp("artifacts")
    shutil.copytree(checkpoint(FAMILY), folder / "model")
    build_dataset(replace(REQUEST, out=folder / "synth"), workers=1)
    return folder


@pytest.fixture
def prepared(workdir, artifacts) -> Path:
    """Working directory with a copy of `model` and `synth`."""
    shutil.copytree(artifacts, workdir, dirs_exist_ok=True)
    return workdir


def load_examples() -> tuple[object, HubExamples]:
    """Load the model and the encoded examples."""
    processor, model = load_processor(Path("model")), load_model(Path("model"), precision="float32")
    coordinates = box_format_for(conventions_for(FAMILY).boxes, processor)
    codec = HubAnswerCodec(coordinates, read_chat_format(processor, "model"), processor.tokenizer)
    return model, HubExamples(open_rows(Path("synth"), Path("cache")), processor, codec)


def write_bundle() -> None:
    """Write a bundle with an adapter of `model`."""
    base = replace(find_checkpoint("model"), name="model")
    hub = describe_base(base, merged=False, precision="float32", four_bit=False, boxes=conventions_for(FAMILY).boxes)
    adapter = add_adapter(load_model(base.path, precision="float32"), rank=2, alpha=4, dropout=0.0, scope="language")
    write_hub_bundle(
        Path("bundle"),
        adapter=adapter,
        processor=load_processor(base.path),
        hub=hub,
        spec_file=REQUEST.spec,
        max_boxes=5,
    )


def remove_chat_template() -> object:
    """Load a model without a chat template."""
    Path("model/chat_template.jinja").unlink()
    return load_examples()


def add_placeholders() -> object:
    """Run the preflight with a processor that inserts too many placeholders."""
    model, examples = load_examples()
    examples.processor.num_additional_image_tokens = 3
    return preflight_hub(examples, model, "model")


def shorten_context() -> object:
    """Run the preflight with a model of small context length."""
    model, examples = load_examples()
    examples.processor.tokenizer.model_max_length = 60
    # The message contains token counts, so the example must not depend on the synthesis.
    row = {"image": examples.rows[0]["image"], "width": 320, "height": 320, "queries": ["locate:pin"],
           "questions": ["where is every pin?"], "values": [[]], "boxes": [[[10.0, 20.0, 30.0, 40.0]]]}  # fmt: skip
    return preflight_hub(replace(examples, rows=datasets.Dataset.from_list([row])), model, "model")


def break_shared_prefix() -> object:
    """Check a model whose cache cannot be shared."""
    model, examples = load_examples()

    def refuse(*_: object) -> object:
        raise NotImplementedError("this cache cannot be repeated")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrefixBranches, "step", refuse)
        return check_shared_prefix(examples, model, "model")


def load_truncated_weights() -> object:
    """Load truncated weights."""
    weights = Path("model/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:3])
    return load_model(Path("model"), precision="float32")


def load_four_bit() -> object:
    """Load 4-bit weights without a GPU."""
    return load_model(Path("model"), precision="float32", four_bit=True)


def load_renamed_adapter() -> object:
    """Load an adapter with a renamed weight."""
    write_bundle()
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


def load_changed_base() -> object:
    """Load a bundle whose base model was replaced."""
    write_bundle()
    Path("model/config.json").write_text(Path("model/config.json").read_text() + "\n")
    return load_bundle(Path("bundle"))


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC430": lambda: fit(Path("synth"), Path("new"), Recipe(model="Qwen/Qwen3-VL-2B-Instruct", online=0.25)),
    "LC431": remove_chat_template,
    "LC432": add_placeholders,
    "LC433": shorten_context,
    "LC434": break_shared_prefix,
    "LC510": lambda: find_checkpoint("Qwen/Qwen3-VL-2B-Instruct"),
    "LC511": load_truncated_weights,
    "LC512": load_four_bit,
    "LC513": load_renamed_adapter,
    "LC514": load_changed_base,
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("prepared")
def test_message(check_message, code):
    """The printed message equals the golden file."""
    if code == "LC512" and torch.cuda.is_available():
        pytest.skip("a GPU is available")
    check_message(code, TRIGGERS[code])
