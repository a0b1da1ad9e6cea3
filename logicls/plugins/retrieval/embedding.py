"""Image encoders for retrieval, and the whitened embedding space in which photos are compared by cosine.

All products of a folder share one encoder. `base` is the vision tower of the base weights that ship with the package. A
bundle's own tower measured worse (84 to 95 % of photos routed correctly, `base` 100 %): training on one product
discards features that other products need.

The space is centred and whitened by within-class covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech
2006): directions in which photos of one product differ (lighting, position, variant, defect) count less. The centre is
the mean feature of rendered scenes of unrelated objects, so it does not depend on the number of products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from torch import Tensor
from transformers import BaseImageProcessor

from logicls.data.image_io import letterbox
from logicls.errors import BundleError, Problem
from logicls.io.resources import resource_path
from logicls.models.hub.chat_template import pad_photo, place_photo
from logicls.models.hub.loading import find_checkpoint, hash_checkpoint
from logicls.models.nano import NanoForImageTextToText

SHRINKAGE = 0.1
"""Shrinkage: added to each direction's variance, in mean variances over all directions."""
ImageFeatures = Float[np.ndarray, "photos width"]


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Map from features to unit vectors; their dot product is the cosine similarity of photos."""

    centre: Float[np.ndarray, " width"]
    axes: Float[np.ndarray, "axes width"]
    """Orthonormal directions of within-product variation."""
    gains: Float[np.ndarray, " axes"]
    """Gain along each axis, minus one; the gain in all other directions is one."""

    def transform(self, features: ImageFeatures) -> ImageFeatures:
        """Map features to unit vectors, one a photo."""
        centred = features.astype(np.float64) - self.centre
        centred = centred + (centred @ self.axes.T * self.gains) @ self.axes
        return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))


def fit_space(centre: Float[np.ndarray, " width"], products: Sequence[Float[np.ndarray, "_ width"]]) -> EmbeddingSpace:
    """Fit the space to products, each given by features of its photos; all products count equally."""
    width, samples = len(centre), [features for features in products if len(features) > 1]
    if not samples:
        return EmbeddingSpace(centre.astype(np.float64), np.zeros((0, width)), np.zeros(0))
    deviations = [(f - f.mean(0)).astype(np.float64) / np.sqrt(len(f) * len(samples)) for f in samples]
    _, sizes, axes = np.linalg.svd(np.concatenate(deviations), full_matrices=False)
    variances = sizes**2
    floor = max(SHRINKAGE * float(variances.sum()) / width, 1e-12)
    return EmbeddingSpace(centre.astype(np.float64), axes, np.sqrt(floor / (variances + floor)) - 1.0)


Photos = Sequence[UInt8[np.ndarray, "_ _ 3"]]
BASE = "base"
TOWER_SIDE, GRID = 192, 2
"""Side of nano's square input, pixels; and cells on each axis over whose tokens features are averaged."""
BATCH_SIZE = 16


@runtime_checkable
class ImageEncoder(Protocol):
    """Encoder of photos."""

    @property
    def id(self) -> str:
        """Name and first twelve hex digits of the weights' hash; features of different encoders cannot be compared."""
        ...

    def embed(self, photos: Photos) -> Float[np.ndarray, "photos width"]:
        """Return a feature for each photo, RGB of any size."""
        ...


@dataclass(frozen=True, slots=True)
class NanoImageEncoder:
    """Vision tower of nano: the mean of its tokens over each quarter of the photo."""

    id: str
    model: NanoForImageTextToText

    @torch.inference_mode()
    def embed(self, photos: Photos) -> Float[np.ndarray, "photos width"]:
        """Return a feature for each photo."""
        features = []
        for start in range(0, len(photos), BATCH_SIZE):
            images = np.stack(
                [letterbox((TOWER_SIDE, TOWER_SIDE), photo) for photo in photos[start : start + BATCH_SIZE]]
            )
            tokens, _ = self.model.encode_photos(torch.from_numpy(images).permute(0, 3, 1, 2))
            cell = TOWER_SIDE // 16 // GRID
            features.append(tokens.float().unflatten(1, (GRID, cell, GRID, cell)).mean((2, 4)).flatten(1).numpy())
        return (
            np.concatenate(features) if features else np.zeros((0, GRID * GRID * self.model.config.width), np.float32)
        )


@runtime_checkable
class ImageFeatureModel(Protocol):
    """Dual encoder with a branch for images."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        ...

    def get_image_features(self, *, pixel_values: Tensor) -> Any:
        """Return features, or an output with `pooler_output`, depending on the family."""
        ...


@dataclass(frozen=True, slots=True)
class DualImageEncoder:
    """Image branch of a dual encoder of the hub (CLIP, SigLIP and similar)."""

    id: str
    model: ImageFeatureModel
    processor: BaseImageProcessor

    @torch.inference_mode()
    def embed(self, photos: Photos) -> Float[np.ndarray, "photos width"]:
        """Return a feature for each photo; the whole photo is encoded, even if the processor would centre-crop it."""
        features = []
        for photo in photos:
            size = place_photo((photo.shape[1], photo.shape[0]), self)
            pixels = self.processor(images=[pad_photo(photo, size)], return_tensors="pt")["pixel_values"]
            output = self.model.get_image_features(pixel_values=pixels.to(self.model.dtype))
            features.append(getattr(output, "pooler_output", output)[0].float().numpy())
        return np.stack(features)

    @property
    def image_processor(self) -> Any:
        """The processor, under the name that image-text-to-text processors use."""
        return self.processor


def load_encoder(name: str, root: Path) -> ImageEncoder:
    """Load an encoder by name; a path is relative to the folder `root`.

    Raises:
        BundleError: It is not on this machine (LC510), or it is not an image encoder (LC705).
    """
    if name == BASE:
        return _load_nano(BASE, resource_path("train/base"))
    path = root / name
    if not path.is_dir():
        return _load_dual(name, find_checkpoint(name).path)
    own_name = path.resolve().name  # without its path, since the knowledge folder may be copied
    if (path / "bundle.json").is_file():
        return _load_nano(own_name, path)
    return _load_dual(own_name, find_checkpoint(str(path)).path)


def _load_nano(name: str, folder: Path) -> NanoImageEncoder:
    from transformers import AutoModelForImageTextToText

    try:
        model = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        ).eval()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _encoder_error(name, str(error)) from error
    if not isinstance(model, NanoForImageTextToText):
        raise _encoder_error(name, "it holds a hub model, not nano.")
    # Of the files beside it, an expert's or what was learned of marks, nothing comes into what it sees.
    return NanoImageEncoder(f"{name} {hash_checkpoint(folder, 'model.safetensors')[:12]}", model)


def _load_dual(name: str, folder: Path) -> DualImageEncoder:
    from transformers import AutoImageProcessor, AutoModel

    try:
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        ).eval()
        processor = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, backend="pil"
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        raise _encoder_error(name, str(error)) from error
    if not hasattr(model, "get_image_features"):
        raise _encoder_error(name, f"a {type(model).__name__} has no image encoder.")
    return DualImageEncoder(f"{name} {hash_checkpoint(folder)[:12]}", model, processor)


def _encoder_error(name: str, why: str) -> BundleError:
    reason = next((line for line in why.splitlines() if line.strip()), "it cannot be loaded.")
    advice = 'Use "base", the folder of a nano bundle, or a dual encoder such as CLIP or SigLIP.'
    return BundleError(Problem("LC705", f"is not an image encoder: {reason.strip()}", name, advice=advice))
