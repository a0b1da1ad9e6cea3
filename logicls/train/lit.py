"""How bright a light must be to count as a thing: settled at the end of training, on examples kept aside.

A centre's one cell is lit among many dark ones, a centre near the border of two cells is shared by both, and focal loss
forgives an answer that is not sure (Mukhoti et al. 2020, "Calibrating Deep Neural Networks using Focal Loss",
section 4). So lights are too dark, and at a chance of a half things are missed. All of them are raised alike, in the
weights, so that a half is again where the number of things is right most often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr

from logicls.models.codec import Codec
from logicls.models.nano.losses import count, last_words
from logicls.models.nano.point import CELL, Things
from logicls.predict.read.pointing import point_out
from logicls.train.collate import Batch

DARKEST, BRIGHTEST = 0.1, 0.7
"""Chances between which the limit is looked for."""
STEPS = 121
VARIES = 0.4
"""Standard deviation, in logits, of how bright a light is on another photo."""
MOST = 320
"""Examples that are looked at: ten seconds."""
Span = tuple[float, float]
"""Limits, as logits, above the first and up to the second of which the number of lights is the number of things."""


def raise_lights(model: Any, codec: Codec, batches: Iterable[Batch]) -> float:
    """Raise or lower all lights of a model so that a half is the best limit; returns the chance that it was at before.

    Lights are counted as prediction does: of two on one thing the surer one. 0.5, and nothing changes, where the
    batches ask for no place.
    """
    spans = [span for batch in batches for span in _spans(model, codec, batch)]
    limit = best_limit(spans)
    with torch.no_grad():
        model.pointer.pattern.bias[-1] -= limit
    return 1 / (1 + math.exp(-limit))


def best_limit(spans: Iterable[Span]) -> float:
    """The logit that lies in most spans, where the lights of all of them may be brighter or darker by chance.

    By so much as `VARIES`: a wide range that does as well ends in a cliff, over which other photos would fall. Of
    several the one nearest to 0; 0 if none lies in any.

    >>> round(best_limit([(-2.0, 1.0), (-1.5, -0.5), (1.1, 4.0)]), 1)
    -1.0
    """
    edges = np.array(list(spans)).reshape(-1, 2)
    grid = np.linspace(_logit(DARKEST), _logit(BRIGHTEST), STEPS)
    inside = (ndtr((grid - edges[:, :1]) / VARIES) - ndtr((grid - edges[:, 1:]) / VARIES)).sum(0)
    if not ((edges[:, 0] < grid[-1]) & (grid[0] <= edges[:, 1])).any():
        return 0.0
    return min((float(limit) for limit in grid[inside >= inside.max() - 1e-6]), key=abs)


def _spans(model: Any, codec: Codec, batch: Batch) -> Iterator[Span]:
    """Of each question of a batch where things are."""
    was_training, device = model.training, next(model.parameters()).device
    model.train(mode=False)
    given = {name: value.to(device) for name, value in batch.items()}
    height, width = codec.processor.image_processor.size
    with torch.no_grad():
        read = model(given["input_ids"], pixel_values=given["pixel_values"], branch_ids=given["branch_ids"])
        answering = given["input_ids"] == model.config.answer_token_id
        asked = last_words(read.words, answering, given["branch_ids"], given["located"].shape[1])
        shining = point_out(model, codec, read.chart, asked, [(width, height)] * len(asked))
    model.train(mode=was_training)
    things = Things(given["boxes"] / CELL, given["box_question"], given["box_value"])
    numbers = count(things, things.sought, asked.shape[1])
    for photo, question in given["located"].nonzero().tolist():
        found = [_logit(light.chance) for light in shining[photo][question]]
        ladder, number = [math.inf, *found, -math.inf], int(numbers[photo, question])
        if number <= len(found):
            yield ladder[number + 1], ladder[number]


def _logit(chance: float) -> float:
    return math.log(chance / max(1 - chance, 1e-9))
