"""Expert `priors`: AD Expert with Loc and Vis as prior tokens of the bundle's own model (ADSeeker, arXiv 2508.03088).

Vis, the projections to tokens and a soft prompt are learned on good photos and synthetic flaws (`logicls.synth.flaws`)
while the model stays frozen. Its answer is the image score; the box is the maximum of Loc, which comes from learned
prototypes or from texts.

**Measured worse: do not use it with nano.** AUROC 0.770 on 200 photos of the sample product (`patches`: 0.954), with
Loc tokens alone 0.774, with Vis tokens alone 0.655, without prior tokens 0.660; it flagged 27 of 100 good photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from logicls.anomaly.features import PatchFeatureExtractor, build_extractor, input_size
from logicls.anomaly.heatmaps import HeatmapFrame
from logicls.anomaly.scores import ScoreThreshold, fit_threshold
from logicls.data.image_io import letterbox
from logicls.models.bundle import Bundle
from logicls.plugins.anomaly.prior_query import PriorQuery, build_prior_query, freeze_weights
from logicls.plugins.anomaly.prior_tokens import PriorTokens, TokenParts, localization_loss
from logicls.plugins.anomaly.prototype_expert import (
    HELD_OUT_STRIDE,
    FlawedPhotos,
    PrototypeNetwork,
    fit_network,
    generate_flawed_photos,
    localize,
)
from logicls.plugins.anomaly.regions import ComponentZones, FlawLocalizer, localizer_from_state, localizer_to_json
from logicls.plugins.anomaly.storage import (
    ExpertState,
    expert_file,
    invalid_state_error,
    read_expert_state,
    write_expert_state,
)
from logicls.plugins.anomaly.text_expert import (
    ANOMALY_PROMPTS,
    NORMAL_PROMPTS,
    ClipEncoder,
    check_dimension,
    load_clip,
    localization_map,
)
from logicls.plugins.settings import ExpertSettings
from logicls.predict.plugin_protocols import AnomalyDetection, Photo


@runtime_checkable
class LocalizationModel(Protocol):
    """Model of Loc, which says how anomalous each patch is."""

    @property
    def frame(self) -> HeatmapFrame:
        """Transform from its maps to photos."""
        ...

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Tensors to store."""
        ...

    def localize(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Return localization maps of photos, 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class PrototypeLocalization:
    """Loc by learned prototypes."""

    extractor: PatchFeatureExtractor
    network: PrototypeNetwork

    @property
    def frame(self) -> HeatmapFrame:
        """Transform from its maps to photos."""
        return self.extractor.frame

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Weights and prototypes of the network."""
        return {f"network.{name}": value for name, value in self.network.state_dict().items()}

    def localize(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Return localization maps of photos, 0 to 1."""
        return localize(self.network, self.extractor, photos)


@dataclass(frozen=True, slots=True)
class TextLocalization:
    """Loc by text embeddings."""

    encoder: ClipEncoder
    normal: Float[Tensor, "normals width"]
    anomalous: Float[Tensor, "anomalies width"]

    @property
    def frame(self) -> HeatmapFrame:
        """Transform from its maps to photos."""
        return self.encoder.frame

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The text embeddings."""
        return {"normal": self.normal, "anomalous": self.anomalous}

    def localize(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Return localization maps of photos, 0 to 1."""
        return torch.stack([self._localize_photo(photo) for photo in photos])

    def _localize_photo(self, photo: Photo) -> Float[Tensor, "rows columns"]:
        return localization_map(self.encoder.embed_patches(photo), self.normal, self.anomalous, self.frame.size)


def build_text_localization(name: str) -> TextLocalization:
    """Embed the prompts with the encoder of that name or folder. Raises `DataError` (LC725)."""
    encoder = load_clip(name)
    return TextLocalization(encoder, encoder.embed_texts(NORMAL_PROMPTS), encoder.embed_texts(ANOMALY_PROMPTS))


def load_localization(bundle: Bundle, state: ExpertState, size: tuple[int, int], file: Path) -> LocalizationModel:
    """Load Loc from an expert's state.

    Raises `KeyError`, `RuntimeError`, `DataError` (LC725), `BundleError` (LC726).
    """
    name, tensors = str(state.metadata["encoder"]), state.tensors
    if name:
        encoder, normal = load_clip(name), tensors["normal"]
        check_dimension(name, encoder.width, normal.shape[1], file)
        return TextLocalization(encoder, normal, tensors["anomalous"])
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    network = PrototypeNetwork(weights["embedding.0.weight"].shape[1]).eval()
    network.load_state_dict(weights)
    return PrototypeLocalization(build_extractor(bundle, size), network)


BATCH_SIZE = 8
LEARNING_RATE, VIS_LEARNING_RATE = 1e-2, 3e-3
CLEAN_SHARE = 0.5
"""Share of training examples without a flaw."""
EVALUATION_INTERVAL = 25
"""Steps between evaluations on the validation examples."""
PATIENCE = 6
"""Evaluations in a row without improvement after which training stops."""
TRAINING_EXAMPLES, VALIDATION_EXAMPLES = 400, 64
"""Numbers of training and validation examples, flawed and clean."""
VIS_DOWNSCALE = 2
"""Factor on each axis between the size at which flaws are synthesised and the input of Vis."""
CHUNK_SIZE = 8


@dataclass(frozen=True, slots=True)
class PriorModel:
    """Localization model, prior tokens and the query to the bundle's model."""

    query: PriorQuery
    loc: LocalizationModel
    tokens: PriorTokens
    vis_size: tuple[int, int]
    """(height, width) of Vis's input, pixels."""

    def log_odds(
        self,
        photos: Sequence[Photo],
        loc_maps: Float[Tensor, "photos rows columns"],
        vis_maps: Float[Tensor, "photos channels fewer_rows fewer_columns"],
        parts: TokenParts = "both",
    ) -> Float[Tensor, " photos"]:
        """Return the log-odds that a photo is defective; `vis_maps` are outputs of Vis."""
        prior_tokens = self.tokens(loc_maps, vis_maps, parts)
        return self.query.log_odds(self.query.encode(photos), prior_tokens, self.tokens.question)

    def encode_vis(self, photos: Sequence[Photo]) -> Float[Tensor, "photos channels rows columns"]:
        """Run Vis on photos."""
        vis_maps: Tensor = self.tokens.vis(stack_pixels(photos, self.vis_size))
        return vis_maps

    @torch.no_grad()
    def localize(self, photos: Sequence[Photo]) -> Float[Tensor, "photos rows columns"]:
        """Return localization maps, in chunks of photos."""
        return torch.cat([self.loc.localize(photos[k : k + CHUNK_SIZE]) for k in range(0, len(photos), CHUNK_SIZE)])

    @torch.no_grad()
    def predict_log_odds(
        self, photos: Sequence[Photo], loc_maps: Float[Tensor, "photos rows columns"], parts: TokenParts = "both"
    ) -> Float[Tensor, " photos"]:
        """Return the log-odds, in chunks of photos."""
        chunks = [slice(k, k + CHUNK_SIZE) for k in range(0, len(photos), CHUNK_SIZE)]
        return torch.cat([self.log_odds(photos[k], loc_maps[k], self.encode_vis(photos[k]), parts) for k in chunks])


class PriorExpert:
    """Prior-token expert."""

    def __init__(self, model: PriorModel, localizer: FlawLocalizer) -> None:
        self.model, self.localizer = model, localizer

    def detect_anomalies(self, photos: Sequence[Photo]) -> list[AnomalyDetection]:
        """Detect the anomaly of each photo, or return its score if there is none."""
        if not photos:
            return []
        loc_maps = self.model.localize(photos)
        log_odds = self.model.predict_log_odds(photos, loc_maps).tolist()
        return [self._flaw(*one) for one in zip(loc_maps, log_odds, photos, strict=True)]

    def _flaw(self, loc_map: Float[Tensor, "rows columns"], log_odds: float, photo: Photo) -> AnomalyDetection:
        """Return the flaw at the maximum of Loc, scored by the answer."""
        return self.localizer.localize(loc_map.numpy(), lambda _: log_odds, photo)


def stack_pixels(photos: Sequence[Photo], size: tuple[int, int]) -> Float[Tensor, "photos 3 height across"]:
    """Letterbox photos to one size, 0 to 255."""
    resized = np.stack([letterbox(size, photo) for photo in photos])
    return torch.from_numpy(resized).permute(0, 3, 1, 2).float()


@dataclass(frozen=True, slots=True)
class LocalizedFlaws:
    """Photos with and without synthetic flaws, and their localization maps."""

    examples: FlawedPhotos
    loc_maps: Float[Tensor, "photos rows columns"]


def generate_examples(
    photos: Sequence[Photo], count: int, model: PriorModel, rng: np.random.Generator
) -> LocalizedFlaws:
    """Generate `count` examples from good photos."""
    resized = [
        letterbox((model.vis_size[0] * VIS_DOWNSCALE, model.vis_size[1] * VIS_DOWNSCALE), photo) for photo in photos
    ]
    examples = generate_flawed_photos(resized, count, rng, clean_share=CLEAN_SHARE)
    return LocalizedFlaws(examples, model.localize(examples.photos).clone())


def fit_tokens(
    training: LocalizedFlaws,
    validation: LocalizedFlaws,
    model: PriorModel,
    settings: ExpertSettings,
    on_evaluation: Callable[[int, float], None] = lambda number, loss: None,
) -> None:
    """Train the tokens, and restore the weights with the least validation loss.

    `on_evaluation` is called with step and loss of each evaluation.
    """
    rng, tokens = np.random.default_rng(settings.seed), model.tokens
    vis_weights = [*tokens.vis.parameters(), *tokens.localization_head.parameters()]
    other_weights = [
        weight for name, weight in tokens.named_parameters() if not name.startswith(("vis.", "localization_head."))
    ]
    optimizer = torch.optim.AdamW(
        [{"params": vis_weights}, {"params": other_weights}], LEARNING_RATE, weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [VIS_LEARNING_RATE, LEARNING_RATE], total_steps=settings.steps
    )
    best, idle, state = float("inf"), 0, tokens.state_dict()
    for step in range(1, settings.steps + 1):
        optimizer.zero_grad()
        _batch_loss(model, training, rng.integers(len(training.loc_maps), size=BATCH_SIZE).tolist()).backward()
        optimizer.step()
        schedule.step()
        if step % EVALUATION_INTERVAL and step < settings.steps:
            continue
        value = float(
            answer_loss(
                model.predict_log_odds(validation.examples.photos, validation.loc_maps), validation.examples.types
            )
        )
        on_evaluation(step, value)
        idle = 0 if value < best else idle + 1
        if value < best:
            best, state = value, {name: value.clone() for name, value in tokens.state_dict().items()}
        if idle == PATIENCE:
            break
    tokens.load_state_dict(state)


def _batch_loss(model: PriorModel, examples: LocalizedFlaws, numbers: Sequence[int]) -> Float[Tensor, ""]:
    """Return the loss of the answers plus that of localization; without the latter Vis hardly learns."""
    photos, types = [examples.examples.photos[k] for k in numbers], [examples.examples.types[k] for k in numbers]
    vis_maps = model.encode_vis(photos)
    localization = localization_loss(
        model.tokens.localization_head(vis_maps)[:, 0], examples.examples.coverage[numbers]
    )
    return answer_loss(model.log_odds(photos, examples.loc_maps[numbers], vis_maps), types) + localization


def answer_loss(log_odds: Float[Tensor, " photos"], types: Sequence[int]) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of the answers; a type below 0 means no flaw."""
    return F.binary_cross_entropy_with_logits(log_odds, torch.tensor([float(kind >= 0) for kind in types]))


def fit_priors(
    bundle: Bundle, photos: Sequence[Photo], zones: ComponentZones, settings: ExpertSettings
) -> ScoreThreshold:
    """Train, fit the threshold to held-out photos, and write the expert. Raises `DataError` (LC725, LC727)."""
    query = build_prior_query(bundle)
    threshold_photos = list(photos[HELD_OUT_STRIDE - 1 :: HELD_OUT_STRIDE])
    validation_photos = list(photos[1 :: 2 * HELD_OUT_STRIDE])
    training_photos = [
        photo
        for number, photo in enumerate(photos)
        if number % HELD_OUT_STRIDE != HELD_OUT_STRIDE - 1 and number % (2 * HELD_OUT_STRIDE) != 1
    ]
    height, width = input_size(photos, settings.patches)
    localization = _fit_localization(bundle, training_photos, (height, width), settings)
    with freeze_weights(query.model):
        model = initialize_model(
            query,
            localization,
            build_extractor(bundle, (height // VIS_DOWNSCALE, width // VIS_DOWNSCALE)),
            training_photos,
            settings.seed,
        )
        rng = np.random.default_rng(settings.seed)
        training = generate_examples(training_photos, min(TRAINING_EXAMPLES, BATCH_SIZE * settings.steps), model, rng)
        fit_tokens(training, generate_examples(validation_photos, VALIDATION_EXAMPLES, model, rng), model, settings)
    threshold = fit_threshold(
        model.predict_log_odds(threshold_photos, model.localize(threshold_photos)).tolist(),
        settings.overkill,
        is_held_out=True,
    )
    write_priors(bundle, model, FlawLocalizer(threshold, localization.frame, zones), settings.encoder)
    return threshold


def _fit_localization(
    bundle: Bundle, photos: Sequence[Photo], size: tuple[int, int], settings: ExpertSettings
) -> LocalizationModel:
    """Build Loc from texts if there is an encoder, otherwise train prototypes."""
    if settings.encoder:
        return build_text_localization(settings.encoder)
    extractor = build_extractor(bundle, size)
    return PrototypeLocalization(extractor, fit_network(photos, extractor, settings.steps, settings.seed))


def initialize_model(
    query: PriorQuery,
    localization: LocalizationModel,
    vis_stem: PatchFeatureExtractor,
    photos: Sequence[Photo],
    seed: int,
) -> PriorModel:
    """Build the untrained model; `vis_stem` initialises Vis and gives its input size."""
    question = query.embed_question()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokens = PriorTokens(query.width, len(question), vis_stem.stem)
        tokens.initialize(
            query.neutral_token(photos[:CHUNK_SIZE]), question, localization.localize(photos[:CHUNK_SIZE])
        )
    return PriorModel(query, localization, tokens, vis_stem.size)


def write_priors(bundle: Bundle, model: PriorModel, localizer: FlawLocalizer, encoder: str) -> None:
    """Write the model into the bundle."""
    tensors = {f"tokens.{name}": value for name, value in model.tokens.state_dict().items()}
    metadata = {
        "bundle": bundle.id, "encoder": encoder, "vis_height": model.vis_size[0], "vis_width": model.vis_size[1],
        **localizer_to_json(localizer),
    }  # fmt: skip
    write_expert_state(bundle.path, "priors", ExpertState({**tensors, **model.loc.tensors}, metadata))


def load_expert(bundle: Bundle) -> PriorExpert:
    """Load the expert of a bundle. Raises `BundleError` (LC721, LC722, LC726), `DataError` (LC725, LC727)."""
    query, state = build_prior_query(bundle), read_expert_state(bundle.path, "priors", bundle.id)
    try:
        weights = {
            name.removeprefix("tokens."): value for name, value in state.tensors.items() if name.startswith("tokens.")
        }
        localizer, vis_size = localizer_from_state(state), (state.get_int("vis_height"), state.get_int("vis_width"))
        tokens = PriorTokens(query.width, len(weights["question"]), build_extractor(bundle, vis_size).stem).eval()
        tokens.load_state_dict(weights)
        localization = load_localization(bundle, state, localizer.frame.size, expert_file(bundle.path, "priors"))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise invalid_state_error(bundle.path, "priors", error) from error
    return PriorExpert(PriorModel(query, localization, tokens, vis_size), localizer)
