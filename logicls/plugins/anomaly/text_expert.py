"""The expert that holds patches against words: AD Expert with a CLIP-type encoder, of which nothing is learned.

ADSeeker (arXiv 2508.03088): Loc of patch embeddings against texts of what is right and what is wrong, by types of
defect and not by names of things. The encoder is one of the hub that is on this machine; good photos set the bar alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from logicls.data.image_io import letterbox
from logicls.errors import BundleError, DataError, Problem, relative_path
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.features import localization_ratio, upsample
from logicls.plugins.anomaly.regions import (
    ComponentZones,
    FlawLocalizer,
    HeatmapFrame,
    ScoreThreshold,
    fit_threshold,
    localizer_from_state,
    localizer_to_json,
)
from logicls.plugins.anomaly.storage import (
    ExpertState,
    expert_file,
    invalid_state_error,
    read_expert_state,
    write_expert_state,
)
from logicls.plugins.anomaly.synthetic_flaws import FLAW_TYPES
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import AnomalyDetection, Photo

NORMAL_PROMPTS = ("a photo of a flawless surface", "a photo of a part without damage", "a clean and intact part")
ANOMALY_PROMPTS = tuple(f"a photo of a {kind} on a part" for kind in FLAW_TYPES)


@dataclass(frozen=True, slots=True)
class ClipEncoder:
    """A dual encoder of CLIP's kind (Radford et al. 2021)."""

    model: Any
    processor: Any

    @property
    def frame(self) -> HeatmapFrame:
        """Its input is a square, and maps are brought to its size."""
        side = self.model.config.vision_config.image_size
        return HeatmapFrame((side, side), 1)

    @property
    def width(self) -> int:
        """Of an embedding."""
        return int(self.model.config.projection_dim)

    @torch.inference_mode()
    def embed_patches(self, photo: Photo) -> Float[Tensor, "rows columns width"]:
        """Embeddings of patches, in the space of texts: each goes the way that the photo's own token goes."""
        image_processor, vision = self.processor.image_processor, self.model.vision_model
        pixels = torch.from_numpy(np.ascontiguousarray(letterbox(self.frame.size, photo))).permute(2, 0, 1)[None] / 255
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (image_processor.image_mean, image_processor.image_std)
        )
        hidden = vision(pixel_values=(pixels - mean) / std).last_hidden_state[:, 1:]
        side = self.frame.size[0] // self.model.config.vision_config.patch_size
        embedded: Tensor = self.model.visual_projection(vision.post_layernorm(hidden))
        return embedded[0].view(side, side, -1)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts width"]:
        """Embeddings of texts."""
        tokens = self.processor.tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
        embedded: Tensor = self.model.text_projection(self.model.text_model(**tokens).pooler_output)
        return embedded


def load_clip(name: str) -> ClipEncoder:
    """A model of the hub that is on this machine, by its name or folder. Raises `DataError` (LC725)."""
    from transformers import AutoModel, AutoProcessor

    try:
        model = AutoModel.from_pretrained(name, local_files_only=True, use_safetensors=True).float().eval()
        processor = AutoProcessor.from_pretrained(name, local_files_only=True)
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
    advice = "Name a model of CLIP's kind that is on this machine, or its folder."
    return DataError(Problem("LC725", f'"{name}" cannot embed photos and texts: {why.rstrip(".")}.', advice=advice))


class TextExpert:
    """Examines photos."""

    def __init__(self, encoder: ClipEncoder, localizer: FlawLocalizer, normal: Tensor, anomalous: Tensor) -> None:
        self.encoder, self.localizer, self.normal, self.anomalous = encoder, localizer, normal, anomalous

    def detect_anomalies(self, photos: Sequence[Photo]) -> list[AnomalyDetection]:
        """The flaw of each photo, or how far it is from having one."""
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
            return f"most like: {tuple(FLAW_TYPES)[int(similarity.argmax())]}"

        return self.localizer.localize(loc_map.numpy(), lambda place: float(scores[place]), photo, describe)


def localization_map(
    patches: Float[Tensor, "rows columns width"], normal: Tensor, anomalous: Tensor, size: tuple[int, int]
) -> Float[Tensor, "height across"]:
    """Loc in the size of the encoder's input."""
    return upsample(localization_ratio(patches, normal, anomalous)[None], size)[0]


def fit_texts(
    bundle: Bundle, photos: Sequence[Photo], zones: ComponentZones, settings: ExpertSettings
) -> ScoreThreshold:
    """Embed the words, set the bar on good photos, of which nothing was learned, and write both. Raises `DataError`."""
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
    write_expert_state(bundle.path, "texts", ExpertState({"right": normal, "wrong": anomalous}, metadata))
    return threshold


def load_expert(bundle: Bundle) -> TextExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722, LC726), `DataError` (LC725)."""
    state = read_expert_state(bundle.path, "texts", bundle.id)
    try:
        localizer, name = localizer_from_state(state), str(state.metadata["encoder"])
        normal, anomalous = state.tensors["right"], state.tensors["wrong"]
    except (KeyError, ValueError, TypeError) as error:
        raise invalid_state_error(bundle.path, "texts", error) from error
    encoder = load_clip(name)
    check_dimension(name, encoder.width, normal.shape[1], expert_file(bundle.path, "texts"))
    return TextExpert(encoder, localizer, normal, anomalous)


def check_dimension(name: str, width: int, expected: int, file: Path) -> None:
    """An encoder that embeds in `width` dimensions where words have those `known` is an error (LC726)."""
    if width != expected:
        message = f'"{name}" embeds in {width} dimensions, and the words of this expert have {expected}.'
        advice = "Fit it again with `logicls expert fit`."
        raise BundleError(Problem("LC726", message, relative_path(file), advice=advice))
