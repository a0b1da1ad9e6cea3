"""What is on a photo: a crowd on a ground, on a plate, on a label or in a tray; vessels; cables."""

from __future__ import annotations

from logicls.worlds.crowd import crowd
from logicls.worlds.places import Area
from logicls.worlds.stage import Stage


def compose(stage: Stage) -> None:
    """Draw a random scene."""
    crowd(stage, Area(0, 0, stage.width, stage.height), stage.ground)
