"""Reasoners: selection of photos for re-inspection, the methods to predict again, and the verdict after it.

`closer`, a 1.15 times larger input, is the recommended one: 29 reviews of 858 photos became 14, without more errors.
**All others measured worse**: `latent` 16.3 reviews, 0.3 more overkill and up to ten times the time; `latent-still` 18;
`latent-sampled` no better; `random`, a control, has no effect.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from logicls.errors import DataError, Problem
from logicls.models.bundle import Bundle
from logicls.models.nano.processor import NanoImageProcessor, NanoProcessor
from logicls.plugins.reasoning.latent_reasoning import (
    AscentResult,
    AscentSettings,
    GradientEstimator,
    HighResolutionPhoto,
    PatchCandidates,
    PatchProposer,
    SampledGradient,
    Size,
    ascend,
    exact_gradient,
    scale_size,
    think_token_attention,
    top_patches,
)
from logicls.plugins.reasoning.reinspection_result import ReinspectionResult
from logicls.plugins.reasoning.slot_entropy import (
    AnswerSlots,
    PhotoKeys,
    append_think_tokens,
    entropy_reward,
    max_answer_entropy,
    mean_answer_entropy,
    photo_keys,
)
from logicls.plugins.registry import load_factory
from logicls.plugins.settings import WITHOUT_STEPS, ReasonerSettings
from logicls.predict.decision import (
    UNREADABLE_VERDICT,
    DecisionModel,
    decide_photo,
    load_decision_model,
    unreadable_reasons,
)
from logicls.predict.input.loader import LoadedPhoto
from logicls.predict.plugin_protocols import Photo
from logicls.predict.readers.appearance import AppearanceComparison, load_comparison
from logicls.predict.readers.nano import EncodedPhotos, NanoReader
from logicls.predict.readers.protocol import Prediction, predict_arrays
from logicls.records import Verdict

THINK_TOKENS = 4
"""K, think tokens."""
PATCHES_PER_TOKEN = 2
"""m, patches proposed for a think token at a time."""
PATCH_SCALE = 2.0
"""Resolution of injected patches, as a factor on the input size."""
SAMPLING_SIGMA = 0.1
"""σ of sampled gradients, as a share of the think tokens' root mean square."""
INPUT_SCALE = 1.15
"""Factor on the input size of `closer`. At 1.5 nano, trained at one size, no longer recognised components."""


@dataclass(frozen=True, slots=True)
class ReinspectionOutput:
    """Prediction of a re-inspection."""

    prediction: Prediction | None
    """None if the reward did not increase, so that the first prediction stays."""
    rewards: tuple[float, ...] = ()
    """Without think tokens, at their start, and after each step."""
    accepted: int = 0
    """Number of injected proposals."""


@runtime_checkable
class ReinspectionMethod(Protocol):
    """Method to predict a photo again."""

    def predict(self, photo: UInt8[np.ndarray, "h w 3"]) -> ReinspectionOutput:
        """Predict one photo at its full resolution."""
        ...


class LargerInput:
    """Prediction of the same questions with a larger input."""

    def __init__(self, bundle: Bundle, scale: float = INPUT_SCALE) -> None:
        self._reader = NanoReader(enlarge_input(bundle, scale))

    def predict(self, photo: UInt8[np.ndarray, "h w 3"]) -> ReinspectionOutput:
        """Predict one photo at its full resolution."""
        return ReinspectionOutput(predict_arrays(self._reader, [photo])[0])


@dataclass(frozen=True, slots=True)
class LatentSettings:
    """Settings of latent reasoning."""

    gradient: Literal["exact", "sampled", "none"] = "exact"
    """none: tokens stay as initialised, a control."""
    has_injection: bool = True
    """Whether visual tokens are injected."""
    tokens: int = THINK_TOKENS
    patches: int = PATCHES_PER_TOKEN
    patch_scale: float = PATCH_SCALE
    input_scale: float = INPUT_SCALE
    """Of `LargerInput`."""
    ascent: AscentSettings = AscentSettings()  # noqa: RUF009  frozen
    seed: int = 0


class LatentReasoning:
    """Latent reasoning over the embedded model."""

    def __init__(self, bundle: Bundle, settings: LatentSettings) -> None:
        self._reader, self._settings = NanoReader(bundle), settings

    @torch.no_grad()
    def predict(self, photo: UInt8[np.ndarray, "h w 3"]) -> ReinspectionOutput:
        """Predict one photo at its full resolution."""
        reader, size = self._reader, (photo.shape[1], photo.shape[0])
        encoded = reader.encode_photos([photo])
        keys = photo_keys(encoded)
        outputs = reader.answer_queries(encoded)
        slots = AnswerSlots(reader, keys, outputs, reader.detect(outputs, [size])[0])
        result, base_reward = self._think(photo, keys, slots, encoded.feature)
        rewards = (base_reward, *result.rewards)
        if self._settings.gradient != "none" and result.rewards[-1] <= base_reward:
            return ReinspectionOutput(None, rewards, result.accepted)
        cache = append_think_tokens(reader.bundle.nano_model, keys, result.tokens)
        new_outputs = reader.answer_queries(
            EncodedPhotos(encoded.feature_map, encoded.feature, cache, encoded.fine_pixels)
        )
        return ReinspectionOutput(reader.to_predictions(new_outputs, [size])[0], rewards, result.accepted)

    def _think(
        self, photo: UInt8[np.ndarray, "h w 3"], keys: PhotoKeys, slots: AnswerSlots, feature: Float[Tensor, "1 width"]
    ) -> tuple[AscentResult, float]:
        """Run the gradient ascent; also returns the reward without think tokens."""
        settings, rng = self._settings, torch.Generator().manual_seed(self._settings.seed)
        start = initial_tokens(feature, settings.tokens, rng)

        def evaluate(tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, " batch"]:
            return entropy_reward(slots.entropies(tokens))

        base_reward = float(evaluate(start[:, :0]))
        if settings.gradient == "none":
            return AscentResult(start, (float(evaluate(start)),)), base_reward
        gradient: GradientEstimator = (
            exact_gradient
            if settings.gradient == "exact"
            else SampledGradient(rng, SAMPLING_SIGMA * float(start.square().mean().sqrt()))
        )
        return ascend(
            start,
            evaluate,
            gradient,
            settings.ascent,
            self._patch_proposer(photo, keys) if settings.has_injection else None,
        ), base_reward

    def _patch_proposer(self, photo: UInt8[np.ndarray, "h w 3"], keys: PhotoKeys) -> PatchProposer:
        """Propose the patches that think tokens attend to most, at a higher resolution."""
        model, settings = self._reader.bundle.nano_model, self._settings
        height, width = self._reader.bundle.nano_processor.image_processor.size
        high_resolution = HighResolutionPhoto(model, (height, width), photo, settings.patch_scale)

        def propose(tokens: Float[Tensor, "1 tokens width"]) -> PatchCandidates:
            attended = top_patches(think_token_attention(model, keys, tokens), settings.patches)
            cells = [
                tuple(cell for patch in patches for cell in high_resolution.tokens_in_patch(patch))
                for patches in attended
            ]
            return [(token_cells, high_resolution.tokens[:, list(token_cells)]) for token_cells in cells]

        return propose


def initial_tokens(
    feature: Float[Tensor, "1 width"], count: int, rng: torch.Generator
) -> Float[Tensor, "1 tokens width"]:
    """Initialise think tokens around the photo's mean visual token, with noise of the same root mean square."""
    noise = torch.randn(1, count, feature.shape[1], generator=rng)
    return feature[:, None] + noise * feature.square().mean().sqrt()


def enlarge_input(bundle: Bundle, scale: float) -> Bundle:
    """Return the bundle with a larger input; boxes are still in pixels of the photo."""
    height, width = bundle.nano_processor.image_processor.size
    size: Size = scale_size((height, width), scale)
    images = NanoImageProcessor(size, bundle.nano_processor.image_processor.detail)
    return replace(bundle, processor=NanoProcessor(images, bundle.nano_processor.tokenizer))


DEFAULT_MIN_ENTROPY = 1.01
"""Entropy of a slot in bits from which on a photo is inspected again whatever its outcome; above 1: never.

Re-inspection of certain verdicts made them worse (at 0.95, 1 review of 132 became 5), at fifty times the time.
"""
SEEDED = frozenset({"latent", "latent-sampled", "latent-still", "random"})
"""Reasoners with random initialisation."""


@dataclass(frozen=True, slots=True)
class Reinspection:
    """Reasoner: inspects photos of one bundle again, by one method."""

    name: str
    decision_model: DecisionModel
    method: ReinspectionMethod
    min_entropy: float = DEFAULT_MIN_ENTROPY
    """See `DEFAULT_MIN_ENTROPY`."""
    comparison: AppearanceComparison | None = None
    """Compares instances with good photos, where rules need it."""

    def reinspect(self, photo: Photo, verdict: Verdict) -> Verdict | None:
        """Return the verdict after re-inspection; None if none is needed, or if the photo itself is in doubt."""
        if photo_doubts(verdict) or (
            verdict.outcome != "review" and max_answer_entropy(verdict.answers) < self.min_entropy
        ):
            return None
        start = time.perf_counter()
        output = self.method.predict(photo)
        amended = verdict
        if output.prediction is not None:
            size = (verdict.width, verdict.height)
            prediction = output.prediction
            if self.comparison is not None:
                prediction = self.comparison.complete(LoadedPhoto(verdict.photo, photo, size), prediction)
            new_verdict = decide_photo(self.decision_model, prediction, verdict.photo, photo, size=size)
            amended = replace(new_verdict, sha256=verdict.sha256, bundle=verdict.bundle, version=verdict.version)
        seconds = round(time.perf_counter() - start, 6)
        if output.rewards:  # what was climbed, reward = 1 - mean entropy
            entropies = [1 - output.rewards[0], 1 - output.rewards[-1 if output.prediction is not None else 0]]
        else:
            entropies = [mean_answer_entropy(verdict.answers), mean_answer_entropy(amended.answers)]
        record = ReinspectionResult(
            self.name, verdict.outcome, seconds, tuple(round(r, 6) for r in output.rewards), output.accepted,
            output.prediction is not None, amended.outcome, tuple(round(entropy, 6) for entropy in entropies),
        )  # fmt: skip
        return replace(
            amended, seconds=round(verdict.seconds + seconds, 6), plugin_results=(record.to_plugin_result(),)
        )


def build_reasoner(bundle: Bundle, settings: ReasonerSettings) -> Reinspection:
    """Build the reasoner of these settings. Raises `DataError` (LC700, LC740)."""
    reasoner: Reinspection = load_factory("reasoner", settings.name)(bundle, _latent_settings(settings))
    return reasoner if settings.min_entropy is None else replace(reasoner, min_entropy=settings.min_entropy)


def effective_settings(settings: ReasonerSettings) -> tuple[tuple[str, float], ...]:
    """Return the settings with defaults filled in, as verdicts record them."""
    latent_settings = _latent_settings(settings)
    if settings.name == "closer":
        values = [("larger", latent_settings.input_scale)]
    else:
        steps = [] if settings.name in WITHOUT_STEPS else [("steps", float(latent_settings.ascent.steps))]
        values = [("tokens", float(latent_settings.tokens)), *steps]
    # Recorded names are part of result ids, so they stay those of earlier versions.
    return (*values, *([("open", settings.min_entropy)] if settings.min_entropy is not None else []))


def _latent_settings(settings: ReasonerSettings) -> LatentSettings:
    defaults = LatentSettings()
    ascent = defaults.ascent if settings.steps is None else replace(defaults.ascent, steps=settings.steps)
    return replace(defaults, tokens=settings.tokens or defaults.tokens, ascent=ascent)


def photo_doubts(verdict: Verdict) -> tuple[str, ...]:
    """Return the doubts about the photo itself, which no re-inspection removes."""
    prediction_doubts = {*unreadable_reasons(verdict.findings), UNREADABLE_VERDICT}
    return tuple(doubt for doubt in verdict.unconditional_reasons if doubt not in prediction_doubts)


def make_latent(bundle: Bundle, settings: LatentSettings = LatentSettings()) -> Reinspection:
    """Build latent reasoning with the exact gradient and visual injection. Raises `DataError` (LC740)."""
    return _make_latent_reasoner("latent", bundle, settings)


def make_latent_sampled(bundle: Bundle, settings: LatentSettings = LatentSettings()) -> Reinspection:
    """Build latent reasoning with the sampled gradient. Raises `DataError` (LC740)."""
    return _make_latent_reasoner("latent-sampled", bundle, replace(settings, gradient="sampled"))


def make_latent_still(bundle: Bundle, settings: LatentSettings = LatentSettings()) -> Reinspection:
    """Build latent reasoning without visual injection, the control of injection. Raises `DataError` (LC740)."""
    return _make_latent_reasoner("latent-still", bundle, replace(settings, has_injection=False))


def make_random(bundle: Bundle, settings: LatentSettings = LatentSettings()) -> Reinspection:
    """Build random think tokens without ascent, the control of the ascent. Raises `DataError` (LC740)."""
    return _make_latent_reasoner("random", bundle, replace(settings, gradient="none", has_injection=False))


def make_larger_input(bundle: Bundle, settings: LatentSettings = LatentSettings()) -> Reinspection:
    """Build re-inspection with a larger input and without think tokens. Raises `DataError` (LC740)."""
    _check_embedded("closer", bundle)
    method = LargerInput(bundle, settings.input_scale)
    return Reinspection("closer", load_decision_model(bundle), method, comparison=load_comparison(bundle))


def _make_latent_reasoner(name: str, bundle: Bundle, settings: LatentSettings) -> Reinspection:
    _check_embedded(name, bundle)
    method = LatentReasoning(bundle, settings)
    return Reinspection(name, load_decision_model(bundle), method, comparison=load_comparison(bundle))


def _check_embedded(name: str, bundle: Bundle) -> None:
    """Raise `DataError` (LC740) for any model but the embedded one."""
    if bundle.hub is not None or bundle.is_external:
        reject_foreign_model(name, bundle.hub.base if bundle.hub is not None else "an external model")


def reject_foreign_model(name: str, answering: str) -> NoReturn:
    """Raise `DataError` (LC740): the embedded model does not answer."""
    message = f'the reasoner "{name}" needs the embedded model nano, but {answering} answers.'
    advice = "Omit --reasoner, or train the bundle without --model."
    raise DataError(Problem("LC740", message, advice=advice))
