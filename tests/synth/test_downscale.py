"""Downscaled photos have the same scenes, and break the same rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.loader import load_spec
from logicls.data.segmentation import Segmentation
from logicls.io.resources import resource_path
from logicls.synth.pipeline import SynthesisRequest, SynthesisSource, load_source
from logicls.train.online_examples import downscale_source


@pytest.fixture(scope="module")
def source() -> SynthesisSource:
    """The dosing kit: 60 photos of 256 x 320 pixels."""
    return load_source(
        SynthesisRequest(resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), Path(), 1, 0)
    )


def test_photos_are_twice_as_large_as_the_input(source: SynthesisSource) -> None:
    """On the side that fills the input; boxes are scaled, and the answers stay."""
    scaled = downscale_source(source, (64, 96))

    before, after = source.dataset.scenes, scaled.dataset.scenes
    photo = scaled.create_generator().bank.load_photo(after[0])
    boxes = [[(i.box.x1, i.box.y1, i.box.x2, i.box.y2) for i in scene.instances] for scene in (before[0], after[0])]
    assert {(scene.width, scene.height) for scene in after} == {(102, 128)}
    assert photo.shape == (128, 102, 3)
    assert np.allclose(np.array(boxes[0]) * np.array([102 / 256, 128 / 320] * 2), boxes[1])
    assert [compute_answers(source.spec, scene)[-1].values for scene in before] == [
        compute_answers(source.spec, scene)[-1].values for scene in after
    ]


def test_photos_are_never_enlarged(source: SynthesisSource) -> None:
    """An input that is nearly as large needs all pixels."""
    assert downscale_source(source, (320, 256)) is source


def test_photos_keep_their_size_if_a_rule_measures_pixels(source: SynthesisSource, tmp_path: Path) -> None:
    """A limit in pixels, also inside other rules, prevents downscaling."""
    rule = "  - id: wide\n    any:\n      - measure: {width: THING, unit: px, at_least: 40}\n"
    text = resource_path("constraints/dosing_kit.yaml").read_text(encoding="utf-8")
    path = tmp_path / "kit.yaml"
    rule = rule.replace("THING", next(iter(source.spec.components)))
    path.write_text(text.replace("constraints:\n", f"constraints:\n{rule}", 1), encoding="utf-8")
    with_pixel_rule = replace(source, spec=load_spec(path))

    assert downscale_source(with_pixel_rule, (64, 96)) is with_pixel_rule


def test_segmentations_are_downscaled(source: SynthesisSource) -> None:
    """An annotated segmentation covers the same share of the smaller box."""
    scene = source.dataset.scenes[0]
    box, number = scene.instances[0].box, scene.instances[0].id
    triangle = Segmentation(polygons=((box.x1, box.y1, box.x2, box.y1, box.x1, box.y2),))
    segmented = replace(source, segmentations={number: triangle})

    scaled = downscale_source(segmented, (64, 96))

    masks = [
        s.create_generator().bank.load_mask(s.dataset.scenes[0], s.dataset.scenes[0].instances[0])
        for s in (segmented, scaled)
    ]
    assert masks[1].size < 0.4 * masks[0].size
    assert masks[1].mean() == pytest.approx(masks[0].mean(), abs=0.08)
