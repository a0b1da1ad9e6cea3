"""Self-test of bundles: one whose answers differ from those of its probe cannot be opened."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from logicls.errors import BundleError
from logicls.models.bundle import load_bundle
from logicls.predict.self_test import open_bundle, read_storage_kinds, write_probe


@pytest.fixture
def copy(tmp_path, bundle):
    """A copy of the bundle, to be changed."""
    return shutil.copytree(bundle.path, tmp_path / "bundle")


def messages(path) -> list[str]:
    """Messages for a bundle that cannot be opened, with its folder replaced."""
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    return [str(problem).replace(str(path), "HERE") for problem in caught.value.problems]


def expected(path) -> dict[str, dict[str, list[object]]]:
    """Recorded answers of the probe."""
    return json.loads((path / "probe" / "expected.json").read_text())


def test_a_valid_bundle_opens(copy, bundle):
    """The probe has all photos and all questions."""
    opened = open_bundle(copy)

    answers = expected(copy)
    assert (opened.id, opened.spec, opened.path) == (bundle.id, bundle.spec, copy)
    assert sorted(answers) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert {frozenset(a) for a in answers.values()} == {
        frozenset({"locate:pin", "attribute:lid.shape", "attribute:pin.colour", "verdict"})
    }


@pytest.mark.parametrize("query", ["locate:pin", "verdict"])
def test_a_different_answer_is_reported(copy, query):
    """The message names the photo and the question with both answers, and nothing else."""
    answers = expected(copy)
    before = answers["2.jpg"][query]
    answers["2.jpg"][query] = [["something"], [], 0.5]
    (copy / "probe" / "expected.json").write_text(json.dumps(answers))

    found = messages(copy)

    assert found == [
        f"HERE LC505 probe 2.jpg, {query}: the answer was [['something'], [], 0.5] when the bundle was made, "
        f"and is {before} now. Train again."
    ]


def test_a_different_confidence_is_reported(copy):
    """A much lower confidence is a difference, rounding is not."""
    answers = expected(copy)
    answers["0.jpg"]["verdict"][2] += 0.01
    answers["1.jpg"]["verdict"][2] += 0.1
    (copy / "probe" / "expected.json").write_text(json.dumps(answers))

    found = messages(copy)

    assert [line.partition(": ")[0] for line in found] == ["HERE LC505 probe 1.jpg, verdict"]


def test_a_missing_answer_is_reported(copy):
    """An expected answer to an unknown question is a difference."""
    answers = expected(copy)
    answers["0.jpg"]["locate:gone"] = [[], [], 1.0]
    (copy / "probe" / "expected.json").write_text(json.dumps(answers))

    found = messages(copy)

    assert found == [
        "HERE LC505 probe 0.jpg, locate:gone: the answer was [[], [], 1.0] when the bundle was made, and is None now. "
        "Train again."
    ]


def test_weights_with_different_answers_are_detected(copy):
    """The probe detects them even if the hash is adapted."""
    weights = load_file(copy / "model.safetensors")
    weights["token_embeddings.weight"] = -weights["token_embeddings.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    facts = json.loads((copy / "bundle.json").read_text())
    facts["id"] = hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()[:12]
    (copy / "bundle.json").write_text(json.dumps(facts))

    found = messages(copy)

    places = {line.removeprefix("HERE LC505 probe ").partition(": the answer was")[0] for line in found}
    known = {f"{name}, {query}" for name, answers in expected(copy).items() for query in answers}
    assert places
    assert places <= known


def test_changed_weights_are_detected_before_the_probe(copy):
    """The hash differs."""
    weights = load_file(copy / "model.safetensors")
    weights["token_embeddings.weight"] = -weights["token_embeddings.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})

    found = messages(copy)

    assert found == ["HERE LC503 model.safetensors changed since the bundle was made. Train again."]


@pytest.mark.parametrize("name", ["expected.json", "1.jpg"])
def test_an_incomplete_probe_is_an_error(copy, name):
    """A probe without one of its files cannot be replayed."""
    (copy / "probe" / name).unlink()

    found = messages(copy)

    assert [line.partition(":")[0] for line in found] == ["HERE LC504 its probe cannot be replayed"]


def test_an_empty_probe_is_an_error(copy):
    """A bundle without a proof is not trusted."""
    (copy / "probe" / "expected.json").write_text("{}")

    found = messages(copy)

    assert found == ["HERE LC504 its probe is empty. Train again."]


def test_storage_issues_of_the_training_photos_are_recorded(copy, photos, shard, tmp_path):
    """They come from synth.json; a bundle without a record was trained on plain photos."""
    synth = shard(tmp_path / "synth", photos)
    (synth / "synth.json").write_text('{"stored": ["16-bit", "alpha"]}')
    bundle = load_bundle(copy)

    before = read_storage_kinds(bundle)
    write_probe(bundle, synth)
    after = read_storage_kinds(bundle)
    (copy / "probe" / "stored.json").unlink()

    assert (before, after, read_storage_kinds(bundle)) == (frozenset(), frozenset({"16-bit", "alpha"}), frozenset())
    open_bundle(copy)
