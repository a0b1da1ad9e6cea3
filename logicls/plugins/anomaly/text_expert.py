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

from logicls.data.image_io import fitted
from logicls.errors import BundleError, DataError, Problem, relative
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.features import ratio, upsampled
from logicls.plugins.anomaly.regions import Bar, Frame, Judgement, Zones, bar_of, judgement_of, judgement_to_json
from logicls.plugins.anomaly.storage import Kept, file_of, read_kept, unreadable, write_kept
from logicls.plugins.anomaly.synthetic_flaws import TYPES
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import Flaw, Photo

RIGHT = ("a photo of a flawless surface", "a photo of a part without damage", "a clean and intact part")
WRONG = tuple(f"a photo of a {kind} on a part" for kind in TYPES)


@dataclass(frozen=True, slots=True)
class Encoder:
    """A dual encoder of CLIP's kind (Radford et al. 2021)."""

    model: Any
    processor: Any

    @property
    def frame(self) -> Frame:
        """Its input is a square, and maps are brought to its size."""
        side = self.model.config.vision_config.image_size
        return Frame((side, side), 1)

    @property
    def width(self) -> int:
        """Of an embedding."""
        return int(self.model.config.projection_dim)

    @torch.inference_mode()
    def patches(self, photo: Photo) -> Float[Tensor, "rows columns width"]:
        """Embeddings of patches, in the space of texts: each goes the way that the photo's own token goes."""
        look, vision = self.processor.image_processor, self.model.vision_model
        pixels = torch.from_numpy(np.ascontiguousarray(fitted(self.frame.size, photo))).permute(2, 0, 1)[None] / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (look.image_mean, look.image_std))
        hidden = vision(pixel_values=(pixels - mean) / std).last_hidden_state[:, 1:]
        side = self.frame.size[0] // self.model.config.vision_config.patch_size
        embedded: Tensor = self.model.visual_projection(vision.post_layernorm(hidden))
        return embedded[0].view(side, side, -1)

    @torch.inference_mode()
    def words(self, texts: Sequence[str]) -> Float[Tensor, "texts width"]:
        """Embeddings of texts."""
        tokens = self.processor.tokenizer(list(texts), padding=True, return_tensors="pt", return_token_type_ids=False)
        embedded: Tensor = self.model.text_projection(self.model.text_model(**tokens).pooler_output)
        return embedded


def encoder_of(name: str) -> Encoder:
    """A model of the hub that is on this machine, by its name or folder. Raises `DataError` (LC725)."""
    from transformers import AutoModel, AutoProcessor

    try:
        model = AutoModel.from_pretrained(name, local_files_only=True, use_safetensors=True).float().eval()
        processor = AutoProcessor.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(name, str(error).splitlines()[0]) from error
    missing = [
        part
        for part in ("vision_model", "visual_projection", "text_model", "text_projection")
        if not hasattr(model, part)
    ]
    if missing:
        raise _unusable(name, f"it has no {missing[0]}")
    return Encoder(model, processor)


def _unusable(name: str, why: str) -> DataError:
    advice = "Name a model of CLIP's kind that is on this machine, or its folder."
    return DataError(Problem("LC725", f'"{name}" cannot embed photos and texts: {why.rstrip(".")}.', advice=advice))


class TextExpert:
    """Examines photos."""

    def __init__(self, encoder: Encoder, judgement: Judgement, right: Tensor, wrong: Tensor) -> None:
        self.encoder, self.judgement, self.right, self.wrong = encoder, judgement, right, wrong

    def examine(self, photos: Sequence[Photo]) -> list[Flaw]:
        """The flaw of each photo, or how far it is from having one."""
        return [self._flaw(photo) for photo in photos]

    def _flaw(self, photo: Photo) -> Flaw:
        patches, size = self.encoder.patches(photo), self.judgement.frame.size
        chart = loc_of(patches, self.right, self.wrong, size)
        flat = chart.flatten()

        def told(place: int) -> str:
            row, column = (
                v * n // side for v, n, side in zip(divmod(place, size[1]), patches.shape, size, strict=False)
            )
            alike = torch.cosine_similarity(patches[row, column][None], self.wrong)
            return f"most like: {tuple(TYPES)[int(alike.argmax())]}"

        return self.judgement.flaw(chart.numpy(), lambda place: float(flat[place]), photo, told)


def loc_of(
    patches: Float[Tensor, "rows columns width"], right: Tensor, wrong: Tensor, size: tuple[int, int]
) -> Float[Tensor, "height across"]:
    """Loc in the size of the encoder's input."""
    return upsampled(ratio(patches, right, wrong)[None], size)[0]


def fit_texts(bundle: Bundle, photos: Sequence[Photo], zones: Zones, settings: ExpertSettings) -> Bar:
    """Embed the words, set the bar on good photos, of which nothing was learned, and write both. Raises `DataError`."""
    encoder = encoder_of(settings.encoder)
    right, wrong = encoder.words(RIGHT), encoder.words(WRONG)
    scores = [float(loc_of(encoder.patches(photo), right, wrong, encoder.frame.size).max()) for photo in photos]
    bar = bar_of(scores, settings.overkill, aside=True)
    facts = {
        "bundle": bundle.id,
        "encoder": settings.encoder,
        **judgement_to_json(Judgement(bar, encoder.frame, zones)),
    }
    write_kept(bundle.path, "texts", Kept({"right": right, "wrong": wrong}, facts))
    return bar


def make(bundle: Bundle) -> TextExpert:
    """That of a bundle. Raises `BundleError` (LC721, LC722, LC726), `DataError` (LC725)."""
    kept = read_kept(bundle.path, "texts", bundle.id)
    try:
        judgement, name = judgement_of(kept), str(kept.facts["encoder"])
        right, wrong = kept.tensors["right"], kept.tensors["wrong"]
    except (KeyError, ValueError, TypeError) as error:
        raise unreadable(bundle.path, "texts", error) from error
    encoder = encoder_of(name)
    refuse_dimension(name, encoder.width, right.shape[1], file_of(bundle.path, "texts"))
    return TextExpert(encoder, judgement, right, wrong)


def refuse_dimension(name: str, width: int, known: int, file: Path) -> None:
    """An encoder that embeds in `width` dimensions where words have those `known` is an error (LC726)."""
    if width != known:
        message = f'"{name}" embeds in {width} dimensions, and the words of this expert have {known}.'
        advice = "Fit it again with `logicls expert fit`."
        raise BundleError(Problem("LC726", message, relative(file), advice=advice))
