"""What people see when something cannot be plugged in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from logicls.assets import share
from logicls.cli_reasoner import second_look
from logicls.constraints.load import load_spec
from logicls.extras.by_name import found
from logicls.models.bundle import Bundle
from logicls.models.coordinates import Family
from logicls.models.hub.bundled import Hub


def hub_bundle() -> Bundle:
    """As far as it is looked at: a bundle of a hub model."""
    spec = load_spec(share("constraints/dosing_kit.yaml"))
    hub = Hub("org/model", "", "", False, "float32", False, Family.pixels)
    return Bundle(Path("bundle"), "0", spec, None, None, 1, hub)


def photos_of(name: str) -> Path:
    """A folder with one photo."""
    Path("photos").mkdir()
    Image.new("RGB", (8, 8)).save(Path("photos", name))
    return Path("photos")


def truth_of(name: str) -> Path:
    """The truth about one photo, which is good."""
    Path("truth.csv").write_text(f"image,violations\n{name},\n")
    return Path("truth.csv")


TRIGGERS: dict[str, Callable[[], object]] = {
    "LC700": lambda: found("expert", "patch"),
    "LC740": lambda: found("reasoner", "latent")(hub_bundle()),
    "LC741": lambda: second_look(Path("bundle"), photos_of("b.png"), truth_of("a.png"), Path("looks")),
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("desk")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])
