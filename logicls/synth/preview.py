"""A contact sheet of what would be made, to look at before the long run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from logicls.constraints.checker.evaluation import evaluate, index_answers
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.data.coco import read_dataset_for
from logicls.records import AppliedEdit, Example, Scene
from logicls.synth.dataset_card import measure_coverage
from logicls.synth.pipeline import SynthesisRequest, describe_restrictions, generate_preview

COLUMNS, SIDE, GAP, LINE = 4, 310, 12, 17
"""Tiles in a row, an even number so that pairs stand side by side; then pixels: room for a photo, space, a line."""
COLOURS = ("#e6194b", "#ffe119", "#3cb44b", "#4363d8", "#f58231", "#42d4f4", "#f032e6", "#bfef45", "#fabed4", "#ffffff")
INK, DIM, RED, GREEN, BAND, DARK = "#171b21", "#5c6673", "#c62f2f", "#14804a", "#eef3fb", "#2b2f36"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Line = tuple[str, str]
"""Text and its colour."""


@dataclass(frozen=True, slots=True)
class _SheetContext:
    """What all tiles need to know."""

    spec: Spec
    sources: dict[str, Scene]
    """Photo → its scene as it was annotated."""
    colours: dict[str, str]
    """Component → the colour of its boxes."""
    font: Font


def draw_contact_sheet(request: SynthesisRequest, count: int, out: Path) -> Path:
    """Draw the first `count` examples with boxes, edits and broken rules; returns `out`, a PNG."""
    spec = load_spec(request.spec)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(spec.components)}
    sources = {scene.photo: scene for scene in read_dataset_for(spec, request.data).scenes}
    sheet = _SheetContext(spec, sources, colours, ImageFont.load_default(13))
    examples = list(generate_preview(request, count))
    rows = [examples[start : start + COLUMNS] for start in range(0, count, COLUMNS)]
    parts = [_draw_header(sheet, request, examples), *(_draw_row(sheet, row) for row in rows)]
    page = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        page.paste(part, (0, top))
        top += part.height
    out.parent.mkdir(parents=True, exist_ok=True)
    page.save(out)
    return out


def _draw_header(sheet: _SheetContext, order: SynthesisRequest, examples: Sequence[Example]) -> Image.Image:
    """What it is of, what the colours mean, what fell short."""
    width = COLUMNS * (SIDE + GAP) + GAP
    good = sum(not example.violations for example in examples)
    made = f"{len(examples)} of {order.count} examples, seed {order.seed}: {good} good, {len(examples) - good} broken."
    lines = [made, *measure_coverage(examples).to_lines(), *describe_restrictions(order)]
    lines.append(
        "Thick boxes were edited. A twin goes through the motions and breaks nothing. Pairs have a blue ground."
    )
    lines = [part for line in lines for part in _wrap(line, sheet.font, width - 2 * GAP)]
    image = Image.new("RGB", (width, 2 * GAP + 26 + (len(lines) + 1) * LINE), "white")
    draw = ImageDraw.Draw(image)
    draw.text((GAP, GAP), sheet.spec.product.name.replace("_", " "), INK, ImageFont.load_default(20))
    for number, line in enumerate(lines):
        draw.text((GAP, GAP + 26 + number * LINE), line, DIM, sheet.font)
    _draw_legend(sheet, draw, GAP + 26 + len(lines) * LINE)
    return image


def _draw_legend(sheet: _SheetContext, draw: ImageDraw.ImageDraw, top: int) -> None:
    x = float(GAP)
    for name, colour in sheet.colours.items():
        draw.rectangle([x, top + 3, x + 12, top + 13], fill=colour, outline=DARK)
        draw.text((x + 18, top), name, INK, sheet.font)
        x += 34 + draw.textlength(name, sheet.font)


def _draw_row(sheet: _SheetContext, examples: Sequence[Example]) -> Image.Image:
    """Tiles side by side, as high as the highest of them."""
    texts = [_caption(sheet, example) for example in examples]
    heights = [round(min(SIDE / e.scene.width, SIDE * 1.25 / e.scene.height) * e.scene.height) for e in examples]
    high = max(heights)
    image = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, high + max(map(len, texts)) * LINE + 2 * GAP), "white")
    draw = ImageDraw.Draw(image)
    for number, (example, lines) in enumerate(zip(examples, texts, strict=True)):
        left = GAP + number * (SIDE + GAP)
        if example.pair >= 0:
            draw.rectangle([left - GAP // 2, 0, left + SIDE + GAP // 2, image.height - GAP // 2], fill=BAND)
        photo = _draw_photo(sheet, example)
        image.paste(photo, (left + (SIDE - photo.width) // 2, GAP // 2 + high - photo.height))
        for place, (line, colour) in enumerate(lines):
            draw.text((left, high + GAP + place * LINE), line, colour, sheet.font)
    return image


def _draw_photo(sheet: _SheetContext, example: Example) -> Image.Image:
    """The picture with its boxes, thick where something was edited."""
    picture = Image.open(io.BytesIO(example.image)).convert("RGB")
    scale = min(SIDE / picture.width, SIDE * 1.25 / picture.height)
    photo = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(photo)
    targets = {edit.target for edit in example.edits}
    for instance in example.scene.instances:
        thick = 3 if instance.id < 0 or instance.id in targets else 1
        box = [v * scale for v in (instance.box.x1, instance.box.y1, instance.box.x2, instance.box.y2)]
        draw.rectangle(_expand(box, thick), outline=DARK, width=thick + 2)
        draw.rectangle(_expand(box, thick - 1), outline=sheet.colours.get(instance.component, "#ffffff"), width=thick)
    return photo


def _expand(box: list[float], by: float) -> list[float]:
    return [box[0] - by, box[1] - by, box[2] + by, box[3] + by]


def _caption(sheet: _SheetContext, example: Example) -> list[Line]:
    """Number and fate, the edits, the broken rules."""
    pair = f", pair {example.pair}" if example.pair >= 0 else ""
    lines: list[Line] = [(f"{example.seed}: {example.stats.category.replace('_', ' ')}{pair}", INK)]
    lines += [(_edit_text(sheet, edit, example.scene), DIM) for edit in example.edits] or [("as it was taken", DIM)]
    findings = evaluate(sheet.spec, index_answers(example.answers), example.scene.width, example.scene.height)
    broken = [f for f in findings if f.status == "broken"]
    lines += [(f"{', '.join(f.violations)} (breaks {f.constraint}: {f.found})", RED) for f in broken]
    lines += [] if broken else [("good", GREEN)]
    return [(part, colour) for line, colour in lines for part in _wrap(line, sheet.font, SIDE)]


def _edit_text(sheet: _SheetContext, edit: AppliedEdit, scene: Scene) -> str:
    """An edit in words: what was done to what, for which rule."""
    known = (*scene.instances, *sheet.sources[scene.photo].instances)
    component = next((i.component for i in known if i.id == edit.target and edit.target), "")
    return f"{edit.kind} {component}".rstrip() + f" for {edit.constraint}{', twin' if edit.is_control else ''}"


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """The text in lines that are no wider than so many pixels, if its words are not."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(f"  {word}")
    return lines
