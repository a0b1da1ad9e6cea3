"""Contact sheet of the first examples of a dataset, to inspect before it is generated."""

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
"""Tiles in a row (even, so that pairs are side by side); then pixels: tile, gap, line height."""
COLOURS = ("#e6194b", "#ffe119", "#3cb44b", "#4363d8", "#f58231", "#42d4f4", "#f032e6", "#bfef45", "#fabed4", "#ffffff")
INK, DIM, RED, GREEN, BAND, DARK = "#171b21", "#5c6673", "#c62f2f", "#14804a", "#eef3fb", "#2b2f36"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Line = tuple[str, str]
"""Text and its colour."""


@dataclass(frozen=True, slots=True)
class _SheetContext:
    """State shared by all tiles."""

    spec: Spec
    sources: dict[str, Scene]
    """Photo → its annotated scene."""
    colours: dict[str, str]
    """Component → colour of its boxes."""
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


def _draw_header(sheet: _SheetContext, request: SynthesisRequest, examples: Sequence[Example]) -> Image.Image:
    """Draw the product, the counts, what fell short, and the legend."""
    width = COLUMNS * (SIDE + GAP) + GAP
    good = sum(not example.violations for example in examples)
    counts = (
        f"{len(examples)} of {request.count} examples, seed {request.seed}: {good} good, {len(examples) - good} broken."
    )
    lines = [counts, *measure_coverage(examples).to_lines(), *describe_restrictions(request)]
    lines.append(
        "Thick boxes: edited. Control edits break no rule. Blue background: a pair, one photo good and broken."
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
    """Draw tiles side by side, as high as the highest of them."""
    captions = [_build_caption(sheet, example) for example in examples]
    heights = [round(min(SIDE / e.scene.width, SIDE * 1.25 / e.scene.height) * e.scene.height) for e in examples]
    photo_height = max(heights)
    image = Image.new(
        "RGB", (COLUMNS * (SIDE + GAP) + GAP, photo_height + max(map(len, captions)) * LINE + 2 * GAP), "white"
    )
    draw = ImageDraw.Draw(image)
    for number, (example, lines) in enumerate(zip(examples, captions, strict=True)):
        x = GAP + number * (SIDE + GAP)
        if example.pair >= 0:
            draw.rectangle([x - GAP // 2, 0, x + SIDE + GAP // 2, image.height - GAP // 2], fill=BAND)
        photo = _draw_photo(sheet, example)
        image.paste(photo, (x + (SIDE - photo.width) // 2, GAP // 2 + photo_height - photo.height))
        for row, (line, colour) in enumerate(lines):
            draw.text((x, photo_height + GAP + row * LINE), line, colour, sheet.font)
    return image


def _draw_photo(sheet: _SheetContext, example: Example) -> Image.Image:
    """Draw the photo with its boxes; boxes of edited instances are thick."""
    image = Image.open(io.BytesIO(example.image)).convert("RGB")
    scale = min(SIDE / image.width, SIDE * 1.25 / image.height)
    photo = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(photo)
    targets = {edit.target for edit in example.edits}
    for instance in example.scene.instances:
        thickness = 3 if instance.id < 0 or instance.id in targets else 1
        box = [v * scale for v in (instance.box.x1, instance.box.y1, instance.box.x2, instance.box.y2)]
        draw.rectangle(_expand(box, thickness), outline=DARK, width=thickness + 2)
        draw.rectangle(
            _expand(box, thickness - 1), outline=sheet.colours.get(instance.component, "#ffffff"), width=thickness
        )
    return photo


def _expand(box: list[float], margin: float) -> list[float]:
    return [box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin]


def _build_caption(sheet: _SheetContext, example: Example) -> list[Line]:
    """Number and category, the edits, the broken rules."""
    pair = f", pair {example.pair}" if example.pair >= 0 else ""
    findings = evaluate(sheet.spec, index_answers(example.answers), example.scene.width, example.scene.height)
    broken = [f for f in findings if f.status == "broken"]
    lines: list[Line] = [(f"{example.seed}: {_name_category(example, len(broken))}{pair}", INK)]
    lines += [(_describe_edit(sheet, edit, example.scene), DIM) for edit in example.edits] or [("no edit", DIM)]
    lines += [(f"{', '.join(f.violations)} (breaks {f.constraint}: {f.found})", RED) for f in broken]
    lines += [] if broken else [("good", GREEN)]
    return [(part, colour) for line, colour in lines for part in _wrap(line, sheet.font, SIDE)]


def _name_category(example: Example, broken: int) -> str:
    """Name what the example is, and in brackets what was planned where no photo allowed it."""
    planned = example.stats.category.replace("_", " ")
    if broken or not planned.startswith("broken"):
        return "broken" if planned == "broken twice" and broken == 1 else planned
    made = "control" if any(edit.is_control for edit in example.edits) else "untouched"
    return f"{made} (planned: {planned}; no photo allowed it)"


def _describe_edit(sheet: _SheetContext, edit: AppliedEdit, scene: Scene) -> str:
    """Describe an edit: kind, component, rule."""
    instances = (*scene.instances, *sheet.sources[scene.photo].instances)
    component = next((i.component for i in instances if i.id == edit.target and edit.target), "")
    return f"{edit.kind} {component}".rstrip() + f" for {edit.constraint}{', control edit' if edit.is_control else ''}"


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Wrap the text to lines of at most `width` pixels; words are not split."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".lstrip()
        if font.getlength(candidate) <= width or not lines[-1]:
            lines[-1] = candidate
        else:
            lines.append(f"  {word}")
    return lines
