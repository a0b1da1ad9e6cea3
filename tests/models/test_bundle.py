"""A bundle is read back as it was written, or refused with the reason."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from logicls.errors import BundleError
from logicls.models.bundle import load_bundle, write_bundle

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue]}}
constraints:
  - {id: pins, quantity: {of: pin, exactly: 4}}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, processor):
    """A bundle; read only."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "box.yaml").write_text(SPEC)
    return write_bundle(folder / "bundle", model=model, processor=processor, spec_file=folder / "box.yaml", max_boxes=5)


@pytest.fixture
def copy(tmp_path, written):
    """The same bundle, to be spoiled."""
    return shutil.copytree(written.path, tmp_path / "bundle")


def refusals(path) -> list[str]:
    """What is said of a bundle that is refused, without its folder."""
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    return [str(problem).replace(str(path), "HERE") for problem in caught.value.problems]


def test_a_bundle_comes_back(copy, written, model):
    """Weights, tokens, rules and limits are those that were written."""
    bundle = load_bundle(copy)

    facts = (bundle.id, bundle.spec, bundle.max_boxes)
    assert facts == (written.id, written.spec, 5)
    assert bundle.processor.tokenizer.get_vocab() == written.processor.tokenizer.get_vocab()
    assert not bundle.model.training
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in bundle.model.state_dict().items())


def test_the_same_weights_have_the_same_id(tmp_path, copy, written, model, processor):
    """The id is that of the weights: writing them again changes nothing, other weights do."""
    again = write_bundle(
        tmp_path / "again", model=model, processor=processor, spec_file=copy / "spec.yaml", max_boxes=5
    )

    assert again.id == written.id
    assert (tmp_path / "again" / "bundle.json").read_text() == (copy / "bundle.json").read_text()


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    """What is not a bundle is called that, with the way to make one."""
    said = refusals(tmp_path)

    assert said == ["HERE LC501 is not a bundle: it has no readable bundle.json. Make one with `logicls train`."]


def test_a_bundle_of_another_kind_is_refused(copy):
    """A bundle.json that lacks a key is not guessed at."""
    facts = json.loads((copy / "bundle.json").read_text())
    del facts["spec"]
    (copy / "bundle.json").write_text(json.dumps(facts))

    said = refusals(copy)

    assert said == ["HERE LC501 has an incompatible bundle.json: it lacks spec. Train again."]


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_bundle_json_that_is_no_mapping_is_refused(copy, text):
    """JSON of another shape is another kind too."""
    (copy / "bundle.json").write_text(text)

    said = refusals(copy)

    assert [line.split()[1] for line in said] == ["LC501"]


@pytest.mark.parametrize("keep", [0, 100, -64])
def test_damaged_weights_are_refused(copy, keep):
    """A weights file that was cut off is not loaded."""
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])

    said = refusals(copy)

    assert [line.partition(":")[0] for line in said] == ["HERE LC502 cannot be loaded"]


def test_changed_weights_are_refused(copy):
    """Weights that can be loaded and are not those that were written are named."""
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))

    said = refusals(copy)

    assert said == ["HERE LC503 model.safetensors changed since the bundle was made. Train again."]


def test_a_changed_spec_is_refused(copy):
    """Rules that are not those of the training are named."""
    (copy / "spec.yaml").write_text(SPEC.replace("exactly: 4", "exactly: 5"))

    said = refusals(copy)

    assert said == ["HERE LC503 spec.yaml changed since the bundle was made. Train again."]


def test_a_spec_that_is_none_is_refused(copy):
    """What is wrong in the spec is said, by line."""
    (copy / "spec.yaml").write_text(SPEC.replace("exactly", "exacly"))

    said = refusals(copy)

    assert len(said) == 1
    assert said[0].startswith("HERE LC502 cannot be loaded: ")
    assert "spec.yaml:6:" in said[0]


def test_who_may_read_the_rules_may_read_the_weights(written):
    """All files of a bundle have the same rights."""
    assert len({file.stat().st_mode for file in written.path.iterdir() if file.is_file()}) == 1
