"""Online synthesis: the same examples for any workers and any start, and errors for missing photos."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from logicls.errors import DataError
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.synth.dataset import build_row
from logicls.train.batching import TrainingBatches
from logicls.train.encoding import ExampleEncoder, find_angle_queries
from logicls.train.fit import fit
from logicls.train.metrics_log import TrainingObserver
from logicls.train.online_examples import make_online_task, open_online_examples
from logicls.train.preflight import preflight, select_epoch_batch
from logicls.train.recipe import Recipe

SETTINGS = {"share": 0.5, "batch": 8, "verdict_weight": 3.0}
TINY = Recipe(
    steps=6, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=4,
    online=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def checked(synth, tmp_path_factory):
    """Inputs of 16 visual tokens."""
    return preflight(synth, tmp_path_factory.mktemp("cache"), visual_tokens=16, verdict_weight=3.0)


def make_batches(checked, online, start, stop):
    """Make the batches of a range of steps."""

    def choose(step):
        return select_epoch_batch(step, len(checked.examples), 8 - (online.per_batch if online else 0), seed=0)

    codec = NanoAnswerCodec(checked.processor)
    return list(TrainingBatches(checked, codec, choose, start=start, stop=stop, jitter=0.1, seed=0, online=online))


def is_equal(one, other):
    """Return whether two batches are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_online_examples_continue_the_set(synth, checked):
    """They are those that a larger set would have next, of smaller photos; none repeats."""
    online = open_online_examples(synth, checked, **SETTINGS, workers=0)
    maker = online.source.create_generator()
    encoder = ExampleEncoder(NanoAnswerCodec(checked.processor), 3.0, find_angle_queries(checked.spec))

    parts = list(online.generate_parts(0, 3))

    seed = json.loads((synth / "synth.json").read_text())["seed"]
    rows = [build_row(maker.spec, maker.generate(seed, number), seed) for number in range(20, 32)]
    assert [example for examples, _ in parts for example in examples] == [encoder.encode(one) for one in rows]
    assert [pixels.shape for _, pixels in parts] == [(4, 64, 64, 3)] * 3
    assert len({pixels.tobytes() for _, part in parts for pixels in part}) == 12


def test_a_batch_has_the_online_share(synth, checked):
    """Half is of the set, sampled without replacement; the other half is online."""
    online = open_online_examples(synth, checked, **SETTINGS, workers=0)

    mixed, plain = make_batches(checked, online, 0, 5), make_batches(checked, None, 0, 5)

    old = {tuple(checked.examples[number].answers) for number in range(20)}
    assert [len(batch["input_ids"]) for batch in mixed] == [8] * 5
    assert len(old) > 10
    assert not any(is_equal(one, other) for one, other in zip(mixed, plain, strict=True))


@pytest.mark.slow
def test_workers_and_start_do_not_change_batches(synth, checked):
    """Made here or by two processes, from the first step or the third: batches are equal to the last bit."""
    here = open_online_examples(synth, checked, **SETTINGS, workers=0)
    elsewhere = open_online_examples(synth, checked, **SETTINGS, workers=2)

    full, later = make_batches(checked, here, 0, 5), make_batches(checked, elsewhere, 2, 5)

    assert len(later) == 3
    assert all(is_equal(one, other) for one, other in zip(full[2:], later, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_an_interrupted_run_resumes_to_the_same_weights(synth, tmp_path, share):
    """Interrupted after a checkpoint, with other workers: losses and weights are those of an uninterrupted run."""
    recipe = TINY.model_copy(update={"online": share})
    steps: dict[str, list[tuple[int, float]]] = {"full": [], "first": [], "later": []}

    def interrupted(step, loss):
        steps["first"].append((step, loss))
        if step == 5:
            raise ZeroDivisionError

    fit(synth, tmp_path / "full", recipe, observer=TrainingObserver(on_step=lambda *step: steps["full"].append(step)))
    with pytest.raises(ZeroDivisionError):
        fit(synth, tmp_path / "broken", recipe, observer=TrainingObserver(on_step=interrupted))
    fit(
        synth, tmp_path / "broken", recipe, resume=True, workers=2,
        observer=TrainingObserver(on_step=lambda *step: steps["later"].append(step)),
    )  # fmt: skip

    assert steps["later"] == steps["full"][4:]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("full", "broken")]
    assert weights[0] == weights[1]


def test_examples_with_too_many_boxes_are_replaced(synth, checked):
    """An example with more boxes in an answer than the model is made for is replaced; an error if all have more."""
    maker = open_online_examples(synth, checked, **SETTINGS, workers=0).source.create_generator()
    counts = {
        number: max(len(answer.boxes) for answer in maker.generate(0, number).answers) for number in range(20, 60)
    }  # fmt: skip
    most = max(counts.values())
    crowded = next(number for number, count in counts.items() if count == most)

    row = make_online_task((64, 64), most - 1)(maker, 0, crowded).row
    with pytest.raises(DataError) as caught:
        make_online_task((64, 64), 0)(maker, 0, 21)

    assert 0 < max(map(len, row["boxes"])) < most
    assert str(caught.value) == (
        "LC405 online example 21 and 7 replacements have more than 0 boxes in an answer. "
        "Make a larger set with `logicls synth`, and train on that one."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "/nowhere"}, "the annotated photos that it was made of were not found at /nowhere."),
        ({"data": None}, "the annotated photos that it was made of were not found."),
        ({"annotations": "0", "settings": "0"}, "the annotations and settings changed since it was made."),
    ],
)
def test_changed_sources_are_refused(synth, checked, tmp_path, change, message):
    """Examples of the same seed would differ from those of the set."""
    mark = {**json.loads((synth / "synth.json").read_text()), **change}
    shutil.copy(synth / "spec.yaml", tmp_path)
    (tmp_path / "synth.json").write_text(json.dumps({key: value for key, value in mark.items() if value is not None}))

    with pytest.raises(DataError) as caught:
        open_online_examples(tmp_path, checked, **SETTINGS, workers=0)

    advice = "Make the set again with `logicls synth`, or train without online examples."
    assert str(caught.value) == f"{tmp_path} LC406 {message} {advice}"


def test_without_a_share_no_photos_are_needed(tmp_path, checked):
    """Also for a share too small for one example of a batch."""
    assert open_online_examples(tmp_path, checked, **{**SETTINGS, "share": 0.05}, workers=0) is None
