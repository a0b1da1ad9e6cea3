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
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from logicls.train.ranks import Known, Rank


def run_loop(
    tuner: lightning.LightningModule,
    batches: Any,
    callbacks: Sequence[Callback],
    *,
    steps: int,
    checkpoint: Path | None,
    rank: Rank,
    parts: int = 1,
) -> None:
    """Train on the `batches`, an iterable dataset, up to step `steps`, on from the checkpoint if there is one.

    A step is taken after so many `parts` of a batch.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_steps=steps,
        accumulate_grad_batches=parts,
        accelerator="auto",
        devices=rank.near,
        num_nodes=rank.of // rank.near,
        strategy=_strategy(rank),
        use_distributed_sampler=False,  # each process takes its share itself
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


def _strategy(rank: Rank) -> Any:
    """How processes share what they learn: each the mean of all gradients."""
    if rank.of == 1:
        return "auto"
    return DDPStrategy(cluster_environment=Known(rank), process_group_backend="gloo")


def step_of(checkpoint: Path | None) -> int:
    """Steps that were done when it was made; 0 where there is none."""
    if checkpoint is None:
        return 0
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return int(state["global_step"])
