"""The last step of training: on examples that were not learned from, how sure the model may be, and what is usual."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from logicls.models.bundle import Bundle
from logicls.predict.read.reader import reader_of
from logicls.predict.sure.novelty import usual
from logicls.predict.sure.promise import TARGETS, cases_of, choose
from logicls.predict.sure.resolution import Sighting, pixels
from logicls.predict.sure.scales import write_scales
from logicls.predict.sure.thresholds import FILE, write_thresholds
from logicls.predict.verdict import decide
from logicls.records import Box
from logicls.synth.shards import rows
from logicls.train.heldout import Split, chosen
from logicls.train.scaling import Known, fit_scales, known

MOST = 600
"""Examples kept aside that are looked at: about 15 seconds."""
MOST_OF_HUB = 120
"""The same for a model of the hub, which takes a hundred times as long for each."""
SKETCH = (256, 256)
"""(height, width) in which it is looked at what photos look like, where the model's input has no size of its own."""
SKETCHED = 400
"""Examples that were learned from, of which only what they look like counts."""
BATCH = 16
BATCH_OF_HUB = 4
CONFIDENCE = 0.95
COLUMNS = ("image", "photo", "width", "height", "queries", "values", "boxes", "violations")


def calibrate(bundle: Bundle, synth: Path, split: Split, seed: int, say: Callable[[str], None]) -> None:
    """Write what prediction needs to be sure of itself where it may be, into the bundle.

    Source photos are dealt out in turn: on the examples of one half scales are fitted, on those of the other half
    thresholds chosen, so that what these promise is of examples that nothing was fitted to.
    """
    most = MOST if bundle.hub is None else MOST_OF_HUB
    aside, learned = chosen(split.heldout, most, seed), chosen(split.learned, SKETCHED, seed)
    if len(aside) < 2:
        say("not calibrated: no examples were kept aside")
        return
    found = {row["number"]: row for row in _rows(synth, {*aside, *learned})}
    held = [found[number] for number in aside]
    first = split.first_half
    seen = list(zip(held, _looks(bundle, held), strict=True))
    scales = fit_scales(bundle.spec, [one for row, one in seen if row["photo"] in first])
    if bundle.hub is None:  # others cut photos up, or see them at any size
        scales = replace(scales, pixels=pixels(_input(bundle), _sightings(held)))
    write_scales(bundle.path, scales)
    rest = [(row, one) for row, one in seen if row["photo"] not in first] or seen
    truth = {str(row["number"]): tuple(row["violations"]) for row, _ in rest}
    verdicts = [decide(bundle.spec, k.look, str(row["number"]), k.size, scales=scales) for row, k in rest]
    origin = f"{len(rest)} made examples of {len({row['photo'] for row, _ in rest})} photos kept aside"
    cases = cases_of(bundle.spec, verdicts, truth)
    write_thresholds(
        bundle.path / FILE, choose(bundle.spec, cases, TARGETS, confidence=CONFIDENCE, origin=origin)
    )  # fmt: skip
    pictures = {number: row["pixels"] for number, row in found.items()}
    looks_like = usual([pictures[n] for n in learned], [pictures[n] for n in aside], _input(bundle))
    if looks_like:
        looks_like.write(bundle.path)
    say(f"calibrated on {scales.examples} examples kept aside, thresholds chosen on {len(rest)} others")


def _rows(synth: Path, wanted: set[int]) -> Iterator[dict[str, Any]]:
    """The rows with those numbers, decoded."""
    for number, row in enumerate(rows(synth, COLUMNS)):
        if number in wanted:
            picture = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
            yield {**row, "number": number, "image": None, "pixels": picture}


def _looks(bundle: Bundle, held: Sequence[Mapping[str, Any]]) -> Iterator[Known]:
    reader = reader_of(bundle)
    batch = BATCH if bundle.hub is None else BATCH_OF_HUB
    for at in range(0, len(held), batch):
        some = held[at : at + batch]
        for row, look in zip(some, reader.look([row["pixels"] for row in some]), strict=True):
            yield known(row, look)


def _input(bundle: Bundle) -> tuple[int, int]:
    if bundle.hub is not None:
        return SKETCH
    height, width = bundle.processor.image_processor.size
    return int(height), int(width)


def _sightings(held: Sequence[Mapping[str, Any]]) -> Iterator[Sighting]:
    for row in held:
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            for box in (Box(*box) for box in boxes):
                yield query.removeprefix("locate:"), min(box.width, box.height), (row["width"], row["height"])
