"""Before the whole network learns: what looks at things closely learns by itself what this product's values look like.

It is a small network, and a square of 32 pixels is seen in a thousandth of the time of a photo: in a minute it sees as
many things as the whole network does in an hour. The whole then begins with it (`logicls.models.nano.crop_encoder`).
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

from logicls.io.atomic import write_bytes
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import Edges
from logicls.models.nano.crop_encoder import BACKBONE_FILE, CropBackbone, add_highlights, normalize, extract_crops
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.synth.dataset import read_rows
from logicls.synth.invariances import is_orientation_free
from logicls.train.batching import apply_color_jitter
from logicls.train.distributed import SINGLE_PROCESS
from logicls.train.lightning_module import configure_one_cycle, run_training_loop, seed_step
from logicls.train.metrics_log import TrainingObserver
from logicls.train.preflight import PreflightResult
from logicls.train.run import TrainingRun

STEPS, BATCH = 2400, 32
LR, WEIGHT_DECAY = 2e-3, 0.05
MAX_CROPS = 12_000
"""Things that are cut out; more fill the memory, not the model."""
CROP_SIDE = 64
"""Pixels of what is cut out around a thing on a side, which is `AROUND` times the thing's longer side."""
CONTEXT_FACTOR = 2.0
BLUR_PROBABILITY, MIN_BLUR_SCALE = 0.5, 0.55
"""Share of the things that are out of focus while learning, and what is left of their pixels on a side, at least."""
EVALUATION_BATCH = 256
"""Things that are looked at together when nothing is learned."""
Batch = dict[str, Tensor]
CropClass = tuple[str, int]
"""An attribute's question, and the token of one of its values."""


@dataclass(frozen=True, slots=True)
class AttributeCrops:
    """Things that bear an attribute, each cut out of its photo with what is around it."""

    pixels: UInt8[np.ndarray, "things side side 3"]
    boxes: Float[np.ndarray, "things 4"]
    """x1, y1, x2, y2 as shares of the cutting's side."""
    labels: Int[np.ndarray, " things"]
    """Number of the value of each in `words`."""
    classes: tuple[CropClass, ...]
    any_way: bool
    """They are the same however they lie."""

    @property
    def class_masks(self) -> list[Bool[np.ndarray, " classes"]]:
        """Of each attribute that things here bear, in order, which words are its values."""
        queries = np.array([query for query, _ in self.classes])
        return [queries == query for query in sorted({self.classes[value][0] for value in self.labels.tolist()})]


class CropClassifier(lightning.LightningModule):
    """Tells marks apart; only the part that looks is kept."""

    def __init__(self, width: int, steps: int, seed: int, *, classes: int) -> None:
        """`kinds`: how many there are to be told apart."""
        super().__init__()
        self.steps, self.seed = steps, seed
        self.backbone = CropBackbone(width)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: Batch) -> Float[Tensor, "batch kinds"]:
        """Logits of what is in the boxes of a batch, of those `among` which it is to be told, where it says so."""
        any_way = bool(batch["any_way"])
        crops = extract_crops(
            batch["pixels"], batch["boxes"][:, None], augment=self.training, orientation_invariant=any_way
        )
        crops = add_highlights(crops) if self.training else crops
        logits: Tensor = self.head(self.backbone(crops[:, :, 0]))
        return logits.masked_fill(~batch["among"], -torch.inf) if "among" in batch else logits

    def training_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """`loss`: mean cross-entropy."""
        seed_step(self.seed, self.global_step)
        return {"loss": F.cross_entropy(self(batch), batch["marks"])}

    def configure_optimizers(self) -> Any:
        """See `one_cycle`."""
        return configure_one_cycle(self, steps=self.steps, lr=LR, weight_decay=WEIGHT_DECAY)


def pretrain_crop_encoder(model: NanoForImageTextToText, run: TrainingRun, observer: TrainingObserver) -> None:
    """Give what looks closely in the model what `STEPS` steps of `BATCH` things of the run's examples teach it.

    Nothing happens where things are not looked at closely, or where the examples have no two values to tell apart. The
    first process learns, and the others read what it wrote to the run's folder; so does a run that goes on.
    """
    crop_encoder, path = model.detection_head.crop_encoder, run.work / BACKBONE_FILE
    if crop_encoder is None:
        return
    if run.rank.is_first and not path.exists():
        train, validation = (run.split.train, run.split.validation)
        crops = collect_crops(run.preflight, run.synth, train, run.recipe.seed)
        if len(crops.classes) > 1:
            observer.on_message(
                f"{len(crops.labels)} things are cut out and looked at by themselves first, {STEPS} steps"
            )
            classifier = _train_classifier(crop_encoder.backbone, crops, run, observer)
            write_bytes(path, save(classifier.backbone.state_dict()))
            validation_crops = collect_crops(run.preflight, run.synth, validation, run.recipe.seed, crops.classes)
            if len(validation_crops.labels):
                observer.on_message(
                    f"of {len(validation_crops.labels)} kept aside {measure_accuracy(classifier, validation_crops):.1%} are told rightly"
                )
    run.rank.barrier()
    if path.exists():
        crop_encoder.backbone.load_state_dict(load_file(path))


def collect_crops(
    preflight: PreflightResult, synth: Path, numbers: Sequence[int], seed: int, classes: Sequence[CropClass] = ()
) -> AttributeCrops:
    """Things of those examples that bear an attribute, at most `MOST`, drawn by chance; `words`, if they are known."""
    queries = [row["queries"] for row in islice(read_rows(synth, ("queries",)), len(preflight.examples))]
    candidates: list[tuple[int, Edges, CropClass]] = [
        (number, edges, (query, value))
        for number in numbers
        for query, instances in zip(queries[number], preflight.examples[number].instances, strict=True)
        for edges, value in instances
        if value != IGNORE_INDEX
    ]
    order = np.random.default_rng([seed, 23]).permutation(len(candidates))[:MAX_CROPS]
    sample = sorted((candidates[index] for index in order), key=lambda one: one[0])
    known_classes = tuple(classes) or tuple(sorted({word for _, _, word in sample}))
    sample = [candidate for candidate in sample if candidate[2] in known_classes]
    detail = preflight.processor.image_processor.detail
    crops = [_crop(preflight.pixels[number], np.multiply(edges, detail)) for number, edges, _ in sample]
    return AttributeCrops(
        np.array([pixels for pixels, _ in crops], np.uint8).reshape(-1, CROP_SIDE, CROP_SIDE, 3),
        np.array([box for _, box in crops], np.float32).reshape(-1, 4),
        np.array([known_classes.index(class_) for _, _, class_ in sample], np.int64),
        known_classes,
        any_way=is_orientation_free(preflight.spec),
    )


def _crop(
    photo: UInt8[np.ndarray, "height across 3"], box: Float[np.ndarray, " 4"]
) -> tuple[UInt8[np.ndarray, "side side 3"], Float[np.ndarray, " 4"]]:
    """What is around a box (x1, y1, x2, y2 in pixels of the photo), `CUT` pixels wide, and where the box is in it."""
    center, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    side = max(float(size.max()), 1.0) * CONTEXT_FACTOR
    x, y = np.round(center - side / 2).astype(int)
    span = max(round(side), 2)
    inside = photo[max(y, 0) : y + span, max(x, 0) : x + span]
    top, left = max(-y, 0), max(-x, 0)
    margins = top, span - inside.shape[0] - top, left, span - inside.shape[1] - left
    padded = cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE)
    crop = cv2.resize(
        padded, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_AREA if span > CROP_SIDE else cv2.INTER_LINEAR
    )
    return np.asarray(crop, np.uint8), (box - np.array([x, y, x, y])) / span


class CropBatches(IterableDataset[Batch]):
    """Batches of cuttings, attributes in turns, each value as often as any other; each depends on its step and seed."""

    def __init__(self, crops: AttributeCrops, *, seed: int, jitter: float) -> None:
        super().__init__()
        self.crops, self.seed, self.jitter = crops, seed, jitter
        self.class_masks = crops.class_masks
        self.members = [np.flatnonzero(crops.labels == number) for number in range(len(crops.classes))]

    def __iter__(self) -> Iterator[Batch]:
        for step in range(STEPS):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """As `Marks.batch`, and `among`: the values of the attribute that it is about."""
        rng = np.random.default_rng([self.seed, step, 23])
        class_mask = self.class_masks[step % len(self.class_masks)]
        numbers = [int(rng.choice(self.members[value])) for value in rng.choice(np.flatnonzero(class_mask), BATCH)]
        pixels_ = np.stack(
            [_blur(pixels, rng) for pixels in apply_color_jitter(self.crops.pixels[numbers], self.jitter, rng)]
        )
        return _make_batch(self.crops, numbers, pixels_, class_mask)


def _blur(pixels: UInt8[np.ndarray, "side side 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "side side 3"]:
    """Fewer pixels, and as many again; or, by chance, the same."""
    side = round(CROP_SIDE * float(rng.uniform(MIN_BLUR_SCALE, 1)))
    if rng.random() >= BLUR_PROBABILITY:
        return pixels
    reduced = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def _make_batch(
    crops: AttributeCrops, numbers: Sequence[int], pixels: np.ndarray, class_mask: Bool[np.ndarray, " words"]
) -> Batch:
    return {
        "pixels": normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()),
        "boxes": torch.from_numpy(crops.boxes[numbers]),
        "marks": torch.from_numpy(crops.labels[numbers]),
        "any_way": torch.tensor(crops.any_way),
        "among": torch.from_numpy(class_mask),
    }


class CropProgress(Callback):
    """Tells how far it is."""

    def __init__(self, observer: TrainingObserver) -> None:
        self.observer = observer

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        self.observer.on_crop_step(trainer.global_step, STEPS)


def _train_classifier(
    backbone: CropBackbone, crops: AttributeCrops, run: TrainingRun, observer: TrainingObserver
) -> CropClassifier:
    """What tells the values of those cuttings apart, on from that `look`; ready to be asked."""
    seed = run.recipe.seed
    classifier = CropClassifier(backbone.width, STEPS, seed, classes=len(crops.classes))
    classifier.backbone.load_state_dict(backbone.state_dict())
    batches = CropBatches(crops, seed=seed, jitter=run.recipe.jitter)
    run_training_loop(classifier, batches, [CropProgress(observer)], steps=STEPS, checkpoint=None, rank=SINGLE_PROCESS)
    classifier.train(mode=False)
    return classifier


def measure_accuracy(classifier: CropClassifier, crops: AttributeCrops) -> float:
    """Share of the things that are told rightly, looked at upright."""
    hits = 0
    for class_mask in crops.class_masks:
        members = np.flatnonzero(class_mask[crops.labels])
        for numbers in np.array_split(members, -(-len(members) // EVALUATION_BATCH)):
            batch = _make_batch(crops, numbers.tolist(), crops.pixels[numbers], class_mask)
            with torch.inference_mode():
                predicted = classifier(batch).argmax(-1)
            hits += int((predicted == batch["marks"]).sum())
    return hits / len(crops.labels)
