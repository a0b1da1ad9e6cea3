"""Before the first step: every example through the processor, so that nothing is found out in the middle of a run."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from PIL import Image, UnidentifiedImageError

from logicls.constraints.decompose import VERDICT, decompose
from logicls.constraints.load import load_spec
from logicls.constraints.spec import Spec
from logicls.errors import DataError, Problem
from logicls.models.codec import Codec, values_of
from logicls.models.nano import NanoImageProcessor, NanoProcessor
from logicls.models.nano.config import STRIDE, size_for
from logicls.models.nano.processor import make_tokenizer
from logicls.records import Box
from logicls.synth.write import wordings


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example in tokens: prompt and answer of each question."""

    prompts: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    """Of each answer in the loss."""


@dataclass(frozen=True, slots=True)
class Flight:
    """What preflight found, and the examples ready for training."""

    spec: Spec
    processor: NanoProcessor
    examples: tuple[Encoded, ...]
    pixels: np.ndarray
    """uint8 [examples, height, width, 3], mapped from disk."""
    longest: int
    """Text tokens of the longest example, all questions together."""
    smallest: tuple[str, float, int]
    """Component whose box covers the fewest visual tokens, how many, and the number of the example."""
    boxes: int
    """Most boxes in one answer."""

    @property
    def report(self) -> list[str]:
        """Plain lines for the terminal."""
        name, tokens, number = self.smallest
        lines = [
            f"{len(self.examples)} examples, {self.processor.image_tokens} visual tokens, "
            f"at most {self.longest} words' tokens; input {self.processor.image_processor.size} (height, width)",
            f"smallest component: {name}, {tokens:.1f} visual tokens (example {number})",
        ]
        if tokens < 0.5:
            lines.append(f"warning: {name} may be too small to be read; crop the photos or raise visual_tokens")
        return lines


def preflight(
    synth: Path,
    cache: Path,
    *,
    visual_tokens: int,
    bins: int,
    verdict_weight: float = 1.0,
    done: Callable[[int], None] = lambda _: None,
) -> Flight:
    """Read the dataset in `synth`, encode all of it; pixels go to `cache`. Raises `DataError`."""
    spec = load_spec(synth / "spec.yaml")
    rows = _rows(synth, cache)
    aspect = float(np.median([h / w for h, w in zip(rows["height"], rows["width"], strict=True)]))
    texts = [text for query in decompose(spec) for text in wordings(query, spec)]
    tokenizer = make_tokenizer(texts, values_of(decompose(spec)), bins)
    processor = NanoProcessor(NanoImageProcessor(size_for(aspect, visual_tokens)), tokenizer)
    codec, examples = Codec(processor, bins), []
    prompts: dict[str, tuple[int, ...]] = {}
    smallest, boxes = ("nothing", float("inf"), -1), 0
    for number, row in enumerate(rows.remove_columns(["image", "trail"])):
        size = row["width"], row["height"]
        found = [[Box(*b) for b in answer] for answer in row["boxes"]]
        for query, answer in zip(row["queries"], found, strict=True):
            tokens = min((_tokens(box, size, processor) for box in answer), default=float("inf"))
            if tokens < smallest[1]:
                smallest = query.removeprefix("locate:"), tokens, number
            boxes = max(boxes, len(answer))
        for question in row["questions"]:
            prompts.setdefault(question, tuple(codec.prompt(question)))
        answers = (codec.answer(v, b, size) for v, b in zip(row["values"], found, strict=True))
        weights = tuple(verdict_weight if query == VERDICT else 1.0 for query in row["queries"])
        asked = tuple(prompts[question] for question in row["questions"])
        examples.append(Encoded(asked, tuple(tuple(a) for a in answers), weights))
    longest = max(sum(map(len, (*e.prompts, *e.answers))) for e in examples)
    pixels = _pixels(rows, processor, cache, done)
    return Flight(spec, processor, tuple(examples), pixels, longest, smallest, boxes)


def _rows(synth: Path, cache: Path) -> datasets.Dataset:
    shards = sorted(str(path) for path in (synth / "data").glob("*.parquet"))
    if not shards:
        raise DataError(Problem("LC402", "no examples here.", str(synth), advice="Make them with `logicls synth`."))
    datasets.disable_progress_bars()
    loaded: datasets.Dataset = datasets.load_dataset(
        "parquet", data_files=shards, split="train", cache_dir=str(cache / "arrow")
    )
    return loaded.cast_column("image", datasets.Image(decode=False))


def _tokens(box: Box, size: tuple[int, int], processor: NanoProcessor) -> float:
    scale, _, _ = processor.image_processor.placed(*size)
    return float(box.area * scale**2 / STRIDE**2)


def _pixels(rows: datasets.Dataset, processor: NanoProcessor, cache: Path, done: Callable[[int], None]) -> np.ndarray:
    """All photos in the model's size, made once and kept on disk. Raises `DataError` for one that cannot be read."""
    height, width = processor.image_processor.size
    key = hashlib.sha256(json.dumps([rows._fingerprint, height, width]).encode()).hexdigest()[:12]
    path = cache / f"pixels-{key}.npy"
    if path.exists():
        done(len(rows))
        return np.asanyarray(np.load(path, mmap_mode="r"))
    cache.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    out = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(rows), height, width, 3))
    for number, image in enumerate(rows["image"]):
        out[number] = processor.image_processor.fitted(decoded(image["bytes"], number))
        if number % 100 == 99:
            done(100)
    out.flush()
    os.replace(temporary, path)
    return np.asanyarray(np.load(path, mmap_mode="r"))


def decoded(data: bytes, number: int) -> np.ndarray:
    """RGB pixels of an example's picture. Raises `DataError`."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except UnidentifiedImageError as error:  # its own text is the address of the bytes in memory
        raise DataError(Problem("LC403", f"example {number} has no readable picture: it is no image.")) from error
    except OSError as error:
        raise DataError(Problem("LC403", f"example {number} has no readable picture: {error}.")) from error


def batches(count: int, batch: int, steps: Sequence[int], seed: int) -> list[list[int]]:
    """Numbers of the examples of each step: every example once before any comes again, each time in another order.

    Any step's batch depends on its number and the seed alone, so that a resumed run goes on the same.
    """
    out = []
    for step in steps:
        at = np.arange(step * batch, (step + 1) * batch)
        rounds = {int(r): np.random.default_rng([seed, int(r)]).permutation(count) for r in set(at // count)}
        out.append([int(rounds[int(i // count)][i % count]) for i in at])
    return out
