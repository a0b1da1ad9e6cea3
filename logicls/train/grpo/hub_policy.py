"""Policy of the stage `grpo` for a model of the hub, all of whose answers are text, boxes included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig

from logicls.models.hub.chat_template import make_inputs, place_photo
from logicls.models.hub.shared_prefix import move_inputs
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Answer
from logicls.train.grpo.rewards import Task, Tokens
from logicls.train.hub_dataset import Batch, EncodedTurn, HubExamples, collate_turns
from logicls.train.validation import Evaluation, QueryScores, aggregate_scores

LENGTH_MARGIN = 1.25
"""Limit of an answer's length, relative to the longest true answer."""
LENGTH_SAMPLE = 50
"""Examples whose answers are measured for the limit."""


class HubPolicy:
    """Policy of a peft adapter, for the rows of a dataset."""

    def __init__(self, adapter: Any, examples: HubExamples) -> None:
        self.model, self.base, self.examples = adapter, adapter.get_base_model(), examples
        self.tokenizer, self.codec = examples.processor.tokenizer, examples.codec
        self.end_token, self.image_token = self.codec.chat_format.end_token, int(adapter.config.image_token_id)
        sample = (examples.rows[number] for number in range(min(LENGTH_SAMPLE, len(examples.rows))))
        self.max_tokens = int(
            LENGTH_MARGIN * max(len(turn.answer) for row in sample for turn in examples.encode_turns(row))
        )

    def generates(self, query: str) -> bool:
        """Return True: every answer is text."""
        return True

    def make_prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """Return photo tokens, question and answer prefix of each task, and the processor's other outputs."""
        inputs = self._make_inputs(tasks)
        ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
        questions = [self._encode_question(task) for task in tasks]
        prompts = [[*row[real].tolist(), *text] for row, real, text in zip(ids, mask, questions, strict=True)]
        model_inputs: dict[str, Any] = {}
        for name, value in move_inputs(self.base, inputs).items():
            if value.shape != ids.shape:
                model_inputs[name] = value
            elif name not in ("input_ids", "attention_mask"):
                # A number a token, as which of them are the photo's: of the text it is 0.
                rows = zip(value.cpu(), mask, questions, strict=True)
                model_inputs[name] = [[*row[real].tolist(), *([0] * len(text))] for row, real, text in rows]
        return prompts, model_inputs

    def generate(self, tasks: Sequence[Task], generation: GenerationConfig) -> list[list[int]] | None:
        """Return None: TRL generates."""
        return None

    def score(
        self, model: Any, tasks: Sequence[Task], answers: Sequence[Tokens]
    ) -> list[Float[Tensor, "tokens vocab"]]:
        """Return the logits of each answer's tokens; answers are aligned at their ends."""
        turns = [
            EncodedTurn(tuple(self._encode_question(task)), tuple(answer))
            for task, answer in zip(tasks, answers, strict=True)
        ]
        logits = self._logits(model, collate_turns(self._make_inputs(tasks), turns, self.tokenizer))
        return [row[-len(answer) :] for row, answer in zip(logits, answers, strict=True)]

    def auxiliary_loss(self, model: Any, tasks: Sequence[Task]) -> Tensor | None:
        """Return None: all answers are text, which the KL divergence holds near the reference."""
        return None

    def _logits(self, model: Any, batch: Batch) -> Float[Tensor, "rows longest vocab"]:
        """Compute the logits of the answers' tokens, aligned at their ends."""
        inputs = move_inputs(self.base, batch)
        keep = int((inputs.pop("labels") != IGNORE_INDEX).sum(1).max()) + 1
        logits: Tensor = model(**inputs, use_cache=False, logits_to_keep=keep).logits[:, -keep:-1].float()
        return logits

    def _make_inputs(self, tasks: Sequence[Task]) -> dict[str, Tensor]:
        images = {number: self.examples.load_image(number) for number in {task.number for task in tasks}}
        return make_inputs(self.examples.processor, self.codec.chat_format, [images[task.number] for task in tasks])

    def _encode_question(self, task: Task) -> list[int]:
        return self.codec.tokenize(self.codec.chat_format.format_question(task.question))

    def decode(self, task: Task, tokens: Tokens) -> Answer | None:
        """Decode the answer line, with boxes in pixels of the photo; None where it is not one."""
        if tokens[-1] != self.end_token:
            return None
        placement = place_photo(task.size, self.examples.processor)
        answer = self.codec.decode(self.codec.detokenize(tokens[:-1]), placement.canvas_size)
        return placement.answer_to_photo(answer) if answer is not None and answer.query == task.query else None

    def evaluate(self, numbers: Sequence[int]) -> Evaluation:
        """Evaluate by teacher forcing: an answer is correct if each token is the likeliest after the true ones."""
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            scores = [self._score_example(number) for number in numbers]
        self.model.train(was_training)
        return aggregate_scores([scores])

    def _score_example(self, number: int) -> QueryScores:
        turns = list(self.examples.encode_turns(self.examples.rows[number]))
        inputs = make_inputs(
            self.examples.processor, self.codec.chat_format, [self.examples.load_image(number)] * len(turns)
        )
        batch = collate_turns(inputs, turns, self.tokenizer)
        logits = self._logits(self.model, batch).cpu()
        targets = batch["labels"][:, -logits.shape[1] :]
        token_loss = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
        )
        is_answer = targets != IGNORE_INDEX
        is_correct = ((logits.argmax(-1) == targets) | ~is_answer).all(1)
        return (token_loss.view_as(targets).sum(1) / is_answer.sum(1))[None], is_correct[None]
