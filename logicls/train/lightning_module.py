"""The Lightning side of training: optimiser, schedule, progress, checkpoints that a `kill -9` cannot spoil.

The training loop: Lightning's, without what is not needed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from logicls.io.atomic import atomic_path
from logicls.models.nano import NanoForImageTextToText
from logicls.train.batching import Batch
from logicls.train.distributed import ExternalProcesses, ProcessRank
from logicls.train.observer import StepCallback


def run_training_loop(
    module: lightning.LightningModule,
    batches: Any,
    callbacks: Sequence[Callback],
    *,
    steps: int,
    checkpoint: Path | None,
    rank: ProcessRank,
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
        devices=rank.local_world_size,
        num_nodes=rank.world_size // rank.local_world_size,
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
        trainer.fit(module, DataLoader(batches, batch_size=None), ckpt_path=checkpoint, weights_only=True)


def _strategy(rank: ProcessRank) -> Any:
    """How processes share what they learn: each the mean of all gradients."""
    if rank.world_size == 1:
        return "auto"
    return DDPStrategy(cluster_environment=ExternalProcesses(rank), process_group_backend="gloo")


def read_checkpoint_step(checkpoint: Path | None) -> int:
    """Steps that were done when it was made; 0 where there is none."""
    if checkpoint is None:
        return 0
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return int(state["global_step"])


class NanoTrainingModule(lightning.LightningModule):
    """Trains nano on packed questions."""

    def __init__(self, model: NanoForImageTextToText, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """`loss`, the mean over the answers, and `question_loss` and `question_right` of each, [batch questions]."""
        seed_step(self.seed, self.global_step)
        out = self.model(**batch)
        return {"loss": out.loss, "question_loss": out.question_loss, "question_right": out.question_correct}

    def configure_optimizers(self) -> Any:
        """See `one_cycle`."""
        return configure_one_cycle(self.model, steps=self.steps, lr=self.lr, weight_decay=self.weight_decay)


def seed_step(seed: int, step: int) -> None:
    """Chance in a step depends on its number alone, so that a resumed run draws the same."""
    torch.manual_seed(seed * 1_000_003 + step)


def configure_one_cycle(model: torch.nn.Module, *, steps: int, lr: float, weight_decay: float) -> dict[str, Any]:
    """For Lightning: AdamW, no decay on vectors; one cycle up and down again."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1, pct_start=0.1)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class CheckpointWriter(Callback):
    """Tells the progress and keeps a resumable checkpoint, replaced atomically.

    It comes after all callbacks that have a state, so that what it keeps is as of the end of the step.
    """

    def __init__(
        self, path: Path, *, every: int, rank: ProcessRank, on_step: StepCallback, on_saved: Callable[[], None]
    ) -> None:
        """`saved` is called when a checkpoint is on the disk. Both are, in the first process alone."""
        self.path, self.every, self.rank, self.on_step, self.on_saved = path, every, rank, on_step, on_saved

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        step = trainer.global_step
        losses = self.rank.all_gather(float(outputs["loss"].detach()))
        if self.rank.is_first:
            self.on_step(step, sum(losses) / len(losses))
        if step % self.every == 0 and self.rank.is_first:
            with atomic_path(self.path) as temporary:
                trainer.save_checkpoint(temporary)
            self.on_saved()
        elif step % self.every == 0:
            trainer.save_checkpoint(self.path)  # it writes nothing, but must be there
