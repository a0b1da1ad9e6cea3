"""The training loop: Lightning's, without what is not needed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from logicls.train.tuner import Tuner


def run_loop(tuner: Tuner, batches: Any, callbacks: Sequence[Callback], *, steps: int, checkpoint: Path | None) -> None:
    """Train on the `batches`, an iterable dataset, up to step `steps`, on from the checkpoint if there is one."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="auto",
        devices=1,
        gradient_clip_val=1.0,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=r".*IterableDataset.*")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        trainer.fit(tuner, DataLoader(batches, batch_size=None), ckpt_path=checkpoint, weights_only=True)


def step_of(checkpoint: Path | None) -> int:
    """Steps that were done when it was made; 0 where there is none."""
    if checkpoint is None:
        return 0
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return int(state["global_step"])
