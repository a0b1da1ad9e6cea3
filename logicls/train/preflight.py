"""Before the first step: every example through the processor, so that nothing is found out in the middle of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq

from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.errors import DataError, Problem
from logicls.io.atomic import atomic_path
from logicls.models.nano import NanoImageProcessor, NanoProcessor
from logicls.models.nano.answer_codec import NanoAnswerCodec, collect_values
from logicls.models.nano.config import TOKEN_STRIDE, choose_input_size
from logicls.models.nano.processor import expand_processor, train_tokenizer
from logicls.prompts.templates import question_phrasings
from logicls.train.encoding import Encoded, Encoder, decoded
from logicls.train.resolution_check import Legibility, legibility, narrow

ENOUGH = 1.0
"""Visual tokens on a thing's shorter side below which it is hard to tell from its neighbours: two cells of the map."""
APART = 1.25
"""Visual tokens between the centres of neighbours below which they are likely to be read as one: 2.5 cells."""
LEAST, MOST = 128, 640
"""Visual tokens of a photo, where a recipe leaves them to preflight."""
FEW = 0.05
"""Share of a component's boxes that may be smaller, or closer, than what the visual tokens are chosen for."""
COLUMNS = ["width", "height", "queries", "questions", "values", "boxes"]
"""What is encoded."""


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
    """Component whose box is the narrowest, visual tokens on its shorter side, and the number of the example."""
    boxes: int
    """Most boxes in one answer."""
    legible: Legibility
    """How well the values of attributes can be told from the input's own pixels."""

    @property
    def report(self) -> list[str]:
        """Plain lines for the terminal."""
        name, tokens, number = self.smallest
        lines = [
            f"{len(self.examples)} examples, {self.processor.image_tokens} visual tokens, "
            f"at most {self.longest} words' tokens; input {self.processor.image_processor.size} (height, width)",
            f"smallest component: {name}, {tokens:.1f} visual tokens across (example {number})",
        ]
        if tokens < ENOUGH:
            wanted = round(self.processor.image_tokens * (ENOUGH / tokens) ** 2)
            lines.append(
                f"warning: {name} is small: neighbours may be read as one, and its sides roughly; "
                f"crop the photos, or raise visual_tokens (to {wanted})"
            )
        return lines + self.legible.report(self.processor.image_processor.detail)


def preflight(
    synth: Path,
    cache: Path,
    *,
    visual_tokens: int | None = None,
    detail: int | None = None,
    base: Path | None = None,
    verdict_weight: float = 1.0,
    most: int | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Flight:
    """Read the dataset in `synth`, encode it; pixels go to `cache`.

    `visual_tokens` left out are chosen so that 95 % of the boxes of each component have a token on their shorter side,
    and 1.25 from their centre to that of the nearest one like them, within 128 and 640; then `detail`, if it is left
    out, too, so that values that a plain classifier cannot tell are told from 32 pixels across, as far as photos have
    them (`legible`). `base` is the folder of the weights that training begins with: its words are kept. With `most` it
    looks at the first so many examples alone. `done` is told how many more it has seen. Raises `DataError`.
    """
    spec = load_spec(synth / "spec.yaml")
    rows = _rows(synth, cache, most)
    aspect = float(np.median([h / w for h, w in zip(rows["height"], rows["width"], strict=True)]))
    tokens = visual_tokens or _enough(rows)
    coarse = NanoImageProcessor(choose_input_size(aspect, tokens))
    legible = legibility(rows, coarse)
    detail = detail or (legible.finer if visual_tokens is None else 1)
    processor = processor_for(spec, coarse.size, base, detail)
    encoder, examples = Encoder(NanoAnswerCodec(processor), verdict_weight), []
    smallest, boxes = ("nothing", float("inf"), -1), 0
    for number, row in enumerate(rows.select_columns(COLUMNS)):
        examples.append(encoder.encode(row))
        across, query = _smallest(row, processor)
        if across < smallest[1]:
            smallest = query.removeprefix("locate:"), across, number
        boxes = max(boxes, *map(len, row["boxes"]))
    longest = max(sum(map(len, (*e.prompts, *e.answers))) for e in examples)
    pixels = _pixels(rows, processor, cache, done)
    return Flight(spec, processor, tuple(examples), pixels, longest, smallest, boxes, legible)


def processor_for(spec: Spec, size: Sequence[int], base: Path | None, detail: int) -> NanoProcessor:
    """The processor of a product's model, for inputs of that size (height, width): the base's, grown, or a new one."""
    queries = decompose(spec)
    if base is not None:
        return expand_processor(base, collect_values(queries), size, detail)
    texts = [text for query in queries for text in question_phrasings(query, spec)]
    return NanoProcessor(NanoImageProcessor(size, detail), train_tokenizer(texts, collect_values(queries)))


def _enough(rows: datasets.Dataset) -> int:
    """Visual tokens with which few boxes of any component are narrower than `ENOUGH`, or closer than `APART`."""
    spans: dict[tuple[str, float], list[float]] = {}
    for row in rows.select_columns(["width", "height", "queries", "boxes"]):
        scale = (row["width"] * row["height"]) ** -0.5
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            spans.setdefault((query, ENOUGH), []).extend(narrow(box) * scale for box in boxes)
            spans.setdefault((query, APART), []).extend(gap * scale for gap in _gaps(boxes))
    few = {key: float(np.quantile(found, FEW, method="lower")) for key, found in spans.items() if found}
    least = (span / wanted for (_, wanted), span in few.items())
    return int(np.clip(round(max(min(least, default=1.0), 1e-3) ** -2), LEAST, MOST))


def _gaps(boxes: Sequence[Sequence[float]]) -> list[float]:
    """From the centre of each box to the nearest other one, in the boxes' unit; infinite where there is none."""
    middles = np.array([((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]).reshape(-1, 2)
    far = np.linalg.norm(middles[:, None] - middles, axis=-1)
    np.fill_diagonal(far, np.inf)
    return [float(gap) for gap in far.min(1, initial=np.inf)]


def _smallest(row: Mapping[str, Any], processor: NanoProcessor) -> tuple[float, str]:
    """Visual tokens on the shorter side of the narrowest box of an example, and the query that it answers."""
    scale, _, _ = processor.image_processor.placed(row["width"], row["height"])
    found = [
        (narrow(box) * scale / TOKEN_STRIDE, query)
        for query, boxes in zip(row["queries"], row["boxes"], strict=True)
        for box in boxes
    ]
    return min(found, default=(float("inf"), ""))


def count_examples(synth: Path) -> int:
    """How many examples the dataset in `synth` has. Raises `DataError` where it has none."""
    return sum(pq.read_metadata(shard).num_rows for shard in _shards(synth))


def _shards(synth: Path) -> list[str]:
    shards = sorted(str(path) for path in (synth / "data").glob("*.parquet"))
    if not shards:
        raise DataError(Problem("LC402", "no examples here.", str(synth), advice="Make them with `logicls synth`."))
    return shards


def _rows(synth: Path, cache: Path, most: int | None) -> datasets.Dataset:
    datasets.disable_progress_bars()
    loaded: datasets.Dataset = datasets.load_dataset(
        "parquet", data_files=_shards(synth), split="train", cache_dir=str(cache / "arrow")
    )
    some = loaded if most is None else loaded.select(range(min(most, len(loaded))))
    return some.cast_column("image", datasets.Image(decode=False))


def _pixels(rows: datasets.Dataset, processor: NanoProcessor, cache: Path, done: Callable[[int], None]) -> np.ndarray:
    """All photos in the model's size, made once and kept on disk. Raises `DataError` for one that cannot be read."""
    height, width = processor.image_processor.shape
    key = hashlib.sha256(json.dumps([rows._fingerprint, height, width]).encode()).hexdigest()[:12]
    path = cache / f"pixels-{key}.npy"
    if path.exists():
        done(len(rows))
        return np.asanyarray(np.load(path, mmap_mode="r"))
    head = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), height, width, 3)}
    # Not a memory map, which a full disk ends with a signal that nobody can catch.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        for number, image in enumerate(rows["image"]):
            file.write(processor.image_processor.fitted(decoded(image["bytes"], number)).tobytes())
            done(1)
    return np.asanyarray(np.load(path, mmap_mode="r"))


def batch_of(step: int, count: int, batch: int, seed: int) -> list[int]:
    """Numbers of the examples of a step: every example once before any comes again, each time in another order.

    It depends on the step's number and the seed alone, so that a resumed run goes on the same.
    """
    at = np.arange(step * batch, (step + 1) * batch)
    rounds = {int(r): np.random.default_rng([seed, int(r)]).permutation(count) for r in set(at // count)}
    return [int(rounds[int(i // count)][i % count]) for i in at]
