"""The card as a picture, and where the numbers of its boxes stand."""

import pytest
from PIL import Image

from logicls.errors import PhotoError
from logicls.records import Answer, Box, Finding, Verdict
from logicls.report.card_view import EvidenceBox, place_overlays
from logicls.report.draw import draw_card

FAILED = Verdict(
    "bad.png", "fail", ("gone",), ("gone",), 0.9, (),
    (Finding("one-lid", "broken", ("gone",), "1 lid", "2 lids", ("locate:lid",)),),
    (Answer("locate:lid", (), (Box(10, 20, 60, 50),)), Answer("locate:box", (), (Box(5, 5, 90, 70),))),
    (), 100, 80,
)  # fmt: skip


def test_a_drawn_card_shows_the_photo_with_its_boxes(tmp_path):
    """The evidence of a broken rule is outlined in red, other boxes in blue; twice gives the same pixels."""
    Image.new("RGB", (100, 80), "black").save(tmp_path / "bad.png")

    first = draw_card(FAILED, tmp_path / "bad.png", tmp_path / "a.png")
    again = draw_card(FAILED, tmp_path / "bad.png", tmp_path / "b.png")

    with Image.open(first) as card:
        colours = {colour for _, colour in card.convert("RGB").crop((40, 40, 140, card.height)).getcolors(1 << 16)}
    assert {(0, 0, 0), (0xE0, 0x32, 0x2F), (0x2F, 0x6F, 0xDB)} <= colours
    assert first.read_bytes() == again.read_bytes()


def test_a_photo_that_cannot_be_opened_is_an_error(tmp_path):
    """There is no picture to draw of it."""
    (tmp_path / "bad.png").write_bytes(b"no picture")

    with pytest.raises(PhotoError, match=r"bad\.png LC249 the photo cannot be opened\."):
        draw_card(FAILED, tmp_path / "bad.png", tmp_path / "a.png")


def test_numbers_do_not_hide_one_another():
    """Boxes with the same corner get numbers side by side, inside the picture."""
    marks = [EvidenceBox(n, Box(0, 0, 50, 50), is_broken=n == 3) for n in (1, 2, 3)]

    drawn = place_overlays(marks, scale=2, size=(200, 160), tag=(20, 16))

    tags = [mark.tag for mark in drawn]
    assert [mark.number for mark in drawn] == [2, 1, 3]
    assert [a.intersection(b) for a in tags for b in tags if a is not b] == [0.0] * 6
    assert all(t.x1 >= 0 and t.y1 >= 0 and t.x2 <= 200 and t.y2 <= 160 for t in tags)
