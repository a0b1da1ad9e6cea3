"""Pictures of a training set."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from logicls.errors import DataError, Problem


def decoded(data: bytes, number: int) -> np.ndarray:
    """RGB pixels of an example's picture. Raises `DataError`."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except UnidentifiedImageError as error:  # its own text is the address of the bytes in memory
        raise DataError(Problem("LC403", f"example {number} has no readable picture: it is no image.")) from error
    except OSError as error:
        raise DataError(Problem("LC403", f"example {number} has no readable picture: {error}.")) from error
