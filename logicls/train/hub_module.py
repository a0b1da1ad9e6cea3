"""The Lightning side of training an adapter: loss, optimiser, checkpoints of what is trained alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Bool, Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from logicls.io.atomic import atomic_path
from logicls.models.hub.shared_prefix import move_inputs
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.train.distributed import Rank
from logicls.train.hub_dataset import Batch
from logicls.train.lightning_module import Told
from logicls.train.metrics_log import Curve
from logicls.train.sampler import ByWeight, Resample


def answered(model: Any, batch: Batch) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Mean cross-entropy over the tokens of each answer, and whether each of them is the likeliest.

    Each example counts the same, whichever others are in its batch and however that is divided.
    """
    given = move_inputs(model, {name: value for name, value in batch.items() if name != "question"})
    labels = given.pop("labels")
    keep = int((labels != IGNORE_INDEX).sum(1).max()) + 1
    # All answers end together: logits are worked out of their places alone, each one before its token.
    logits = model(**given, use_cache=False, logits_to_keep=keep).logits[:, -keep:-1].float()
    wanted = labels[:, -keep + 1 :]
    each = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE_INDEX, reduction="none")
    known = (wanted != IGNORE_INDEX).float()
    right = ((logits.argmax(-1) == wanted) | (wanted == IGNORE_INDEX)).all(1)
    return (each.view_as(known) * known).sum(1) / known.sum(1), right


class HubTuner(lightning.LightningModule):
    """Trains the adapter of a hub model."""

    strict_loading = False  # a checkpoint holds what is trained alone

    def __init__(self, model: Any, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """`loss`, the mean of the examples'; of each its loss, whether it is right, and the number of its question."""
        # Chance depends on the step alone, so that a resumed run drops out the same.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step * 101 + number % 101)
        loss, right = answered(self.model, batch)
        each = {"question_loss": loss.detach(), "question_right": right, "question": batch["question"]}
        return {"loss": loss.mean(), **each}

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


class HubResample(Resample):
    """Resampling where each example was asked one question, and a batch comes in parts."""

    def __init__(self, draws: ByWeight, table: Curve) -> None:
        super().__init__(draws, table, Rank())
        self.parts: list[Any] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each part of a batch; a step is over when its last part is."""
        self.parts.append([outputs[name].cpu() for name in ("question", "question_loss", "question_right")])
        if len(self.parts) < trainer.accumulate_grad_batches:
            return
        asked, losses, rights = (torch.cat(some).numpy() for some in zip(*self.parts, strict=True))
        self.parts.clear()
        questions = int(self.draws.difficulty.cells.question.max()) + 1
        loss = np.full((len(asked), questions), np.nan)
        right = np.zeros(loss.shape, bool)
        loss[np.arange(len(asked)), asked], right[np.arange(len(asked)), asked] = losses, rights
        self.learned(trainer, loss, right)


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
            with atomic_path(self.path) as temporary:
                trainer.save_checkpoint(temporary)
