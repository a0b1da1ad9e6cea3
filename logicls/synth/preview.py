"""A contact sheet of what would be made, to look at before the long run."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw

from logicls.records import Example
from logicls.synth.build import Order, preview

SIDE = 260
COLUMNS = 6
COLOURS = ("#ff595e", "#ffca3a", "#8ac926", "#1982c4", "#a06cd5", "#ff924c")


def contact_sheet(order: Order, count: int, out: Path) -> Path:
    """Draw the first `count` examples with their boxes and broken rules; returns `out`, a PNG."""
    tiles = [_tile(example) for example in preview(order, count)]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + 30)), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % COLUMNS * SIDE, number // COLUMNS * (SIDE + 30)))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    return out


def _tile(example: Example) -> Image.Image:
    photo = Image.open(io.BytesIO(example.image)).convert("RGB")
    scale = min(SIDE / photo.width, SIDE / photo.height)
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    draw = ImageDraw.Draw(photo)
    names = sorted({instance.component for instance in example.scene.instances})
    for instance in example.scene.instances:
        colour = COLOURS[names.index(instance.component) % len(COLOURS)]
        box = instance.box
        draw.rectangle([box.x1 * scale, box.y1 * scale, box.x2 * scale, box.y2 * scale], outline=colour, width=1)
    tile = Image.new("RGB", (SIDE, SIDE + 30), "white")
    tile.paste(photo, ((SIDE - photo.width) // 2, 0))
    made = " + ".join(f"{edit.kind}{' (twin)' if edit.twin else ''}" for edit in example.edits) or "untouched"
    write = ImageDraw.Draw(tile)
    write.text((3, SIDE + 2), made[:44], fill="grey")
    write.text((3, SIDE + 15), (", ".join(example.violations) or "good")[:44], fill="black")
    return tile
