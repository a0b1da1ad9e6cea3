"""Bundles are loaded as they were written, or the reason is reported."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from logicls.constraints.spec.loader import load_spec
from logicls.errors import BundleError, DataError, SpecError
from logicls.models.bundle import load_bundle, load_bundle_without_model, replace_spec, update_bundle, write_bundle

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue]}}
constraints:
  - {id: pins, quantity: {of: pin, exactly: 4}}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, processor):
    """A bundle, which must not be changed."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "box.yaml").write_text(SPEC)
    return write_bundle(folder / "bundle", model=model, processor=processor, spec_file=folder / "box.yaml", max_boxes=5)


@pytest.fixture
def copy(tmp_path, written):
    """A copy of the bundle, to be changed."""
    return shutil.copytree(written.path, tmp_path / "bundle")


def refusals(path) -> list[str]:
    """Messages for a bundle that cannot be loaded, with its folder replaced."""
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    return [str(problem).replace(str(path), "HERE") for problem in caught.value.problems]


def test_a_bundle_loads_as_it_was_written(copy, written, model):
    """Weights, tokens, rules and limits are equal."""
    bundle = load_bundle(copy)

    facts = (bundle.id, bundle.spec, bundle.max_boxes)
    assert facts == (written.id, written.spec, 5)
    assert bundle.processor.tokenizer.get_vocab() == written.processor.tokenizer.get_vocab()
    assert not bundle.model.training
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in bundle.model.state_dict().items())


def test_the_id_depends_on_the_weights_alone(tmp_path, copy, written, model, processor):
    """Equal weights have the same id, others another one."""
    again = write_bundle(
        tmp_path / "again", model=model, processor=processor, spec_file=copy / "spec.yaml", max_boxes=5
    )

    assert again.id == written.id
    assert (tmp_path / "again" / "bundle.json").read_text() == (copy / "bundle.json").read_text()


def test_a_folder_without_a_bundle_is_an_error(tmp_path):
    """The message says how to make one."""
    said = refusals(tmp_path)

    assert said == ["HERE LC501 is not a bundle: it has no readable bundle.json. Make one with `logicls train`."]


def test_an_incompatible_bundle_json_is_an_error(copy):
    """A missing key is not guessed."""
    facts = json.loads((copy / "bundle.json").read_text())
    del facts["spec"]
    (copy / "bundle.json").write_text(json.dumps(facts))

    said = refusals(copy)

    assert said == ["HERE LC501 has an incompatible bundle.json: it lacks spec. Train again."]


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_bundle_json_without_a_mapping_is_an_error(copy, text):
    """JSON of another form is incompatible."""
    (copy / "bundle.json").write_text(text)

    said = refusals(copy)

    assert [line.split()[1] for line in said] == ["LC501"]


@pytest.mark.parametrize("keep", [0, 100, -64])
def test_truncated_weights_are_an_error(copy, keep):
    """A truncated file is not loaded."""
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])

    said = refusals(copy)

    assert [line.partition(":")[0] for line in said] == ["HERE LC502 cannot be loaded"]


def test_changed_weights_are_an_error(copy):
    """Weights that load but differ from those written are reported."""
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))

    said = refusals(copy)

    assert said == ["HERE LC503 model.safetensors changed since the bundle was made. Train again."]


def test_a_changed_spec_is_an_error(copy):
    """Rules that differ from those of the training are reported."""
    (copy / "spec.yaml").write_text(SPEC.replace("exactly: 4", "exactly: 5"))

    said = refusals(copy)

    advice = "Restore it, and change the rules with `logicls bundle update`; or train again."
    assert said == [f"HERE LC503 spec.yaml changed since the bundle was made. {advice}"]


def test_an_invalid_spec_is_an_error(copy):
    """The problem in the spec is reported with its line."""
    (copy / "spec.yaml").write_text(SPEC.replace("exactly", "exacly"))

    said = refusals(copy)

    assert len(said) == 1
    assert said[0].startswith("HERE LC502 cannot be loaded: ")
    assert "spec.yaml:6:" in said[0]


def test_all_files_have_the_same_permissions(written):
    """Whoever may read the rules may read the weights."""
    assert len({file.stat().st_mode for file in written.path.iterdir() if file.is_file()}) == 1


@pytest.fixture
def new_spec(tmp_path):
    """Return a function that writes a spec with other rules."""

    def write(text: str, name: str = "new.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("in_place", [True, False])
def test_rules_of_a_bundle_change_without_training(copy, tmp_path, written, new_spec, in_place):
    """The new rules judge, the old ones ask; both hashes are known, and every other file is the same."""
    out = copy if in_place else tmp_path / "updated"

    changes = update_bundle(copy, new_spec(SPEC.replace("exactly: 4", "at_least: 3")), out)
    bundle = load_bundle(out)

    assert [rule.is_same_rule for rule in changes.rules] == [False]
    assert (bundle.question_spec.hash, bundle.spec.hash) == (written.spec.hash, load_spec(tmp_path / "new.yaml").hash)
    assert load_bundle_without_model(out).question_spec.hash == written.spec.hash
    assert bundle.id == written.id
    names = {path.name for path in written.path.iterdir()}
    assert {path.name for path in out.iterdir()} == names | {"trained_spec.yaml"}
    for name in names - {"spec.yaml", "bundle.json"}:
        assert (out / name).read_bytes() == (written.path / name).read_bytes()
    assert in_place or load_bundle(copy).spec.hash == written.spec.hash


def test_rules_change_again_and_back(copy, written, new_spec):
    """The spec of the training stays the reference, however often the rules change."""
    update_bundle(copy, new_spec(SPEC.replace("exactly: 4", "at_least: 3")), copy)
    changes = update_bundle(copy, new_spec(SPEC.replace("exactly: 4", "at_most: 9")), copy)
    assert load_bundle(copy).question_spec.hash == written.spec.hash
    assert [rule.trained for rule in changes.rules] == ["pins"]

    update_bundle(copy, new_spec(SPEC), copy)

    assert load_bundle(copy).trained_spec is None
    assert load_bundle(copy).spec.hash == written.spec.hash


def test_rules_that_need_training_are_refused(copy, tmp_path, new_spec):
    """Nothing is written: neither in place nor to another folder."""
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    spec = new_spec(SPEC + "  - {id: red, attribute: {of: pin.colour, is: red}}\n")

    for out in (copy, tmp_path / "updated"):
        with pytest.raises(
            SpecError, match=r"LC630 'red' needs the colour of each pin \(question `attribute:pin.colour`\)"
        ):
            update_bundle(copy, spec, out)

    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()} == before
    assert not (tmp_path / "updated").exists()


def test_an_existing_folder_is_not_replaced(copy, tmp_path, new_spec):
    """A folder that exists is refused, and no temporary one stays behind."""
    (tmp_path / "updated").mkdir()

    with pytest.raises(DataError, match="LC631"):
        update_bundle(copy, new_spec(SPEC.replace("4", "5")), tmp_path / "updated")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "new.yaml", "updated"]


@pytest.mark.parametrize("file", ["spec.yaml", "trained_spec.yaml"])
def test_rules_that_were_edited_by_hand_are_an_error(copy, new_spec, file):
    """Either spec of an updated bundle must be one that it knows."""
    update_bundle(copy, new_spec(SPEC.replace("exactly: 4", "at_least: 3")), copy)
    (copy / file).write_text(SPEC.replace("exactly: 4", "exactly: 7"))

    assert [line.split(" Restore")[0] for line in refusals(copy)] == [
        f"HERE LC503 {file} changed since the bundle was made."
    ]


def test_a_bundle_in_memory_has_other_rules(written, new_spec):
    """`predict --spec` changes no file."""
    spec = new_spec(SPEC.replace("exactly: 4", "at_least: 3"))

    bundle = replace_spec(written, spec)

    assert (bundle.spec.hash, bundle.question_spec.hash) == (load_spec(spec).hash, written.spec.hash)
    assert bundle.spec_file == spec
    assert replace_spec(bundle, written.path / "spec.yaml").trained_spec is None
