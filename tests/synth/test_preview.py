"""The contact sheet: one tile an example, pairs side by side, and what fell short."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from logicls.io.resources import share
from logicls.synth.dataset_card import GenerationRecord, count_coverage
from logicls.synth.pipeline import SynthesisRequest
from logicls.synth.preview import BAND, _wrap, draw_contact_sheet

ORDER = SynthesisRequest(share("constraints/dosing_kit.yaml"), share("data/dosing_kit"), Path("unused"), 100, 0)


def test_the_sheet_has_a_row_for_every_four(tmp_path: Path) -> None:
    """Wide enough for four photos at full size; pairs lie on a ground of their own; the same order, the same bytes."""
    first = draw_contact_sheet(ORDER, 6, tmp_path / "new" / "a.png")
    again = draw_contact_sheet(ORDER, 6, tmp_path / "b.png")

    sheet = Image.open(first)
    colours = {colour for _, colour in sheet.getcolors(1 << 24) or []}
    band = tuple(int(BAND[i : i + 2], 16) for i in (1, 3, 5))
    assert (sheet.width, sheet.height > 2 * 400, band in colours) == (1300, True, True)
    assert first.read_bytes() == again.read_bytes()


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


def test_the_tally_tells_what_fell_short() -> None:
    """Each violation by itself with its rate, pairs that do not go together, twins, and changes thrown away."""
    made = [
        GenerationRecord("broken", ("bent",), (3,), 1, ("bent",), True),
        GenerationRecord("broken", ("bent",), (12,), 0, ("torn",), True),
        GenerationRecord("broken", ("torn",), (1,), 0, ("torn",), True),
        GenerationRecord("broken_twice", ("bent", "torn"), (12, 12), 0, ("torn",), True),
        GenerationRecord("twin", (), (), 0, (), False),
    ]

    assert list(count_coverage(made).to_lines()) == [
        "bent could be made on 7% of the photos tried: 1 of 2 wanted",
        "1 of 1 pairs of violations could not be made on one photo: another violation stands in for one of the two",
        "1 twin edits could not be made: those photos are untouched",
        "1 random changes of photos were thrown away, 0.20 an example: a label would have become wrong",
    ]
