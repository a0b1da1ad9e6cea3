"""Difficulty-aware resampling as a part of the training loop: what each step says goes into the next draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from logicls.train.curve import Curve, Unwritten, plot_kinds
from logicls.train.draws import BLOCK, ByWeight
from logicls.train.ranks import Rank

HEAD = "step,kind,weight,drawn,inexact,loss"


class Resample(Callback):
    """Tells the draws what came of each step; writes a row a kind every few steps.

    In the table, of the examples of each kind: `weight`, the mean; `drawn`, their share of the draws since the row
    before; `inexact`, the running share of those with a wrong answer among all; `loss`, running.
    """

    def __init__(self, draws: ByWeight, table: Curve | Unwritten, rank: Rank) -> None:
        self.draws, self.table, self.rank = draws, table, rank
        self.drawn: Counter[int] = Counter()
        """Example → how often it was drawn since the last row."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        mine = len(self.rank.mine(self.draws(trainer.global_step - 1)))
        loss, right = (outputs[name][:mine].detach().float().cpu() for name in ("question_loss", "question_right"))
        self.learned(trainer, *woven(self.rank.all_of((loss, right))))

    def learned(
        self, trainer: Any, loss: Float[np.ndarray, "batch questions"], right: Bool[np.ndarray, "batch questions"]
    ) -> None:
        """What came of the step that ended; nan where a question was not asked."""
        step = trainer.global_step - 1
        self.drawn.update(self.draws(step))
        self.draws.add(step, loss, right)
        if trainer.global_step % BLOCK == 0 or trainer.global_step == trainer.max_steps:
            self._tell(trainer.global_step)

    def _tell(self, step: int) -> None:
        difficulty = self.draws.difficulty
        weights, is_of, running = difficulty.weights(), difficulty.cells.is_of, difficulty.by_kind
        loss = running.mean_loss
        for number, kind in enumerate(difficulty.cells.kinds):
            mine = is_of[:, number]
            drawn = sum(count for example, count in self.drawn.items() if mine[example]) / self.drawn.total()
            mean = float(weights[mine].mean()) if mine.any() else 0.0
            self.table.add(step, kind, mean, drawn, float(running.error[number]), float(loss[number]))
        self.drawn.clear()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"draws": self.draws.state(), "drawn": dict(self.drawn)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.draws.restore(state_dict["draws"])
        self.drawn = Counter(state_dict["drawn"])


def woven(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """Loss and rightness of the questions of a batch [batch questions] of which each process has every so-manieth."""
    count = sum(len(loss) for loss, _ in parts)
    losses = np.full((count, max(loss.shape[1] for loss, _ in parts)), np.nan)
    right = np.zeros(losses.shape, bool)
    for number, (loss, mine) in enumerate(parts):
        losses[number :: len(parts), : loss.shape[1]] = loss.numpy()
        right[number :: len(parts), : loss.shape[1]] = mine.numpy() > 0
    return losses, right


def plot_difficulty(path: Path, out: Path) -> None:
    """Draw how hard each kind was and how often it was drawn, over the steps, as a PNG."""
    titles = [("weight", "mean weight"), ("drawn", "share of the draws"), ("inexact", "share with a wrong answer")]
    plot_kinds(path, out, titles)
