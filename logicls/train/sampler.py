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
from logicls.train.distributed import Rank
from logicls.train.metrics_log import Curve, Unwritten, plot_kinds
from logicls.train.preflight import batch_of

MEMORY = 0.98
"""What is left of a running mean after one more answer: it reaches back about fifty."""
SHARPNESS = 4
STEEPNESS = 3.0
RAREST = 4.0
HIGHEST = 8.0
NONE = "none"
"""The kind of an example without a violation."""
COLUMNS = ("queries", "values", "boxes")
"""Of a row: what its cells are made of."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Which cells the answers of each example belong to, and of which kinds it is."""

    names: tuple[str, ...]
    groups: Int[np.ndarray, " cells"]
    """Number of the kind of question of each cell."""
    first: Int[np.ndarray, " ends"]
    """Where the entries of each example begin in `cell` and `question`; one more at the end."""
    cell: Int[np.ndarray, " entries"]
    question: Int[np.ndarray, " entries"]
    """Number of the question in its example."""
    kinds: tuple[str, ...]
    """Those that an example has, sorted; `none` is the last one."""
    is_of: Bool[np.ndarray, "examples kinds"]

    def entries(self, numbers: Sequence[int]) -> tuple[Int[np.ndarray, " some"], Int[np.ndarray, " some"]]:
        """Entries of those examples, and of each the place of its example among the numbers."""
        spans = [np.arange(self.first[number], self.first[number + 1]) for number in numbers]
        return np.concatenate(spans), np.repeat(np.arange(len(spans)), list(map(len, spans)))


def cells_of(rows: Iterable[Mapping[str, Any]]) -> Cells:
    """The cells of the rows of a dataset, in their order. Of each row `COLUMNS` are needed."""
    names: dict[str, int] = {}
    groups: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    first, violations, group = [0], [], []
    for row in rows:
        answers = zip(row["queries"], row["values"], row["boxes"], strict=True)
        for question, (query, values, boxes) in enumerate(answers):
            for name in _names(query, values, boxes):
                if name not in names:
                    names[name] = len(names)
                    group.append(groups.setdefault(query.partition(":")[0], len(groups)))
                found.append((names[name], question))
        first.append(len(found))
        violations.append(tuple(dict(zip(row["queries"], row["values"], strict=True)).get(VERDICT, ())) or (NONE,))
    kinds = (*sorted({name for some in violations for name in some} - {NONE}), NONE)
    is_of = np.array([[kind in some for kind in kinds] for some in violations])
    cell, question_ = np.array(found).T
    return Cells(tuple(names), np.array(group), np.array(first), cell, question_, kinds, is_of)


def _names(query: str, values: Sequence[str], boxes: Sequence[object]) -> list[str]:
    """Cells of one answer: one, or one for each of several values."""
    if query.startswith("locate:"):
        return [f"{query} = {len(boxes)}"]
    return [f"{query} = {value}" for value in sorted(set(values)) or [NONE]]


class Running:
    """Running error and loss of numbered things; each answer counts the same, however many come at a time."""

    def __init__(self, count: int) -> None:
        self.error: Float[np.ndarray, " things"] = np.ones(count)
        self.loss: Float[np.ndarray, " things"] = np.zeros(count)
        self.seen: Float[np.ndarray, " things"] = np.zeros(count)
        """Share of the mean that is made of answers: 0 before the first, near 1 after some hundred."""

    def add(
        self,
        which: Int[np.ndarray, " answers"],
        loss: Float[np.ndarray, " answers"],
        wrong: Float[np.ndarray, " answers"],
    ) -> None:
        """So many more answers, each of one of the things."""
        count = np.bincount(which, minlength=len(self.seen))
        left = MEMORY**count
        for mean, new in ((self.error, wrong), (self.loss, loss)):
            sums = np.bincount(which, new, minlength=len(count))
            mean *= left
            mean += (1 - left) * sums / np.maximum(count, 1)
        self.seen *= left
        self.seen += 1 - left

    @property
    def mean_loss(self) -> Float[np.ndarray, " things"]:
        """Of the answers that were seen; nan where there was none."""
        mean: np.ndarray = np.divide(self.loss, self.seen, out=np.full_like(self.loss, np.nan), where=self.seen > 0)
        return mean

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in ("error", "loss", "seen")}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from there."""
        for name in ("error", "loss", "seen"):
            getattr(self, name)[:] = state[name].numpy()


class Difficulty:
    """What the answers of a run say about the cells and kinds of its examples."""

    def __init__(self, cells: Cells, learned: Sequence[int]) -> None:
        """`learned`: numbers of the examples that are trained on; kinds are as rare as they are among these."""
        self.cells = cells
        self.by_cell, self.by_kind = Running(len(cells.names)), Running(len(cells.kinds))
        factors = rarity(cells.is_of[list(learned)])
        self.rarity = np.where(cells.is_of, factors, 1.0).max(1)

    def add(
        self,
        numbers: Sequence[int],
        loss: Float[np.ndarray, "batch questions"],
        right: Bool[np.ndarray, "batch questions"],
    ) -> None:
        """The answers to some examples: loss and rightness of each question; losses that are no number are left out."""
        entry, row = self.cells.entries(numbers)
        losses, wrong = (array[row, self.cells.question[entry]].astype(float) for array in (loss, ~right))
        known = np.isfinite(losses)
        self.by_cell.add(self.cells.cell[entry][known], losses[known], wrong[known])
        asked = np.isfinite(loss)
        told = asked.any(1)
        inexact = (asked & ~right).any(1).astype(float)
        mean = np.where(asked, loss, 0.0).sum(1) / np.maximum(asked.sum(1), 1)
        row_, kind = (self.cells.is_of[list(numbers)] & told[:, None]).nonzero()
        self.by_kind.add(kind, mean[row_].astype(float), inexact[row_])

    def of_cells(self) -> Float[np.ndarray, " cells"]:
        """How hard each cell is, 0 to 1."""
        loss, groups = self.by_cell.mean_loss, self.cells.groups
        known = np.isfinite(loss)
        count = np.bincount(groups[known], minlength=groups.max() + 1)
        usual = np.bincount(groups[known], loss[known], minlength=len(count)) / np.maximum(count, 1)
        typical = usual[groups]
        mine = np.where(known, loss, typical)
        share: np.ndarray = np.divide(mine, mine + typical, out=np.full_like(mine, 0.5), where=mine + typical > 0)
        return 0.5 * self.by_cell.error + 0.5 * share

    def weights(self) -> Float[np.ndarray, " examples"]:
        """How often each example is to be drawn, against one that is known by heart: 1 to 8."""
        powers = (self.of_cells() ** SHARPNESS)[self.cells.cell]
        hard = (np.add.reduceat(powers, self.cells.first[:-1]) / np.diff(self.cells.first)) ** (1 / SHARPNESS)
        return np.asarray(np.minimum(self.rarity * (1 + STEEPNESS * hard), HIGHEST))

    def state(self) -> dict[str, dict[str, torch.Tensor]]:
        """What a checkpoint keeps."""
        return {"cells": self.by_cell.state(), "kinds": self.by_kind.state()}

    def restore(self, state: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Go on from there."""
        self.by_cell.restore(state["cells"])
        self.by_kind.restore(state["kinds"])


def rarity(is_of: Bool[np.ndarray, "examples kinds"]) -> Float[np.ndarray, " kinds"]:
    """R of each kind; `none`, the last one, is not rare. 1 for a kind that no example has."""
    share = is_of.mean(0)
    violations = share[:-1][share[:-1] > 0]
    if not len(violations):
        return np.ones(is_of.shape[1])
    factor = np.sqrt(np.median(violations) / np.where(share > 0, share, 1.0))
    factor[-1] = 1.0
    return np.asarray(np.clip(factor, 1.0, RAREST))


Draws = Callable[[int], list[int]]
"""Tells the numbers of the examples of each step, which are counted from 0."""
BLOCK = 10
"""Steps that are drawn at a time, by the same weights."""
AHEAD = 2
"""Steps before a block when it is drawn: the loader takes a batch while the one before is being learned. More where
batches are made further ahead, but fewer than a block's."""


class Evenly:
    """Every example once before any comes again; it depends on step and seed alone."""

    def __init__(self, learned: Sequence[int], *, batch: int, seed: int) -> None:
        self.learned, self.batch, self.seed = learned, batch, seed

    def __call__(self, step: int) -> list[int]:
        """Numbers of the examples of a step."""
        return [self.learned[place] for place in batch_of(step, len(self.learned), self.batch, self.seed)]


class ByWeight:
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
        self, difficulty: Difficulty, learned: Sequence[int], *, batch: int, seed: int, ahead: int = AHEAD
    ) -> None:
        self.difficulty, self.learned, self.batch, self.seed = difficulty, np.array(learned), batch, seed
        self.ahead = ahead
        self.credit = np.zeros(len(learned))
        self.chance = np.random.default_rng([seed, 11]).random(len(learned))
        self.planned: dict[int, list[int]] = {}
        """Step → examples, of the steps that are not learned yet."""
        self._plan(0)

    def __call__(self, step: int) -> list[int]:
        """Numbers of the examples of a step. Raises `KeyError` where it is not known yet."""
        return self.planned[step]

    def add(self, step: int, loss: np.ndarray, right: np.ndarray) -> None:
        """What came of a step, of its examples in order, [batch questions] both."""
        self.difficulty.add(self.planned.pop(step), loss, right)
        if (step + self.ahead) % BLOCK == 0:
            self._plan(step + self.ahead)

    def _plan(self, first: int) -> None:
        """Draw the steps of a block."""
        weights = self.difficulty.weights()[self.learned]
        share = weights / weights.sum() * self.batch
        for step in range(first, first + BLOCK):
            rng = np.random.default_rng([self.seed, step, 13])
            self.credit += share
            self.planned[step] = [int(number) for number in self.learned[self._taken(rng)]]

    def _taken(self, rng: np.random.Generator) -> np.ndarray:
        """Places of those with the most credit, which they pay."""
        taken: list[np.ndarray] = []
        left = self.batch
        while left:
            count = min(left, len(self.credit))
            most = np.argsort(-self.credit - self.chance, kind="stable")[:count]
            self.credit[most] -= 1
            self.chance[most] = rng.random(count)
            taken.append(most)
            left -= count
        return np.concatenate(taken)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        steps = {str(step): torch.tensor(numbers) for step, numbers in self.planned.items()}
        credit = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("credit", "chance")}
        return {**credit, "planned": steps, "difficulty": self.difficulty.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.credit, self.chance = (state[name].numpy().copy() for name in ("credit", "chance"))
        self.planned = {int(step): numbers.tolist() for step, numbers in state["planned"].items()}
        self.difficulty.restore(state["difficulty"])


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
