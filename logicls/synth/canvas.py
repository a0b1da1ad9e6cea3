"""A photo with its annotations, while it is edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from logicls.records import Scene
from logicls.synth.masks import Mask
from logicls.synth.pixels import Photo

Masks = Mapping[int, Callable[[], Mask]]


@dataclass(frozen=True)
class Canvas:
    """A photo with its annotations. Where `source` is a call, its pixels are made when they are first looked at.

    Half of all edits come to nothing, because rules break that should not: that is seen on the annotations alone.
    """

    source: Photo | Callable[[], Photo]
    scene: Scene
    masks: Masks = field(default_factory=lambda: MappingProxyType({}))
    """Instance id → which pixels of its box are the thing, for those that are not as they were annotated."""

    @cached_property
    def photo(self) -> Photo:
        """The pixels."""
        return self.source() if callable(self.source) else self.source
