"""Training examples for models of the hub: a photo and one question about it, as a chat turn; batches made by threads.

PIL, numpy and tokenizers release the interpreter lock, so that threads suffice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from logicls.constraints.checker.decomposition import VERDICT
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import make_inputs, pad_photo, place_photo
from logicls.models.hub.protocols import HubProcessor
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Answer, Box
from logicls.train.batching import apply_color_jitter
from logicls.train.encoding import decode_image
from logicls.train.preflight import count_examples
from logicls.train.sampler import StepSampler

Batch = dict[str, Tensor]
Rng = np.random.Generator
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedTurn:
    """Tokens of a question and its answer."""

    question: tuple[int, ...]
    answer: tuple[int, ...]
    """Tokens of the answer, its end token included."""


@dataclass(frozen=True, slots=True)
class HubExamples:
    """Rows of a dataset, encoded by a model's processor and codec."""

    rows: datasets.Dataset
    processor: HubProcessor
    codec: HubAnswerCodec

    def load_image(self, number: int) -> np.ndarray:
        """Load a row's photo as the model gets it, uint8 RGB [height width 3]. Raises `DataError` (LC403)."""
        photo = decode_image(self.rows[number]["image"]["bytes"], number)
        return pad_photo(photo, place_photo((photo.shape[1], photo.shape[0]), self.processor))

    def encode_turns(self, row: Row) -> Iterator[EncodedTurn]:
        """Encode every question of a row with its answer."""
        placement = place_photo((row["width"], row["height"]), self.processor)
        for query, question, values, boxes in zip(
            row["queries"], row["questions"], row["values"], row["boxes"], strict=True
        ):
            answer = Answer(query, tuple(values), placement.boxes_to_canvas(tuple(Box(*box) for box in boxes)))
            answer_tokens = self.codec.tokenize(self.codec.encode(answer, placement.canvas_size))
            question_tokens = self.codec.tokenize(self.codec.chat_format.format_question(question))
            yield EncodedTurn(tuple(question_tokens), (*answer_tokens, self.codec.chat_format.end_token))

    def make_batch(self, draws: Sequence[tuple[int, Rng]], *, jitter: float, verdict_weight: float) -> Batch:
        """Make a batch with one question of each row, and colour jitter on its photo.

        The stated verdict is drawn `verdict_weight` times as often as any other question. `question` [batch] has the
        number of each drawn question in its row. `draws`: row and random generator of each example.
        """
        questions, turns = zip(*(self.draw_turn(number, rng, verdict_weight) for number, rng in draws), strict=True)
        images = [apply_color_jitter(self.load_image(number)[None], jitter, rng)[0] for number, rng in draws]
        batch = collate_turns(
            make_inputs(self.processor, self.codec.chat_format, images), turns, self.processor.tokenizer
        )
        return {**batch, "question": torch.tensor(questions)}

    def draw_turn(self, number: int, rng: Rng, verdict_weight: float) -> tuple[int, EncodedTurn]:
        """Draw a question of a row; returns its number and tokens."""
        row = self.rows[number]
        weights = np.array([verdict_weight if query == VERDICT else 1.0 for query in row["queries"]])
        number_of_question = int(rng.choice(len(weights), p=weights / weights.sum()))
        row_of_question = {
            name: [row[name][number_of_question]] for name in ("queries", "questions", "values", "boxes")
        }
        return number_of_question, next(self.encode_turns({**row, **row_of_question}))


def collate_turns(
    inputs: Mapping[str, Tensor], turns: Sequence[EncodedTurn], tokenizer: PreTrainedTokenizerBase
) -> Batch:
    """Append turns to the tokens of their photos, with padding on the left.

    Adds `labels` [batch tokens]: the answers' tokens at their own positions, `IGNORE_INDEX` elsewhere.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rows = [[*ids[k][mask[k].bool()].tolist(), *turn.question, *turn.answer] for k, turn in enumerate(turns)]
    width = max(map(len, rows))
    out: Batch = {name: value for name, value in inputs.items() if value.shape != ids.shape}
    pad = tokenizer.pad_token_id or 0
    out["input_ids"] = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    out["attention_mask"] = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    out["labels"] = torch.full_like(out["input_ids"], IGNORE_INDEX)
    for k, turn in enumerate(turns):
        out["labels"][k, width - len(turn.answer) :] = torch.tensor(turn.answer)
    # What else there is a number a token, as which of them are the photo's: of the text it is 0.
    for name, value in inputs.items():
        if value.shape == ids.shape and name not in out:
            out[name] = torch.zeros_like(out["input_ids"])
            for k, turn in enumerate(turns):
                real, end = value[k][mask[k].bool()], width - len(turn.question) - len(turn.answer)
                out[name][k, end - len(real) : end] = real
    return out


def open_rows(synth: Path, cache: Path) -> datasets.Dataset:
    """Load the rows of a dataset with undecoded images. Raises `DataError` (LC402) where there are none."""
    datasets.disable_progress_bars()
    count_examples(synth)
    files = sorted(str(path) for path in (synth / "data").glob("*.parquet"))
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache / "arrow"))
    return loaded.cast_column("image", datasets.Image(decode=False))


PREFETCH = 4
"""Parts of batches that are made ahead, one per thread."""


class HubBatches(IterableDataset[Batch]):
    """Batches of steps `start` to `stop`, each in `parts`; they depend on step, seed and sampler alone."""

    def __init__(
        self,
        examples: HubExamples,
        *,
        sampler: StepSampler,
        start: int,
        stop: int,
        parts: int,
        jitter: float,
        verdict_weight: float,
        seed: int,
    ) -> None:
        """Set up the batches; `sampler` is called up to `PREFETCH` parts ahead."""
        super().__init__()
        self.examples, self.sampler, self.start, self.stop, self.parts = examples, sampler, start, stop, parts
        self.jitter, self.verdict_weight, self.seed = jitter, verdict_weight, seed

    def __iter__(self) -> Iterator[Batch]:
        places = ((step, part) for step in range(self.start, self.stop) for part in range(self.parts))
        with ThreadPoolExecutor(PREFETCH) as pool:
            pending: deque[Future[Batch]] = deque()
            try:
                pending.extend(pool.submit(self.make_part, *place) for place in islice(places, PREFETCH))
                while pending:
                    batch = pending.popleft().result()
                    pending.extend(pool.submit(self.make_part, *place) for place in islice(places, 1))
                    yield batch
            finally:
                for future in pending:
                    future.cancel()

    def make_part(self, step: int, part: int) -> Batch:
        """Make a part of a step's batch, with a question drawn for each example."""
        numbers = self.sampler(step)
        part_size = len(numbers) // self.parts
        draws = [(number, np.random.default_rng([self.seed, step, k, 13])) for k, number in enumerate(numbers)]
        part_draws = draws[part * part_size : (part + 1) * part_size]
        return self.examples.make_batch(part_draws, jitter=self.jitter, verdict_weight=self.verdict_weight)
