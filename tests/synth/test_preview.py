"""The contact sheet shows one tile per example, pairs side by side, and what fell short."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from logicls.io.resources import resource_path
from logicls.synth.pipeline import SynthesisRequest
from logicls.synth.preview import BAND, _wrap, draw_contact_sheet

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
    from PIL import ImageFont

    font, text = (
        ImageFont.load_default(13),
        "wrong_mark (breaks mark-matches-liquid: mark's shape leaf, liquid's colour blue)",
    )

    lines = _wrap(text, font, 200)

    assert max(font.getlength(line) for line in lines) <= 200
    assert " ".join(line.strip() for line in lines) == text
