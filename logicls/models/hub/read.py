"""Photos and the text before their questions, as a model of the hub is given them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from logicls.models.hub.talk import Talk


def inputs_of(
    processor: Any, talk: Talk, pictures: Sequence[np.ndarray], reference: np.ndarray | None = None
) -> dict[str, Tensor]:
    """What the processor makes of pictures, uint8 RGB [height width 3], each with the text before its questions.

    A `reference` is a picture that is shown before each of them, where the text has room for it.

    Rows of unequal length are filled up in front. Nothing is cut off. Raises whatever the processor raises for a
    picture that it does not take.
    """
    made = processor(
        text=[talk.before] * len(pictures),
        images=[[picture] if reference is None else [reference, picture] for picture in pictures],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        truncation=False,
        add_special_tokens=not talk.whole,
    )
    return dict(made)
