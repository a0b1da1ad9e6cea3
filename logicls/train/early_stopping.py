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
from logicls.train.distributed import ProcessRank
from logicls.train.metrics_log import MetricsLog, NullMetricsLog
from logicls.train.validation import Evaluation, score_batches, aggregate_scores

HEADER = "step,loss,exact,answers"
NO_STEP = -1


class EarlyStopping(Callback):
    """Evaluates every so many steps and at the end, keeps the best weights, and stops a run that gets no better.

    The files with weights carry their step in the name. That of the best step so far stays until a checkpoint is there
    that knows of a better one, so that whichever checkpoint a run goes on from has its best weights beside it.
    """

    def __init__(
        self,
        folder: Path,
        batches: Sequence[Batch],
        *,
        evaluate_every: int,
        steps: int,
        patience: int,
        log: MetricsLog | NullMetricsLog,
        rank: ProcessRank,
        report: Callable[[str], None],
    ) -> None:
        """`batches`: the share of this process of what is kept aside.

        `patience`: evaluations without a better one after which the run ends; 0 for no end before the last step.
        """
        self.folder, self.batches, self.log, self.report = folder, batches, log, report
        self.evaluate_every, self.steps, self.patience, self.rank = evaluate_every, steps, patience, rank
        self.best_step, self.best_score, self.stale_evaluations = NO_STEP, float("inf"), 0
        self.seconds = 0.0
        """Seconds."""

    @property
    def path(self) -> Path:
        """The best weights."""
        return self.folder / f"best-{self.best_step}.safetensors"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """A run that had ended early does not begin again."""
        self._stop_if_exhausted(trainer)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        step = trainer.global_step
        if step % self.evaluate_every and step != self.steps:
            return
        started = time.perf_counter()
        evaluation = aggregate_scores(self.rank.all_gather(score_batches(module.model, self.batches)))
        self.seconds += time.perf_counter() - started
        self.log.add(step, evaluation.loss, evaluation.exact_match, evaluation.answer_accuracy)
        is_better = evaluation.score < self.best_score
        self.stale_evaluations = 0 if is_better else self.stale_evaluations + 1
        self._report(step, evaluation, is_better)
        if is_better:
            self.best_step, self.best_score = step, evaluation.score
            if self.rank.is_first:
                self._write(module.model)
        self._stop_if_exhausted(trainer)

    def _write(self, model: torch.nn.Module) -> None:
        with atomic_path(self.path) as temporary:
            save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary)

    def _stop_if_exhausted(self, trainer: Any) -> None:
        if self.patience and self.stale_evaluations >= self.patience:
            trainer.should_stop = True

    def _report(self, step: int, evaluation: Evaluation, is_better: bool) -> None:
        comparison = "best so far" if is_better else f"{self.best_step} was better"
        self.report(f"step {step}, kept aside: {evaluation}; {comparison}")
        if self.patience and self.stale_evaluations >= self.patience:
            self.report(f"stopped: no better for {self.stale_evaluations} evaluations")

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"step": self.best_step, "score": self.best_score, "waited": self.stale_evaluations}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.best_step, self.best_score, self.stale_evaluations = (
            state_dict[name] for name in ("step", "score", "waited")
        )

    def delete_stale_weights(self) -> None:
        """Delete the weights of other steps than the best one; to be called when a checkpoint knows of that."""
        for path in self.folder.glob("best-*.safetensors"):
            if path != self.path:
                path.unlink()

    def restore(self, model: torch.nn.Module) -> None:
        """Give the model the best weights."""
        model.load_state_dict(load_file(self.path))
