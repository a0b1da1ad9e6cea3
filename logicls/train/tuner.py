"""The Lightning side of training: optimiser, schedule, progress, checkpoints that a `kill -9` cannot spoil."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from logicls.jsonl import in_place_of
from logicls.models.nano import NanoForImageTextToText
from logicls.train.collate import Batch
from logicls.train.ranks import Rank

Told = Callable[[int, float], None]
"""Told of each step: its number and the loss."""


class Tuner(lightning.LightningModule):
    """Trains nano on packed questions."""

    def __init__(self, model: NanoForImageTextToText, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """`loss`, the mean over the answers, and `question_loss` and `question_right` of each, [batch questions]."""
        seed_step(self.seed, self.global_step)
        out = self.model(**batch)
        return {"loss": out.loss, "question_loss": out.question_loss, "question_right": out.question_right}

    def configure_optimizers(self) -> Any:
        """See `one_cycle`."""
        return one_cycle(self.model, steps=self.steps, lr=self.lr, weight_decay=self.weight_decay)


def seed_step(seed: int, step: int) -> None:
    """Chance in a step depends on its number alone, so that a resumed run draws the same."""
    torch.manual_seed(seed * 1_000_003 + step)


def one_cycle(model: torch.nn.Module, *, steps: int, lr: float, weight_decay: float) -> dict[str, Any]:
    """For Lightning: AdamW, no decay on vectors; one cycle up and down again."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1, pct_start=0.1)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Watch(Callback):
    """Tells the progress and keeps a resumable checkpoint, replaced atomically.

    It comes after all callbacks that have a state, so that what it keeps is as of the end of the step.
    """

    def __init__(self, path: Path, *, every: int, rank: Rank, told: Told, saved: Callable[[], None]) -> None:
        """`saved` is called when a checkpoint is on the disk. Both are, in the first process alone."""
        self.path, self.every, self.rank, self.told, self.saved = path, every, rank, told, saved

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        step = trainer.global_step
        losses = self.rank.all_of(float(outputs["loss"].detach()))
        if self.rank.is_first:
            self.told(step, sum(losses) / len(losses))
        if step % self.every == 0 and self.rank.is_first:
            with in_place_of(self.path) as temporary:
                trainer.save_checkpoint(temporary)
            self.saved()
        elif step % self.every == 0:
            trainer.save_checkpoint(self.path)  # it writes nothing, but must be there
