"""A dataset of a few examples of the sample product, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from logicls.assets import share
from logicls.synth.build import Order, build


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def synth(tmp_path_factory) -> Path:
    """Twenty examples; read only."""
    out = tmp_path_factory.mktemp("synth")
    build(Order(share("constraints/dosing_kit.yaml"), share("data/dosing_kit"), out, 20, 0), workers=1)
    return out
