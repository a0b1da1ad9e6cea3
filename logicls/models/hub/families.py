"""What differs from family to family and cannot be asked of a processor or a model. All else is asked.

A family is named by its `model_type`, as the configuration of a checkpoint has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from logicls.models.coordinates import FAMILIES, Coordinates, Family, Resizing


@dataclass(frozen=True, slots=True)
class Habits:
    """What a family is used to."""

    boxes: Family = Family.qwen3_vl
    """How it writes boxes: thousandths of the photo's sides where it was taught nothing else."""
    overview: str = ""
    """The processor's setting for the visual tokens of a small picture of the whole photo, where one is shown beside
    the tiles that the photo is cut into."""


HABITS: Mapping[str, Habits] = MappingProxyType(
    {
        "idefics3": Habits(overview="image_seq_len"),
        "internvl": Habits(Family.internvl),
        "llava": Habits(Family.llava),
        "llava_next": Habits(Family.llava),
        "llava_onevision": Habits(Family.llava, overview="num_image_tokens"),
        "qwen2_5_vl": Habits(Family.qwen2_5_vl),
        "qwen2_vl": Habits(Family.qwen2_vl),
        "smolvlm": Habits(overview="image_seq_len"),
    }
)
STAND_INS: Mapping[str, str] = MappingProxyType({"SmolVLMProcessor": "Idefics3Processor"})
"""Processor → one that does the same with photos, and asks for no library that only videos need."""


def habits_of(model_type: str) -> Habits:
    """The habits of a family; those of one that nobody knows are the plainest."""
    return HABITS.get(model_type, Habits())


def coordinates_of(family: Family, processor: Any) -> Coordinates:
    """How boxes are written for this processor: edges as pixels of the picture that it makes have its limits."""
    coordinates = FAMILIES[family]
    if coordinates.resizing is None:
        return coordinates
    images = processor.image_processor
    limits = images.size["shortest_edge"], images.size["longest_edge"]
    return replace(coordinates, resizing=Resizing(images.patch_size * images.merge_size, *limits))


def overview_tokens(habits: Habits, processor: Any) -> int:
    """Visual tokens that show the photo a second time, small."""
    return int(getattr(processor, habits.overview)) if habits.overview else 0
