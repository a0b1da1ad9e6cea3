"""Lightning modules and loop: optimizer, one-cycle schedule, and checkpoints that are replaced atomically."""

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
from logicls.train.metrics_log import StepCallback


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
    """Train until step `steps` with gradients clipped at norm 1.

    Args:
        module: Computes loss, optimizer and schedule.
        batches: An iterable dataset of batches.
        callbacks: Called in this order; the checkpoint writer is last.
        steps: Number of the last step.
        checkpoint: Checkpoint to resume from; None: from the beginning.
        rank: This process.
        parts: Gradient accumulation: batches per optimizer step.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_steps=steps,
        accumulate_grad_batches=parts,
        accelerator="auto",
        devices=rank.local_world_size,
        num_nodes=rank.world_size // rank.local_world_size,
        strategy=_make_strategy(rank),
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


def _make_strategy(rank: ProcessRank) -> Any:
    """Return Lightning's strategy: gradients are averaged over the processes (DistributedDataParallel over gloo)."""
    if rank.world_size == 1:
        return "auto"
    return DDPStrategy(cluster_environment=ExternalProcesses(rank), process_group_backend="gloo")


def read_checkpoint_step(checkpoint: Path | None) -> int:
    """Read the number of finished steps from a checkpoint; 0 without one."""
    if checkpoint is None:
        return 0
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return int(state["global_step"])


class NanoTrainingModule(lightning.LightningModule):
    """Training of nano on packed questions (`logicls.train.batching`)."""

    def __init__(self, model: NanoForImageTextToText, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, _: int) -> dict[str, Tensor]:
        """Return `loss`, the weighted mean over answers; `question_loss`, `question_correct` [batch questions]."""
        seed_step(self.seed, self.global_step)
        out = self.model(**batch)
        return {"loss": out.loss, "question_loss": out.question_loss, "question_correct": out.question_correct}

    def configure_optimizers(self) -> Any:
        """Return optimizer and schedule (see `configure_one_cycle`)."""
        return configure_one_cycle(self.model, steps=self.steps, lr=self.lr, weight_decay=self.weight_decay)


def seed_step(seed: int, step: int) -> None:
    """Seed torch for a step. Random draws depend on the step alone, so that a resumed run repeats them."""
    torch.manual_seed(seed * 1_000_003 + step)


def configure_one_cycle(model: torch.nn.Module, *, steps: int, lr: float, weight_decay: float) -> dict[str, Any]:
    """Configure AdamW with the one-cycle policy, as Lightning expects it.

    The learning rate rises to `lr` over the first tenth of the steps and falls to nearly 0 over the rest (Smith and
    Topin 2018, "Super-Convergence", arXiv 1708.07120, section 3; torch's `OneCycleLR` with cosine annealing). Weight
    decay applies to matrices only, not to biases and norms. AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101,
    algorithm 2.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1, pct_start=0.1)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class CheckpointWriter(Callback):
    """Notifies of each step, and writes a checkpoint every few steps that replaces the previous one atomically.

    It must come after all callbacks that have a state, so that the checkpoint holds their state at the end of the step.
    """

    def __init__(
        self, path: Path, *, every: int, rank: ProcessRank, on_step: StepCallback, on_saved: Callable[[], None]
    ) -> None:
        """Set up the callback.

        Args:
            path: File of the checkpoint.
            every: Steps between checkpoints.
            rank: This process; the first one calls `on_step` and `on_saved`.
            on_step: Called after each step with its mean loss.
            on_saved: Called when a checkpoint is on disk.
        """
        self.path, self.every, self.rank, self.on_step, self.on_saved = path, every, rank, on_step, on_saved

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Notify of the step, and write a checkpoint if it is time."""
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
