"""Training data and Lightning module of hub models.

An example is a photo and one question about it, as a chat turn; threads make the batches, since PIL, numpy and
tokenizers release the interpreter lock. The module has the loss, the optimizer and checkpoints of the trained weights
alone (LoRA).
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
import lightning
import numpy as np
import torch
from jaxtyping import Bool, Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from logicls.constraints.checker.decomposition import VERDICT
from logicls.io.atomic import atomic_path
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import make_inputs, pad_photo, place_photo
from logicls.models.hub.loading import CallableHubModel, HubModel, HubProcessor
from logicls.models.hub.shared_prefix import move_inputs
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Answer, Box
from logicls.train.batching import Batch, apply_color_jitter
from logicls.train.distributed import ProcessRank
from logicls.train.encoding import decode_image
from logicls.train.metrics_log import MetricsLog, StepCallback
from logicls.train.preflight import count_examples
from logicls.train.sampler import DifficultySampler, ResamplingCallback, StepSampler

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


def score_answers(model: CallableHubModel, batch: Batch) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """Compute the mean cross-entropy over the tokens of each answer, and whether each token is the likeliest one.

    Each example has the same weight, whichever others are in its batch and however the batch is split.
    """
    inputs = move_inputs(model, {name: value for name, value in batch.items() if name != "question"})
    labels = inputs.pop("labels")
    keep = int((labels != IGNORE_INDEX).sum(1).max()) + 1
    # All answers end together: logits are worked out of their places alone, each one before its token.
    logits = model(**inputs, use_cache=False, logits_to_keep=keep).logits[:, -keep:-1].float()
    targets = labels[:, -keep + 1 :]
    token_loss = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    is_answer = (targets != IGNORE_INDEX).float()
    is_correct = ((logits.argmax(-1) == targets) | (targets == IGNORE_INDEX)).all(1)
    return (token_loss.view_as(is_answer) * is_answer).sum(1) / is_answer.sum(1), is_correct


class HubTrainingModule(lightning.LightningModule):
    """Training of a hub model's adapter."""

    strict_loading = False  # a checkpoint holds what is trained alone

    def __init__(self, model: HubModel, *, steps: int, lr: float, weight_decay: float, seed: int) -> None:
        super().__init__()
        self.model = model
        self.steps, self.lr, self.weight_decay, self.seed = steps, lr, weight_decay, seed

    def training_step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Return `loss`, the mean over the examples; and each example's loss, correctness and question number."""
        # Chance depends on the step alone, so that a resumed run drops out the same.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step * 101 + number % 101)
        loss, is_correct = score_answers(self.model, batch)
        details = {"question_loss": loss.detach(), "question_correct": is_correct, "question": batch["question"]}
        return {"loss": loss.mean(), **details}

    def configure_optimizers(self) -> Any:
        """Configure AdamW on the trained weights with the one-cycle policy (see `configure_one_cycle`)."""
        parameters = [weight for weight in self.model.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay, betas=(0.9, 0.98))
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.lr, total_steps=self.steps + 1, pct_start=0.1)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remove frozen weights from the checkpoint: they may take gigabytes, and the base model has them."""
        names = {name for name, weight in self.named_parameters() if weight.requires_grad}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in names}


class HubResamplingCallback(ResamplingCallback):
    """Resampling where each example was asked one question, and a batch comes in parts."""

    def __init__(self, sampler: DifficultySampler, log: MetricsLog) -> None:
        super().__init__(sampler, log, ProcessRank())
        self.parts: list[Any] = []

    @property
    def state_key(self) -> str:
        """Name of the state in checkpoints, as earlier releases wrote it."""
        return "HubResample"

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect a part's results; update the sampler when the last part of a step is done."""
        self.parts.append([outputs[name].cpu() for name in ("question", "question_loss", "question_correct")])
        if len(self.parts) < trainer.accumulate_grad_batches:
            return
        question_numbers, losses, rights = (torch.cat(part).numpy() for part in zip(*self.parts, strict=True))
        self.parts.clear()
        questions = int(self.sampler.difficulty.strata.question.max()) + 1
        loss = np.full((len(question_numbers), questions), np.nan)
        right = np.zeros(loss.shape, bool)
        (
            loss[np.arange(len(question_numbers)), question_numbers],
            right[np.arange(len(question_numbers)), question_numbers],
        ) = losses, rights
        self.update(trainer, loss, right)


class HubCheckpointWriter(Callback):
    """Notifies of each step, and writes a checkpoint every few steps that replaces the previous one atomically."""

    def __init__(self, path: Path, *, every: int, on_step: StepCallback) -> None:
        self.path, self.every, self.on_step = path, every, on_step
        self.parts: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Collect a part's loss; notify and write when the last part of a step is done."""
        part_count = trainer.accumulate_grad_batches
        self.parts.append(float(outputs["loss"].detach()) * part_count)  # Lightning has divided it already
        if len(self.parts) < part_count:
            return
        step = trainer.global_step
        self.on_step(step, sum(self.parts) / part_count)
        self.parts.clear()
        if step % self.every == 0:
            with atomic_path(self.path) as temporary:
                trainer.save_checkpoint(temporary)
