"""How hard each example is at the moment, and how much more often than an easy one it is therefore drawn.

Errors are kept by *cell*, a question and the answer that it has: `locate:tablet` with five boxes is a cell, and so is
`attribute:liquid.colour` with red. A cell is seen in many examples, so that its running error is known after few steps,
also for examples that were not drawn yet, and one example with a wrong label cannot raise itself above its like.

- e(c), running share of wrong answers, and l(c), running loss: exponential averages over the answers of cell c, each
  new one weighing 1 - `MEMORY`. What was never seen counts as wrong, with the mean loss of its kind of question.
- d(c) = e/2 + l / (l + L) / 2 with L the mean of l over the cells of the same kind of question (locate, attribute,
  verdict), for boxes have another loss than words. Between 0 and 1.
- D(x) = (mean of d(c)^4 over the cells of example x)^(1/4). One hard question among many easy ones counts more than in
  their mean, and a question that is hard on every photo does not hide the others, as in their maximum.
- R(x) = min(max(1, sqrt(m / f(k))), 4), the highest among the kinds k of x: the violations that it has, or none. f(k)
  is a kind's share of the examples, m the median share of the violations.
- weight(x) = min(R(x) · (1 + 3 · D(x)), 8).

Weights lie between 1 and 8, so that what cannot be learned is drawn at most eight times as often as what is known by
heart, and nothing is forgotten. The rarity is bounded by itself: f · R grows with f, so that no rare kind comes more
often than a common one for its rarity alone.

Sources: prioritised replay (Schaul et al. 2016, section 3.3: sampling by the last error, with a floor); repeat factors
(Gupta et al. 2019, LVIS, appendix B.2: the square root of rarity, the highest factor of a picture's categories).

Which examples a step takes: each as often as any other, or as often as its weight says.

Difficulty-aware resampling as a part of the training loop: what each step says goes into the next draws.
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
from logicls.train.distributed import ProcessRank
from logicls.train.metrics_log import MetricsLog, NullMetricsLog, plot_by_class
from logicls.train.preflight import select_epoch_batch

DECAY = 0.98
"""What is left of a running mean after one more answer: it reaches back about fifty."""
NORM_ORDER = 4
DIFFICULTY_GAIN = 3.0
MAX_REPEAT_FACTOR = 4.0
MAX_WEIGHT = 8.0
NO_VIOLATION = "none"
"""The kind of an example without a violation."""
STRATUM_COLUMNS = ("queries", "values", "boxes")
"""Of a row: what its cells are made of."""


@dataclass(frozen=True, slots=True)
class Strata:
    """Which cells the answers of each example belong to, and of which kinds it is."""

    names: tuple[str, ...]
    query_kinds: Int[np.ndarray, " cells"]
    """Number of the kind of question of each cell."""
    offsets: Int[np.ndarray, " ends"]
    """Where the entries of each example begin in `cell` and `question`; one more at the end."""
    stratum: Int[np.ndarray, " entries"]
    question: Int[np.ndarray, " entries"]
    """Number of the question in its example."""
    classes: tuple[str, ...]
    """Those that an example has, sorted; `none` is the last one."""
    has_class: Bool[np.ndarray, "examples kinds"]

    def entries(self, numbers: Sequence[int]) -> tuple[Int[np.ndarray, " some"], Int[np.ndarray, " some"]]:
        """Entries of those examples, and of each the place of its example among the numbers."""
        spans = [np.arange(self.offsets[number], self.offsets[number + 1]) for number in numbers]
        return np.concatenate(spans), np.repeat(np.arange(len(spans)), list(map(len, spans)))


def build_strata(rows: Iterable[Mapping[str, Any]]) -> Strata:
    """The cells of the rows of a dataset, in their order. Of each row `COLUMNS` are needed."""
    names: dict[str, int] = {}
    kind_numbers: dict[str, int] = {}
    entries: list[tuple[int, int]] = []
    offsets, violations, query_kinds = [0], [], []
    for row in rows:
        answers = zip(row["queries"], row["values"], row["boxes"], strict=True)
        for question, (query, values, boxes) in enumerate(answers):
            for name in _stratum_names(query, values, boxes):
                if name not in names:
                    names[name] = len(names)
                    query_kinds.append(kind_numbers.setdefault(query.partition(":")[0], len(kind_numbers)))
                entries.append((names[name], question))
        offsets.append(len(entries))
        violations.append(
            tuple(dict(zip(row["queries"], row["values"], strict=True)).get(VERDICT, ())) or (NO_VIOLATION,)
        )
    classes = (*sorted({name for some in violations for name in some} - {NO_VIOLATION}), NO_VIOLATION)
    has_class = np.array([[class_ in names_of_example for class_ in classes] for names_of_example in violations])
    stratum, question_ = np.array(entries).T
    return Strata(tuple(names), np.array(query_kinds), np.array(offsets), stratum, question_, classes, has_class)


def _stratum_names(query: str, values: Sequence[str], boxes: Sequence[object]) -> list[str]:
    """Cells of one answer: one, or one for each of several values."""
    if query.startswith("locate:"):
        return [f"{query} = {len(boxes)}"]
    return [f"{query} = {value}" for value in sorted(set(values)) or [NO_VIOLATION]]


class RunningStatistics:
    """Running error and loss of numbered things; each answer counts the same, however many come at a time."""

    def __init__(self, count: int) -> None:
        self.error: Float[np.ndarray, " things"] = np.ones(count)
        self.loss: Float[np.ndarray, " things"] = np.zeros(count)
        self.observed: Float[np.ndarray, " things"] = np.zeros(count)
        """Share of the mean that is made of answers: 0 before the first, near 1 after some hundred."""

    def add(
        self,
        items: Int[np.ndarray, " answers"],
        loss: Float[np.ndarray, " answers"],
        wrong: Float[np.ndarray, " answers"],
    ) -> None:
        """So many more answers, each of one of the things."""
        count = np.bincount(items, minlength=len(self.observed))
        kept_share = DECAY**count
        for mean, new in ((self.error, wrong), (self.loss, loss)):
            sums = np.bincount(items, new, minlength=len(count))
            mean *= kept_share
            mean += (1 - kept_share) * sums / np.maximum(count, 1)
        self.observed *= kept_share
        self.observed += 1 - kept_share

    @property
    def mean_loss(self) -> Float[np.ndarray, " things"]:
        """Of the answers that were seen; nan where there was none."""
        mean: np.ndarray = np.divide(
            self.loss, self.observed, out=np.full_like(self.loss, np.nan), where=self.observed > 0
        )
        return mean

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in ("error", "loss", "seen")}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from there."""
        for name in ("error", "loss", "seen"):
            getattr(self, name)[:] = state[name].numpy()


class DifficultyTracker:
    """What the answers of a run say about the cells and kinds of its examples."""

    def __init__(self, strata: Strata, train: Sequence[int]) -> None:
        """`learned`: numbers of the examples that are trained on; kinds are as rare as they are among these."""
        self.strata = strata
        self.by_stratum, self.by_class = RunningStatistics(len(strata.names)), RunningStatistics(len(strata.classes))
        factors = repeat_factors(strata.has_class[list(train)])
        self.repeat_factor = np.where(strata.has_class, factors, 1.0).max(1)

    def add(
        self,
        numbers: Sequence[int],
        loss: Float[np.ndarray, "batch questions"],
        is_correct: Bool[np.ndarray, "batch questions"],
    ) -> None:
        """The answers to some examples: loss and rightness of each question; losses that are no number are left out."""
        entry, row = self.strata.entries(numbers)
        losses, wrong = (array[row, self.strata.question[entry]].astype(float) for array in (loss, ~is_correct))
        is_finite = np.isfinite(losses)
        self.by_stratum.add(self.strata.stratum[entry][is_finite], losses[is_finite], wrong[is_finite])
        is_asked = np.isfinite(loss)
        has_answer = is_asked.any(1)
        inexact = (is_asked & ~is_correct).any(1).astype(float)
        mean = np.where(is_asked, loss, 0.0).sum(1) / np.maximum(is_asked.sum(1), 1)
        row_, class_ = (self.strata.has_class[list(numbers)] & has_answer[:, None]).nonzero()
        self.by_class.add(class_, mean[row_].astype(float), inexact[row_])

    def stratum_difficulty(self) -> Float[np.ndarray, " cells"]:
        """How hard each cell is, 0 to 1."""
        loss, query_kinds = self.by_stratum.mean_loss, self.strata.query_kinds
        is_known = np.isfinite(loss)
        count = np.bincount(query_kinds[is_known], minlength=query_kinds.max() + 1)
        mean_by_kind = np.bincount(query_kinds[is_known], loss[is_known], minlength=len(count)) / np.maximum(count, 1)
        typical = mean_by_kind[query_kinds]
        stratum_loss = np.where(is_known, loss, typical)
        share: np.ndarray = np.divide(
            stratum_loss, stratum_loss + typical, out=np.full_like(stratum_loss, 0.5), where=stratum_loss + typical > 0
        )
        return 0.5 * self.by_stratum.error + 0.5 * share

    def sampling_weights(self) -> Float[np.ndarray, " examples"]:
        """How often each example is to be drawn, against one that is known by heart: 1 to 8."""
        powers = (self.stratum_difficulty() ** NORM_ORDER)[self.strata.stratum]
        difficulty = (np.add.reduceat(powers, self.strata.offsets[:-1]) / np.diff(self.strata.offsets)) ** (
            1 / NORM_ORDER
        )
        return np.asarray(np.minimum(self.repeat_factor * (1 + DIFFICULTY_GAIN * difficulty), MAX_WEIGHT))

    def state_dict(self) -> dict[str, dict[str, torch.Tensor]]:
        """What a checkpoint keeps."""
        return {"cells": self.by_stratum.state_dict(), "kinds": self.by_class.state_dict()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Go on from there."""
        self.by_stratum.load_state_dict(state["cells"])
        self.by_class.load_state_dict(state["kinds"])


def repeat_factors(has_class: Bool[np.ndarray, "examples kinds"]) -> Float[np.ndarray, " kinds"]:
    """R of each kind; `none`, the last one, is not rare. 1 for a kind that no example has."""
    share = has_class.mean(0)
    violations = share[:-1][share[:-1] > 0]
    if not len(violations):
        return np.ones(has_class.shape[1])
    factor = np.sqrt(np.median(violations) / np.where(share > 0, share, 1.0))
    factor[-1] = 1.0
    return np.asarray(np.clip(factor, 1.0, MAX_REPEAT_FACTOR))


StepSampler = Callable[[int], list[int]]
"""Tells the numbers of the examples of each step, which are counted from 0."""
BLOCK_STEPS = 10
"""Steps that are drawn at a time, by the same weights."""
LOOKAHEAD = 2
"""Steps before a block when it is drawn: the loader takes a batch while the one before is being learned. More where
batches are made further ahead, but fewer than a block's."""


class UniformSampler:
    """Every example once before any comes again; it depends on step and seed alone."""

    def __init__(self, train: Sequence[int], *, batch: int, seed: int) -> None:
        self.train, self.batch, self.seed = train, batch, seed

    def __call__(self, step: int) -> list[int]:
        """Numbers of the examples of a step."""
        return [self.train[index] for index in select_epoch_batch(step, len(self.train), self.batch, self.seed)]


class DifficultySampler:
    """Every example as often as its weight says, at distances that are as even as chance allows.

    An example's credit grows by its share of a batch with each step. A step takes those with the most, and each of them
    pays one. Chance adds up to one to a credit, drawn anew whenever it is paid, so that batches are mixed each time.
    With equal weights every example comes about once before any comes again, as in a permutation; independent draws
    would leave out a third of them meanwhile.
    Source: stride scheduling (Waldspurger and Weihl 1995), with credits, as weights change between two draws.

    It depends on step, seed and what `add` was told, all of which `state` holds. `add` must be told each step in turn;
    a step can be asked for once the one so many steps `ahead` of it has been.
    """

    def __init__(
        self, difficulty: DifficultyTracker, train: Sequence[int], *, batch: int, seed: int, lookahead: int = LOOKAHEAD
    ) -> None:
        self.difficulty, self.train, self.batch, self.seed = difficulty, np.array(train), batch, seed
        self.lookahead = lookahead
        self.credit = np.zeros(len(train))
        self.tie_break = np.random.default_rng([seed, 11]).random(len(train))
        self.planned: dict[int, list[int]] = {}
        """Step → examples, of the steps that are not learned yet."""
        self._plan(0)

    def __call__(self, step: int) -> list[int]:
        """Numbers of the examples of a step. Raises `KeyError` where it is not known yet."""
        return self.planned[step]

    def add(self, step: int, loss: np.ndarray, is_correct: np.ndarray) -> None:
        """What came of a step, of its examples in order, [batch questions] both."""
        self.difficulty.add(self.planned.pop(step), loss, is_correct)
        if (step + self.lookahead) % BLOCK_STEPS == 0:
            self._plan(step + self.lookahead)

    def _plan(self, first: int) -> None:
        """Draw the steps of a block."""
        weights = self.difficulty.sampling_weights()[self.train]
        share = weights / weights.sum() * self.batch
        for step in range(first, first + BLOCK_STEPS):
            rng = np.random.default_rng([self.seed, step, 13])
            self.credit += share
            self.planned[step] = [int(number) for number in self.train[self._select(rng)]]

    def _select(self, rng: np.random.Generator) -> np.ndarray:
        """Places of those with the most credit, which they pay."""
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
        """What a checkpoint keeps."""
        steps = {str(step): torch.tensor(numbers) for step, numbers in self.planned.items()}
        credit = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("credit", "chance")}
        return {**credit, "planned": steps, "difficulty": self.difficulty.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.credit, self.tie_break = (state[name].numpy().copy() for name in ("credit", "chance"))
        self.planned = {int(step): numbers.tolist() for step, numbers in state["planned"].items()}
        self.difficulty.load_state_dict(state["difficulty"])


HEADER = "step,kind,weight,drawn,inexact,loss"


class ResamplingCallback(Callback):
    """Tells the draws what came of each step; writes a row a kind every few steps.

    In the table, of the examples of each kind: `weight`, the mean; `drawn`, their share of the draws since the row
    before; `inexact`, the running share of those with a wrong answer among all; `loss`, running.
    """

    def __init__(self, sampler: DifficultySampler, log: MetricsLog | NullMetricsLog, rank: ProcessRank) -> None:
        self.sampler, self.log, self.rank = sampler, log, rank
        self.sampled: Counter[int] = Counter()
        """Example → how often it was drawn since the last row."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        count = len(self.rank.shard(self.sampler(trainer.global_step - 1)))
        loss, is_correct = (
            outputs[name][:count].detach().float().cpu() for name in ("question_loss", "question_right")
        )
        self.update(trainer, *interleave(self.rank.all_gather((loss, is_correct))))

    def update(
        self, trainer: Any, loss: Float[np.ndarray, "batch questions"], is_correct: Bool[np.ndarray, "batch questions"]
    ) -> None:
        """What came of the step that ended; nan where a question was not asked."""
        step = trainer.global_step - 1
        self.sampled.update(self.sampler(step))
        self.sampler.add(step, loss, is_correct)
        if trainer.global_step % BLOCK_STEPS == 0 or trainer.global_step == trainer.max_steps:
            self._log_classes(trainer.global_step)

    def _log_classes(self, step: int) -> None:
        difficulty = self.sampler.difficulty
        weights, has_class, by_class = difficulty.sampling_weights(), difficulty.strata.has_class, difficulty.by_class
        loss = by_class.mean_loss
        for number, class_ in enumerate(difficulty.strata.classes):
            members = has_class[:, number]
            share = sum(count for example, count in self.sampled.items() if members[example]) / self.sampled.total()
            mean = float(weights[members].mean()) if members.any() else 0.0
            self.log.add(step, class_, mean, share, float(by_class.error[number]), float(loss[number]))
        self.sampled.clear()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"draws": self.sampler.state_dict(), "drawn": dict(self.sampled)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.sampler.load_state_dict(state_dict["draws"])
        self.sampled = Counter(state_dict["drawn"])


def interleave(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """Loss and rightness of the questions of a batch [batch questions] of which each process has every so-manieth."""
    count = sum(len(loss) for loss, _ in parts)
    losses = np.full((count, max(loss.shape[1] for loss, _ in parts)), np.nan)
    is_correct = np.zeros(losses.shape, bool)
    for number, (loss, correct) in enumerate(parts):
        losses[number :: len(parts), : loss.shape[1]] = loss.numpy()
        is_correct[number :: len(parts), : loss.shape[1]] = correct.numpy() > 0
    return losses, is_correct


def plot_difficulty(path: Path, out: Path) -> None:
    """Draw how hard each kind was and how often it was drawn, over the steps, as a PNG."""
    titles = [("weight", "mean weight"), ("drawn", "share of the draws"), ("inexact", "share with a wrong answer")]
    plot_by_class(path, out, titles)
