"""Which examples a step takes: each as often as any other, or as often as its weight says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from logicls.train.difficulty import Difficulty
from logicls.train.preflight import batch_of

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
