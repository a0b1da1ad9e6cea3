"""Evaluation on the validation set and early stopping: score a model, and keep the best weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file
from torch import nn

from logicls.io.atomic import atomic_path
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.train.batching import Batch, collate
from logicls.train.distributed import ProcessRank
from logicls.train.metrics_log import MetricsLog, NullMetricsLog
from logicls.train.photo_split import Split
from logicls.train.preflight import PreflightResult

EVALUATION_SHARE = 0.07
"""Examples of an evaluation, as a share of those that are trained on between two evaluations.

Scoring an example costs about a third of a training step for it (no backward pass): evaluations take about 2 % of the
time.
"""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of a model on validation examples."""

    examples: int
    """Number of examples."""
    loss: float
    """Mean over all answers."""
    exact_match: float
    """Share of examples whose answers are all correct."""
    answer_accuracy: float
    """Share of answers that are correct."""

    @property
    def score(self) -> float:
        """Criterion of early stopping, lower is better: loss, which also measures boxes, plus 1 - exact match.

        On few examples exact match varies in large steps, and loss is dominated by confident errors: neither suffices
        alone.
        """
        return self.loss + 1 - self.exact_match

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, exact match {self.exact_match:.1%}, answer accuracy {self.answer_accuracy:.1%}"


def select_validation_examples(split: Split, *, evaluate_every: int, batch: int, seed: int) -> tuple[int, ...]:
    """Select the examples of evaluations, the same for all of them, few enough to be cheap (`EVALUATION_SHARE`)."""
    max_examples = max(int(EVALUATION_SHARE * evaluate_every * batch), 1)
    order = np.random.default_rng([seed, 19]).permutation(len(split.validation))[:max_examples]
    return tuple(split.validation[index] for index in sorted(order.tolist()))


def sample_numbers(numbers: Sequence[int], max_count: int, seed: int) -> list[int]:
    """Sample at most `max_count` of the numbers without replacement, in their order."""
    order = np.random.default_rng([seed, 23]).permutation(len(numbers))[:max_count]
    return [numbers[index] for index in sorted(order.tolist())]


def iterate_batches(
    preflight: PreflightResult, codec: NanoAnswerCodec, numbers: Sequence[int], batch: int
) -> Iterator[Batch]:
    """Collate the examples `numbers` into batches, without augmentation."""
    for start in range(0, len(numbers), batch):
        batch_numbers = list(numbers[start : start + batch])
        examples = [preflight.examples[number] for number in batch_numbers]
        yield collate(examples, preflight.pixels[batch_numbers], codec, preflight.processor.image_tokens)


QueryScores = tuple[torch.Tensor, torch.Tensor]
"""Loss and correctness of each question, [examples questions] both; the loss is nan where there is no question."""


def score_batches(model: nn.Module, batches: Sequence[Batch]) -> list[QueryScores]:
    """Compute loss and correctness of each question, batch by batch, in evaluation mode."""
    was_training, scores = model.training, []
    device = next(model.parameters()).device
    model.train(mode=False)
    with torch.no_grad():
        for batch in batches:
            outputs = model(**{key: value.to(device) for key, value in batch.items()})
            scores.append((outputs.question_loss.float().cpu(), outputs.question_correct.cpu()))
    model.train(mode=was_training)
    return scores


def aggregate_scores(parts: Sequence[Sequence[QueryScores]]) -> Evaluation:
    """Aggregate the scores of all processes."""
    scores = [batch for part in parts for batch in part]
    losses = torch.cat([loss[loss.isfinite()] for loss, _ in scores]).double()
    right = torch.cat([right[loss.isfinite()] for loss, right in scores]).double()
    exact_match = torch.cat([(is_correct | ~loss.isfinite()).all(1) for loss, is_correct in scores]).double()
    return Evaluation(len(exact_match), float(losses.mean()), float(exact_match.mean()), float(right.mean()))


HEADER = "step,loss,exact_match,answer_accuracy"
"""Columns of the log of evaluations."""
NO_STEP = -1
"""`best_step` before the first evaluation."""


class EarlyStopping(Callback):
    """Evaluates every few steps and after the last one, keeps the best weights, and ends the run early.

    File names of weights contain their step. The file of the best step is deleted only after a checkpoint that knows of
    a better one was written (`delete_stale_weights`), so that every checkpoint has its best weights beside it.
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
        """Set up the callback.

        Args:
            folder: Receives the best weights.
            batches: This process's share of the validation examples.
            evaluate_every: Steps between evaluations.
            steps: Steps of the run.
            patience: Evaluations without improvement after which the run ends; 0: never before its last step.
            log: Receives a row per evaluation.
            rank: This process.
            report: Receives lines of text for people.
        """
        # Not `log`, which Lightning overwrites in callbacks.
        self.folder, self.batches, self.metrics_log, self.report = folder, batches, log, report
        self.evaluate_every, self.steps, self.patience, self.rank = evaluate_every, steps, patience, rank
        self.best_step, self.best_score, self.stale_evaluations = NO_STEP, float("inf"), 0
        self.seconds = 0.0
        """Total time spent in evaluations."""

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, as earlier releases wrote it."""
        return "Best"

    @property
    def path(self) -> Path:
        """File of the best weights."""
        return self.folder / f"best-{self.best_step}.safetensors"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Stop at once when the resumed run had already ended early."""
        self._stop_if_exhausted(trainer)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Evaluate, if it is time, and keep the weights if they are the best."""
        step = trainer.global_step
        if step % self.evaluate_every and step != self.steps:
            return
        started = time.perf_counter()
        evaluation = aggregate_scores(self.rank.all_gather(score_batches(module.model, self.batches)))
        self.seconds += time.perf_counter() - started
        self.metrics_log.add(step, evaluation.loss, evaluation.exact_match, evaluation.answer_accuracy)
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
        comparison = "best so far" if is_better else f"step {self.best_step} was better"
        self.report(f"step {step}, validation: {evaluation}; {comparison}")
        if self.patience and self.stale_evaluations >= self.patience:
            self.report(f"stopped early: no improvement in {self.stale_evaluations} evaluations")

    def state_dict(self) -> dict[str, Any]:
        """Return the state that is stored in a checkpoint."""
        return {"step": self.best_step, "score": self.best_score, "stale_evaluations": self.stale_evaluations}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.best_step, self.best_score = state_dict["step"], state_dict["score"]
        key = "stale_evaluations" if "stale_evaluations" in state_dict else "waited"  # its name in earlier releases
        self.stale_evaluations = state_dict[key]

    def delete_stale_weights(self) -> None:
        """Delete the weights of earlier best steps; call it after a checkpoint with the current state was written."""
        for path in self.folder.glob("best-*.safetensors"):
            if path != self.path:
                path.unlink()

    def restore(self, model: torch.nn.Module) -> None:
        """Load the best weights into the model."""
        model.load_state_dict(load_file(self.path))
