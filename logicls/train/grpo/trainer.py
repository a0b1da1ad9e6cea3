"""TRL's GRPOTrainer, asking and scoring the way our models answer (.github/decisions/0014).

TRL gives the groups, their advantages, the clipped loss, the divergence from the reference, optimiser and loop. Ours
are the two places where it would need a chat template and a language head of the usual build: prompts are made, and
probabilities computed, by the policy.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from logicls.constraints.spec.models import Spec
from logicls.train.grpo.rewards import REWARDS, Policy, Reward, Task
from logicls.train.recipe import RewardSettings

Rows = list[dict[str, Any]]


class Rewarded(GRPOTrainer):
    """Trains a policy on tasks: those to learn from first, and after them those that are kept aside."""

    def __init__(
        self,
        policy: Policy,
        spec: Spec,
        learned: Sequence[Task],
        aside: Sequence[Task],
        *,
        settings: GRPOConfig,
        beta: float,
        hold: float,
    ) -> None:
        self.policy, self.hold = policy, hold
        self.tasks, self.asked = [*learned, *aside], list[Task]()
        # Before TRL touches the model. An adapter is its own reference: TRL keeps a copy of it beside it.
        reference = None if settings.beta or not beta else copy.deepcopy(policy.model).requires_grad_(False).eval()
        policy.model.generation_config.eos_token_id = [policy.end]
        super().__init__(
            policy.model,
            [self._scored(spec, name, reward) for name, reward in REWARDS.items()],
            settings,
            _dataset(learned, 0),
            _dataset(aside, len(learned)) if aside else None,
            policy.tokenizer,
        )
        if reference is not None:
            self.ref_model, self.beta = reference.to(self.accelerator.device), beta

    def _scored(self, spec: Spec, name: str, reward: Reward) -> Callable[..., list[float | None]]:
        """A reward as TRL calls it: for a list of answers in tokens, beside the columns of the dataset."""

        def scored(*, completion_ids: Sequence[Sequence[int]], task: Sequence[int], **_: object) -> list[float | None]:
            tasks = [self.tasks[number] for number in task]
            return [
                reward(spec, one, self.policy.read(one, said))
                for one, said in zip(tasks, completion_ids, strict=True)
            ]  # fmt: skip

        scored.__name__ = name
        return scored

    def _generate_and_score_completions(self, inputs: Rows) -> dict[str, Any]:
        """TRL's, told which tasks these are; what comes out carries their numbers."""
        numbers = [row["task"] for row in inputs]
        self.asked = [self.tasks[number] for number in numbers]
        return {**super()._generate_and_score_completions(inputs), "tasks": torch.tensor(numbers)}

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, Mapping[str, Any]]:
        ids, given = self.policy.prompts(self.asked)
        return ids, None, given

    def _generate_single_turn(self, *given: Any, **named: Any) -> tuple[list[list[int]], None]:
        """By chance to learn from; the likeliest words where it is only looked how good they are."""
        self.generation_config.do_sample = self.policy.model.training
        said = self.policy.say(self.asked, self.generation_config)
        if said is not None:
            return said, None
        others: tuple[list[list[int]], None] = super()._generate_single_turn(*given, **named)  # type: ignore[no-untyped-call]
        return others

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """TRL's, told which tasks these are, for it has shuffled them; and the loss of what no reward is about."""
        self.asked = [self.tasks[number] for number in inputs["tasks"].tolist()]
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        if not self.hold or not self.policy.model.training:
            return loss
        held = self.policy.held(self.accelerator.unwrap_model(model), self.asked)
        return loss if held is None else loss + self.hold * held / self.current_gradient_accumulation_steps

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """Log-probability of each token that was said, and the entropy there; 0 after the end of an answer."""
        ids, mask = input_ids[:, -logits_to_keep:], attention_mask[:, -logits_to_keep:].bool()
        said = [row[real].tolist() for row, real in zip(ids, mask, strict=True)]
        logps = torch.zeros(ids.shape, device=ids.device)
        entropies = torch.zeros_like(logps)
        rows = self.policy.logits(self.accelerator.unwrap_model(model), self.asked, said)
        chances = torch.cat([(row / self.temperature).log_softmax(-1) for row in rows])
        flat = torch.tensor([token for row in said for token in row], device=ids.device)
        logps = logps.masked_scatter(mask, chances.gather(1, flat[:, None])[:, 0])
        with torch.no_grad():
            entropies = entropies.masked_scatter(mask, -(chances.exp() * chances).sum(-1))
        return logps, entropies if compute_entropy else None, None


def settings_of(
    given: RewardSettings, policy: Policy, work: Path, *, seed: int, parts: int, adapter: bool, looks: bool, again: bool
) -> GRPOConfig:
    """TRL's settings: none of its reports, bars and files; a batch in so many parts; `looks` at what is kept aside.

    `again`: what lies between the layers is computed again on the way back.
    """
    size = given.questions * given.answers
    return GRPOConfig(
        output_dir=str(work / "grpo"),
        max_steps=given.steps,
        per_device_train_batch_size=size // parts,
        gradient_accumulation_steps=parts,
        per_device_eval_batch_size=size // parts,
        num_generations=given.answers,
        num_generations_eval=1,
        max_completion_length=policy.most,
        generation_kwargs={"suppress_tokens": [policy.image]},
        temperature=given.temperature,
        beta=given.beta if adapter else 0.0,
        loss_type="grpo",
        disable_dropout=True,
        learning_rate=given.lr,
        # A bundle's weights are where small steps have led: back to small ones at the end.
        lr_scheduler_type="cosine",
        warmup_steps=given.steps // 10,
        max_grad_norm=1.0,
        seed=seed,
        shuffle_dataset=False,  # they are in a random order already
        eval_strategy="steps" if looks else "no",
        eval_steps=given.evaluate_every,
        eval_on_start=looks,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **_recomputing(again),
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
    )


def run(trainer: Rewarded) -> None:
    """Train, without what transformers' Trainer prints."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*pin_memory.*")
        warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing.*")  # TRL asks by the old name
        trainer.train()
    vars(trainer.accelerator.unwrap_model(trainer.model)).pop("forward", None)  # TRL puts its own before the model's


def _recomputing(again: bool) -> dict[str, Any]:
    """By the name that transformers has for it: it was renamed between two releases of version 5."""
    names = {field.name for field in fields(GRPOConfig)}
    return {"activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing": again}


def _dataset(tasks: Sequence[Task], first: int) -> datasets.Dataset:
    numbers = list(range(first, first + len(tasks)))
    return datasets.Dataset.from_dict({"prompt": [task.question for task in tasks], "task": numbers})
