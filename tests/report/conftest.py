"""Photos of the verdicts in `cases`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folder with a photo for each verdict on a readable photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("bad.jpg", "good.jpg", "unsure.jpg"):
        Image.fromarray(np.full((60, 80, 3), 128, np.uint8)).save(folder / name)
    return folder
