"""Difficulty-aware resampling: hard example mining combined with class balancing, without replacement.

The sampling weight of example x is

    w(x) = min(R(x) · (1 + G · D(x)), W),    G = `DIFFICULTY_GAIN` = 3,  W = `MAX_WEIGHT` = 8

with the difficulty D(x) between 0 and 1 and the repeat factor R(x) of at least 1. Weights lie between 1 and 8: an
example that cannot be learned (a wrong label) is drawn at most eight times as often as an easy one, and no example is
forgotten.

*Difficulty.* Errors are tracked by stratum, a query together with its true answer: `locate:tablet` with five boxes is a
stratum, and so is `attribute:liquid.colour` with red. Many examples share a stratum, so that its running error is known
after few steps, for examples that were not drawn yet as well, and one wrong label cannot raise an example's weight by
itself.

- e(s) and l(s): exponential moving averages of error rate and loss over the answers of stratum s, with decay `DECAY`
  per answer. A stratum without answers has e = 1 and the mean loss of its query kind.
- d(s) = e(s) / 2 + l(s) / (l(s) + L) / 2, with L the mean of l over the strata of the same query kind (locate,
  attribute, verdict), as losses of boxes and of words are not comparable.
- D(x) = (mean of d(s)^p over the strata s of x)^(1/p), p = `NORM_ORDER` = 4: a generalised mean, between the mean, in
  which one hard question among many easy ones vanishes, and the maximum, in which one that is hard on every photo hides
  the others.

*Class balancing.* R(x) = max over the classes k of x of clip(sqrt(m / f(k)), 1, `MAX_REPEAT_FACTOR`). Classes are the
violations of an example, or none; f(k) is the share of examples with class k, m its median over the violations. f · R
grows with f: rarity alone never makes a rare class more frequent than a common one.

Sources: loss-proportional sampling with a floor as in prioritised experience replay (Schaul et al. 2016, arXiv
1511.05952, section 3.3, equation 1), which is used here without importance weights, as the shift of the distribution is
intended; online hard example mining (Shrivastava et al. 2016, arXiv 1604.03540); repeat factor sampling (Gupta et al.
2019, LVIS, arXiv 1908.03195, appendix B.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.families.angles import round_to_option
from logicls.train.distributed import ProcessRank
from logicls.train.metrics_log import MetricsLog, NullMetricsLog, plot_by_class
from logicls.train.preflight import select_epoch_batch

DECAY = 0.98
"""Decay of running means per answer; their memory is about fifty answers."""
NORM_ORDER = 4
DIFFICULTY_GAIN = 3.0
MAX_REPEAT_FACTOR = 4.0
MAX_WEIGHT = 8.0
"""p, G, the upper limit of R, and W of the formula above."""
NO_VIOLATION = "none"
"""Class of an example without a violation."""
STRATUM_COLUMNS = ("queries", "values", "boxes")
"""Columns of a row that its strata are made of."""


@dataclass(frozen=True, slots=True)
class Strata:
    """Strata of every answer in the dataset, and classes of every example, in compressed sparse row format."""

    names: tuple[str, ...]
    """Query and answer of each stratum."""
    query_kinds: Int[np.ndarray, " strata"]
    """Number of each stratum's query kind."""
    offsets: Int[np.ndarray, " examples_plus_1"]
    """First entry of each example in `stratum` and `question`; the last offset is the number of entries."""
    stratum: Int[np.ndarray, " entries"]
    """Stratum of each entry."""
    question: Int[np.ndarray, " entries"]
    """Number of each entry's question in its example."""
    classes: tuple[str, ...]
    """Violations in the dataset, sorted; `none` is the last class."""
    has_class: Bool[np.ndarray, "examples classes"]
    """Class membership of each example."""

    def entries(self, numbers: Sequence[int]) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]:
        """Return the entries of the examples `numbers`, and for each entry the position of its example in `numbers`."""
        spans = [np.arange(self.offsets[number], self.offsets[number + 1]) for number in numbers]
        return np.concatenate(spans), np.repeat(np.arange(len(spans)), list(map(len, spans)))


def build_strata(rows: Iterable[Mapping[str, Any]]) -> Strata:
    """Build the strata of a dataset's rows, which need `STRATUM_COLUMNS`."""
    names: dict[str, int] = {}
    kind_numbers: dict[str, int] = {}
    entries: list[tuple[int, int]] = []
    offsets, violations, query_kinds = [0], [], []
    for row in rows:
        answers = zip(row["queries"], row["values"], row["boxes"], strict=True)
        for question, (query, values, boxes) in enumerate(answers):
            for name in _name_strata(query, values, boxes):
                if name not in names:
                    names[name] = len(names)
                    query_kinds.append(kind_numbers.setdefault(query.partition(":")[0], len(kind_numbers)))
                entries.append((names[name], question))
        offsets.append(len(entries))
        violations.append(
            tuple(dict(zip(row["queries"], row["values"], strict=True)).get(VERDICT, ())) or (NO_VIOLATION,)
        )
    classes = (
        *sorted({name for names_of_example in violations for name in names_of_example} - {NO_VIOLATION}),
        NO_VIOLATION,
    )
    has_class = np.array([[class_ in names_of_example for class_ in classes] for names_of_example in violations])
    stratum, numbers = np.array(entries).T
    return Strata(tuple(names), np.array(query_kinds), np.array(offsets), stratum, numbers, classes, has_class)


def _name_strata(query: str, values: Sequence[str], boxes: Sequence[object]) -> list[str]:
    """Name the strata of an answer: one, or one for each distinct value."""
    if query.startswith("locate:"):
        return [f"{query} = {len(boxes)}"]
    if query.startswith("orientation:"):
        values = [round_to_option(value) for value in values]
    return [f"{query} = {value}" for value in sorted(set(values)) or [NO_VIOLATION]]


class RunningStatistics:
    """Exponential moving averages of error rate and loss of numbered items; each answer has the same weight."""

    def __init__(self, count: int) -> None:
        self.error: Float[np.ndarray, " items"] = np.ones(count)
        self.loss: Float[np.ndarray, " items"] = np.zeros(count)
        self.observed: Float[np.ndarray, " items"] = np.zeros(count)
        """Total weight of the answers in a mean: 0 before the first, near 1 after some hundred."""

    def add(
        self,
        items: Int[np.ndarray, " answers"],
        loss: Float[np.ndarray, " answers"],
        wrong: Float[np.ndarray, " answers"],
    ) -> None:
        """Add answers: the item, the loss and the error (0 or 1) of each."""
        count = np.bincount(items, minlength=len(self.observed))
        retained = DECAY**count
        for mean, new in ((self.error, wrong), (self.loss, loss)):
            sums = np.bincount(items, new, minlength=len(count))
            mean *= retained
            mean += (1 - retained) * sums / np.maximum(count, 1)
        self.observed *= retained
        self.observed += 1 - retained

    @property
    def mean_loss(self) -> Float[np.ndarray, " items"]:
        """Bias-corrected mean loss; nan for items without an answer."""
        mean: np.ndarray = np.divide(
            self.loss, self.observed, out=np.full_like(self.loss, np.nan), where=self.observed > 0
        )
        return mean

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the state that is stored in a checkpoint."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in ("error", "loss", "observed")}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the state from a checkpoint."""
        for name, old in (("error", "error"), ("loss", "loss"), ("observed", "seen")):
            getattr(self, name)[:] = _read(state, name, old).numpy()


class DifficultyTracker:
    """Running errors of strata and classes, and the sampling weights that follow from them."""

    def __init__(self, strata: Strata, train: Sequence[int]) -> None:
        """Track the answers to `strata`; class frequencies are those of the training examples `train`."""
        self.strata = strata
        self.by_stratum, self.by_class = RunningStatistics(len(strata.names)), RunningStatistics(len(strata.classes))
        factors = compute_repeat_factors(strata.has_class[list(train)])
        self.repeat_factor = np.where(strata.has_class, factors, 1.0).max(1)

    def add(
        self,
        numbers: Sequence[int],
        loss: Float[np.ndarray, "batch questions"],
        is_correct: Bool[np.ndarray, "batch questions"],
    ) -> None:
        """Add the answers to examples: loss and correctness of each question; non-finite losses are ignored."""
        entry, row = self.strata.entries(numbers)
        losses, wrong = (array[row, self.strata.question[entry]].astype(float) for array in (loss, ~is_correct))
        is_finite = np.isfinite(losses)
        self.by_stratum.add(self.strata.stratum[entry][is_finite], losses[is_finite], wrong[is_finite])
        is_queried = np.isfinite(loss)
        has_answer = is_queried.any(1)
        has_error = (is_queried & ~is_correct).any(1).astype(float)
        mean = np.where(is_queried, loss, 0.0).sum(1) / np.maximum(is_queried.sum(1), 1)
        example, class_ = (self.strata.has_class[list(numbers)] & has_answer[:, None]).nonzero()
        self.by_class.add(class_, mean[example].astype(float), has_error[example])

    def compute_difficulty(self) -> Float[np.ndarray, " strata"]:
        """Compute d(s) of each stratum, between 0 and 1."""
        loss, query_kinds = self.by_stratum.mean_loss, self.strata.query_kinds
        is_estimated = np.isfinite(loss)
        count = np.bincount(query_kinds[is_estimated], minlength=query_kinds.max() + 1)
        mean_by_kind = np.bincount(query_kinds[is_estimated], loss[is_estimated], minlength=len(count)) / np.maximum(
            count, 1
        )
        typical = mean_by_kind[query_kinds]
        stratum_loss = np.where(is_estimated, loss, typical)
        share: np.ndarray = np.divide(
            stratum_loss, stratum_loss + typical, out=np.full_like(stratum_loss, 0.5), where=stratum_loss + typical > 0
        )
        return 0.5 * self.by_stratum.error + 0.5 * share

    def compute_weights(self) -> Float[np.ndarray, " examples"]:
        """Compute w(x) of each example, between 1 and 8."""
        powers = (self.compute_difficulty() ** NORM_ORDER)[self.strata.stratum]
        difficulty = (np.add.reduceat(powers, self.strata.offsets[:-1]) / np.diff(self.strata.offsets)) ** (
            1 / NORM_ORDER
        )
        return np.asarray(np.minimum(self.repeat_factor * (1 + DIFFICULTY_GAIN * difficulty), MAX_WEIGHT))

    def state_dict(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return the state that is stored in a checkpoint."""
        return {"strata": self.by_stratum.state_dict(), "classes": self.by_class.state_dict()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Restore the state from a checkpoint."""
        self.by_stratum.load_state_dict(_read(state, "strata", "cells"))
        self.by_class.load_state_dict(_read(state, "classes", "kinds"))


def compute_repeat_factors(has_class: Bool[np.ndarray, "examples classes"]) -> Float[np.ndarray, " classes"]:
    """Compute the repeat factor of each class; 1 for `none`, the last class, and for classes without an example."""
    share = has_class.mean(0)
    violations = share[:-1][share[:-1] > 0]
    if not len(violations):
        return np.ones(has_class.shape[1])
    factor = np.sqrt(np.median(violations) / np.where(share > 0, share, 1.0))
    factor[-1] = 1.0
    return np.asarray(np.clip(factor, 1.0, MAX_REPEAT_FACTOR))


StepSampler = Callable[[int], list[int]]
"""Returns the numbers of the examples of a step, which is counted from 0."""
BLOCK_STEPS = 10
"""Steps that are planned together, with the same weights."""
LOOKAHEAD = 2
"""Steps before a block at which it is planned, as the loader takes a batch during the step before it.

Larger where batches are prefetched further ahead, but smaller than a block.
"""


class UniformSampler:
    """Sampler without replacement: each epoch is a random permutation that depends on its number and the seed."""

    def __init__(self, train: Sequence[int], *, batch: int, seed: int) -> None:
        self.train, self.batch, self.seed = train, batch, seed

    def __call__(self, step: int) -> list[int]:
        """Return the numbers of the examples of a step."""
        return [self.train[index] for index in select_epoch_batch(step, len(self.train), self.batch, self.seed)]


class DifficultySampler:
    """Sampler with frequencies proportional to the weights, at distances that are as even as possible.

    Stride scheduling (Waldspurger and Weihl 1995), with credits, as weights change: an example's credit grows by its
    expected count, batch · w / Σw, with each step; a step takes the examples with the most credit, and each of them
    pays 1. A random number below 1, drawn anew at each payment, breaks ties and mixes the batches. With equal weights
    each example is drawn about once per epoch, as in a permutation; independent draws would leave out a third of the
    examples.

    Samples depend on step, seed and the results passed to `add`, all of which are in the state. Results must be added
    step by step; a step can be requested once the results of the step `lookahead` before it were added.
    """

    def __init__(
        self, difficulty: DifficultyTracker, train: Sequence[int], *, batch: int, seed: int, lookahead: int = LOOKAHEAD
    ) -> None:
        self.difficulty, self.train, self.batch, self.seed = difficulty, np.array(train), batch, seed
        self.lookahead = lookahead
        self.credit = np.zeros(len(train))
        self.tie_break = np.random.default_rng([seed, 11]).random(len(train))
        self.planned: dict[int, list[int]] = {}
        """Examples by step, for planned steps without results."""
        self._plan(0)

    def __call__(self, step: int) -> list[int]:
        """Return the numbers of the examples of a step. Raises `KeyError` where it is not planned yet."""
        return self.planned[step]

    def add(self, step: int, loss: np.ndarray, is_correct: np.ndarray) -> None:
        """Add the results of a step, [batch questions] both, in the order of its examples."""
        self.difficulty.add(self.planned.pop(step), loss, is_correct)
        if (step + self.lookahead) % BLOCK_STEPS == 0:
            self._plan(step + self.lookahead)

    def _plan(self, first: int) -> None:
        """Select the examples of a block of steps."""
        weights = self.difficulty.compute_weights()[self.train]
        share = weights / weights.sum() * self.batch
        for step in range(first, first + BLOCK_STEPS):
            rng = np.random.default_rng([self.seed, step, 13])
            self.credit += share
            self.planned[step] = [int(number) for number in self.train[self._select(rng)]]

    def _select(self, rng: np.random.Generator) -> np.ndarray:
        """Select the positions with the most credit, which pay for it."""
        selected: list[np.ndarray] = []
        missing = self.batch
        while missing:
            count = min(missing, len(self.credit))
            highest = np.argsort(-self.credit - self.tie_break, kind="stable")[:count]
            self.credit[highest] -= 1
            self.tie_break[highest] = rng.random(count)
            selected.append(highest)
            missing -= count
        return np.concatenate(selected)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that is stored in a checkpoint."""
        steps = {str(step): torch.tensor(numbers) for step, numbers in self.planned.items()}
        credit = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("credit", "tie_break")}
        return {**credit, "planned": steps, "difficulty": self.difficulty.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.credit = state["credit"].numpy().copy()
        self.tie_break = _read(state, "tie_break", "chance").numpy().copy()
        self.planned = {int(step): numbers.tolist() for step, numbers in state["planned"].items()}
        self.difficulty.load_state_dict(state["difficulty"])


HEADER = "step,class,mean_weight,sampled_share,error_rate,loss"
"""Columns of difficulty.csv."""


class ResamplingCallback(Callback):
    """Passes the results of each step to the sampler, and logs a row per class every few steps.

    Columns, over the examples of a class: `mean_weight`; `sampled_share`, their share of the samples since the previous
    row; `error_rate`, the running share of examples with a wrong answer; `loss`, the running mean.
    """

    def __init__(self, sampler: DifficultySampler, log: MetricsLog | NullMetricsLog, rank: ProcessRank) -> None:
        # Not `log`, which Lightning overwrites in callbacks.
        self.sampler, self.metrics_log, self.rank = sampler, log, rank
        self.sampled: Counter[int] = Counter()
        """Number of times each example was sampled since the last row."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Gather the results of a step from all processes."""
        count = len(self.rank.shard(self.sampler(trainer.global_step - 1)))
        loss, is_correct = (
            outputs[name][:count].detach().float().cpu() for name in ("question_loss", "question_correct")
        )
        self.update(trainer, *interleave(self.rank.all_gather((loss, is_correct))))

    def update(
        self, trainer: Any, loss: Float[np.ndarray, "batch questions"], is_correct: Bool[np.ndarray, "batch questions"]
    ) -> None:
        """Add the results of the finished step; losses are nan where a question was not asked."""
        step = trainer.global_step - 1
        self.sampled.update(self.sampler(step))
        self.sampler.add(step, loss, is_correct)
        if trainer.global_step % BLOCK_STEPS == 0 or trainer.global_step == trainer.max_steps:
            self._log_classes(trainer.global_step)

    def _log_classes(self, step: int) -> None:
        """Write a row for each class."""
        difficulty = self.sampler.difficulty
        weights, has_class, by_class = difficulty.compute_weights(), difficulty.strata.has_class, difficulty.by_class
        loss = by_class.mean_loss
        for number, class_ in enumerate(difficulty.strata.classes):
            members = has_class[:, number]
            share = sum(count for example, count in self.sampled.items() if members[example]) / self.sampled.total()
            mean = float(weights[members].mean()) if members.any() else 0.0
            self.metrics_log.add(step, class_, mean, share, float(by_class.error[number]), float(loss[number]))
        self.sampled.clear()

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, as earlier releases wrote it."""
        return "Resample"

    def state_dict(self) -> dict[str, Any]:
        """Return the state that is stored in a checkpoint."""
        return {"sampler": self.sampler.state_dict(), "sampled": dict(self.sampled)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.sampler.load_state_dict(_read(state_dict, "sampler", "draws"))
        self.sampled = Counter(_read(state_dict, "sampled", "drawn"))


def _read(state: Mapping[str, Any], name: str, old: str) -> Any:
    """Read an entry of a checkpoint by its name, or by the one that earlier releases wrote."""
    return state[name] if name in state else state[old]


def interleave(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """Merge losses and correctness [batch questions] of n processes, each with every n-th example of the batch."""
    count = sum(len(loss) for loss, _ in parts)
    losses = np.full((count, max(loss.shape[1] for loss, _ in parts)), np.nan)
    is_correct = np.zeros(losses.shape, bool)
    for number, (loss, correct) in enumerate(parts):
        losses[number :: len(parts), : loss.shape[1]] = loss.numpy()
        is_correct[number :: len(parts), : loss.shape[1]] = correct.numpy() > 0
    return losses, is_correct


def plot_difficulty(path: Path, out: Path) -> None:
    """Plot weight, share of samples and error rate of each class over the steps, as a PNG."""
    panels = [("mean_weight", "mean weight"), ("sampled_share", "share of samples"), ("error_rate", "error rate")]
    plot_by_class(path, out, panels)
