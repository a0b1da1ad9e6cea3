"""Crop pretraining: crops of instances, the classifier, and runs whose recipe asks for crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from logicls.io.resources import resource_path
from logicls.models.nano.crop_encoder import BACKBONE_FILE
from logicls.predict.readers import make_reader
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.self_test import open_bundle
from logicls.pretraining.base_training import CropClassifier
from logicls.train.crop_pretraining import (
    CONTEXT_FACTOR,
    CROP_SIDE,
    AttributeCrops,
    CropBatches,
    collect_crops,
    measure_accuracy,
)
from logicls.train.fit import fit
from logicls.train.metrics_log import SILENT, TrainingObserver
from logicls.train.preflight import preflight
from logicls.train.recipe import CropSettings, Recipe

INK = {("attribute:a.colour", 7): (250, 40, 40), ("attribute:a.colour", 9): (40, 40, 250)}
SIZE = {("attribute:b.size", 3): 8, ("attribute:b.size", 4): 24}


@pytest.fixture(scope="module")
def checked(synth, tmp_path_factory):
    """The sample product's examples, at twice the input's resolution."""
    return preflight(
        synth, tmp_path_factory.mktemp("pixels"), visual_tokens=48, detail=2, base=resource_path("train/base")
    )


def paint_crops(count: int, rng: np.random.Generator) -> AttributeCrops:
    """Paint crops of two attributes, colour and size, in turns."""
    words = (*INK, *SIZE)
    pixels = np.full((count, CROP_SIDE, CROP_SIDE, 3), 128, np.uint8)
    values = rng.permutation(np.arange(count) % len(words))
    for picture, value in zip(pixels, values.tolist(), strict=True):
        half = SIZE.get(words[value], 24) // 2
        picture[32 - half : 32 + half, 32 - half : 32 + half] = INK.get(words[value], (20, 20, 20))
    boxes = np.tile(np.array([0.25, 0.25, 0.75, 0.75], np.float32), (count, 1))
    return AttributeCrops(pixels, boxes, values, words, orientation_invariant=True)


def test_instances_are_cropped_with_context(checked, synth):
    """Each instance with an attribute is in the centre of a square twice as wide as itself, with its value as label."""
    numbers = range(len(checked.examples))
    crops = collect_crops(checked, synth, numbers, 0, 12_000)

    queries = {query for query, _ in crops.classes}
    count_of_instances = sum(
        len([t for t in instances if t[1] >= 0]) for e in checked.examples for instances in e.instances
    )
    longer = (crops.boxes[:, 2:] - crops.boxes[:, :2]).max(1)
    assert queries == {"attribute:liquid.colour", "attribute:mark.shape", "orientation:spoon"}
    assert crops.pixels.shape == (count_of_instances, CROP_SIDE, CROP_SIDE, 3)
    assert np.allclose(longer, 1 / CONTEXT_FACTOR, atol=0.03)
    assert np.allclose(crops.boxes[:, :2] + crops.boxes[:, 2:], 1, atol=0.06)
    assert {len(set(crops.labels[class_mask[crops.labels]].tolist())) for class_mask in crops.class_masks[:2]} == {3}


def test_validation_crops_use_the_training_classes(checked, synth):
    """Labels mean the same; a value without training crops is left out."""
    crops = collect_crops(checked, synth, range(20), 0, 12_000)
    words = crops.classes[1:]

    validation = collect_crops(checked, synth, range(20), 0, 12_000, words)

    assert validation.classes == words
    assert len(validation.labels) == int((crops.labels > 0).sum())


def test_batches_are_class_balanced_per_attribute():
    """Attributes take turns, and each value is about as frequent as any other; a batch depends on its step."""
    crops = paint_crops(40, np.random.default_rng(0))
    rare = crops.labels.copy()
    rare[np.flatnonzero(rare == 0)[1:]] = 1
    batches = CropBatches(
        AttributeCrops(crops.pixels, crops.boxes, rare, crops.classes, orientation_invariant=True),
        steps=2,
        batch=32,
        seed=3,
        jitter=0.1,
    )

    colours, sizes, again = batches.make_batch(0), batches.make_batch(1), batches.make_batch(1)

    assert all(torch.equal(sizes[name], again[name]) for name in sizes)
    assert (colours["class_mask"].tolist(), sizes["class_mask"].tolist()) == (
        [True, True, False, False],
        [False, False, True, True],
    )
    assert set(colours["labels"].tolist()) == {0, 1}
    assert 0.2 * 32 < int((colours["labels"] == 0).sum()) < 0.8 * 32


def test_the_classifier_generalises():
    """It predicts values of other crops; an untrained one guesses."""
    torch.manual_seed(0)
    crops, others = (paint_crops(count, np.random.default_rng(count)) for count in (64, 48))
    classifier, batches = (
        CropClassifier(32, 40, 0, classes=4),
        CropBatches(crops, steps=40, batch=32, seed=0, jitter=0.05),
    )
    optimiser = torch.optim.AdamW(classifier.parameters(), 3e-3)
    for step in range(40):
        batch = batches.make_batch(step)
        optimiser.zero_grad()
        F.cross_entropy(classifier(batch), batch["labels"]).backward()
        optimiser.step()
    classifier.eval()

    assert measure_accuracy(classifier, others) > 0.9
    assert measure_accuracy(CropClassifier(32, 1, 0, classes=4).eval(), others) < 0.8


CLOSELY = Recipe(
    steps=6, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, validation=0.3,
    evaluate_every=3, detail=2, crops=CropSettings(steps=3),
)  # fmt: skip


def test_detail_trains_and_predicts_with_crops(synth, tmp_path):
    """With `detail` photos have a higher resolution in training and prediction, and the bundle passes its self-test."""
    messages: list[str] = []
    crop_steps: list[tuple[int, int]] = []
    bundle = fit(
        synth,
        tmp_path / "bundle",
        CLOSELY,
        observer=TrainingObserver(on_message=messages.append, on_crop_step=lambda *steps: crop_steps.append(steps)),
    )

    assert [line for line in messages if line.startswith("crop encoder: 3 steps on ")]
    assert crop_steps == [(1, 3), (2, 3), (3, 3)]
    photo = np.random.default_rng(0).integers(0, 255, (300, 260, 3), dtype=np.uint8)
    assert open_bundle(bundle.path).model.config.detail == 2
    assert NanoReader(bundle).input_size == tuple(2 * side for side in bundle.model.config.image_size)
    assert {answer.query for answer in predict_arrays(make_reader(bundle), [photo])[0].answers}
    assert any(name.startswith("detection_head.crop_encoder.") for name in bundle.model.state_dict())


def test_a_resumed_run_repeats_the_augmentation(synth, tmp_path):
    """Augmentation depends on the step: the weights are those of an uninterrupted run."""
    recipe = CLOSELY.model_copy(update={"checkpoint_every": 4})
    alone = fit(synth, tmp_path / "alone", recipe, observer=SILENT)
    with pytest.raises(ZeroDivisionError):
        fit(synth, tmp_path / "ended", recipe, observer=TrainingObserver(on_step=lambda step, _: 1 / (5 - step)))
    ended = fit(synth, tmp_path / "ended", recipe, resume=True, observer=SILENT)

    found = ended.model.state_dict()
    assert all(torch.equal(weight, found[name]) for name, weight in alone.model.state_dict().items())


def test_a_resumed_run_reuses_the_crop_encoder(synth, tmp_path):
    """Interrupted before its first checkpoint: the backbone is loaded from the run's folder, not trained again."""
    ended, messages = tmp_path / "ended", []
    with pytest.raises(ZeroDivisionError):
        fit(synth, ended, CLOSELY, observer=TrainingObserver(on_step=lambda step, _: 1 / (1 - step)))
    held = load_file(ended / "work" / BACKBONE_FILE)
    bundle = fit(synth, ended, CLOSELY, resume=True, observer=TrainingObserver(on_message=messages.append))
    alone = fit(synth, tmp_path / "alone", CLOSELY, observer=SILENT)

    found = bundle.model.state_dict()
    assert not [line for line in messages if "crop encoder" in line]
    assert all(torch.equal(weight, found[name]) for name, weight in alone.model.state_dict().items())
    assert not all(
        torch.equal(weight, found[f"detection_head.crop_encoder.backbone.{name}"]) for name, weight in held.items()
    )


def test_a_start_bundle_skips_crop_pretraining(synth, tmp_path):
    """The bundle's own crop encoder is used."""
    first = fit(synth, tmp_path / "first", CLOSELY, observer=SILENT)
    messages: list[str] = []
    fit(synth, tmp_path / "second", CLOSELY, start=first.path, observer=TrainingObserver(on_message=messages.append))

    assert not [line for line in messages if "crop encoder" in line]
    assert not (tmp_path / "second" / "work" / BACKBONE_FILE).exists()
