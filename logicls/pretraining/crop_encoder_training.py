"""Pretraining of the crop encoder: classification of small marks on rendered photos.

Its weights are a file of the base (`BACKBONE_FILE`), from which a product's model starts if its recipe sets `detail`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
from safetensors.torch import save
from torch.utils.data import IterableDataset

from logicls.io.atomic import write_bytes
from logicls.models.nano.crop_encoder import BACKBONE_FILE, normalize
from logicls.pretraining.photo_store import MarkShard
from logicls.pretraining.small_marks import mark_kinds
from logicls.train.crop_pretraining import Batch, CropClassifier
from logicls.train.distributed import ProcessRank
from logicls.train.lightning_module import CheckpointWriter, read_checkpoint_step, run_training_loop
from logicls.train.observer import StepCallback

BATCH_SIZE = 128
CONTRAST_JITTER, BRIGHTNESS_JITTER = 0.2, 0.25
"""Largest random change of contrast (a factor's distance from 1) and of brightness, in units of the network's input."""


def train_crop_encoder(
    out: Path,
    shards: Sequence[MarkShard],
    *,
    steps: int,
    width: int,
    seed: int,
    every: int,
    resume: bool,
    on_step: StepCallback,
) -> None:
    """Train for `steps` batches of 128 marks, and write `out`/look.safetensors in half precision.

    `width`: width of the model that the encoder is for; `every`: steps between checkpoints, from the last of which
    `resume` continues; `on_step` is called with each step and its loss.
    """
    lightning.seed_everything(seed, verbose=False)
    reader = CropClassifier(width, steps, seed, classes=len(mark_kinds()))
    last = out / "last_of_marks.ckpt"
    checkpoint = last if resume and last.exists() else None
    batches = MarkBatches(shards, seed, steps, read_checkpoint_step(checkpoint))
    watch = CheckpointWriter(last, every=every, rank=ProcessRank(), on_step=on_step, on_saved=lambda: None)
    run_training_loop(reader, batches, [watch], steps=steps, checkpoint=checkpoint, rank=ProcessRank())
    weights = {name: weight.half().contiguous() for name, weight in reader.backbone.state_dict().items()}
    write_bytes(out / BACKBONE_FILE, save(weights))


class MarkBatches(IterableDataset[Batch]):
    """Batches of marks, upright ones and rotated ones in turn; each depends on its number and the seed only.

    Colour channels are permuted at random, since a mark is the same in any colours.
    """

    def __init__(self, shards: Sequence[MarkShard], seed: int, steps: int, start: int = 0) -> None:
        super().__init__()
        self.shards, self.seed, self.steps, self.start = shards, seed, steps, start

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.start, self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: `pixels`, `boxes`, `marks`, and whether marks are rotated (`any_way`)."""
        rng = np.random.default_rng([self.seed, step])
        shard_numbers = rng.integers(len(self.shards), size=BATCH_SIZE)
        rows = [
            (self.shards[n], int(rng.integers(len(self.shards[n].marks) // 2)) * 2 + step % 2)
            for n in shard_numbers.tolist()
        ]
        colours = rng.permuted(np.tile(np.arange(3), (BATCH_SIZE, 1)), axis=1)
        photos = [shard.pixels[row][..., order] for (shard, row), order in zip(rows, colours, strict=True)]
        pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float()
        jitter = torch.from_numpy(
            rng.uniform(
                (-CONTRAST_JITTER, -BRIGHTNESS_JITTER), (CONTRAST_JITTER, BRIGHTNESS_JITTER), (BATCH_SIZE, 2)
            ).astype(np.float32)
        )
        gain, shift = (1 + jitter[:, 0])[:, None, None, None], jitter[:, 1][:, None, None, None]
        return {
            "pixels": normalize(pixels) * gain + shift,
            "boxes": torch.from_numpy(np.stack([shard.boxes[row] for shard, row in rows])),
            "labels": torch.from_numpy(np.array([shard.marks[row] for shard, row in rows])),
            "orientation_invariant": torch.tensor(step % 2 == 1),
        }
