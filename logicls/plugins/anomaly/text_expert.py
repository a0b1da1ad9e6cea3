"""Expert `texts`: zero-shot anomaly detection with a CLIP-type encoder (AD Expert of ADSeeker, arXiv 2508.03088).

Loc compares patch embeddings with normal and anomalous texts that name types of defect, not objects. The encoder is a
local hub model; good photos only set the threshold. **Not measured with trained weights**: it was only run with a
randomly initialised encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PretrainedConfig, ProcessorMixin

from logicls.anomaly.features import localization_ratio, upsample
from logicls.anomaly.heatmaps import HeatmapFrame
from logicls.anomaly.scores import ScoreThreshold, fit_threshold
from logicls.data.image_io import letterbox
from logicls.errors import BundleError, DataError, Problem, relative_path
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.regions import ComponentZones, FlawLocalizer, localizer_from_state, localizer_to_json
from logicls.plugins.anomaly.storage import (
    ExpertState,
    expert_file,
    invalid_state_error,
    read_expert_state,
    write_expert_state,
)
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import AnomalyDetection, Photo
from logicls.synth.flaws import FLAW_TYPES

NORMAL_PROMPTS = ("a photo of a flawless surface", "a photo of a part without damage", "a clean and intact part")
ANOMALY_PROMPTS = tuple(f"a photo of a {kind} on a part" for kind in FLAW_TYPES)


@runtime_checkable
class ClipModel(Protocol):
    """Model of CLIP's architecture: two towers and their projections to one space."""

    config: PretrainedConfig
    vision_model: nn.Module
    visual_projection: nn.Module
    text_model: nn.Module
    text_projection: nn.Module


@dataclass(frozen=True, slots=True)
class ClipEncoder:
    """Dual encoder of CLIP's architecture (Radford et al. 2021)."""

    model: ClipModel
    processor: ProcessorMixin

    @property
    def frame(self) -> HeatmapFrame:
        """Transform from its maps, upsampled to the square input, to photos."""
        side = self.model.config.vision_config.image_size
        return HeatmapFrame((side, side), 1)

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return int(self.model.config.projection_dim)

    @torch.inference_mode()
    def embed_patches(self, photo: Photo) -> Float[Tensor, "rows columns width"]:
        """Return patch embeddings in the text space: each patch passes the class token's norm and projection."""
        image_processor, vision = self.processor.image_processor, self.model.vision_model
        pixels = torch.from_numpy(np.ascontiguousarray(letterbox(self.frame.size, photo))).permute(2, 0, 1)[None] / 255
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (image_processor.image_mean, image_processor.image_std)
        )
        hidden = vision(pixel_values=(pixels - mean) / std).last_hidden_state[:, 1:]
        side = self.frame.size[0] // self.model.config.vision_config.patch_size
        embedded: Tensor = self.model.visual_projection(cast(nn.Module, vision.post_layernorm)(hidden))
        return embedded[0].view(side, side, -1)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts width"]:
        """Return embeddings of texts."""
        tokens = self.processor.tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
        embedded: Tensor = self.model.text_projection(self.model.text_model(**tokens).pooler_output)
        return embedded


def load_clip(name: str) -> ClipEncoder:
    """Load a local hub model by its name or folder. Raises `DataError` (LC725)."""
    from transformers import AutoModel, AutoProcessor

    try:
        model = (
            AutoModel.from_pretrained(name, local_files_only=True, trust_remote_code=False, use_safetensors=True)
            .float()
            .eval()
        )
        processor = AutoProcessor.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _encoder_error(name, str(error).splitlines()[0]) from error
    missing = [
        part
        for part in ("vision_model", "visual_projection", "text_model", "text_projection")
        if not hasattr(model, part)
    ]
    if missing:
        raise _encoder_error(name, f"it has no {missing[0]}")
    return ClipEncoder(model, processor)


def _encoder_error(name: str, why: str) -> DataError:
    advice = "Give the name or folder of a local model of CLIP's architecture."
    return DataError(Problem("LC725", f'"{name}" cannot embed photos and texts: {why.rstrip(".")}.', advice=advice))


class TextExpert:
    """Text expert."""

    def __init__(self, encoder: ClipEncoder, localizer: FlawLocalizer, normal: Tensor, anomalous: Tensor) -> None:
        self.encoder, self.localizer, self.normal, self.anomalous = encoder, localizer, normal, anomalous

    def detect_anomalies(self, photos: Sequence[Photo]) -> list[AnomalyDetection]:
        """Detect the anomaly of each photo, or return its score if there is none."""
        return [self._flaw(photo) for photo in photos]

    def _flaw(self, photo: Photo) -> AnomalyDetection:
        patches, size = self.encoder.embed_patches(photo), self.localizer.frame.size
        loc_map = localization_map(patches, self.normal, self.anomalous, size)
        scores = loc_map.flatten()

        def describe(cell: int) -> str:
            row, column = (
                v * n // side for v, n, side in zip(divmod(cell, size[1]), patches.shape, size, strict=False)
            )
            similarity = torch.cosine_similarity(patches[row, column][None], self.anomalous)
            return f"most similar to: {tuple(FLAW_TYPES)[int(similarity.argmax())]}"

        return self.localizer.localize(loc_map.numpy(), lambda cell: float(scores[cell]), photo, describe)


def localization_map(
    patches: Float[Tensor, "rows columns width"], normal: Tensor, anomalous: Tensor, size: tuple[int, int]
) -> Float[Tensor, "height across"]:
    """Return Loc at the size of the encoder's input."""
    return upsample(localization_ratio(patches, normal, anomalous)[None], size)[0]


def fit_texts(
    bundle: Bundle, photos: Sequence[Photo], zones: ComponentZones, settings: ExpertSettings
) -> ScoreThreshold:
    """Embed the prompts, fit the threshold to good photos, and write both. Raises `DataError`."""
    encoder = load_clip(settings.encoder)
    normal, anomalous = encoder.embed_texts(NORMAL_PROMPTS), encoder.embed_texts(ANOMALY_PROMPTS)
    scores = [
        float(localization_map(encoder.embed_patches(photo), normal, anomalous, encoder.frame.size).max())
        for photo in photos
    ]
    threshold = fit_threshold(scores, settings.overkill, is_held_out=True)
    metadata = {
        "bundle": bundle.id,
        "encoder": settings.encoder,
        **localizer_to_json(FlawLocalizer(threshold, encoder.frame, zones)),
    }
    write_expert_state(bundle.path, "texts", ExpertState({"normal": normal, "anomalous": anomalous}, metadata))
    return threshold


def load_expert(bundle: Bundle) -> TextExpert:
    """Load the expert of a bundle. Raises `BundleError` (LC721, LC722, LC726), `DataError` (LC725)."""
    state = read_expert_state(bundle.path, "texts", bundle.id)
    try:
        localizer, name = localizer_from_state(state), str(state.metadata["encoder"])
        normal, anomalous = state.tensors["normal"], state.tensors["anomalous"]
    except (KeyError, ValueError, TypeError) as error:
        raise invalid_state_error(bundle.path, "texts", error) from error
    encoder = load_clip(name)
    check_dimension(name, encoder.width, normal.shape[1], expert_file(bundle.path, "texts"))
    return TextExpert(encoder, localizer, normal, anomalous)


def check_dimension(name: str, width: int, expected: int, file: Path) -> None:
    """Raise `BundleError` (LC726) if the encoder's width differs from that of the stored text embeddings."""
    if width != expected:
        message = f'"{name}" has {width} embedding dimensions, but the text embeddings of this expert have {expected}.'
        advice = "Fit it again with `logicls expert fit`."
        raise BundleError(Problem("LC726", message, relative_path(file), advice=advice))
