"""`logicls train --stage grpo`: reinforcement learning of a finished bundle, with rewards from labels and rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import TrainerCallback

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.spec.loader import load_spec
from logicls.errors import Problem, RecipeError, count_text
from logicls.models.bundle import Bundle, load_bundle, write_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter, load_adapter
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, find_checkpoint, load_model
from logicls.predict.self_test import write_probe
from logicls.train.appearance import fit_appearance
from logicls.train.calibration import calibrate
from logicls.train.grpo.policies import HubPolicy, NanoPolicy
from logicls.train.grpo.rewards import REWARDS, Policy, Task, make_tasks
from logicls.train.hub_dataset import HubExamples, open_rows
from logicls.train.metrics_log import SILENT, MetricsLog, StepCallback, TrainingObserver, plot_rewards
from logicls.train.photo_split import SPLIT_COLUMNS, Split, read_split, split_photos, write_split
from logicls.train.preflight import select_epoch_batch
from logicls.train.recipe import Recipe
from logicls.train.run import register_run
from logicls.train.validation import Evaluation

TRAINING_HEADER = ",".join(["step", "reward", *REWARDS, "kl", "zero_std_share"])
"""Columns of reward.csv."""
VALIDATION_HEADER = ",".join(["step", "reward", *REWARDS, "exact_match", "answer_accuracy", "loss"])
"""Columns of the log of evaluations."""


def read_mean_reward(logs: Mapping[str, Any], prefix: str = "") -> tuple[float, list[float]]:
    """Read the mean over the rewards that apply to any question, and each of them; nan for those that do not."""
    rewards = [logs.get(f"{prefix}rewards/{name}/mean") for name in REWARDS]
    finite = [value for value in rewards if value is not None and value == value]
    return sum(finite) / len(finite), [float("nan") if value is None else float(value) for value in rewards]


class BestPolicyCallback(TrainerCallback):
    """Logs rewards, and keeps the weights with the highest exact match on the validation examples.

    The first evaluation comes before the first step: initial weights are kept until others are better. Ties in exact
    match are decided by the mean reward.
    """

    def __init__(
        self,
        policy: Policy,
        numbers: Sequence[int],
        *,
        training_log: MetricsLog,
        validation_log: MetricsLog,
        on_step: StepCallback,
        report: Callable[[str], None],
    ) -> None:
        """Set up the callback; `numbers` are the rows of the validation examples."""
        self.policy, self.numbers = policy, numbers
        self.training_log, self.validation_log, self.on_step, self.report = (
            training_log,
            validation_log,
            on_step,
            report,
        )
        self.best_score = (-1.0, -1.0)
        self.best_step, self.weights = 0, dict[str, Tensor]()
        self.evaluations: list[tuple[int, float, Evaluation]] = []
        """Step, mean reward and metrics of each evaluation."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Request an evaluation after the last step."""
        if state.global_step == state.max_steps and self.numbers:
            control.should_evaluate = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Log the rewards of a step."""
        if not logs or "reward" not in logs:
            return
        reward, rewards = read_mean_reward(logs)
        zero_std_share = float(logs["frac_reward_zero_std"])
        self.training_log.add(state.global_step, reward, *rewards, float(logs.get("kl") or 0.0), zero_std_share)
        self.on_step(state.global_step, reward)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """Evaluate all greedy answers, log them with the mean reward, and keep the weights if they are the best."""
        reward, rewards = read_mean_reward(metrics, "eval_")
        evaluation = self.policy.evaluate(self.numbers)
        self.validation_log.add(
            state.global_step, reward, *rewards, evaluation.exact_match, evaluation.answer_accuracy, evaluation.loss
        )
        self.evaluations.append((state.global_step, reward, evaluation))
        is_better = (evaluation.exact_match, reward) > self.best_score
        comparison = "best so far" if is_better else f"step {self.best_step} was better"
        self.report(f"step {state.global_step}, validation: reward {reward:.3f}, {evaluation}; {comparison}")
        if is_better:
            self.best_score, self.best_step = (evaluation.exact_match, reward), state.global_step
            self.weights = {
                name: weight.detach().cpu().clone() for name, weight in _list_trainable_parameters(self.policy.model)
            }

    @property
    def outcome(self) -> str:
        """Line of text with the result."""
        if not self.evaluations:
            return "no validation set; the bundle has the last weights"
        (_, before, was), (_, after, now) = (
            self.evaluations[0],
            next(evaluation for evaluation in self.evaluations if evaluation[0] == self.best_step),
        )
        if not self.best_step:
            return "no improvement; the bundle has the initial weights"
        return (f"the bundle has the weights of step {self.best_step}; validation reward from {before:.3f} to "
                f"{after:.3f}, exact match from {was.exact_match:.1%} to {now.exact_match:.1%}")  # fmt: skip

    def restore(self) -> None:
        """Load the best weights into the model."""
        with torch.no_grad():
            for name, weight in _list_trainable_parameters(self.policy.model):
                if self.weights:
                    weight.copy_(self.weights[name])


def _list_trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Questions that are drawn for a run."""

    train: tuple[Task, ...]
    """Training tasks in the order of the steps."""
    validation: tuple[Task, ...]
    """One task for each validation example."""
    validation_rows: tuple[int, ...]
    """Rows of the validation examples."""


def fit_grpo(
    synth: Path, out: Path, recipe: Recipe, *, start: Path | None, observer: TrainingObserver = SILENT
) -> Bundle:  # fmt: skip
    """Continue the training of bundle `start` with GRPO on the dataset in `synth`; write the bundle to `out`.

    Group Relative Policy Optimization: Shao et al. 2024, "DeepSeekMath" (arXiv 2402.03300, section 4.1, equations 3 and
    4): for each question G answers are sampled, the advantage of an answer is its reward minus the group's mean, in
    units of the group's standard deviation, and the clipped policy objective is maximised with a KL penalty towards the
    initial model. Rewards: `logicls.train.grpo.rewards`. The bundle gets the weights with the best validation result,
    which may be the initial ones.

    Args:
        synth: Folder that `logicls synth` wrote.
        out: Folder of the bundle.
        recipe: Settings; `grpo`, `seed`, `validation`, `verdict_weight` and `hub` apply.
        start: Bundle to start from, for the same rules.
        observer: Notified of progress; `on_step` gets the mean reward.

    Raises:
        RecipeError: TRL is not installed (LC435), there is no bundle for these rules to start from (LC436), or the
            answers of a step cannot be split into equal parts (LC430).
        BundleError: `start` cannot be loaded.
        DataError: The dataset cannot be used.
    """
    _check_trl()
    _check_even_parts(recipe)
    bundle = _load_start_bundle(start, synth)
    if bundle.hub is not None and not bundle.hub.merged:
        bundle = replace(bundle, model=None)  # it is loaded anew with its adapter: there may be no room for two
    register_run(out / "work", recipe, resume=False)
    lightning.seed_everything(recipe.seed, verbose=False)
    rows = open_rows(synth, out / "work")
    policy = NanoPolicy(bundle, rows) if bundle.hub is None else _make_hub_policy(bundle, rows, recipe)
    columns = rows.select_columns(list(SPLIT_COLUMNS))
    split = split_photos(columns, recipe.validation, recipe.seed, previous=read_split(bundle.path))
    tasks = _draw_tasks(policy, rows, split, recipe)
    observer.on_message(
        f"{len(tasks.train)} questions with {recipe.grpo.generations} answers each; "
        f"validation set: {count_text(len(tasks.validation_rows), 'example')}"
    )
    observer.on_plan(recipe.grpo.steps)
    _train(policy, bundle, tasks, out, recipe, observer)
    _write_bundle(policy, bundle, synth, out)
    del policy
    result = load_bundle(out)
    fit_appearance(result, synth, observer.on_message, recipe.seed)
    write_probe(result, synth)
    write_split(out, split)
    if result.hub is None:
        calibrate(result, synth, split, recipe.seed, observer.on_message)
    return result


def _check_even_parts(recipe: Recipe) -> None:
    """Raise `RecipeError` (LC430) where the answers of a step cannot be split into equal parts."""
    count, parts = recipe.grpo.questions * recipe.grpo.generations, recipe.hub.accumulate
    if count % parts:
        message = f"{count} answers per step (grpo) cannot be split into {parts} equal parts (hub.accumulate)."
        raise RecipeError(Problem("LC430", message, advice="Change grpo.questions or grpo.generations."))


def _check_trl() -> None:
    """Raise `RecipeError` (LC435) where TRL is not installed."""
    missing = [name for name in ("trl", "accelerate") if find_spec(name) is None]
    if missing:
        message = f"the stage grpo needs {' and '.join(missing)}, which is not installed."
        raise RecipeError(Problem("LC435", message, advice="Install it: pip install 'logicls[grpo]'."))


def _load_start_bundle(start: Path | None, synth: Path) -> Bundle:
    """Load the bundle to start from. Raises `RecipeError` (LC436) without one, or for other rules."""
    if start is None:
        message, advice = "the stage grpo begins with a finished bundle.", "Name it with --from."
        raise RecipeError(Problem("LC436", message, advice=advice))
    bundle = load_bundle(start)
    if load_spec(synth / "spec.yaml").hash != bundle.spec.hash:
        message = "was trained for other rules than those of the dataset."
        advice = "Make the dataset by the rules of the bundle, or train another bundle."
        raise RecipeError(Problem("LC436", message, str(start), advice=advice))
    return bundle


def _make_hub_policy(bundle: Bundle, rows: Any, recipe: Recipe) -> HubPolicy:
    """Make the policy of a hub bundle: with its adapter, or with a new one where the adapter was merged."""
    hub, processor, settings = bundle.hub, bundle.hub_processor, recipe.hub
    assert hub is not None
    codec = HubAnswerCodec(
        box_format_for(hub.boxes, processor), read_chat_format(processor, hub.base), processor.tokenizer
    )
    if hub.merged:
        adapter = add_adapter(
            bundle.hub_model,
            rank=settings.rank,
            alpha=settings.alpha,
            dropout=settings.dropout,
            scope=settings.target_modules,
        )
    else:
        path = find_checkpoint(hub.base, revision=hub.revision).path
        adapter = load_adapter(load_model(path, precision=hub.precision, four_bit=hub.four_bit), bundle.path)
        for name, weight in adapter.named_parameters():
            weight.requires_grad_("lora_" in name)
    return HubPolicy(adapter, HubExamples(rows, processor, codec))


def _draw_tasks(policy: Policy, rows: Any, split: Split, recipe: Recipe) -> TaskSet:
    """Draw the photos of each step, without replacement within an epoch, and a question about each."""
    settings, seed = recipe.grpo, recipe.seed
    order = np.random.default_rng([seed, 29]).permutation(len(split.validation))[: settings.validation_examples]
    validation = tuple(split.validation[place] for place in sorted(order.tolist()))
    train = [
        split.train[place]
        for step in range(settings.steps)
        for place in select_epoch_batch(step, len(split.train), settings.questions, seed)
    ]

    def draw_task(number: int, *place: int) -> Task:
        tasks = [task for task in make_tasks(rows[number], number) if policy.generates(task.query)]
        weights = np.array([recipe.verdict_weight if task.query == VERDICT else 1.0 for task in tasks])
        return tasks[int(np.random.default_rng([seed, *place]).choice(len(tasks), p=weights / weights.sum()))]

    return TaskSet(
        tuple(draw_task(number, 31, place) for place, number in enumerate(train)),
        tuple(draw_task(number, 37, index) for index, number in enumerate(validation)),
        validation,
    )


def _train(
    policy: Policy, bundle: Bundle, tasks: TaskSet, out: Path, recipe: Recipe, observer: TrainingObserver
) -> None:
    """Run TRL's trainer, restore the best weights, and plot the rewards."""
    from logicls.train.grpo.trainer import PolicyTrainer, make_config, train

    is_hub, evaluates = bundle.hub is not None, bool(tasks.validation)
    settings = make_config(recipe, policy, out / "work", adapter=is_hub, evaluates=evaluates)
    training_csv, validation_csv = out / "reward.csv", out / "work" / "validation.csv"
    started = time.perf_counter()
    with ExitStack() as stack:
        callback = BestPolicyCallback(
            policy, tasks.validation_rows, on_step=observer.on_step, report=observer.on_message,
            training_log=stack.enter_context(MetricsLog(training_csv, 0, TRAINING_HEADER)),
            validation_log=stack.enter_context(MetricsLog(validation_csv, 0, VALIDATION_HEADER)),
        )  # fmt: skip
        trainer = PolicyTrainer(
            policy, bundle.spec, tasks.train, tasks.validation,
            settings=settings, beta=recipe.grpo.beta, auxiliary_weight=recipe.grpo.auxiliary_weight,
        )  # fmt: skip
        trainer.add_callback(callback)
        train(trainer)
    callback.restore()
    observer.on_message(f"trained for {time.perf_counter() - started:.0f} s; {callback.outcome}")
    plot_rewards(training_csv, validation_csv, out / "reward.png")


def _write_bundle(policy: Policy, bundle: Bundle, synth: Path, out: Path) -> None:
    """Write the bundle without self-test and calibration."""
    policy.model.eval()
    contents: dict[str, Any] = {"spec_file": synth / "spec.yaml", "max_boxes": bundle.max_boxes}
    if isinstance(policy, NanoPolicy):
        write_bundle(out, model=policy.model, processor=bundle.nano_processor, **contents)
        return
    assert bundle.hub is not None
    adapter = cast(PeftModel, policy.model)
    if "ref" in adapter.peft_config:  # TRL's copy of what the stage began with
        adapter.delete_adapter("ref")
    write_hub_bundle(out, adapter=adapter, processor=bundle.hub_processor, hub=bundle.hub, **contents)
