"""What is on a photo: a crowd on a ground or a plate, a tray, vessels, labels, cables."""

from __future__ import annotations

from logicls.worlds.cables import cables
from logicls.worlds.crowd import crowd
from logicls.worlds.hosts import plate, tray
from logicls.worlds.labels import sheet
from logicls.worlds.places import Area
from logicls.worlds.seams import cast_light, patches
from logicls.worlds.stage import Stage
from logicls.worlds.vessels import vessels


def compose(stage: Stage) -> None:
    """Draw a random scene."""
    rng = stage.rng
    if rng.random() < 0.3:
        patches(stage.canvas, rng)
    draw = rng.random()
    if draw < 0.44:
        crowd(stage, Area(0, 0, stage.width, stage.height), stage.ground)
    elif draw < 0.56:
        plate(stage)
    elif draw < 0.67:
        tray(stage)
    elif draw < 0.84:
        vessels(stage)
    elif draw < 0.92:
        sheet(stage)
    else:
        cables(stage)
    if rng.random() < 0.2:
        cast_light(stage.canvas, rng)
