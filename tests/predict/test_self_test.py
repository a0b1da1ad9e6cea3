"""A bundle that does not answer as it did when it was made is not used."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from logicls.errors import BundleError
from logicls.models.bundle import load_bundle
from logicls.predict.self_test import read_storage_kinds, open_bundle, write_probe


@pytest.fixture
def copy(tmp_path, bundle):
    """The bundle, to be spoiled."""
    return shutil.copytree(bundle.path, tmp_path / "bundle")


def refusals(path) -> list[str]:
    """What is said of a bundle that is refused, without its folder."""
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    return [str(problem).replace(str(path), "HERE") for problem in caught.value.problems]


def expected(path) -> dict[str, dict[str, list[object]]]:
    """The answers written down."""
    return json.loads((path / "probe" / "expected.json").read_text())


def test_a_sound_bundle_opens(copy, bundle):
    """All its photos are replayed, and all questions are."""
    opened = open_bundle(copy)

    answers = expected(copy)
    assert (opened.id, opened.spec, opened.path) == (bundle.id, bundle.spec, copy)
    assert sorted(answers) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert {frozenset(a) for a in answers.values()} == {
        frozenset({"locate:pin", "attribute:lid.shape", "attribute:pin.colour", "verdict"})
    }


@pytest.mark.parametrize("query", ["locate:pin", "verdict"])
def test_another_answer_is_named(copy, query):
    """The photo and the question are said, with both answers, and nothing else is complained of."""
    answers = expected(copy)
    before = answers["2.jpg"][query]
    answers["2.jpg"][query] = [["something"], [], 0.5]
    (copy / "probe" / "expected.json").write_text(json.dumps(answers))

    said = refusals(copy)

    assert said == [
        f"HERE LC505 probe 2.jpg, {query}: answered [['something'], [], 0.5] when it was made, {before} now. "
        "Do not use it; train it again."
    ]


def test_another_confidence_is_named(copy):
    """Answers that are the same and much less sure are a difference; rounding is none."""
    answers = expected(copy)
    answers["0.jpg"]["verdict"][2] += 0.01
    answers["1.jpg"]["verdict"][2] += 0.1
    (copy / "probe" / "expected.json").write_text(json.dumps(answers))

    said = refusals(copy)

    assert [line.partition(": ")[0] for line in said] == ["HERE LC505 probe 1.jpg, verdict"]


def test_a_question_that_is_no_longer_asked_is_named(copy):
    """An answer that was expected and never came is a difference."""
    answers = expected(copy)
    answers["0.jpg"]["locate:gone"] = [[], [], 1.0]
    (copy / "probe" / "expected.json").write_text(json.dumps(answers))

    said = refusals(copy)

    assert said == [
        "HERE LC505 probe 0.jpg, locate:gone: answered [[], [], 1.0] when it was made, None now. "
        "Do not use it; train it again."
    ]


def test_weights_that_answer_otherwise_are_found_out(copy):
    """Even where the hash is made to fit: the probe names photos and questions."""
    weights = load_file(copy / "model.safetensors")
    weights["token_embeddings.weight"] = -weights["token_embeddings.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    facts = json.loads((copy / "bundle.json").read_text())
    facts["id"] = hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()[:12]
    (copy / "bundle.json").write_text(json.dumps(facts))

    said = refusals(copy)

    places = {line.removeprefix("HERE LC505 probe ").partition(": answered")[0] for line in said}
    known = {f"{name}, {query}" for name, answers in expected(copy).items() for query in answers}
    assert places
    assert places <= known


def test_changed_weights_are_refused_before_the_probe(copy):
    """The hash says so by itself."""
    weights = load_file(copy / "model.safetensors")
    weights["token_embeddings.weight"] = -weights["token_embeddings.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})

    said = refusals(copy)

    assert said == ["HERE LC503 model.safetensors changed since the bundle was made. Train again."]


@pytest.mark.parametrize("name", ["expected.json", "1.jpg"])
def test_a_probe_that_is_not_whole_is_refused(copy, name):
    """A file of the probe that is missing cannot be replayed."""
    (copy / "probe" / name).unlink()

    said = refusals(copy)

    assert [line.partition(":")[0] for line in said] == ["HERE LC504 its probe cannot be replayed"]


def test_an_empty_probe_is_refused(copy):
    """A bundle that cannot prove anything is not trusted."""
    (copy / "probe" / "expected.json").write_text("{}")

    said = refusals(copy)

    assert said == ["HERE LC504 its probe is empty. Train it again."]


def test_how_the_photos_were_stored_is_taken_over(copy, photos, shard, tmp_path):
    """What `logicls synth` wrote of them is known to the bundle; one that says nothing learned from plain ones."""
    synth = shard(tmp_path / "synth", photos)
    (synth / "synth.json").write_text('{"stored": ["16-bit", "alpha"]}')
    bundle = load_bundle(copy)

    before = read_storage_kinds(bundle)
    write_probe(bundle, synth)
    after = read_storage_kinds(bundle)
    (copy / "probe" / "stored.json").unlink()

    assert (before, after, read_storage_kinds(bundle)) == (frozenset(), frozenset({"16-bit", "alpha"}), frozenset())
    open_bundle(copy)
