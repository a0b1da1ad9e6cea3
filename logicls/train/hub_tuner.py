"""The Lightning side of training an adapter: loss, optimiser, checkpoints of what is trained alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from logicls.jsonl import in_place_of
from logicls.models.hub.branches import fitting
from logicls.models.nano.losses import IGNORED
from logicls.train.hub_examples import Batch
from logicls.train.tuner import Told


def losses(model: Any, batch: Batch) -> Float[Tensor, " batch"]:
    """Mean cross-entropy over the tokens of each answer.

    Each example counts the same, whichever others are in its batch and however that is divided.
    """
    given = fitting(model, batch)
    labels = given.pop("labels")
    keep = int((labels != IGNORED).sum(1).max()) + 1
    # All answers end together: logits are worked out of their places alone, each one before its token.
    logits = model(**given, use_cache=False, logits_to_keep=keep).logits[:, -keep:-1].float()
    wanted = labels[:, -keep + 1 :]
    each = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none")
    known = (wanted != IGNORED).float()
    return (each.view_as(known) * known).sum(1) / known.sum(1)


class HubTuner(lightning.LightningModule):
    """Trains the adapter of a hub model."""

    strict_loading = False  # a checkpoint holds what is trained alone

    def __init__(self, model: Any, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Mean loss of the batch's examples."""
        # Chance depends on the step alone, so that a resumed run drops out the same.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step * 101 + number % 101)
        return losses(self.model, batch).mean()

    def configure_optimizers(self) -> Any:
        """AdamW on what is trained; one cycle up and down again."""
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=self.lr, weight_decay=self.weight_decay, betas=(0.9, 0.98))
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.lr, total_steps=self.steps + 1, pct_start=0.1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what is frozen: it may be gigabytes, and the base model has it."""
        trained = {name for name, weight in self.named_parameters() if weight.requires_grad}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in trained}


class HubWatch(Callback):
    """Tells the progress step by step, and keeps a resumable checkpoint, replaced atomically."""

    def __init__(self, path: Path, *, every: int, told: Told) -> None:
        self.path, self.every, self.told = path, every, told
        self.parts: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each part of a batch; a step is over when its last part is."""
        parts = trainer.accumulate_grad_batches
        self.parts.append(float(outputs["loss"].detach()) * parts)  # Lightning has divided it already
        if len(self.parts) < parts:
            return
        step = trainer.global_step
        self.told(step, sum(self.parts) / parts)
        self.parts.clear()
        if step % self.every == 0:
            with in_place_of(self.path) as temporary:
                trainer.save_checkpoint(temporary)
