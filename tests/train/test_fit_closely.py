"""Photos that come finer, for things that are told apart by small marks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from logicls.models.nano.crop_encoder import BACKBONE_FILE
from logicls.predict.readers.protocol import input_size, make_reader
from logicls.predict.self_test import open_bundle
from logicls.train.fit import fit
from logicls.train.observer import SILENT, TrainingObserver
from logicls.train.recipe import CropSettings, Recipe

CLOSELY = Recipe(
    steps=6, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, validation=0.3,
    evaluate_every=3, detail=2, crops=CropSettings(steps=3),
)  # fmt: skip


def test_a_recipe_asks_for_closer_looks(synth, tmp_path):
    """With `detail`, photos come finer from training to prediction, and the bundle gives the answers of its probe."""
    said: list[str] = []
    looked: list[tuple[int, int]] = []
    bundle = fit(
        synth,
        tmp_path / "bundle",
        CLOSELY,
        observer=TrainingObserver(on_message=said.append, on_crop_step=lambda *steps: looked.append(steps)),
    )

    assert [line for line in said if line.startswith("crop encoder: 3 steps on ")]
    assert looked == [(1, 3), (2, 3), (3, 3)]
    photo = np.random.default_rng(0).integers(0, 255, (300, 260, 3), dtype=np.uint8)
    assert open_bundle(bundle.path).model.config.detail == 2
    assert input_size(make_reader(bundle)) == tuple(2 * side for side in bundle.model.config.image_size)
    assert {answer.query for answer in make_reader(bundle).predict_pixels([photo])[0].answers}
    assert any(name.startswith("detection_head.crop_encoder.") for name in bundle.model.state_dict())


def test_a_resumed_run_is_shaken_alike(synth, tmp_path):
    """Squares are cut a little beside, by chance that hangs on the step: the weights are those of a run left alone."""
    recipe = CLOSELY.model_copy(update={"checkpoint_every": 4})
    alone = fit(synth, tmp_path / "alone", recipe, observer=SILENT)
    with pytest.raises(ZeroDivisionError):
        fit(synth, tmp_path / "ended", recipe, observer=TrainingObserver(on_step=lambda step, _: 1 / (5 - step)))
    ended = fit(synth, tmp_path / "ended", recipe, resume=True, observer=SILENT)

    found = ended.model.state_dict()
    assert all(torch.equal(weight, found[name]) for name, weight in alone.model.state_dict().items())


def test_a_run_that_was_ended_goes_on_with_what_was_learned_by_itself(synth, tmp_path):
    """Ended before its first checkpoint: what looks closely is read from the run's folder, and not learned anew."""
    ended, said = tmp_path / "ended", []
    with pytest.raises(ZeroDivisionError):
        fit(synth, ended, CLOSELY, observer=TrainingObserver(on_step=lambda step, _: 1 / (1 - step)))
    held = load_file(ended / "work" / BACKBONE_FILE)
    bundle = fit(synth, ended, CLOSELY, resume=True, observer=TrainingObserver(on_message=said.append))
    alone = fit(synth, tmp_path / "alone", CLOSELY, observer=SILENT)

    found = bundle.model.state_dict()
    assert not [line for line in said if "crop encoder" in line]
    assert all(torch.equal(weight, found[name]) for name, weight in alone.model.state_dict().items())
    assert not all(
        torch.equal(weight, found[f"detection_head.crop_encoder.backbone.{name}"]) for name, weight in held.items()
    )


def test_what_goes_on_from_a_bundle_does_not_begin_anew(synth, tmp_path):
    """Its own look is taken over."""
    first = fit(synth, tmp_path / "first", CLOSELY, observer=SILENT)
    said: list[str] = []
    fit(synth, tmp_path / "second", CLOSELY, start=first.path, observer=TrainingObserver(on_message=said.append))

    assert not [line for line in said if "crop encoder" in line]
    assert not (tmp_path / "second" / "work" / BACKBONE_FILE).exists()
