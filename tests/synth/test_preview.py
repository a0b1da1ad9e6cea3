"""The contact sheet shows one tile per example, pairs side by side, and what fell short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.loader import load_spec
from logicls.data.coco import read_dataset_for
from logicls.io.resources import resource_path
from logicls.records import Example, GenerationStats
from logicls.synth.pipeline import SynthesisRequest
from logicls.synth.preview import BAND, _build_caption, _SheetContext, _wrap, draw_contact_sheet

REQUEST = SynthesisRequest(
    resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), Path("unused"), 100, 0
)


def test_the_sheet_has_four_tiles_per_row(tmp_path: Path) -> None:
    """Wide enough for four photos at full size; pairs have a background colour; the sheet is reproducible."""
    first = draw_contact_sheet(REQUEST, 6, tmp_path / "new" / "a.png")
    second = draw_contact_sheet(REQUEST, 6, tmp_path / "b.png")

    sheet = Image.open(first)
    colours = {colour for _, colour in sheet.getcolors(1 << 24) or []}
    band_colour = tuple(int(BAND[i : i + 2], 16) for i in (1, 3, 5))
    assert (sheet.width, sheet.height > 2 * 400, band_colour in colours) == (1300, True, True)
    assert first.read_bytes() == second.read_bytes()


def test_long_lines_are_wrapped() -> None:
    """No line is wider than its tile, and no word is lost."""
    font, text = (
        ImageFont.load_default(13),
        "wrong_mark (breaks mark-matches-liquid: mark's shape leaf, liquid's colour blue)",
    )

    lines = _wrap(text, font, 200)

    assert max(font.getlength(line) for line in lines) <= 200
    assert " ".join(line.strip() for line in lines) == text


@pytest.mark.parametrize(
    ("category", "violations", "caption"),
    [
        ("broken_twice", (), "7: untouched (planned: broken twice; no photo"),
        ("broken_twice", ("missing_spoon",), "7: broken"),
        ("broken_twice", ("missing_spoon", "missing_label"), "7: broken twice"),
        ("broken", ("missing_spoon",), "7: broken"),
        ("control", (), "7: control"),
    ],
)
def test_the_caption_says_what_the_example_is(category: str, violations: tuple[str, ...], caption: str) -> None:
    """A good example is not called broken, whatever was planned."""
    spec = load_spec(REQUEST.spec)
    scene = read_dataset_for(spec, REQUEST.data).scenes[0]
    removed = {"missing_spoon": ("spoon",), "missing_label": ("label", "mark")}
    gone = [component for name in violations for component in removed[name]]
    kept = replace(scene, instances=tuple(i for i in scene.instances if i.component not in gone))
    answers = tuple(compute_answers(spec, kept))
    example = Example(b"", kept, (), answers, answers[-1].values, 7, -1, GenerationStats(category))
    sheet = _SheetContext(spec, {scene.photo: scene}, {}, ImageFont.load_default(13))

    lines = [line for line, _ in _build_caption(sheet, example)]

    assert set(violations) <= set(example.violations)
    assert (lines[0], "good" in lines) == (caption, not violations)
