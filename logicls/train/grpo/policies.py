"""Policies of the stage `grpo`: what is sampled from a model, and with which log-probability.

nano detects components and reads their attributes from the feature map; nothing is sampled there, so that a reward has
nothing to choose from. What nano generates as text remains: the verdict, and attributes of components that it is not
asked to locate. All answers about a photo are scored in one pass, in attention branches as in training.

All answers of a hub model are text, boxes included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import datasets
import numpy as np
import torch
from jaxtyping import Float, UInt8
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from logicls.constraints.checker.decomposition import decompose, locate_query_id
from logicls.models.bundle import Bundle
from logicls.models.hub.chat_template import make_inputs, place_photo
from logicls.models.hub.shared_prefix import move_inputs
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Answer
from logicls.train.batching import Batch, collate
from logicls.train.encoding import ExampleEncoder, decode_image, find_angle_queries
from logicls.train.grpo.rewards import PolicyModel, Task, Tokens
from logicls.train.hub_dataset import EncodedTurn, HubExamples, collate_turns
from logicls.train.validation import Evaluation, QueryScores, aggregate_scores, score_batches

EVALUATION_BATCH = 16
"""Examples per batch of an evaluation."""


class NanoPolicy:
    """Policy of a bundle's nano, for the rows of a dataset."""

    def __init__(self, bundle: Bundle, rows: datasets.Dataset) -> None:
        self.model = bundle.nano_model
        self.rows, self.processor = rows, bundle.nano_processor
        self.codec = NanoAnswerCodec(self.processor)
        self.encoder = ExampleEncoder(self.codec, 1.0, find_angle_queries(bundle.spec))
        self.tokenizer = self.processor.tokenizer
        self.end_token, self.image_token = self.codec.end, self.codec.image
        self.queries = {query.id: query for query in decompose(bundle.spec)}
        self.max_tokens = max(bundle.max_boxes, *(len(query.options) for query in self.queries.values())) + 1
        self.pixels = lru_cache(256)(self._load_pixels)

    def _load_pixels(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
        photo = decode_image(self.rows[number]["image"]["bytes"], number)
        pixels: np.ndarray = self.processor.image_processor.letterbox(photo)
        return pixels

    def generates(self, query: str) -> bool:
        """Return True for queries that are neither locate queries nor attributes of located components."""
        return self.queries[query].kind != "locate" and locate_query_id(query) not in self.queries

    def make_prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """Return photo placeholders, question and `<answer>` of each task, and `pixel_values`."""
        photo = [self.image_token] * self.processor.image_tokens
        prompts = [[*photo, *self.codec.encode_prompt(task.question)] for task in tasks]
        return prompts, {"pixel_values": self._stack_pixels([task.number for task in tasks])}

    def generate(self, tasks: Sequence[Task], generation: GenerationConfig) -> list[list[int]] | None:
        """Sample with `generate`, encoding each photo once for all answers about it."""
        numbers, photo, cache = (
            list(dict.fromkeys(task.number for task in tasks)),
            self.processor.image_tokens,
            DynamicCache(),
        )
        device = self.model.device
        placeholders = torch.full((len(numbers), photo), self.image_token, device=device)
        texts = [self.codec.encode_prompt(task.question) for task in tasks]
        longest = max(map(len, texts))
        padding = [[self.codec.pad] * (longest - len(text)) for text in texts]
        ids = torch.tensor(
            [[*[self.image_token] * photo, *pads, *text] for pads, text in zip(padding, texts, strict=True)]
        )
        mask = torch.tensor(
            [[1] * photo + [0] * len(pads) + [1] * len(text) for pads, text in zip(padding, texts, strict=True)]
        )
        with torch.no_grad():
            self.model(placeholders, self._stack_pixels(numbers).to(device), past_key_values=cache)
            cache.batch_select_indices(torch.tensor([numbers.index(task.number) for task in tasks], device=device))
            answers = self.model.generate(  # type: ignore[misc]  # typed for models of transformers alone
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                past_key_values=cache,
                generation_config=generation,
            )[:, ids.shape[1] :].tolist()
        return [
            answer[: answer.index(self.end_token) + 1] if self.end_token in answer else answer for answer in answers
        ]

    def score(
        self, model: PolicyModel, tasks: Sequence[Task], answers: Sequence[Tokens]
    ) -> list[Float[Tensor, "tokens vocab"]]:
        """Return the logits of each answer's tokens; each photo is encoded once, with its answers as branches."""
        numbers = list(dict.fromkeys(task.number for task in tasks))
        texts = [
            [*self.codec.encode_prompt(task.question), *answer] for task, answer in zip(tasks, answers, strict=True)
        ]
        batch, ends = self._pack([numbers.index(task.number) for task in tasks], texts)
        nano = cast(NanoForImageTextToText, model)
        device = nano.device
        inputs = {name: value.to(device) for name, value in batch.items()}
        words = nano(**inputs, pixel_values=self._stack_pixels(numbers).to(device)).hidden
        return [
            nano.compute_logits(words[row, end - len(answer) - 1 : end - 1]).float()
            for (row, end), answer in zip(ends, answers, strict=True)
        ]

    def auxiliary_loss(self, model: PolicyModel, tasks: Sequence[Task]) -> Tensor | None:
        """Compute the supervised loss of all questions but those that are answered as text."""
        numbers = list(dict.fromkeys(task.number for task in tasks))
        rows = [self.rows[number] for number in numbers]
        weights = [tuple(float(not self.generates(query)) for query in row["queries"]) for row in rows]
        examples = [
            replace(self.encoder.encode(row), weights=weights_of_row)
            for row, weights_of_row in zip(rows, weights, strict=True)
        ]
        pixels = np.stack([self.pixels(number) for number in numbers])
        batch = collate(examples, pixels, self.codec, self.processor.image_tokens)
        device = cast(NanoForImageTextToText, model).device
        loss: Tensor = model(**{name: value.to(device) for name, value in batch.items()}).loss
        return loss

    def _pack(self, rows: Sequence[int], texts: Sequence[Tokens]) -> tuple[Batch, list[tuple[int, int]]]:
        """Pack texts as branches of the photos in these rows; returns the batch, and each text's row and end."""
        photo = self.processor.image_tokens
        lengths = [photo] * (max(rows) + 1)
        branch_count, ends = [0] * len(lengths), []
        for row, text in zip(rows, texts, strict=True):
            lengths[row] += len(text)
            ends.append((row, lengths[row]))
        ids = torch.full((len(lengths), max(lengths)), self.codec.pad)
        branches = torch.full_like(ids, -1)
        ids[:, :photo], branches[:, :photo] = self.image_token, 0
        for (row, end), text in zip(ends, texts, strict=True):
            branch_count[row] += 1
            ids[row, end - len(text) : end], branches[row, end - len(text) : end] = (
                torch.tensor(text),
                branch_count[row],
            )
        return {"input_ids": ids, "branch_ids": branches}, ends

    def _stack_pixels(self, numbers: Sequence[int]) -> UInt8[Tensor, "photos 3 height width"]:
        pixels = np.stack([self.pixels(number) for number in numbers])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def decode(self, task: Task, tokens: Tokens) -> Answer | None:
        """Decode the values before the end token, or `none` alone; None where the tokens are not an answer."""
        options = {self.codec.value_token(value): value for value in self.queries[task.query].options}
        *words, last = tokens
        if last != self.end_token or not words:
            return None
        if list(words) == [self.codec.none]:
            return Answer(task.query)
        if any(word not in options for word in words):
            return None
        return Answer(task.query, tuple(options[word] for word in words))

    def evaluate(self, numbers: Sequence[int]) -> Evaluation:
        """Evaluate all answers, detections included."""
        return aggregate_scores([self.score_examples(numbers)])

    def score_examples(self, numbers: Sequence[int]) -> list[QueryScores]:
        """Compute loss and correctness of all answers."""
        scores = list[QueryScores]()
        for start in range(0, len(numbers), EVALUATION_BATCH):
            batch_numbers = list(numbers[start : start + EVALUATION_BATCH])
            examples = [self.encoder.encode(self.rows[number]) for number in batch_numbers]
            pixels = np.stack([self.pixels(number) for number in batch_numbers])
            scores += score_batches(self.model, [collate(examples, pixels, self.codec, self.processor.image_tokens)])
        return scores


LENGTH_MARGIN = 1.25
"""Limit of an answer's length, relative to the longest true answer."""
LENGTH_SAMPLE = 50
"""Examples whose answers are measured for the limit."""


class HubPolicy:
    """Policy of a peft adapter, for the rows of a dataset."""

    def __init__(self, adapter: PeftModel, examples: HubExamples) -> None:
        self.model, self.base, self.examples = adapter, cast(PreTrainedModel, adapter.get_base_model()), examples
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
        self, model: PolicyModel, tasks: Sequence[Task], answers: Sequence[Tokens]
    ) -> list[Float[Tensor, "tokens vocab"]]:
        """Return the logits of each answer's tokens; answers are aligned at their ends."""
        turns = [
            EncodedTurn(tuple(self._encode_question(task)), tuple(answer))
            for task, answer in zip(tasks, answers, strict=True)
        ]
        logits = self._logits(model, collate_turns(self._make_inputs(tasks), turns, self.tokenizer))
        return [row[-len(answer) :] for row, answer in zip(logits, answers, strict=True)]

    def auxiliary_loss(self, model: PolicyModel, tasks: Sequence[Task]) -> Tensor | None:
        """Return None: all answers are text, which the KL divergence holds near the reference."""
        return None

    def _logits(self, model: PolicyModel, batch: Batch) -> Float[Tensor, "rows longest vocab"]:
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
