"""What the photos of a product look like to an encoder, in a file beside its pages.

features   [photos width]: of good photos, and of made ones, some of them broken: a defect makes no other product
The file at the folder's top holds those of made photos of many things, whose mean is the centre of the space.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from logicls.errors import DataError, Problem, relative
from logicls.extras.retriever.embed import Encoder
from logicls.extras.retriever.folder import USUAL
from logicls.extras.retriever.space import Features
from logicls.jsonl import write_bytes


def write_usual(folder: Path, features: Features, encoder: Encoder) -> None:
    """Into a product's folder, or into the folder of all."""
    held = {"features": np.ascontiguousarray(features, np.float32)}
    write_bytes(folder / USUAL, save(held, metadata={"encoder": encoder.id}))


def read_usual(folder: Path, encoder: Encoder, width: int) -> Features:
    """The features in a folder.

    Raises:
        DataError: There are none, or they cannot be read (LC706), or another encoder made them (LC704).
    """
    file = folder / USUAL
    advice = "Run `logicls knowledge build` for the product again."
    try:
        with safe_open(file, "numpy") as held:
            made, features = (held.metadata() or {}).get("encoder", "?"), held.get_tensor("features")
    except (OSError, SafetensorError) as error:
        message = "nothing says here how much photos of a product differ."
        raise DataError(Problem("LC706", message, relative(file), advice=advice)) from error
    if features.ndim != 2 or features.shape[1] != width or made != encoder.id:
        message = f'has features of {features.shape[-1]} numbers by "{made}"; "{encoder.id}" gives {width}.'
        raise DataError(Problem("LC704", message, relative(file), advice=advice))
    return np.asarray(features)
