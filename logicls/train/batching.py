"""Batches of nano: pack all questions of a photo into one sequence, each in an attention branch of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.train.encoding import EncodedExample
from logicls.train.online_examples import OnlineExamples
from logicls.train.preflight import PreflightResult

Batch = dict[str, torch.Tensor]
"""Arguments of nano's `forward` by name, as `collate` makes them."""


def collate(examples: Sequence[EncodedExample], pixels: np.ndarray, codec: NanoAnswerCodec, image_tokens: int) -> Batch:
    """Pack encoded examples into the arguments of nano's `forward`.

    A row holds the photo's placeholders, then each question with its answer; `branch_ids` number the questions from 1,
    with 0 for the photo and -1 for padding, so that questions attend to the photo but not to one another. Labels are
    shifted: a label is at the position before its token, where the model predicts it; prompts and padding have
    `IGNORE_INDEX`.

    Args:
        examples: Encoded examples of the batch.
        pixels: Their photos, uint8 [examples height width 3].
        codec: Tokens of nano.
        image_tokens: Placeholders per photo.

    Returns:
        `input_ids`, `branch_ids`, `labels` [examples tokens]; `weights`, `located` [examples questions]; `pixel_values`
        uint8 [examples 3 height width]; `boxes` and what belongs to each (see `_collate_instances`).
    """
    longest = max(sum(map(len, (*e.prompts, *e.answers))) for e in examples) + image_tokens
    questions = max(len(e.prompts) for e in examples)
    shape = len(examples), longest
    ids = torch.full(shape, codec.pad)
    branches = torch.full(shape, -1)
    labels = torch.full(shape, IGNORE_INDEX)
    weights = torch.zeros(len(examples), questions)
    located = torch.zeros(len(examples), questions, dtype=torch.bool)
    ids[:, :image_tokens], branches[:, :image_tokens] = codec.image, 0
    for row, example in enumerate(examples):
        at = image_tokens
        for branch, (prompt, answer) in enumerate(zip(example.prompts, example.answers, strict=True), 1):
            text = torch.tensor([*prompt, *answer])
            end, first = at + len(text), at + len(prompt) - 1
            ids[row, at:end], branches[row, at:end] = text, branch
            labels[row, first : end - 1] = text[len(prompt) :]
            at = end
        weights[row, : len(example.weights)] = torch.tensor(example.weights)
        located[row, : len(example.is_locate)] = torch.tensor(example.is_locate)
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # the network wants channels last as well
    return {
        "input_ids": ids, "branch_ids": branches, "labels": labels, "weights": weights, "located": located,
        "pixel_values": values, **_collate_instances(examples),
    }  # fmt: skip


def _collate_instances(examples: Sequence[EncodedExample]) -> Batch:
    """Pad the labelled instances of each example to the same number.

    Returns:
        `boxes` [examples instances 4] in pixels of the input; `box_question` [examples instances], -1 for padding;
        `box_value` and `box_next_value`, the tokens of an attribute's value or `IGNORE_INDEX`; and `box_next_share`,
        how far the value lies from the first token to the second (see `InstanceTarget`).
    """
    entries = [
        [(question, instance) for question, instances in enumerate(example.instances) for instance in instances]
        for example in examples
    ]
    shape = len(examples), max(1, *map(len, entries))
    boxes, next_share, question = torch.zeros(*shape, 4), torch.zeros(shape), torch.full(shape, -1)
    value, next_value = torch.full(shape, IGNORE_INDEX), torch.full(shape, IGNORE_INDEX)
    for row, entries_of_row in enumerate(entries):
        if entries_of_row:
            numbers, instances = zip(*entries_of_row, strict=True)
            edges, values, next_values, shares = zip(*instances, strict=True)
            count = len(entries_of_row)
            boxes[row, :count], question[row, :count] = torch.tensor(edges), torch.tensor(numbers)
            value[row, :count], next_value[row, :count] = torch.tensor(values), torch.tensor(next_values)
            next_share[row, :count] = torch.tensor(shares)
    return {
        "boxes": boxes, "box_question": question, "box_value": value, "box_next_value": next_value,
        "box_next_share": next_share,
    }  # fmt: skip


class TrainingBatches(IterableDataset[Batch]):
    """Batches of steps `start` to `stop`.

    A batch depends on its step, the seed and the examples selected for the step alone. The dataset has no length: after
    a resume, Lightning would subtract the steps before `start` from it and end the epoch too early.
    """

    def __init__(
        self,
        preflight: PreflightResult,
        codec: NanoAnswerCodec,
        select: Callable[[int], Sequence[int]],
        *,
        start: int,
        stop: int,
        jitter: float,
        seed: int,
        online: OnlineExamples | None = None,
    ) -> None:
        """Set up the batches; `select(step)` returns the numbers of a step's examples when its batch is loaded."""
        super().__init__()
        self.preflight, self.codec, self.select, self.online = preflight, codec, select, online
        self.start, self.stop, self.jitter, self.seed = start, stop, jitter, seed

    def __iter__(self) -> Iterator[Batch]:
        if self.online is None:
            yield from (self._collate(step, *self._load(step)) for step in range(self.start, self.stop))
            return
        with closing(self.online.generate_parts(self.start, self.stop)) as parts:
            for step, (examples, pixels) in zip(range(self.start, self.stop), parts, strict=True):
                dataset_examples, dataset_pixels = self._load(step)
                yield self._collate(step, [*dataset_examples, *examples], np.concatenate([dataset_pixels, pixels]))

    def _load(self, step: int) -> tuple[list[EncodedExample], np.ndarray]:
        """Return a step's examples of the set, and their pixels."""
        numbers = list(self.select(step))
        return [self.preflight.examples[number] for number in numbers], self.preflight.pixels[numbers]

    def _collate(self, step: int, examples: Sequence[EncodedExample], pixels: np.ndarray) -> Batch:
        jittered = apply_color_jitter(pixels, self.jitter, np.random.default_rng([self.seed, step, 7]))
        return collate(examples, jittered, self.codec, self.preflight.processor.image_tokens)


def apply_color_jitter(pixels: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Change brightness and contrast of each photo at random.

    Args:
        pixels: uint8 [batch height width 3].
        jitter: Contrast varies by a factor of 1 - jitter to 1 + jitter, brightness by -80 to 80 times jitter.
        rng: Source of the random changes.
    """
    count = len(pixels)
    gain = rng.uniform(1 - jitter, 1 + jitter, (count, 1)).astype(np.float32)
    shift = rng.uniform(-80 * jitter, 80 * jitter, (count, 1)).astype(np.float32)
    tables = np.clip((np.arange(256, dtype=np.float32) - 96) * gain + 96 + shift, 0, 255).astype(np.uint8)
    jittered = np.empty_like(pixels)
    for photo, table, out in zip(pixels, tables, jittered, strict=True):
        cv2.LUT(photo, table, out)
    return jittered


class TimedBatches(IterableDataset[Batch]):
    """Batches with a measurement of the time that training waits for them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        super().__init__()
        self.batches = batches
        self.wait_seconds = 0.0
        """Total time spent in loading batches."""

    def __iter__(self) -> Iterator[Batch]:
        with closing(cast(Any, iter(self.batches))) as batches:
            while True:
                started = time.perf_counter()
                batch = next(batches, None)
                self.wait_seconds += time.perf_counter() - started
                if batch is None:
                    return
                yield batch
