"""Crop pretraining: train the backbone of the crop encoder alone to classify the attribute values of a product.

The backbone is small, and a crop of 32 x 32 pixels takes a thousandth of the time of a photo: in a minute it sees as
many instances as the full network does in an hour. The full network then starts from the pretrained backbone
(`logicls.models.nano.crop_encoder`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from torchmetrics.classification import MulticlassAccuracy

from logicls.io.atomic import write_bytes
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import Edges
from logicls.models.nano.crop_encoder import BACKBONE_FILE, CropBackbone, encode_instances, normalize
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.synth.dataset import read_rows
from logicls.synth.invariances import is_orientation_free
from logicls.train.batching import Batch, apply_color_jitter
from logicls.train.distributed import SINGLE_PROCESS
from logicls.train.lightning_module import configure_one_cycle, run_training_loop, seed_step
from logicls.train.metrics_log import TrainingObserver
from logicls.train.preflight import PreflightResult
from logicls.train.recipe import CropSettings
from logicls.train.run import TrainingRun

CROP_SIDE = 64
"""Side of a stored crop in pixels; it covers `CONTEXT_FACTOR` times the longer side of the instance's box, so that
augmentation can shift, scale and rotate the encoder's own crop inside it."""
DIAGONAL_CROP_SIDE = 96
"""The same for crops along diagonals, which are longer."""
DIAGONAL_STEP_DIVISOR = 4
"""Divisor of the recipe's steps for crops along diagonals."""
CONTEXT_FACTOR = 2.0
BLUR_PROBABILITY, MIN_BLUR_SCALE = 0.5, 0.55
"""Probability that a training crop is blurred, and the smallest scale that it is reduced to, per side."""
EVALUATION_BATCH = 256
"""Crops per batch of `measure_accuracy`."""
"""`pixels` [batch 3 side side], `boxes` [batch 4], `labels` [batch], `orientation_invariant` [], and optionally
`class_mask` [classes]."""
CropClass = tuple[str, int]
"""Id of an attribute query, and the token of one of its values."""


@dataclass(frozen=True, slots=True)
class AttributeCrops:
    """Crops of instances that have a labelled attribute."""

    pixels: UInt8[np.ndarray, "crops side side 3"]
    boxes: Float[np.ndarray, "crops 4"]
    """x1, y1, x2, y2 of the instance, as shares of the crop's side."""
    labels: Int[np.ndarray, " crops"]
    """Index of each crop's value in `classes`."""
    classes: tuple[CropClass, ...]
    orientation_invariant: bool
    """Attributes do not change when an instance is rotated or mirrored."""
    along_diagonals: bool = False
    """The encoder's own crops lie along the diagonals of the boxes."""

    @property
    def class_masks(self) -> list[Bool[np.ndarray, " classes"]]:
        """Masks of the classes of each attribute that occurs here, in the order of the attributes' query ids."""
        queries = np.array([query for query, _ in self.classes])
        return [queries == query for query in sorted({self.classes[label][0] for label in self.labels.tolist()})]


class CropClassifier(lightning.LightningModule):
    """Linear classifier on the crop backbone; only the backbone is used afterwards."""

    def __init__(
        self, width: int, steps: int, seed: int, *, classes: int, lr: float = 2e-3, weight_decay: float = 0.05
    ) -> None:
        """Build a classifier for that many `classes`, trained for `steps` steps of a one-cycle schedule."""
        super().__init__()
        self.steps, self.seed, self.lr, self.weight_decay = steps, seed, lr, weight_decay
        self.backbone = CropBackbone(width)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: Batch) -> Float[Tensor, "batch classes"]:
        """Compute logits of the instances in `boxes`; -inf for classes outside of `class_mask`, where it is given."""
        features = encode_instances(
            self.backbone, batch["pixels"], batch["boxes"][:, None], augment=self.training,
            orientation_invariant=bool(batch["orientation_invariant"]),
            along_diagonals=bool(batch.get("along_diagonals", False)),
        )  # fmt: skip
        logits: Tensor = self.head(features[:, 0])
        return logits.masked_fill(~batch["class_mask"], -torch.inf) if "class_mask" in batch else logits

    def training_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """Return `loss`, the mean cross-entropy."""
        seed_step(self.seed, self.global_step)
        return {"loss": F.cross_entropy(self(batch), batch["labels"])}

    def configure_optimizers(self) -> Any:
        """Return optimizer and schedule (see `configure_one_cycle`)."""
        return configure_one_cycle(self, steps=self.steps, lr=self.lr, weight_decay=self.weight_decay)


def pretrain_crop_encoder(model: NanoForImageTextToText, run: TrainingRun, observer: TrainingObserver) -> None:
    """Train the model's crop backbone on crops of the run's training examples (`crops` in the recipe).

    Does nothing where the model has no crop encoder, or where the examples have fewer than two values to tell apart.
    The first process trains and writes the weights to the run's folder; other processes, and resumed runs, load them.
    """
    crop_encoder, path = model.detection_head.crop_encoder, run.work / BACKBONE_FILE
    if crop_encoder is None:
        return
    if run.rank.is_first and not path.exists():
        recipe = run.recipe
        crops = collect_crops(run.preflight, run.synth, run.split.train, recipe.seed, recipe.crops.max_crops)
        if len(crops.classes) > 1:
            observer.on_message(f"crop encoder: {count_steps(recipe.crops, crops)} steps on {len(crops.labels)} crops")
            classifier = _train_classifier(crop_encoder.backbone, crops, run, observer)
            write_bytes(path, save(classifier.backbone.state_dict()))
            _report_validation_accuracy(classifier, crops, run, observer)
    run.rank.barrier()
    if path.exists():
        crop_encoder.backbone.load_state_dict(load_file(path))


def count_steps(settings: CropSettings, crops: AttributeCrops) -> int:
    """Return the steps of crop pretraining: a share of the recipe's for crops along diagonals.

    Both crops of an instance have four times the pixels of a square one, and no angles are left to be learned.
    """
    return max(settings.steps // DIAGONAL_STEP_DIVISOR, 1) if crops.along_diagonals else settings.steps


def _report_validation_accuracy(
    classifier: CropClassifier, train_crops: AttributeCrops, run: TrainingRun, observer: TrainingObserver
) -> None:
    """Report the accuracy on crops of the validation set, if it has any of the classes."""
    crops = collect_crops(
        run.preflight, run.synth, run.split.validation, run.recipe.seed, run.recipe.crops.max_crops,
        train_crops.classes,
    )  # fmt: skip
    if len(crops.labels):
        accuracy = measure_accuracy(classifier, crops)
        observer.on_message(f"crop encoder: accuracy {accuracy:.1%} on {len(crops.labels)} validation crops")


def collect_crops(
    preflight: PreflightResult,
    synth: Path,
    numbers: Sequence[int],
    seed: int,
    max_crops: int,
    classes: Sequence[CropClass] = (),
) -> AttributeCrops:
    """Crop the instances with a labelled attribute from the examples `numbers`; a random `max_crops` of them at most.

    `classes`: the classes to use, where they are fixed (for the validation set); instances of others are left out.
    """
    queries = [row["queries"] for row in islice(read_rows(synth, ("queries",)), len(preflight.examples))]
    candidates: list[tuple[int, Edges, CropClass]] = [
        (number, instance.edges, (query, instance.nearest_value))
        for number in numbers
        for query, instances in zip(queries[number], preflight.examples[number].instances, strict=True)
        for instance in instances
        if instance.value != IGNORE_INDEX
    ]
    order = np.random.default_rng([seed, 23]).permutation(len(candidates))[:max_crops]
    sample = sorted((candidates[index] for index in order), key=lambda candidate: candidate[0])
    used_classes = tuple(classes) or tuple(sorted({class_ for _, _, class_ in sample}))
    sample = [candidate for candidate in sample if candidate[2] in used_classes]
    detail = preflight.processor.image_processor.detail
    along_diagonals = preflight.resolution.along_diagonals
    side = DIAGONAL_CROP_SIDE if along_diagonals else CROP_SIDE
    crops = [_crop(preflight.pixels[number], np.multiply(edges, detail), side) for number, edges, _ in sample]
    return AttributeCrops(
        np.array([pixels for pixels, _ in crops], np.uint8).reshape(-1, side, side, 3),
        np.array([box for _, box in crops], np.float32).reshape(-1, 4),
        np.array([used_classes.index(class_) for _, _, class_ in sample], np.int64),
        used_classes,
        orientation_invariant=is_orientation_free(preflight.spec),
        along_diagonals=along_diagonals,
    )


def _crop(
    photo: UInt8[np.ndarray, "height across 3"], box: Float[np.ndarray, " 4"], stored_side: int
) -> tuple[UInt8[np.ndarray, "side side 3"], Float[np.ndarray, " 4"]]:
    """Crop a square around a box (x1, y1, x2, y2 in pixels of the photo), resized to `stored_side`.

    Returns the crop, whose parts outside of the photo repeat its border, and the box as shares of the crop's side.
    """
    center, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    side = max(float(size.max()), 1.0) * CONTEXT_FACTOR
    x, y = np.round(center - side / 2).astype(int)
    span = max(round(side), 2)
    inside = photo[max(y, 0) : y + span, max(x, 0) : x + span]
    top, left = max(-y, 0), max(-x, 0)
    margins = top, span - inside.shape[0] - top, left, span - inside.shape[1] - left
    padded = cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE)
    interpolation = cv2.INTER_AREA if span > stored_side else cv2.INTER_LINEAR
    crop = cv2.resize(padded, (stored_side, stored_side), interpolation=interpolation)
    return np.asarray(crop, np.uint8), (box - np.array([x, y, x, y])) / span


class CropBatches(IterableDataset[Batch]):
    """Class-balanced training batches of crops.

    Each batch is about one attribute, in turns, and draws the attribute's values with equal probability. A batch
    depends on its step and the seed alone.
    """

    def __init__(self, crops: AttributeCrops, *, steps: int, batch: int, seed: int, jitter: float) -> None:
        super().__init__()
        self.crops, self.steps, self.batch, self.seed, self.jitter = crops, steps, batch, seed, jitter
        self.class_masks = crops.class_masks
        self.members = [np.flatnonzero(crops.labels == label) for label in range(len(crops.classes))]

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.steps):
            yield self.make_batch(step)

    def make_batch(self, step: int) -> Batch:
        """Make the batch of a step, with the `class_mask` of its attribute."""
        rng = np.random.default_rng([self.seed, step, 23])
        class_mask = self.class_masks[step % len(self.class_masks)]
        labels = rng.choice(np.flatnonzero(class_mask), self.batch)
        numbers = [int(rng.choice(self.members[label])) for label in labels]
        jittered = apply_color_jitter(self.crops.pixels[numbers], self.jitter, rng)
        blurred = np.stack([_blur(pixels, rng) for pixels in jittered])
        return _make_batch(self.crops, numbers, blurred, class_mask)


def _blur(pixels: UInt8[np.ndarray, "side side 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Reduce a crop to a random scale and enlarge it again, with probability `BLUR_PROBABILITY`."""
    side = round(len(pixels) * float(rng.uniform(MIN_BLUR_SCALE, 1)))
    if rng.random() >= BLUR_PROBABILITY:
        return pixels
    reduced = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, pixels.shape[:2], interpolation=cv2.INTER_LINEAR), np.uint8)


def _make_batch(
    crops: AttributeCrops, numbers: Sequence[int], pixels: np.ndarray, class_mask: Bool[np.ndarray, " classes"]
) -> Batch:
    """Convert the crops `numbers` to tensors, with `pixels` (uint8 [batch side side 3]) instead of their own."""
    return {
        "pixels": normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()),
        "boxes": torch.from_numpy(crops.boxes[numbers]),
        "labels": torch.from_numpy(crops.labels[numbers]),
        "orientation_invariant": torch.tensor(crops.orientation_invariant),
        "along_diagonals": torch.tensor(crops.along_diagonals),
        "class_mask": torch.from_numpy(class_mask),
    }


class CropProgress(Callback):
    """Notifies the observer of each step of crop pretraining."""

    def __init__(self, observer: TrainingObserver, steps: int) -> None:
        self.observer, self.steps = observer, steps

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Notify of a finished step."""
        self.observer.on_crop_step(trainer.global_step, self.steps)


def _train_classifier(
    backbone: CropBackbone, crops: AttributeCrops, run: TrainingRun, observer: TrainingObserver
) -> CropClassifier:
    """Train a classifier of the crops, starting from the weights of `backbone`; returns it in evaluation mode."""
    seed, settings = run.recipe.seed, run.recipe.crops
    steps = count_steps(settings, crops)
    classifier = CropClassifier(
        backbone.width, steps, seed, classes=len(crops.classes), lr=settings.lr, weight_decay=settings.weight_decay
    )
    classifier.backbone.load_state_dict(backbone.state_dict())
    batches = CropBatches(crops, steps=steps, batch=settings.batch, seed=seed, jitter=run.recipe.jitter)
    callbacks = [CropProgress(observer, steps)]
    run_training_loop(classifier, batches, callbacks, steps=steps, checkpoint=None, rank=SINGLE_PROCESS)
    classifier.train(mode=False)
    return classifier


def measure_accuracy(classifier: CropClassifier, crops: AttributeCrops) -> float:
    """Compute the share of crops whose value is predicted correctly, without augmentation."""
    accuracy = MulticlassAccuracy(num_classes=crops.class_masks[0].size, average="micro", validate_args=False)
    for class_mask in crops.class_masks:
        members = np.flatnonzero(class_mask[crops.labels])
        for numbers in np.array_split(members, -(-len(members) // EVALUATION_BATCH)):
            batch = _make_batch(crops, numbers.tolist(), crops.pixels[numbers], class_mask)
            with torch.inference_mode():
                accuracy.update(classifier(batch).argmax(-1), batch["labels"])
    return float(accuracy.compute())
