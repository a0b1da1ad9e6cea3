"""Base weights of nano: pretraining on rendered scenes of many kinds of component, before any product.

The crop encoder is pretrained by itself, on the classification of small marks on rendered photos. Its weights are a
file of their own (`BACKBONE_FILE`), from which a product's model starts if its recipe sets `detail`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import save
from torch.utils.data import IterableDataset

from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.yaml_reader import read_yaml
from logicls.errors import RecipeError, SpecError
from logicls.io.atomic import write_bytes
from logicls.models.nano import NanoConfig, NanoForImageTextToText, NanoImageProcessor, NanoProcessor
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.crop_encoder import BACKBONE_FILE, normalize
from logicls.models.nano.processor import expand_model, expand_processor, train_tokenizer
from logicls.pretraining.photo_store import (
    MarkShard,
    SceneShard,
    read_mark_shards,
    read_scene_shards,
    store_marks,
    store_scenes,
)
from logicls.pretraining.small_marks import mark_kinds
from logicls.pretraining.vocabulary import list_answer_words, list_tokenizer_texts
from logicls.prompts.templates import product_question_phrasings
from logicls.records import Subquery
from logicls.train.batching import Batch, apply_color_jitter, collate
from logicls.train.crop_pretraining import CropClassifier
from logicls.train.distributed import ProcessRank
from logicls.train.encoding import EncodedExample, InstanceTarget
from logicls.train.lightning_module import CheckpointWriter, NanoTrainingModule, read_checkpoint_step, run_training_loop
from logicls.train.metrics_log import SILENT, StepCallback, TrainingObserver

BATCH_SIZE = 128
CONTRAST_JITTER, BRIGHTNESS_JITTER = 0.2, 0.25
"""Largest random change of contrast (a factor's distance from 1) and of brightness, in units of the network's input."""


def train_crop_encoder(
    out: Path,
    shards: Sequence[MarkShard],
    *,
    steps: int,
    width: int,
    seed: int,
    every: int,
    resume: bool,
    on_step: StepCallback,
) -> None:
    """Train for `steps` batches of 128 marks, and write `out`/look.safetensors in half precision.

    `width`: width of the model that the encoder is for; `every`: steps between checkpoints, from the last of which
    `resume` continues; `on_step` is called with each step and its loss.
    """
    lightning.seed_everything(seed, verbose=False)
    reader = CropClassifier(width, steps, seed, classes=len(mark_kinds()))
    last = out / "last_of_marks.ckpt"
    checkpoint = last if resume and last.exists() else None
    batches = MarkBatches(shards, seed, steps, read_checkpoint_step(checkpoint))
    watch = CheckpointWriter(last, every=every, rank=ProcessRank(), on_step=on_step, on_saved=lambda: None)
    run_training_loop(reader, batches, [watch], steps=steps, checkpoint=checkpoint, rank=ProcessRank())
    weights = {name: weight.half().contiguous() for name, weight in reader.backbone.state_dict().items()}
    write_bytes(out / BACKBONE_FILE, save(weights))


class MarkBatches(IterableDataset[Batch]):
    """Batches of marks, upright ones and rotated ones in turn; each depends on its number and the seed only.

    Colour channels are permuted at random, since a mark is the same in any colours.
    """

    def __init__(self, shards: Sequence[MarkShard], seed: int, steps: int, start: int = 0) -> None:
        super().__init__()
        self.shards, self.seed, self.steps, self.start = shards, seed, steps, start

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.start, self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: `pixels`, `boxes`, `marks`, and whether marks are rotated (`any_way`)."""
        rng = np.random.default_rng([self.seed, step])
        shard_numbers = rng.integers(len(self.shards), size=BATCH_SIZE)
        rows = [
            (self.shards[n], int(rng.integers(len(self.shards[n].marks) // 2)) * 2 + step % 2)
            for n in shard_numbers.tolist()
        ]
        colours = rng.permuted(np.tile(np.arange(3), (BATCH_SIZE, 1)), axis=1)
        photos = [shard.pixels[row][..., order] for (shard, row), order in zip(rows, colours, strict=True)]
        pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float()
        jitter = torch.from_numpy(
            rng.uniform(
                (-CONTRAST_JITTER, -BRIGHTNESS_JITTER), (CONTRAST_JITTER, BRIGHTNESS_JITTER), (BATCH_SIZE, 2)
            ).astype(np.float32)
        )
        gain, shift = (1 + jitter[:, 0])[:, None, None, None], jitter[:, 1][:, None, None, None]
        return {
            "pixels": normalize(pixels) * gain + shift,
            "boxes": torch.from_numpy(np.stack([shard.boxes[row] for shard, row in rows])),
            "labels": torch.from_numpy(np.array([shard.marks[row] for shard, row in rows])),
            "orientation_invariant": torch.tensor(step % 2 == 1),
        }


class BaseRecipe(BaseModel):
    """Recipe of base weights; every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: int = Field(140, ge=0)
    """Shards of 256 rendered scenes each."""
    sizes: tuple[tuple[int, int], ...] = ((256, 128), (208, 160), (176, 176), (160, 208))
    """(height, width) of the photos in pixels, multiples of 16; shards use them in turn."""
    questions: int = Field(6, ge=1)
    """Questions of a photo per step; a photo has more, and they are selected at random."""
    steps: int = Field(5000, ge=0)
    """0: pretrain only the crop encoder."""
    batch: int = Field(32, ge=1)
    lr: float = Field(1.5e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    jitter: float = Field(0.15, ge=0, le=0.5)
    width: int = Field(128, multiple_of=32)
    near: int = Field(96, multiple_of=8)
    encoder_layers: int = Field(4, ge=0)
    decoder_layers: int = Field(3, ge=1)
    vocabulary: int = Field(3000, ge=400)
    marks: int = Field(0, ge=0)
    """Steps of crop-encoder pretraining on small marks; 0: no crop encoder."""
    mark_shards: int = Field(16, ge=1)
    """Shards of 4,096 rendered marks each."""
    checkpoint_every: int = Field(200, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _check_purpose(self) -> BaseRecipe:
        if not self.steps and not self.marks:
            raise ValueError("steps and marks are both 0: there is nothing to train")
        if self.steps and not self.shards:
            raise ValueError("steps need shards of rendered scenes")
        return self


def read_base_recipe(path: Path) -> BaseRecipe:
    """Read a recipe file. Raises `RecipeError` with every problem in it."""
    try:
        return validate_tree(BaseRecipe, read_yaml(path), str(path))
    except SpecError as error:
        raise RecipeError(error.problems) from error


def train_base(
    out: Path,
    recipe: BaseRecipe,
    *,
    start: Path | None = None,
    workers: int = 2,
    resume: bool = False,
    observer: TrainingObserver = SILENT,
) -> None:
    """Render scenes into `out`/made, train on them, and write weights and processor to `out`; then the crop encoder.

    `start`: base weights to continue from, whose sizes and vocabulary replace the recipe's. `observer` is notified of
    rendered photos (`on_examples`) and of steps (`on_step`), those of the crop encoder last. Photos that exist already
    are used as they are; `resume` continues from the last checkpoint. Raises `DataError`.
    """
    store_scenes(
        out / "made",
        recipe.shards,
        sizes=recipe.sizes,
        seed=recipe.seed,
        workers=workers,
        on_photos=observer.on_examples,
    )
    shards = recipe.mark_shards if recipe.marks else 0
    store_marks(out / "made", shards, seed=recipe.seed, workers=workers, on_photos=observer.on_examples)
    if recipe.steps:
        _train_model(out, recipe, start, observer.on_step, resume=resume)
    if recipe.marks:
        train_crop_encoder(
            out, read_mark_shards(out / "made")[:shards], steps=recipe.marks, width=recipe.width, seed=recipe.seed,
            every=recipe.checkpoint_every, resume=resume,
            on_step=lambda step, loss: observer.on_step(recipe.steps + step, loss),
        )  # fmt: skip


def _train_model(out: Path, recipe: BaseRecipe, start: Path | None, on_step: StepCallback, *, resume: bool) -> None:
    lightning.seed_everything(recipe.seed, verbose=False)
    processor = expand_processor(start, list_answer_words(), recipe.sizes[0]) if start else build_processor(recipe)
    model = expand_model(start, processor) if start else build_model(recipe, processor)
    batches = SceneBatches(read_scene_shards(out / "made")[: recipe.shards], processor, recipe)
    last_checkpoint = out / "last.ckpt"
    checkpoint = last_checkpoint if resume and last_checkpoint.exists() else None
    batches.start = read_checkpoint_step(checkpoint)
    watch = CheckpointWriter(
        last_checkpoint, every=recipe.checkpoint_every, rank=ProcessRank(), on_step=on_step, on_saved=lambda: None
    )
    tuner = NanoTrainingModule(
        model, steps=recipe.steps, lr=recipe.lr, weight_decay=recipe.weight_decay, seed=recipe.seed
    )
    run_training_loop(tuner, batches, [watch], steps=recipe.steps, checkpoint=checkpoint, rank=ProcessRank())
    torch.nn.Module.to(model, torch.float16)
    model.save_pretrained(out)
    processor.save_pretrained(out)


def build_processor(recipe: BaseRecipe) -> NanoProcessor:
    """Build a processor whose tokenizer covers the questions of scenes and of products."""
    parts = [
        Subquery("locate:part", "locate", "part"),
        Subquery("attribute:part.colour", "attribute", "part", "colour"),
    ]
    questions = [
        text
        for query in [*parts, Subquery("verdict", "verdict")]
        for text in product_question_phrasings(query, "product")
    ]
    tokenizer = train_tokenizer([*list_tokenizer_texts(), *questions], list_answer_words(), recipe.vocabulary)
    return NanoProcessor(NanoImageProcessor(recipe.sizes[0]), tokenizer)


def build_model(recipe: BaseRecipe, processor: NanoProcessor) -> NanoForImageTextToText:
    """Build an untrained nano of the recipe's size."""
    codec = NanoAnswerCodec(processor)
    config = NanoConfig(
        vocab_size=len(processor.tokenizer), image_size=recipe.sizes[0], width=recipe.width, stem_width=recipe.near,
        encoder_layers=recipe.encoder_layers, decoder_layers=recipe.decoder_layers, image_token_id=codec.image,
        answer_token_id=codec.answer_start, pad_token_id=codec.pad, eos_token_id=codec.end,
    )  # fmt: skip
    return NanoForImageTextToText(config)


class SceneBatches(IterableDataset[Batch]):
    """Batches of scenes from step `start` on; each depends on its number and the seed only."""

    def __init__(self, shards: Sequence[SceneShard], processor: NanoProcessor, recipe: BaseRecipe) -> None:
        super().__init__()
        self.codec, self.recipe, self.start = NanoAnswerCodec(processor), recipe, 0
        self.groups: dict[tuple[int, int], list[SceneShard]] = {}
        for shard in shards:
            self.groups.setdefault((shard.pixels.shape[1], shard.pixels.shape[2]), []).append(shard)

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.start, self.recipe.steps):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: photos of one size, with the recipe's number of questions each."""
        rng = np.random.default_rng([self.recipe.seed, step])
        sizes = list(self.groups)
        size = sizes[int(rng.integers(len(sizes)))]
        group = self.groups[size]
        examples, pixels = [], []
        for _ in range(self.recipe.batch):
            shard = group[int(rng.integers(len(group)))]
            number = int(rng.integers(len(shard.questions)))
            selected = rng.permutation(len(shard.questions[number]))[: self.recipe.questions]
            examples.append(self._encode([shard.questions[number][k] for k in selected]))
            pixels.append(shard.pixels[number])
        jittered = apply_color_jitter(np.stack(pixels), self.recipe.jitter, rng)
        return collate(examples, jittered, self.codec, size[0] // 16 * (size[1] // 16))

    def _encode(self, questions: Sequence[Mapping[str, Any]]) -> EncodedExample:
        is_locate = tuple(one["kind"] == "locate" for one in questions)
        return EncodedExample(
            tuple(tuple(self.codec.encode_prompt(one["text"])) for one in questions),
            tuple(
                tuple(self.codec.encode_answer(one["values"], len(one["boxes"]), located=is_located))
                for one, is_located in zip(questions, is_locate, strict=True)
            ),
            (1.0,) * len(questions),
            tuple(self._encode_components(question) for question in questions),
            is_locate,
        )

    def _encode_components(self, question: Mapping[str, Any]) -> tuple[InstanceTarget, ...]:
        if question["kind"] == "locate":
            return tuple(InstanceTarget(tuple(box)) for box in question["boxes"])
        if question["kind"] != "attribute" or not question["boxes"]:
            return ()
        return tuple(
            InstanceTarget(tuple(b), self.codec.value_token(v))
            for b, v in zip(question["boxes"], question["values"], strict=True)
        )
