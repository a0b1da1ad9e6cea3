"""Training run of nano: make sampler and batches, put the callbacks together, run the loop, keep the best weights."""

from __future__ import annotations

import json
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
from logicls.io.atomic import write_text
from logicls.io.run_manifest import ManifestDifference, check_manifest, read_manifest
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.synth.dataset import read_rows
from logicls.train import sampler
from logicls.train import validation as early_stopping
from logicls.train.batching import TimedBatches, TrainingBatches
from logicls.train.distributed import ProcessRank
from logicls.train.lightning_module import CheckpointWriter, NanoTrainingModule, read_checkpoint_step, run_training_loop
from logicls.train.metrics_log import HEADER, MetricsLog, NullMetricsLog, TrainingObserver, plot_loss
from logicls.train.online_examples import OnlineExamples
from logicls.train.photo_split import EMPTY_SPLIT, Split
from logicls.train.recipe import REMOVED_KEYS, Recipe, upgrade_settings
from logicls.train.sampler import (
    DifficultySampler,
    DifficultyTracker,
    ResamplingCallback,
    StepSampler,
    UniformSampler,
    build_strata,
    plot_difficulty,
)
from logicls.train.time_budget import BENCHMARK_STEPS, StepTime, measure_evaluation_time, measure_step_time
from logicls.train.validation import (
    EarlyStopping,
    iterate_batches,
    sample_numbers,
    select_validation_examples,
)

SEED_STRIDE = 1_000_003
"""Distance between the colour-jitter seeds of successive processes."""
VALIDATION_LOG, DIFFICULTY_LOG = "validation.csv", "difficulty.csv"
"""Files of metrics in a run's working folder."""
Log = MetricsLog | NullMetricsLog


def register_run(work: Path, recipe: Recipe, *, resume: bool) -> None:
    """Record the recipe of a new run in `work`, or check that a resumed run has the same recipe.

    A new run deletes the checkpoint and the weights of an earlier one. Keys that were renamed since a run was started
    compare by their new names.

    Raises:
        RecipeError: The recipe differs from the recorded one (LC411).
    """
    manifest = work / "recipe.json"

    def make_error(differences: Sequence[ManifestDifference]) -> RecipeError:
        text = "; ".join(f"{key}: {recorded} then, {requested} now" for key, recorded, requested in differences)
        message = f"the run was started with another recipe ({text})."
        advice = "Resume with the same recipe, or train from the beginning without --resume."
        return RecipeError(Problem("LC411", message, str(manifest), advice=advice))

    if resume:
        _upgrade_work_folder(work, type(recipe), make_error)
    else:
        for leftover in (manifest, work / "plan.json", work / "last.ckpt", *work.glob("best-*.safetensors")):
            leftover.unlink(missing_ok=True)
    check_manifest(manifest, recipe.model_dump(mode="json"), make_error)


def _upgrade_work_folder(
    work: Path, schema: type[Recipe], make_error: Callable[[Sequence[ManifestDifference]], RecipeError]
) -> None:
    """Rename keys and files that an earlier release wrote to the folder of a run."""
    manifest, old_log = work / "recipe.json", work / "heldout.csv"
    recorded = read_manifest(manifest)
    removed = [ManifestDifference(key, recorded[key], None) for key in REMOVED_KEYS if recorded.get(key)]
    if removed:
        raise make_error(removed)
    upgraded = upgrade_settings(schema, recorded)
    if recorded and upgraded != recorded:
        write_text(manifest, json.dumps(upgraded, indent=1))
    if old_log.exists():
        old_log.replace(work / VALIDATION_LOG)


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Inputs of a run of nano."""

    synth: Path
    """Dataset, as `logicls synth` writes it."""
    out: Path
    """Folder of the bundle."""
    recipe: Recipe
    rank: ProcessRank
    preflight: Any = None
    """A `PreflightResult`, after preflight."""
    online: OnlineExamples | None = None
    split: Split = EMPTY_SPLIT
    steps: int = 1
    checkpoint: Path | None = None
    """Checkpoint to resume from."""

    @property
    def work(self) -> Path:
        """Working folder, with everything that a resumed run needs."""
        return self.out / "work"

    @property
    def codec(self) -> NanoAnswerCodec:
        """Codec of questions and answers."""
        return NanoAnswerCodec(self.preflight.processor)

    @property
    def validation_shard(self) -> tuple[int, ...]:
        """Numbers of this process's share of the examples in an evaluation."""
        recipe = self.recipe
        numbers = select_validation_examples(
            self.split, evaluate_every=recipe.evaluate_every, batch=recipe.batch, seed=recipe.seed
        )
        return tuple(self.rank.shard(numbers))

    def select_threshold_examples(self, max_examples: int) -> tuple[int, ...]:
        """Select validation examples on which the detection threshold is fitted."""
        return tuple(sample_numbers(self.split.validation, max_examples, self.recipe.seed))

    def make_sampler(self) -> StepSampler | None:
        """Make the sampler of the set's examples; None where all examples are made online."""
        recipe, train = self.recipe, self.split.train
        count = recipe.batch - (self.online.per_batch if self.online else 0)
        if not count:
            return None
        if not recipe.hard_example_mining:
            return UniformSampler(train, batch=count, seed=recipe.seed)
        strata = build_strata(islice(read_rows(self.synth, sampler.STRATUM_COLUMNS), len(self.preflight.examples)))
        return DifficultySampler(DifficultyTracker(strata, train), train, batch=count, seed=recipe.seed)

    def make_batches(self, step_sampler: StepSampler | None, start: int, stop: int) -> Any:
        """Make the `TimedBatches` of steps `start` to `stop` (runtime type checks cannot resolve the name here)."""

        def select(step: int) -> Sequence[int]:
            return self.rank.shard(step_sampler(step)) if step_sampler else ()

        # Only the colour jitter depends on this seed: it differs between processes.
        seed, jitter = self.recipe.seed + SEED_STRIDE * self.rank.index, self.recipe.jitter
        batches = TrainingBatches(
            self.preflight, self.codec, select, start=start, stop=stop, jitter=jitter, seed=seed, online=self.online
        )
        return TimedBatches(batches)

    def make_module(self, model: NanoForImageTextToText) -> NanoTrainingModule:
        """Make the Lightning module with optimizer and schedule for `steps` steps."""
        recipe = self.recipe
        return NanoTrainingModule(
            model, steps=self.steps, lr=recipe.lr, weight_decay=recipe.weight_decay, seed=recipe.seed
        )


def measure_run_speed(model: NanoForImageTextToText, run: TrainingRun) -> StepTime:
    """Measure the time of a step and of an evaluation, the slowest process's; the model does not change."""
    size, evaluate_every = run.recipe.batch, run.recipe.evaluate_every
    count = -(-len(run.validation_shard) // size)
    batches = list(iterate_batches(run.preflight, run.codec, run.validation_shard[: 2 * size], size))
    with _reserve_core(run.online):
        training_batches = run.make_batches(run.make_sampler(), 0, BENCHMARK_STEPS)
        step_seconds = measure_step_time(model, run.make_module, training_batches)
        evaluation_seconds = measure_evaluation_time(model, batches) * count / max(len(batches), 1)
    slowest = max(run.rank.all_gather(step_seconds)), max(run.rank.all_gather(evaluation_seconds))
    return StepTime(*slowest, evaluate_every)


def train_model(model: NanoForImageTextToText, run: TrainingRun, observer: TrainingObserver) -> None:
    """Train the model in place; with a validation set it ends with the weights of the best evaluation."""
    start, step_sampler = read_checkpoint_step(run.checkpoint), run.make_sampler()
    batches = run.make_batches(step_sampler, start, run.steps)
    with ExitStack() as stack:

        def open_log(path: Path, header: str) -> Log:
            return stack.enter_context(MetricsLog(path, start, header)) if run.rank.is_first else NullMetricsLog()

        stopping, callbacks = _make_callbacks(run, step_sampler, observer, open_log)
        started = time.perf_counter()
        with _reserve_core(run.online):
            run_training_loop(
                run.make_module(model), batches, callbacks, steps=run.steps, checkpoint=run.checkpoint, rank=run.rank
            )
        _report_time(time.perf_counter() - started, batches.wait_seconds, stopping, observer.on_message)
    if stopping and run.rank.is_first:
        stopping.restore(model)
        observer.on_message(f"the bundle has the weights of step {stopping.best_step}")


def _make_callbacks(
    run: TrainingRun,
    step_sampler: StepSampler | None,
    observer: TrainingObserver,
    open_log: Callable[[Path, str], Log],
) -> tuple[EarlyStopping | None, list[Callback]]:
    """Make the callbacks of a run in their order: resampling, early stopping, checkpoints."""
    loss_log = open_log(run.out / "training.csv", HEADER)

    def record_step(step: int, loss: float) -> None:
        loss_log.add(step, loss)
        observer.on_step(step, loss)

    stopping = None
    if run.split.validation:
        log = open_log(run.work / VALIDATION_LOG, early_stopping.HEADER)
        stopping = _make_early_stopping(run, log, observer.on_message)
    checkpoints = CheckpointWriter(
        run.work / "last.ckpt", every=run.recipe.checkpoint_every, rank=run.rank, on_step=record_step,
        on_saved=stopping.delete_stale_weights if stopping else lambda: None,
    )  # fmt: skip
    callbacks: list[Callback] = [*([stopping] if stopping else []), checkpoints]
    if isinstance(step_sampler, DifficultySampler):
        class_log = open_log(run.work / DIFFICULTY_LOG, sampler.HEADER)
        callbacks.insert(0, ResamplingCallback(step_sampler, class_log, run.rank))
    return stopping, callbacks


def _make_early_stopping(run: TrainingRun, log: Log, report: Callable[[str], None]) -> EarlyStopping:
    """Make the early stopping of a run, with its validation batches in memory."""
    recipe = run.recipe
    batches = list(iterate_batches(run.preflight, run.codec, run.validation_shard, recipe.batch))
    return EarlyStopping(
        run.work, batches, evaluate_every=recipe.evaluate_every, steps=run.steps, patience=recipe.patience, log=log,
        rank=run.rank, report=report,
    )  # fmt: skip


def _report_time(
    seconds: float, wait_seconds: float, stopping: EarlyStopping | None, report: Callable[[str], None]
) -> None:
    """Report the training time and its shares of data loading and evaluation."""
    evaluation = f", evaluation {stopping.seconds / seconds:.1%}" if stopping else ""
    report(f"trained for {seconds:.0f} s; waiting for data {wait_seconds / seconds:.1%}{evaluation}")


def plot_metrics(run: TrainingRun) -> None:
    """Write the plots of a run's metrics beside the bundle."""
    plot_loss(run.out / "training.csv", run.out / "loss.png", run.work / VALIDATION_LOG)
    if (run.work / DIFFICULTY_LOG).exists():
        plot_difficulty(run.work / DIFFICULTY_LOG, run.out / "difficulty.png")


@contextmanager
def _reserve_core(online: OnlineExamples | None) -> Iterator[None]:
    """Leave one CPU core to the processes that make online examples, as the model's threads wait for one another.

    The number of those processes does not matter: another number of threads would round sums differently.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - 1, 1) if online else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
