"""Lightning module and callbacks for LoRA fine-tuning: loss, optimizer, checkpoints of the trained weights alone."""

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
from logicls.models.hub.protocols import CallableHubModel, HubModel
from logicls.models.hub.shared_prefix import move_inputs
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.train.distributed import ProcessRank
from logicls.train.hub_dataset import Batch
from logicls.train.metrics_log import MetricsLog
from logicls.train.observer import StepCallback
from logicls.train.sampler import DifficultySampler, ResamplingCallback


def score_answers(model: CallableHubModel, batch: Batch) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Compute the mean cross-entropy over the tokens of each answer, and whether each token is the likeliest one.

    Each example has the same weight, whichever others are in its batch and however the batch is split.
    """
    inputs = move_inputs(model, {name: value for name, value in batch.items() if name != "question"})
    labels = inputs.pop("labels")
    keep = int((labels != IGNORE_INDEX).sum(1).max()) + 1
    # All answers end together: logits are worked out of their places alone, each one before its token.
    logits = model(**inputs, use_cache=False, logits_to_keep=keep).logits[:, -keep:-1].float()
    targets = labels[:, -keep + 1 :]
    token_loss = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    is_answer = (targets != IGNORE_INDEX).float()
    is_correct = ((logits.argmax(-1) == targets) | (targets == IGNORE_INDEX)).all(1)
    return (token_loss.view_as(is_answer) * is_answer).sum(1) / is_answer.sum(1), is_correct


class HubTrainingModule(lightning.LightningModule):
    """Training of a hub model's adapter."""

    strict_loading = False  # a checkpoint holds what is trained alone

    def __init__(self, model: HubModel, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Return `loss`, the mean over the examples; and each example's loss, correctness and question number."""
        # Chance depends on the step alone, so that a resumed run drops out the same.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step * 101 + number % 101)
        loss, is_correct = score_answers(self.model, batch)
        details = {"question_loss": loss.detach(), "question_correct": is_correct, "question": batch["question"]}
        return {"loss": loss.mean(), **details}

    def configure_optimizers(self) -> Any:
        """Configure AdamW on the trained weights with the one-cycle policy (see `configure_one_cycle`)."""
        parameters = [weight for weight in self.model.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay, betas=(0.9, 0.98))
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.lr, total_steps=self.steps + 1, pct_start=0.1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remove frozen weights from the checkpoint: they may take gigabytes, and the base model has them."""
        names = {name for name, weight in self.named_parameters() if weight.requires_grad}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in names}


class HubResamplingCallback(ResamplingCallback):
    """Resampling where each example was asked one question, and a batch comes in parts."""

    def __init__(self, sampler: DifficultySampler, log: MetricsLog) -> None:
        super().__init__(sampler, log, ProcessRank())
        self.parts: list[Any] = []

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, as earlier releases wrote it."""
        return "HubResample"

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect a part's results; update the sampler when the last part of a step is done."""
        self.parts.append([outputs[name].cpu() for name in ("question", "question_loss", "question_correct")])
        if len(self.parts) < trainer.accumulate_grad_batches:
            return
        question_numbers, losses, rights = (torch.cat(part).numpy() for part in zip(*self.parts, strict=True))
        self.parts.clear()
        questions = int(self.sampler.difficulty.strata.question.max()) + 1
        loss = np.full((len(question_numbers), questions), np.nan)
        right = np.zeros(loss.shape, bool)
        (
            loss[np.arange(len(question_numbers)), question_numbers],
            right[np.arange(len(question_numbers)), question_numbers],
        ) = losses, rights
        self.update(trainer, loss, right)


class HubCheckpointWriter(Callback):
    """Notifies of each step, and writes a checkpoint every few steps that replaces the previous one atomically."""

    def __init__(self, path: Path, *, every: int, on_step: StepCallback) -> None:
        self.path, self.every, self.on_step = path, every, on_step
        self.parts: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect a part's loss; notify and write when the last part of a step is done."""
        part_count = trainer.accumulate_grad_batches
        self.parts.append(float(outputs["loss"].detach()) * part_count)  # Lightning has divided it already
        if len(self.parts) < part_count:
            return
        step = trainer.global_step
        self.on_step(step, sum(self.parts) / part_count)
        self.parts.clear()
        if step % self.every == 0:
            with atomic_path(self.path) as temporary:
                trainer.save_checkpoint(temporary)
