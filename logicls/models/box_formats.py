"""Boxes as text, in the way that each family of vision-language models was taught to write them.

LogiCls keeps boxes as pixels of the original photo. A family counts in another unit, from another picture, in another
order, between other signs; a model that is asked for boxes in the wrong one learns them anew. Each convention is here
once, both ways, and knows nothing of torch.

Sources: the model cards and cookbooks of each family, and the processors in transformers 5 (`smart_resize` of
`qwen2_vl`, `quantize` of `florence2`) and templates in ms-swift 4.6 that carry them out.
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
"""(width, height) of the photo, pixels."""
LOCATE_PREFIX = f"{answer_format.PREFIX}locate:"


class BoxFamily(StrEnum):
    """The conventions that are known, by the first model that had them."""

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
    """How a processor brings a photo to a size that its patches fit into."""

    factor: int
    """Both sides become multiples of so many pixels."""
    min_pixels: int
    """Pixels of the whole picture."""
    max_pixels: int

    def __call__(self, size: Size) -> Size:
        """The size in which the model sees the photo."""
        width, height = size
        across, down = (round(side / self.factor) * self.factor for side in size)
        if across * down > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            across, down = (max(math.floor(side / shrink / self.factor), 1) * self.factor for side in size)
        elif across * down < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            across, down = (math.ceil(side * grow / self.factor) * self.factor for side in size)
        return across, down


@dataclass(frozen=True, slots=True)
class BoxFormat:
    """One family's way to write boxes."""

    name: str
    template: str
    """A box, with `{x1}`, `{y1}`, `{x2}` and `{y2}` where its edges stand."""
    bins: int = 0
    """Each side of the photo has so many units, whatever its size; 0 where edges are pixels."""
    max_value: int = 0
    """The highest number that there is, where edges are counted in bins."""
    resize: SmartResize | None = None
    """Where edges are pixels of the resized photo: how it is resized."""
    floor: bool = False
    """True where an edge is the number of the bin that it lies in, and is read as that bin's middle."""
    decimals: int = 0
    digits: int = 0
    """Zeros are put before a number that is shorter."""
    separator: str = " "
    """What stands between two boxes."""

    def boxes_to_text(self, boxes: tuple[Box, ...], size: Size) -> str:
        """The boxes, given in pixels of a photo of that size, as text."""
        return self.separator.join(self._form(box, size) for box in boxes)

    def text_to_boxes(self, text: str, size: Size) -> tuple[Box, ...] | None:
        """The boxes in the text, in pixels of the photo; None where it is anything else than boxes."""
        found = list(re.finditer(self._pattern, text))
        if not found or self.separator.join(match[0] for match in found) != text:
            return None
        return tuple(self._box(match.groupdict(), size) for match in found)

    def _units(self, size: Size) -> Size:
        if self.bins:
            return self.bins, self.bins
        return self.resize(size) if self.resize else size

    def _form(self, box: Box, size: Size) -> str:
        edges = {}
        for name, edge in (("x1", box.x1), ("y1", box.y1), ("x2", box.x2), ("y2", box.y2)):
            axis = 0 if name.startswith("x") else 1
            edges[name] = self._number(edge / size[axis] * self._units(size)[axis])
        return self.template.format(**edges)

    def _number(self, value: float) -> str:
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

    def _box(self, edges: Mapping[str, str], size: Size) -> Box:
        across, down = self._units(size)
        middle = 0.5 if self.floor else 0.0
        x1, x2 = ((float(edges[name]) + middle) / across * size[0] for name in ("x1", "x2"))
        y1, y2 = ((float(edges[name]) + middle) / down * size[1] for name in ("y1", "y2"))
        return Box(x1, y1, x2, y2)


_LIST = "[{x1}, {y1}, {x2}, {y2}]"
_LOCS = "<loc{y1}><loc{x1}><loc{y2}><loc{x2}>"
BOX_FORMATS: Mapping[str, BoxFormat] = MappingProxyType(
    {
        family.name: family
        for family in (
            # As the trail itself has it: pixels of the photo as it is.
            BoxFormat("pixels", "[{x1} {y1} {x2} {y2}]", decimals=1),
            # Thousandths, x and y in brackets, between special tokens.
            BoxFormat("qwen2_vl", "<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>", bins=1000, max_value=1000),
            # Pixels of the picture that the processor makes of the photo with its own limits.
            BoxFormat("qwen2_5_vl", _LIST, resize=SmartResize(28, 56 * 56, 28 * 28 * 16384)),
            BoxFormat("qwen3_vl", _LIST, bins=1000, max_value=1000),
            BoxFormat("internvl", "<box>[[{x1}, {y1}, {x2}, {y2}]]</box>", bins=1000, max_value=1000),
            # 1024 bins, one token each, y before x.
            BoxFormat("paligemma", _LOCS, bins=1024, max_value=1023, digits=4, separator=" ; "),
            BoxFormat("florence2", "<loc_{x1}><loc_{y1}><loc_{x2}><loc_{y2}>", bins=1000, max_value=999, floor=True,
                        separator=""),
            # Shares of the photo's sides.
            BoxFormat("llava", _LIST, bins=1, max_value=1, decimals=3),
        )
    }
)  # fmt: skip
"""Family → how it writes boxes."""
PIXELS = BOX_FORMATS["pixels"]


def encode_boxes(text: str, box_format: BoxFormat, size: Size) -> str:
    """A chain of thought with the boxes of its answers as the family writes them; all else stays as it is."""
    return rewrite_boxes(text, partial(PIXELS.text_to_boxes, size=size), partial(box_format.boxes_to_text, size=size))


def decode_boxes(text: str, box_format: BoxFormat, size: Size) -> str:
    """What a model of that family wrote, with boxes as `trail.read` reads them; what are no boxes stays as it is."""
    return rewrite_boxes(text, partial(box_format.text_to_boxes, size=size), partial(PIXELS.boxes_to_text, size=size))


def rewrite_boxes(
    text: str, parse: Callable[[str], tuple[Box, ...] | None], render: Callable[[tuple[Box, ...]], str]
) -> str:
    """The text with the boxes of its answers read in one way and written in another."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        query, equals, value = line.partition(" = ")
        boxes = parse(value) if equals and query.startswith(LOCATE_PREFIX) else None
        if boxes:
            lines[number] = f"{query} = {render(boxes)}"
    return "\n".join(lines)
