"""nano, as the stage with rewards sees it.

Where things are, nano points at, and what those things are like is read off there: no words, nothing drawn by chance,
nothing for a reward to choose from. What it says in words is left: the verdict, and attributes of components that it
is never asked to find. All answers about one photo are read side by side from one reading of the photo, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import datasets
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import DynamicCache, GenerationConfig

from logicls.constraints.checker.decomposition import decompose, locate_query_id
from logicls.models.bundle import Bundle
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.records import Answer
from logicls.train.batching import Batch, collate
from logicls.train.encoding import Encoder, decoded
from logicls.train.grpo.rewards import Task, Tokens
from logicls.train.validation import Answers, Evaluation, answered, evaluation

AT_ONCE = 16
"""Examples that are looked at in one batch."""


class NanoPolicy:
    """Of a bundle, for the rows of a dataset."""

    def __init__(self, bundle: Bundle, rows: datasets.Dataset) -> None:
        self.model, self.rows = bundle.model, rows
        self.processor, self.codec = bundle.processor, NanoAnswerCodec(bundle.processor)
        self.encoder = Encoder(self.codec, 1.0)
        self.tokenizer = bundle.processor.tokenizer
        self.end, self.image = self.codec.end, self.codec.image
        self.queries = {query.id: query for query in decompose(bundle.spec)}
        self.most = max(bundle.max_boxes, *(len(query.options) for query in self.queries.values())) + 1
        self.pixels = lru_cache(256)(self._pixels)

    def _pixels(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
        photo = decoded(self.rows[number]["image"]["bytes"], number)
        fitted: np.ndarray = self.processor.image_processor.fitted(photo)
        return fitted

    def asks(self, query: str) -> bool:
        """Whether the question is neither where things are nor what the things are like that were pointed at."""
        return self.queries[query].kind != "locate" and locate_query_id(query) not in self.queries

    def prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """The photo's placeholders, the question, `<answer>`; and `pixel_values`."""
        photo = [self.image] * self.processor.image_tokens
        prompts = [[*photo, *self.codec.encode_prompt(task.question)] for task in tasks]
        return prompts, {"pixel_values": self._photos([task.number for task in tasks])}

    def say(self, tasks: Sequence[Task], given: GenerationConfig) -> list[list[int]] | None:
        """By `generate`, but each photo is read once for all answers about it."""
        numbers, photo, cache = (
            list(dict.fromkeys(task.number for task in tasks)),
            self.processor.image_tokens,
            DynamicCache(),
        )
        device = self.model.device
        seen = torch.full((len(numbers), photo), self.image, device=device)
        texts = [self.codec.encode_prompt(task.question) for task in tasks]
        longest = max(map(len, texts))
        fill = [[self.codec.pad] * (longest - len(text)) for text in texts]
        ids = torch.tensor([[*[self.image] * photo, *pads, *text] for pads, text in zip(fill, texts, strict=True)])
        mask = torch.tensor(
            [[1] * photo + [0] * len(pads) + [1] * len(text) for pads, text in zip(fill, texts, strict=True)]
        )
        with torch.no_grad():
            self.model(seen, self._photos(numbers).to(device), past_key_values=cache)
            cache.batch_select_indices(torch.tensor([numbers.index(task.number) for task in tasks], device=device))
            said = self.model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), past_key_values=cache, generation_config=given
            )[:, ids.shape[1] :].tolist()
        return [some[: some.index(self.end) + 1] if self.end in some else some for some in said]

    def logits(self, model: Any, tasks: Sequence[Task], said: Sequence[Tokens]) -> list[Float[Tensor, "tokens vocab"]]:
        """Each photo is read once, with the answers to all questions about it as branches."""
        numbers = list(dict.fromkeys(task.number for task in tasks))
        texts = [[*self.codec.encode_prompt(task.question), *some] for task, some in zip(tasks, said, strict=True)]
        batch, ends = self._packed([numbers.index(task.number) for task in tasks], texts)
        device = model.device
        given = {name: value.to(device) for name, value in batch.items()}
        words = model(**given, pixel_values=self._photos(numbers).to(device)).words
        return [
            model.head(words[row, end - len(some) - 1 : end - 1]).float()
            for (row, end), some in zip(ends, said, strict=True)
        ]

    def held(self, model: Any, tasks: Sequence[Task]) -> Tensor | None:
        """As in the first stage, all questions but those that are answered in words."""
        numbers = list(dict.fromkeys(task.number for task in tasks))
        rows = [self.rows[number] for number in numbers]
        kept = [tuple(float(not self.asks(query)) for query in row["queries"]) for row in rows]
        examples = [replace(self.encoder.encode(row), weights=some) for row, some in zip(rows, kept, strict=True)]
        pixels = np.stack([self.pixels(number) for number in numbers])
        batch = collate(examples, pixels, self.codec, self.processor.image_tokens)
        loss: Tensor = model(**{name: value.to(model.device) for name, value in batch.items()}).loss
        return loss

    def _packed(self, rows: Sequence[int], texts: Sequence[Tokens]) -> tuple[Batch, list[tuple[int, int]]]:
        """Texts as branches of the photos in these rows; row of each, and where it ends."""
        photo = self.processor.image_tokens
        at = [photo] * (max(rows) + 1)
        branch, ends = [0] * len(at), []
        for row, text in zip(rows, texts, strict=True):
            at[row] += len(text)
            ends.append((row, at[row]))
        ids = torch.full((len(at), max(at)), self.codec.pad)
        branches = torch.full_like(ids, -1)
        ids[:, :photo], branches[:, :photo] = self.image, 0
        for (row, end), text in zip(ends, texts, strict=True):
            branch[row] += 1
            ids[row, end - len(text) : end], branches[row, end - len(text) : end] = torch.tensor(text), branch[row]
        return {"input_ids": ids, "branch_ids": branches}, ends

    def _photos(self, numbers: Sequence[int]) -> UInt8[Tensor, "photos 3 height width"]:
        pixels = np.stack([self.pixels(number) for number in numbers])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def read(self, task: Task, said: Tokens) -> Answer | None:
        """Values up to the end, or none alone."""
        options = {self.codec.value_token(value): value for value in self.queries[task.query].options}
        *words, last = said
        if last != self.end or not words:
            return None
        if list(words) == [self.codec.none]:
            return Answer(task.query)
        if any(word not in options for word in words):
            return None
        return Answer(task.query, tuple(options[word] for word in words))

    def look(self, numbers: Sequence[int]) -> Evaluation:
        """All answers, those that are pointed out as well."""
        return evaluation([self.answers(numbers)])

    def answers(self, numbers: Sequence[int]) -> list[Answers]:
        """Loss and rightness of all answers."""
        found = list[Answers]()
        for at in range(0, len(numbers), AT_ONCE):
            some = list(numbers[at : at + AT_ONCE])
            examples = [self.encoder.encode(self.rows[number]) for number in some]
            pixels = np.stack([self.pixels(number) for number in some])
            found += answered(self.model, [collate(examples, pixels, self.codec, self.processor.image_tokens)])
        return found
