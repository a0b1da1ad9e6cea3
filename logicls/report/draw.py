"""One photo as a picture: its boxes on the left, the broken rules and the answers on the right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageFont

from logicls.errors import PhotoError, Problem, relative
from logicls.records import Verdict
from logicls.report.card_view import AnswerRow, PhotoCard, RuleRow, build_card, open_photo, place_overlays

NONE: Mapping[str, str] = MappingProxyType({})
INK, DIM, LINE, RED, BLUE = "#171b21", "#5c6673", "#dfe3e8", "#e0322f", "#2f6fdb"
TONE = {"pass": "#14804a", "fail": "#c62f2f", "review": "#a86200"}
SOFT = {"pass": "#e2f4ea", "fail": "#fdeaea", "review": "#fdf1dc"}
SIDE, PANEL, EDGE = 840, 720, 40
TAG = (38.0, 32.0)


def draw_card(
    verdict: Verdict,
    photo: Path,
    out_png: Path,
    *,
    spec_lines: Mapping[str, str] = NONE,
    questions: Mapping[str, str] = NONE,
) -> Path:
    """Draw what the report's card shows as a PNG, on white; returns `out_png`. The same input gives the same pixels.

    Args:
        verdict: Of this photo.
        photo: The file itself.
        out_png: Folders are made as needed.
        spec_lines: Constraint id → the rule in words; its id stands for one that is missing.
        questions: Query id → the question as it was asked; likewise.

    Raises:
        PhotoError: The photo cannot be opened (LC249).
    """
    image = open_photo(photo, verdict, SIDE)
    if image is None:
        raise PhotoError(Problem("LC249", "the photo cannot be opened.", relative(photo)))
    said = build_card(verdict, spec_lines=spec_lines, questions=questions)
    _mark(image, said, image.width / verdict.width)
    sheet = Image.new("RGB", (image.width + PANEL + 3 * EDGE, 4000), "white")
    bottom = _Column(sheet, image.width + 2 * EDGE, PANEL).card(said)
    height = max(bottom, image.height + EDGE) + EDGE
    sheet.paste(image, (EDGE, max(EDGE, (height - image.height) // 2)))
    out_png.parent.mkdir(parents=True, exist_ok=True)
    sheet.crop((0, 0, sheet.width, height)).save(out_png, "PNG", optimize=True)
    return out_png


def _mark(image: Image.Image, said: PhotoCard, scale: float) -> None:
    draw = ImageDraw.Draw(image)
    for mark in place_overlays(said.marks, scale=scale, size=(image.width, image.height), tag=TAG):
        colour, box, tag = RED if mark.is_broken else BLUE, mark.box, mark.tag
        corners = (min(box.x1, box.x2), min(box.y1, box.y2), max(box.x1, box.x2), max(box.y1, box.y2))
        draw.rounded_rectangle(corners, 4, outline=colour, width=4 if mark.is_broken else 3)
        draw.rounded_rectangle((tag.x1, tag.y1, tag.x2, tag.y2), 7, fill=colour)
        draw.text(tag.centre, str(mark.number), "white", _font(22), anchor="mm", stroke_width=0.4)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own face, so that the picture is the same on every machine."""
    return ImageFont.load_default(size)


class _Column:
    """Text set from top to bottom; `y` is where the next line begins."""

    def __init__(self, sheet: Image.Image, x: int, width: int) -> None:
        self.draw, self.x, self.width, self.y = ImageDraw.Draw(sheet), x, width, EDGE

    def card(self, said: PhotoCard) -> int:
        """Set everything; returns the bottom edge."""
        wide = self.draw.textlength(said.outcome, _font(26)) + 40
        plate = (self.x, self.y, self.x + wide, self.y + 46)
        self.draw.rounded_rectangle(plate, 23, fill=TONE[said.outcome])
        middle = (self.x + wide / 2, self.y + 22)
        self.draw.text(middle, said.outcome, "white", _font(26), anchor="mm", stroke_width=0.5)
        self.y += 4
        self.text(said.photo, 28, indent=int(wide) + 18, bold=True)
        self.y += 22
        for reason in said.reasons:
            self.text(reason, 24, fill=TONE[said.outcome])
        for rule in said.broken:
            self.rule(rule, said.outcome)
        for asked in said.answers:
            self.asked(asked)
        return self.y

    def rule(self, rule: RuleRow, outcome: str) -> None:
        """A broken rule on a tinted plate, whose height the text decides: set once to measure, once to show."""
        against = [f"{word} {said}" for word, said in (("expected", rule.expected), ("found", rule.found)) if said]
        lines = (
            (rule.name, 28, TONE[outcome], True),
            (rule.rule, 23, INK, False),
            ("  ·  ".join(against), 23, DIM, False),
        )
        top = self.y
        for last in (False, True):
            self.y = top + 16
            for text, size, fill, bold in lines:
                self.text(text, size, fill=fill, indent=20, bold=bold)
            if not last:
                self.draw.rounded_rectangle((self.x, top, self.x + self.width, self.y + 14), 12, fill=SOFT[outcome])
        self.y += 32

    def asked(self, asked: AnswerRow) -> None:
        """One question, its answer and its confidence, over a hairline."""
        fill = RED if asked.is_broken else BLUE
        self.draw.rounded_rectangle((self.x, self.y, self.x + 36, self.y + 30), 7, fill=fill)
        self.draw.text((self.x + 18, self.y + 15), str(asked.number), "white", _font(20), anchor="mm", stroke_width=0.4)
        right = (self.x + self.width, self.y + 15)
        if asked.is_readable:
            self.draw.text(right, f"{100 * asked.confidence:.0f} %", DIM, _font(22), anchor="rm")
        self.text(asked.question, 22, fill=DIM, indent=54, right=80)
        self.text(asked.answer, 24, fill=TONE["fail"] if asked.is_broken else INK, indent=54, right=80, bold=True)
        self.y += 8
        self.draw.line((self.x, self.y, self.x + self.width, self.y), fill=LINE, width=1)
        self.y += 12

    def text(
        self, text: str, size: int, *, fill: str = INK, indent: int = 0, right: int = 20, bold: bool = False
    ) -> None:
        """A paragraph, broken between words to fit."""
        font, stroke = _font(size), 0.5 if bold else 0
        room = self.width - indent - right
        line = ""
        for word in [*text.split(), ""]:
            longer = f"{line} {word}".strip()
            if line and (not word or self.draw.textlength(longer, font) > room):
                self.draw.text((self.x + indent, self.y), line, fill, font, stroke_width=stroke)
                self.y += round(1.35 * size)
                longer = word
            line = longer
