"""Smaller photos for a model that sees few pixels: the same scenes, and the same rules broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.loader import load_spec
from logicls.data.segmentation import Outline
from logicls.io.resources import share
from logicls.synth.downscale import downscale_source
from logicls.synth.pipeline import SynthesisRequest, load_source
from logicls.synth.workers import SynthesisSource


@pytest.fixture(scope="module")
def source() -> SynthesisSource:
    """The dosing kit: 60 photos of 256 x 320 pixels."""
    return load_source(SynthesisRequest(share("constraints/dosing_kit.yaml"), share("data/dosing_kit"), Path(), 1, 0))


def test_photos_are_twice_the_input(source: SynthesisSource) -> None:
    """Along the side that fills it; boxes go along, and what is read off every photo stays."""
    small = downscale_source(source, (64, 96))

    before, after = source.dataset.scenes, small.dataset.scenes
    photo = small.create_generator().bank.photo(after[0])
    boxes = [[(i.box.x1, i.box.y1, i.box.x2, i.box.y2) for i in scene.instances] for scene in (before[0], after[0])]
    assert {(scene.width, scene.height) for scene in after} == {(102, 128)}
    assert photo.shape == (128, 102, 3)
    assert np.allclose(np.array(boxes[0]) * np.array([102 / 256, 128 / 320] * 2), boxes[1])
    assert [compute_answers(source.spec, scene)[-1].values for scene in before] == [
        compute_answers(source.spec, scene)[-1].values for scene in after
    ]


def test_no_photo_becomes_larger(source: SynthesisSource) -> None:
    """An input that is nearly as large needs all pixels there are."""
    assert downscale_source(source, (320, 256)) is source


def test_pixels_that_are_counted_stay(source: SynthesisSource, tmp_path: Path) -> None:
    """Where a rule has a limit in pixels, also within other rules, no photo is changed."""
    rule = "  - id: wide\n    any:\n      - measure: {width: THING, unit: px, at_least: 40}\n"
    text = share("constraints/dosing_kit.yaml").read_text(encoding="utf-8")
    path = tmp_path / "kit.yaml"
    rule = rule.replace("THING", next(iter(source.spec.components)))
    path.write_text(text.replace("constraints:\n", f"constraints:\n{rule}", 1), encoding="utf-8")
    counting = replace(source, spec=load_spec(path))

    assert downscale_source(counting, (64, 96)) is counting


def test_outlines_go_along(source: SynthesisSource) -> None:
    """Those that were annotated are drawn on the smaller photo: the same share of the box is the thing."""
    scene = source.dataset.scenes[0]
    box, number = scene.instances[0].box, scene.instances[0].id
    half = Outline(polygons=((box.x1, box.y1, box.x2, box.y1, box.x1, box.y2),))
    outlined = replace(source, outlines={number: half})

    small = downscale_source(outlined, (64, 96))

    masks = [
        s.create_generator().bank.mask(s.dataset.scenes[0], s.dataset.scenes[0].instances[0]) for s in (outlined, small)
    ]
    assert masks[1].size < 0.4 * masks[0].size
    assert masks[1].mean() == pytest.approx(masks[0].mean(), abs=0.08)
