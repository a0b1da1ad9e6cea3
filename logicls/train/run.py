"""A training run: its examples drawn, its callbacks put together, the loop run, the best weights taken.

A training run is gone on with by the recipe that it was begun with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from logicls.errors import Problem, RecipeError
from logicls.io.run_manifest import Difference, claim
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.synth.dataset import read_rows
from logicls.train import early_stopping as best
from logicls.train import sampler as resample
from logicls.train.batching import Batches, Feed
from logicls.train.distributed import Rank
from logicls.train.early_stopping import Best
from logicls.train.lightning_module import Tuner, Watch, run_loop, step_of
from logicls.train.metrics_log import Curve, Listener, Unwritten, plot_curve
from logicls.train.online_examples import Fresh
from logicls.train.recipe import Recipe
from logicls.train.sampler import COLUMNS, ByWeight, Difficulty, Draws, Evenly, Resample, cells_of, plot_difficulty
from logicls.train.time_budget import REHEARSED, Pace, look_time, rehearse
from logicls.train.validation import NOTHING, Split, chosen, looked_at, shown


def claim_run(work: Path, recipe: Recipe, *, resume: bool) -> None:
    """Write which recipe the run is begun with; one that goes on must have the same. Raises `RecipeError` (LC411)."""
    mark = work / "recipe.json"

    def refusal(differences: Sequence[Difference]) -> RecipeError:
        differs = "; ".join(f"{key}: {there} then, {now} now" for key, there, now in differences)
        message = f"the run was begun with another recipe ({differs})."
        advice = "Resume with the same recipe, or train anew without --resume."
        return RecipeError(Problem("LC411", message, str(mark), advice=advice))

    if not resume:
        for left in (mark, work / "plan.json", work / "last.ckpt", *work.glob("best-*.safetensors")):
            left.unlink(missing_ok=True)
    claim(mark, recipe.model_dump(mode="json"), refusal)


APART = 1_000_003
"""From the seed of one process's light to that of the next."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run works with."""

    synth: Path
    out: Path
    recipe: Recipe
    rank: Rank
    flight: Any = None
    """A `Flight`, once preflight was there."""
    fresh: Fresh | None = None
    split: Split = NOTHING
    steps: int = 1
    checkpoint: Path | None = None
    """The one to go on from."""

    @property
    def work(self) -> Path:
        """Where it keeps what it needs to go on."""
        return self.out / "work"

    @property
    def codec(self) -> NanoAnswerCodec:
        """Answers to tokens."""
        return NanoAnswerCodec(self.flight.processor)

    @property
    def aside(self) -> tuple[int, ...]:
        """Numbers of the examples that an evaluation looks at, this process's share of them."""
        given = self.recipe
        some = looked_at(self.split, every=given.evaluate_every, batch=given.batch, seed=given.seed)
        return tuple(self.rank.mine(some))

    def to_settle(self, most: int) -> tuple[int, ...]:
        """Numbers of so many examples kept aside, of those photos that scales are fitted on."""
        photos = [row["photo"] for row in islice(read_rows(self.synth, ("photo",)), len(self.flight.examples))]
        some = [number for number in self.split.heldout if photos[number] in self.split.first_half]
        return tuple(chosen(some, most, self.recipe.seed))

    def draws(self) -> Draws | None:
        """Which examples out of the set each step takes; None where it takes none."""
        given, learned = self.recipe, self.split.learned
        count = given.batch - (self.fresh.each if self.fresh else 0)
        if not count:
            return None
        if not given.difficulty:
            return Evenly(learned, batch=count, seed=given.seed)
        cells = cells_of(islice(read_rows(self.synth, COLUMNS), len(self.flight.examples)))
        return ByWeight(Difficulty(cells, learned), learned, batch=count, seed=given.seed)

    def feed(self, draws: Draws | None, start: int, stop: int) -> Any:
        """The batches of steps `start` to `stop`, a `Feed` (a name that checks while testing cannot follow)."""

        def choose(step: int) -> Sequence[int]:
            return self.rank.mine(draws(step)) if draws else ()

        # Of the seed only the light depends here: each process has its own.
        seed, jitter = self.recipe.seed + APART * self.rank.number, self.recipe.jitter
        batches = Batches(
            self.flight, self.codec, choose, start=start, stop=stop, jitter=jitter, seed=seed, fresh=self.fresh
        )
        return Feed(batches)

    def tuner(self, model: Any) -> Tuner:
        """Optimiser and schedule."""
        plan = self.recipe
        return Tuner(model, steps=self.steps, lr=plan.lr, weight_decay=plan.weight_decay, seed=plan.seed)


def measure(model: Any, run: Run) -> Pace:
    """How fast the run will be; the model stays as it is."""
    size, every = run.recipe.batch, run.recipe.evaluate_every
    count = -(-len(run.aside) // size)
    batches = list(shown(run.flight, run.codec, run.aside[: 2 * size], size))
    with _a_core_for(run.fresh):
        step = rehearse(model, run.tuner, run.feed(run.draws(), 0, REHEARSED))
        look = look_time(model, batches) * count / max(len(batches), 1)
    return Pace(max(run.rank.all_of(step)), max(run.rank.all_of(look)), every)


def learn(model: Any, run: Run, heard: Listener) -> None:
    """Train the model; at the end it has the weights that read best what was kept aside, if anything was."""
    start, draws = step_of(run.checkpoint), run.draws()
    feed = run.feed(draws, start, run.steps)
    with ExitStack() as stack:

        def table(path: Path, head: str) -> Curve | Unwritten:
            return stack.enter_context(Curve(path, start, head)) if run.rank.is_first else Unwritten()

        curve = table(run.out / "training.csv", "step,loss")

        def both(step: int, loss: float) -> None:
            curve.add(step, loss)
            heard.told(step, loss)

        keeper = _keeper(run, table(run.work / "heldout.csv", best.HEAD), heard.say) if run.split.heldout else None
        watch = Watch(run.work / "last.ckpt", every=run.recipe.checkpoint_every, rank=run.rank, told=both,
                      saved=keeper.sweep if keeper else lambda: None)  # fmt: skip
        callbacks: list[Callback] = [*([keeper] if keeper else []), watch]
        if isinstance(draws, ByWeight):
            callbacks.insert(0, Resample(draws, table(run.work / "difficulty.csv", resample.HEAD), run.rank))
        began = time.perf_counter()
        with _a_core_for(run.fresh):
            run_loop(run.tuner(model), feed, callbacks, steps=run.steps, checkpoint=run.checkpoint, rank=run.rank)
        _tell_time(time.perf_counter() - began, feed.waited, keeper, heard.say)
    if keeper and run.rank.is_first:
        keeper.restore(model)
        heard.say(f"the bundle has the weights of step {keeper.step}")


def _keeper(run: Run, table: Curve | Unwritten, say: Callable[[str], None]) -> Best:
    batches = list(shown(run.flight, run.codec, run.aside, run.recipe.batch))
    every, patience = run.recipe.evaluate_every, run.recipe.patience
    return Best(
        run.work, batches, every=every, steps=run.steps, patience=patience, table=table, rank=run.rank, say=say
    )  # fmt: skip


def _tell_time(seconds: float, waited: float, keeper: Best | None, say: Callable[[str], None]) -> None:
    evaluating = f", evaluating {keeper.spent / seconds:.1%}" if keeper else ""
    say(f"trained for {seconds:.0f} s, of which waiting for data {waited / seconds:.1%}{evaluating}")


def draw_pictures(run: Run) -> None:
    """Pictures of what the run told, beside the bundle."""
    plot_curve(run.out / "training.csv", run.out / "loss.png", run.work / "heldout.csv")
    if (run.work / "difficulty.csv").exists():
        plot_difficulty(run.work / "difficulty.csv", run.out / "difficulty.png")


@contextmanager
def _a_core_for(fresh: Fresh | None) -> Iterator[None]:
    """One thread less for the model while fresh examples are made: its threads wait for one another.

    However many processes make them, or else another number of them would round sums otherwise.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - 1, 1) if fresh else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
