"""Early stopping: the weights that read photos best that were not learned from are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file

from logicls.io.atomic import atomic_path
from logicls.train.batching import Batch
from logicls.train.distributed import Rank
from logicls.train.metrics_log import Curve, Unwritten
from logicls.train.validation import Evaluation, answered, evaluation

HEAD = "step,loss,exact,answers"
NEVER = -1


class Best(Callback):
    """Evaluates every so many steps and at the end, keeps the best weights, and stops a run that gets no better.

    The files with weights carry their step in the name. That of the best step so far stays until a checkpoint is there
    that knows of a better one, so that whichever checkpoint a run goes on from has its best weights beside it.
    """

    def __init__(
        self,
        folder: Path,
        batches: Sequence[Batch],
        *,
        every: int,
        steps: int,
        patience: int,
        table: Curve | Unwritten,
        rank: Rank,
        say: Callable[[str], None],
    ) -> None:
        """`batches`: the share of this process of what is kept aside.

        `patience`: evaluations without a better one after which the run ends; 0 for no end before the last step.
        """
        self.folder, self.batches, self.table, self.say = folder, batches, table, say
        self.every, self.steps, self.patience, self.rank = every, steps, patience, rank
        self.step, self.score, self.waited = NEVER, float("inf"), 0
        self.spent = 0.0
        """Seconds."""

    @property
    def path(self) -> Path:
        """The best weights."""
        return self.folder / f"best-{self.step}.safetensors"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """A run that had ended early does not begin again."""
        self._perhaps_stop(trainer)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        step = trainer.global_step
        if step % self.every and step != self.steps:
            return
        began = time.perf_counter()
        found = evaluation(self.rank.all_of(answered(module.model, self.batches)))
        self.spent += time.perf_counter() - began
        self.table.add(step, found.loss, found.exact, found.answers)
        better = found.score < self.score
        self.waited = 0 if better else self.waited + 1
        self._tell(step, found, better)
        if better:
            self.step, self.score = step, found.score
            if self.rank.is_first:
                self._write(module.model)
        self._perhaps_stop(trainer)

    def _write(self, model: torch.nn.Module) -> None:
        with atomic_path(self.path) as temporary:
            save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary)

    def _perhaps_stop(self, trainer: Any) -> None:
        if self.patience and self.waited >= self.patience:
            trainer.should_stop = True

    def _tell(self, step: int, found: Evaluation, better: bool) -> None:
        beside = "best so far" if better else f"{self.step} was better"
        self.say(f"step {step}, kept aside: {found}; {beside}")
        if self.patience and self.waited >= self.patience:
            self.say(f"stopped: no better for {self.waited} evaluations")

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"step": self.step, "score": self.score, "waited": self.waited}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.step, self.score, self.waited = (state_dict[name] for name in ("step", "score", "waited"))

    def sweep(self) -> None:
        """Delete the weights of other steps than the best one; to be called when a checkpoint knows of that."""
        for path in self.folder.glob("best-*.safetensors"):
            if path != self.path:
                path.unlink()

    def restore(self, model: torch.nn.Module) -> None:
        """Give the model the best weights."""
        model.load_state_dict(load_file(self.path))
