"""TRL's GRPOTrainer with our prompts and probabilities (docs/decisions/0014).

TRL provides groups, advantages, the clipped loss, the KL divergence, optimizer and loop. Two of its steps assume a chat
template and a plain language head; here the policy makes prompts and computes probabilities.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import datasets
import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from logicls.constraints.spec.models import Spec
from logicls.train.grpo.rewards import REWARDS, Policy, PolicyModel, RewardFunction, Task
from logicls.train.recipe import Recipe

Rows = list[dict[str, Any]]


class PolicyTrainer(GRPOTrainer):
    """Trains a policy on tasks; validation tasks are numbered after the training tasks."""

    def __init__(
        self,
        policy: Policy,
        spec: Spec,
        train: Sequence[Task],
        validation: Sequence[Task],
        *,
        settings: GRPOConfig,
        beta: float,
        auxiliary_weight: float,
    ) -> None:
        """Set up TRL's trainer.

        Args:
            policy: Model with its prompts and codec.
            spec: Rules that rewards refer to.
            train: Training tasks, in the order of the steps.
            validation: Validation tasks.
            settings: TRL's settings (see `make_config`).
            beta: Weight of the KL divergence from a copy of the model, where TRL's own `beta` is 0.
            auxiliary_weight: Weight of the policy's auxiliary loss.
        """
        self.policy, self.auxiliary_weight = policy, auxiliary_weight
        self.tasks, self.current_tasks = [*train, *validation], list[Task]()
        # Before TRL touches the model. An adapter is its own reference: TRL keeps a copy of it beside it.
        reference = None if settings.beta or not beta else copy.deepcopy(policy.model).requires_grad_(False).eval()
        policy.model.generation_config.eos_token_id = [policy.end_token]
        super().__init__(
            policy.model,
            [self._make_reward_function(spec, name, reward) for name, reward in REWARDS.items()],
            settings,
            _make_dataset(train, 0),
            _make_dataset(validation, len(train)) if validation else None,
            policy.tokenizer,
        )
        if reference is not None:
            self.beta = beta
            self.ref_model = cast(PreTrainedModel, reference).to(self.accelerator.device)

    def _make_reward_function(self, spec: Spec, name: str, reward: RewardFunction) -> Callable[..., list[float | None]]:
        """Adapt a reward to TRL's signature: a list of answers in tokens, beside the columns of the dataset."""

        def reward_function(
            *, completion_ids: Sequence[Sequence[int]], task: Sequence[int], **_: object
        ) -> list[float | None]:
            tasks = [self.tasks[number] for number in task]
            return [
                reward(spec, one_task, self.policy.decode(one_task, answer))
                for one_task, answer in zip(tasks, completion_ids, strict=True)
            ]  # fmt: skip

        reward_function.__name__ = name
        return reward_function

    def _generate_and_score_completions(self, inputs: Rows) -> dict[str, Any]:
        """Remember the tasks of the prompts, and add their numbers to TRL's result."""
        numbers = [row["task"] for row in inputs]
        self.current_tasks = [self.tasks[number] for number in numbers]
        return {**super()._generate_and_score_completions(inputs), "tasks": torch.tensor(numbers)}

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, Mapping[str, Any]]:
        """Make prompts with the policy."""
        ids, given = self.policy.make_prompts(self.current_tasks)
        return ids, None, given

    def _generate_single_turn(self, *positional: Any, **named: Any) -> tuple[list[list[int]], None]:
        """Sample answers in training; decode greedily in evaluation."""
        self.generation_config.do_sample = self.policy.model.training
        answers = self.policy.generate(self.current_tasks, self.generation_config)
        if answers is not None:
            return answers, None
        generated: tuple[list[list[int]], None] = super()._generate_single_turn(*positional, **named)  # type: ignore[no-untyped-call]
        return generated

    def _compute_loss(self, model: PolicyModel, inputs: dict[str, Any]) -> Tensor:
        """Restore the tasks, which TRL has shuffled, and add the auxiliary loss."""
        self.current_tasks = [self.tasks[number] for number in inputs["tasks"].tolist()]
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        if not self.auxiliary_weight or not self.policy.model.training:
            return loss
        auxiliary = self.policy.auxiliary_loss(self.accelerator.unwrap_model(model), self.current_tasks)
        return (
            loss
            if auxiliary is None
            else loss + self.auxiliary_weight * auxiliary / self.current_gradient_accumulation_steps
        )

    def _get_per_token_logps_and_entropies(
        self,
        model: PolicyModel,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """Compute log-probability and entropy of each generated token; 0 after the end of an answer."""
        ids, mask = input_ids[:, -logits_to_keep:], attention_mask[:, -logits_to_keep:].bool()
        answers = [row[real].tolist() for row, real in zip(ids, mask, strict=True)]
        logps = torch.zeros(ids.shape, device=ids.device)
        entropies = torch.zeros_like(logps)
        rows = self.policy.score(self.accelerator.unwrap_model(model), self.current_tasks, answers)
        log_probabilities = torch.cat([(row / self.temperature).log_softmax(-1) for row in rows])
        flat = torch.tensor([token for row in answers for token in row], device=ids.device)
        logps = logps.masked_scatter(mask, log_probabilities.gather(1, flat[:, None])[:, 0])
        with torch.no_grad():
            entropies = entropies.masked_scatter(mask, -(log_probabilities.exp() * log_probabilities).sum(-1))
        return logps, entropies if compute_entropy else None, None


def make_config(recipe: Recipe, policy: Policy, work: Path, *, adapter: bool, evaluates: bool) -> GRPOConfig:
    """Make TRL's settings, without its reports, progress bars and files.

    Args:
        recipe: Settings under `grpo`, seed, and gradient accumulation and checkpointing under `hub`.
        policy: Model that generates.
        work: Working folder.
        adapter: The policy is an adapter, whose reference TRL keeps itself.
        evaluates: Evaluate on validation tasks.
    """
    settings, parts = recipe.grpo, recipe.hub.accumulate
    size = settings.questions * settings.generations
    return GRPOConfig(
        output_dir=str(work / "grpo"),
        max_steps=settings.steps,
        per_device_train_batch_size=size // parts,
        gradient_accumulation_steps=parts,
        per_device_eval_batch_size=size // parts,
        num_generations=settings.generations,
        num_generations_eval=1,
        max_completion_length=policy.max_tokens,
        generation_kwargs={"suppress_tokens": [policy.image_token]},
        temperature=settings.temperature,
        beta=settings.beta if adapter else 0.0,
        loss_type="grpo",
        disable_dropout=True,
        learning_rate=settings.lr,
        # A bundle's weights are where small steps have led: back to small ones at the end.
        lr_scheduler_type="cosine",
        warmup_steps=settings.steps // 10,
        max_grad_norm=1.0,
        seed=recipe.seed,
        shuffle_dataset=False,  # they are in a random order already
        eval_strategy="steps" if evaluates else "no",
        eval_steps=settings.evaluate_every,
        eval_on_start=evaluates,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **_make_checkpointing_option(recipe.hub.gradient_checkpointing),
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
    )


def train(trainer: PolicyTrainer) -> None:
    """Train without the output of transformers' trainer."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*pin_memory.*")
        warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing.*")  # TRL asks by the old name
        trainer.train()
    vars(trainer.accelerator.unwrap_model(trainer.model)).pop("forward", None)  # TRL puts its own before the model's


def _make_checkpointing_option(recompute: bool) -> dict[str, Any]:
    """Return the option for gradient checkpointing, which was renamed between two releases of transformers 5."""
    names = {field.name for field in fields(GRPOConfig)}
    return {"activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing": recompute}


def _make_dataset(tasks: Sequence[Task], first: int) -> datasets.Dataset:
    """Make TRL's dataset: question and number of each task, counted from `first`."""
    numbers = list(range(first, first + len(tasks)))
    return datasets.Dataset.from_dict({"prompt": [task.question for task in tasks], "task": numbers})
