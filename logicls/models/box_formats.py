"""Box formats: the text in which each family of vision-language models writes boxes.

LogiCls keeps boxes in pixels of the original photo. Families differ in the unit, the image whose pixels count, the
order of the edges and the delimiters; a model asked for boxes in a foreign format has to learn it anew. Every format is
implemented here once, in both directions, without torch.

Sources: model cards and cookbooks of each family, the processors of transformers 5 (`smart_resize` of `qwen2_vl`,
`quantize` of `florence2`), and the templates of ms-swift 4.6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import MappingProxyType

from logicls import answer_format
from logicls.records import Box

Size = tuple[int, int]
"""(width, height) of the photo in pixels."""
LOCATE_PREFIX = f"{answer_format.PREFIX}locate:"


class BoxFamily(StrEnum):
    """Model families by their box format, each named after the first model that used it."""

    pixels = "pixels"
    qwen2_vl = "qwen2_vl"
    qwen2_5_vl = "qwen2_5_vl"
    qwen3_vl = "qwen3_vl"
    internvl = "internvl"
    paligemma = "paligemma"
    florence2 = "florence2"
    llava = "llava"


@dataclass(frozen=True, slots=True)
class SmartResize:
    """Resizing of a photo to a multiple of the patch size, within limits of its number of pixels."""

    factor: int
    """Both sides become multiples of this number of pixels."""
    min_pixels: int
    """Lower limit of width x height."""
    max_pixels: int
    """Upper limit of width x height."""

    def __call__(self, size: Size) -> Size:
        """Return the (width, height) to which a photo of that size is resized."""
        width, height = size
        across, down = (round(side / self.factor) * self.factor for side in size)
        if across * down > self.max_pixels:
            scale = math.sqrt(width * height / self.max_pixels)
            across, down = (max(math.floor(side / scale / self.factor), 1) * self.factor for side in size)
        elif across * down < self.min_pixels:
            scale = math.sqrt(self.min_pixels / (width * height))
            across, down = (math.ceil(side * scale / self.factor) * self.factor for side in size)
        return across, down


@dataclass(frozen=True, slots=True)
class BoxFormat:
    """Text format of the boxes of one family."""

    name: str
    template: str
    """Text of a box, with `{x1}`, `{y1}`, `{x2}` and `{y2}` in the place of its edges."""
    bins: int = 0
    """Number of bins per side of the photo; 0 where edges are pixels."""
    max_value: int = 0
    """Largest number of a bin."""
    resize: SmartResize | None = None
    """Resizing of the photo, where edges are pixels of the resized one."""
    floor: bool = False
    """True where an edge is written as the number of its bin, and read as the middle of that bin."""
    decimals: int = 0
    """Digits after the decimal point."""
    digits: int = 0
    """Minimum number of digits, reached with leading zeros."""
    separator: str = " "
    """Text between two boxes."""

    def boxes_to_text(self, boxes: tuple[Box, ...], size: Size) -> str:
        """Write boxes, in pixels of a photo of that size, as text."""
        return self.separator.join(self._box_to_text(box, size) for box in boxes)

    def text_to_boxes(self, text: str, size: Size) -> tuple[Box, ...] | None:
        """Parse boxes, in pixels of the photo; None where the text is anything else than boxes."""
        matches = list(re.finditer(self._pattern, text))
        if not matches or self.separator.join(match[0] for match in matches) != text:
            return None
        return tuple(self._match_to_box(match.groupdict(), size) for match in matches)

    def _units(self, size: Size) -> Size:
        if self.bins:
            return self.bins, self.bins
        return self.resize(size) if self.resize else size

    def _box_to_text(self, box: Box, size: Size) -> str:
        edges = {}
        for name, edge in (("x1", box.x1), ("y1", box.y1), ("x2", box.x2), ("y2", box.y2)):
            axis = 0 if name.startswith("x") else 1
            edges[name] = self._format_number(edge / size[axis] * self._units(size)[axis])
        return self.template.format(**edges)

    def _format_number(self, value: float) -> str:
        if self.decimals:
            return f"{value:.{self.decimals}f}"
        number = math.floor(value) if self.floor else round(value)
        if self.bins:
            number = min(max(number, 0), self.max_value)
        return f"{number:0{self.digits}d}"

    @property
    def _pattern(self) -> str:
        number = rf"-?\d{{1,9}}\.\d{{{self.decimals}}}" if self.decimals else rf"-?\d{{{self.digits or 1},9}}"
        return re.sub(r"\\\{([xy][12])\\\}", lambda edge: f"(?P<{edge[1]}>{number})", re.escape(self.template))

    def _match_to_box(self, edges: Mapping[str, str], size: Size) -> Box:
        across, down = self._units(size)
        offset = 0.5 if self.floor else 0.0
        x1, x2 = ((float(edges[name]) + offset) / across * size[0] for name in ("x1", "x2"))
        y1, y2 = ((float(edges[name]) + offset) / down * size[1] for name in ("y1", "y2"))
        return Box(x1, y1, x2, y2)


_LIST = "[{x1}, {y1}, {x2}, {y2}]"
_LOC_TOKENS = "<loc{y1}><loc{x1}><loc{y2}><loc{x2}>"
BOX_FORMATS: Mapping[str, BoxFormat] = MappingProxyType(
    {
        box_format.name: box_format
        for box_format in (
            # Format of the chain of thought: pixels of the original photo.
            BoxFormat("pixels", "[{x1} {y1} {x2} {y2}]", decimals=1),
            # Thousandths, x and y in parentheses, between special tokens.
            BoxFormat("qwen2_vl", "<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>", bins=1000, max_value=1000),
            # Pixels of the photo as the processor resizes it, within its own limits.
            BoxFormat("qwen2_5_vl", _LIST, resize=SmartResize(28, 56 * 56, 28 * 28 * 16384)),
            BoxFormat("qwen3_vl", _LIST, bins=1000, max_value=1000),
            BoxFormat("internvl", "<box>[[{x1}, {y1}, {x2}, {y2}]]</box>", bins=1000, max_value=1000),
            # 1024 bins, one token each, y before x.
            BoxFormat("paligemma", _LOC_TOKENS, bins=1024, max_value=1023, digits=4, separator=" ; "),
            BoxFormat("florence2", "<loc_{x1}><loc_{y1}><loc_{x2}><loc_{y2}>", bins=1000, max_value=999, floor=True,
                      separator=""),
            # Shares of the photo's sides.
            BoxFormat("llava", _LIST, bins=1, max_value=1, decimals=3),
        )
    }
)  # fmt: skip
"""Family → its box format."""
PIXELS = BOX_FORMATS["pixels"]


def encode_boxes(text: str, box_format: BoxFormat, size: Size) -> str:
    """Rewrite the boxes of a chain of thought from pixels into the family's format; other text is kept."""
    return rewrite_boxes(text, partial(PIXELS.text_to_boxes, size=size), partial(box_format.boxes_to_text, size=size))


def decode_boxes(text: str, box_format: BoxFormat, size: Size) -> str:
    """Rewrite the boxes of a model's output from the family's format into pixels; other text is kept."""
    return rewrite_boxes(text, partial(box_format.text_to_boxes, size=size), partial(PIXELS.boxes_to_text, size=size))


def rewrite_boxes(
    text: str, parse: Callable[[str], tuple[Box, ...] | None], render: Callable[[tuple[Box, ...]], str]
) -> str:
    """Parse the boxes of every answer line with one format, and render them with another."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        query, equals, value = line.partition(" = ")
        boxes = parse(value) if equals and query.startswith(LOCATE_PREFIX) else None
        if boxes:
            lines[number] = f"{query} = {render(boxes)}"
    return "\n".join(lines)
