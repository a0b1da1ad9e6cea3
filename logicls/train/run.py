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
from logicls.io.run_manifest import ManifestDifference, check_manifest
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.synth.dataset import read_rows
from logicls.train import early_stopping as best
from logicls.train import sampler as resample
from logicls.train.batching import TrainingBatches, TimedBatches
from logicls.train.distributed import ProcessRank
from logicls.train.early_stopping import EarlyStopping
from logicls.train.lightning_module import NanoTrainingModule, CheckpointWriter, run_training_loop, read_checkpoint_step
from logicls.train.metrics_log import MetricsLog, TrainingObserver, NullMetricsLog, plot_loss
from logicls.train.online_examples import OnlineExamples
from logicls.train.recipe import Recipe
from logicls.train.sampler import (
    STRATUM_COLUMNS,
    DifficultySampler,
    DifficultyTracker,
    StepSampler,
    UniformSampler,
    ResamplingCallback,
    build_strata,
    plot_difficulty,
)
from logicls.train.time_budget import BENCHMARK_STEPS, StepTime, measure_evaluation_time, measure_step_time
from logicls.train.validation import EMPTY_SPLIT, Split, sample_numbers, select_validation_examples, iterate_batches


def register_run(work: Path, recipe: Recipe, *, resume: bool) -> None:
    """Write which recipe the run is begun with; one that goes on must have the same. Raises `RecipeError` (LC411)."""
    manifest = work / "recipe.json"

    def make_error(differences: Sequence[ManifestDifference]) -> RecipeError:
        differs = "; ".join(f"{key}: {stored} then, {current} now" for key, stored, current in differences)
        message = f"the run was begun with another recipe ({differs})."
        advice = "Resume with the same recipe, or train anew without --resume."
        return RecipeError(Problem("LC411", message, str(manifest), advice=advice))

    if not resume:
        for leftover in (manifest, work / "plan.json", work / "last.ckpt", *work.glob("best-*.safetensors")):
            leftover.unlink(missing_ok=True)
    check_manifest(manifest, recipe.model_dump(mode="json"), make_error)


SEED_STRIDE = 1_000_003
"""From the seed of one process's light to that of the next."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What a run works with."""

    synth: Path
    out: Path
    recipe: Recipe
    rank: ProcessRank
    preflight: Any = None
    """A `Flight`, once preflight was there."""
    online: OnlineExamples | None = None
    split: Split = EMPTY_SPLIT
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
        return NanoAnswerCodec(self.preflight.processor)

    @property
    def validation_shard(self) -> tuple[int, ...]:
        """Numbers of the examples that an evaluation looks at, this process's share of them."""
        recipe = self.recipe
        numbers = select_validation_examples(
            self.split, evaluate_every=recipe.evaluate_every, batch=recipe.batch, seed=recipe.seed
        )
        return tuple(self.rank.shard(numbers))

    def select_threshold_examples(self, max_examples: int) -> tuple[int, ...]:
        """Numbers of so many examples kept aside, of those photos that scales are fitted on."""
        photos = [row["photo"] for row in islice(read_rows(self.synth, ("photo",)), len(self.preflight.examples))]
        numbers = [number for number in self.split.validation if photos[number] in self.split.calibration_photos]
        return tuple(sample_numbers(numbers, max_examples, self.recipe.seed))

    def make_sampler(self) -> StepSampler | None:
        """Which examples out of the set each step takes; None where it takes none."""
        recipe, train = self.recipe, self.split.train
        count = recipe.batch - (self.online.per_batch if self.online else 0)
        if not count:
            return None
        if not recipe.difficulty:
            return UniformSampler(train, batch=count, seed=recipe.seed)
        strata = build_strata(islice(read_rows(self.synth, STRATUM_COLUMNS), len(self.preflight.examples)))
        return DifficultySampler(DifficultyTracker(strata, train), train, batch=count, seed=recipe.seed)

    def make_batches(self, sampler: StepSampler | None, start: int, stop: int) -> Any:
        """The batches of steps `start` to `stop`, a `Feed` (a name that checks while testing cannot follow)."""

        def select(step: int) -> Sequence[int]:
            return self.rank.shard(sampler(step)) if sampler else ()

        # Of the seed only the light depends here: each process has its own.
        seed, jitter = self.recipe.seed + SEED_STRIDE * self.rank.index, self.recipe.jitter
        batches = TrainingBatches(
            self.preflight, self.codec, select, start=start, stop=stop, jitter=jitter, seed=seed, online=self.online
        )
        return TimedBatches(batches)

    def make_module(self, model: Any) -> NanoTrainingModule:
        """Optimiser and schedule."""
        recipe = self.recipe
        return NanoTrainingModule(
            model, steps=self.steps, lr=recipe.lr, weight_decay=recipe.weight_decay, seed=recipe.seed
        )


def measure_step_time_of_run(model: Any, run: TrainingRun) -> StepTime:
    """How fast the run will be; the model stays as it is."""
    size, evaluate_every = run.recipe.batch, run.recipe.evaluate_every
    count = -(-len(run.validation_shard) // size)
    batches = list(iterate_batches(run.preflight, run.codec, run.validation_shard[: 2 * size], size))
    with _reserve_core(run.online):
        step_seconds = measure_step_time(
            model, run.make_module, run.make_batches(run.make_sampler(), 0, BENCHMARK_STEPS)
        )
        evaluation_seconds = measure_evaluation_time(model, batches) * count / max(len(batches), 1)
    return StepTime(
        max(run.rank.all_gather(step_seconds)), max(run.rank.all_gather(evaluation_seconds)), evaluate_every
    )


def train_model(model: Any, run: TrainingRun, observer: TrainingObserver) -> None:
    """Train the model; at the end it has the weights that read best what was kept aside, if anything was."""
    start, sampler = read_checkpoint_step(run.checkpoint), run.make_sampler()
    batches = run.make_batches(sampler, start, run.steps)
    with ExitStack() as stack:

        def open_log(path: Path, header: str) -> MetricsLog | NullMetricsLog:
            return stack.enter_context(MetricsLog(path, start, header)) if run.rank.is_first else NullMetricsLog()

        loss_log = open_log(run.out / "training.csv", "step,loss")

        def record_step(step: int, loss: float) -> None:
            loss_log.add(step, loss)
            observer.on_step(step, loss)

        early_stopping = (
            _make_early_stopping(run, open_log(run.work / "heldout.csv", best.HEADER), observer.on_message)
            if run.split.validation
            else None
        )
        checkpoints = CheckpointWriter(run.work / "last.ckpt", every=run.recipe.checkpoint_every, rank=run.rank, on_step=record_step,
                      on_saved=early_stopping.delete_stale_weights if early_stopping else lambda: None)  # fmt: skip
        callbacks: list[Callback] = [*([early_stopping] if early_stopping else []), checkpoints]
        if isinstance(sampler, DifficultySampler):
            callbacks.insert(
                0, ResamplingCallback(sampler, open_log(run.work / "difficulty.csv", resample.HEADER), run.rank)
            )
        started = time.perf_counter()
        with _reserve_core(run.online):
            run_training_loop(
                run.make_module(model), batches, callbacks, steps=run.steps, checkpoint=run.checkpoint, rank=run.rank
            )
        _report_time(time.perf_counter() - started, batches.waited, early_stopping, observer.on_message)
    if early_stopping and run.rank.is_first:
        early_stopping.restore(model)
        observer.on_message(f"the bundle has the weights of step {early_stopping.best_step}")


def _make_early_stopping(
    run: TrainingRun, log: MetricsLog | NullMetricsLog, report: Callable[[str], None]
) -> EarlyStopping:
    batches = list(iterate_batches(run.preflight, run.codec, run.validation_shard, run.recipe.batch))
    evaluate_every, patience = run.recipe.evaluate_every, run.recipe.patience
    return EarlyStopping(
        run.work, batches, evaluate_every=evaluate_every, steps=run.steps, patience=patience, log=log, rank=run.rank, report=report
    )  # fmt: skip


def _report_time(
    seconds: float, wait_seconds: float, early_stopping: EarlyStopping | None, report: Callable[[str], None]
) -> None:
    evaluating = f", evaluating {early_stopping.seconds / seconds:.1%}" if early_stopping else ""
    report(f"trained for {seconds:.0f} s, of which waiting for data {wait_seconds / seconds:.1%}{evaluating}")


def plot_metrics(run: TrainingRun) -> None:
    """Pictures of what the run told, beside the bundle."""
    plot_loss(run.out / "training.csv", run.out / "loss.png", run.work / "heldout.csv")
    if (run.work / "difficulty.csv").exists():
        plot_difficulty(run.work / "difficulty.csv", run.out / "difficulty.png")


@contextmanager
def _reserve_core(online: OnlineExamples | None) -> Iterator[None]:
    """One thread less for the model while fresh examples are made: its threads wait for one another.

    However many processes make them, or else another number of them would round sums otherwise.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - 1, 1) if online else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
