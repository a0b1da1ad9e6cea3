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
from logicls.train.encoding import EncodedExample, ExampleEncoder, decode_image
from logicls.train.resolution_check import ResolutionCheck, check_resolution, shorter_side

MIN_TOKENS_ACROSS = 1.0
"""Visual tokens on a thing's shorter side below which it is hard to tell from its neighbours: two cells of the map."""
MIN_TOKENS_APART = 1.25
"""Visual tokens between the centres of neighbours below which they are likely to be read as one: 2.5 cells."""
MIN_VISUAL_TOKENS, MAX_VISUAL_TOKENS = 128, 640
"""Visual tokens of a photo, where a recipe leaves them to preflight."""
TAIL_SHARE = 0.05
"""Share of a component's boxes that may be smaller, or closer, than what the visual tokens are chosen for."""
ENCODED_COLUMNS = ["width", "height", "queries", "questions", "values", "boxes"]
"""What is encoded."""


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """What preflight found, and the examples ready for training."""

    spec: Spec
    processor: NanoProcessor
    examples: tuple[EncodedExample, ...]
    pixels: np.ndarray
    """uint8 [examples, height, width, 3], mapped from disk."""
    max_text_tokens: int
    """Text tokens of the longest example, all questions together."""
    smallest_component: tuple[str, float, int]
    """Component whose box is the narrowest, visual tokens on its shorter side, and the number of the example."""
    max_boxes: int
    """Most boxes in one answer."""
    resolution: ResolutionCheck
    """How well the values of attributes can be told from the input's own pixels."""

    @property
    def report(self) -> list[str]:
        """Plain lines for the terminal."""
        name, tokens, number = self.smallest_component
        lines = [
            f"{len(self.examples)} examples, {self.processor.image_tokens} visual tokens, "
            f"at most {self.max_text_tokens} words' tokens; input {self.processor.image_processor.size} (height, width)",
            f"smallest component: {name}, {tokens:.1f} visual tokens across (example {number})",
        ]
        if tokens < MIN_TOKENS_ACROSS:
            wanted = round(self.processor.image_tokens * (MIN_TOKENS_ACROSS / tokens) ** 2)
            lines.append(
                f"warning: {name} is small: neighbours may be read as one, and its sides roughly; "
                f"crop the photos, or raise visual_tokens (to {wanted})"
            )
        return lines + self.resolution.report(self.processor.image_processor.detail)


def preflight(
    synth: Path,
    cache: Path,
    *,
    visual_tokens: int | None = None,
    detail: int | None = None,
    base: Path | None = None,
    verdict_weight: float = 1.0,
    max_examples: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> PreflightResult:
    """Read the dataset in `synth`, encode it; pixels go to `cache`.

    `visual_tokens` left out are chosen so that 95 % of the boxes of each component have a token on their shorter side,
    and 1.25 from their centre to that of the nearest one like them, within 128 and 640; then `detail`, if it is left
    out, too, so that values that a plain classifier cannot tell are told from 32 pixels across, as far as photos have
    them (`legible`). `base` is the folder of the weights that training begins with: its words are kept. With `most` it
    looks at the first so many examples alone. `done` is told how many more it has seen. Raises `DataError`.
    """
    spec = load_spec(synth / "spec.yaml")
    rows = _load_rows(synth, cache, max_examples)
    aspect = float(np.median([h / w for h, w in zip(rows["height"], rows["width"], strict=True)]))
    tokens = visual_tokens or _choose_visual_tokens(rows)
    coarse = NanoImageProcessor(choose_input_size(aspect, tokens))
    resolution = check_resolution(rows, coarse)
    detail = detail or (resolution.required_detail if visual_tokens is None else 1)
    processor = make_processor(spec, coarse.size, base, detail)
    encoder, examples = ExampleEncoder(NanoAnswerCodec(processor), verdict_weight), []
    smallest_component, max_boxes = ("nothing", float("inf"), -1), 0
    for number, row in enumerate(rows.select_columns(ENCODED_COLUMNS)):
        examples.append(encoder.encode(row))
        across, query = _smallest_instance(row, processor)
        if across < smallest_component[1]:
            smallest_component = query.removeprefix("locate:"), across, number
        max_boxes = max(max_boxes, *map(len, row["boxes"]))
    max_text_tokens = max(sum(map(len, (*e.prompts, *e.answers))) for e in examples)
    pixels = _cache_pixels(rows, processor, cache, on_progress)
    return PreflightResult(
        spec, processor, tuple(examples), pixels, max_text_tokens, smallest_component, max_boxes, resolution
    )


def make_processor(spec: Spec, size: Sequence[int], base: Path | None, detail: int) -> NanoProcessor:
    """The processor of a product's model, for inputs of that size (height, width): the base's, grown, or a new one."""
    queries = decompose(spec)
    if base is not None:
        return expand_processor(base, collect_values(queries), size, detail)
    texts = [text for query in queries for text in question_phrasings(query, spec)]
    return NanoProcessor(NanoImageProcessor(size, detail), train_tokenizer(texts, collect_values(queries)))


def _choose_visual_tokens(rows: datasets.Dataset) -> int:
    """Visual tokens with which few boxes of any component are narrower than `ENOUGH`, or closer than `APART`."""
    lengths: dict[tuple[str, float], list[float]] = {}
    for row in rows.select_columns(["width", "height", "queries", "boxes"]):
        scale = (row["width"] * row["height"]) ** -0.5
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            lengths.setdefault((query, MIN_TOKENS_ACROSS), []).extend(shorter_side(box) * scale for box in boxes)
            lengths.setdefault((query, MIN_TOKENS_APART), []).extend(gap * scale for gap in _neighbor_distances(boxes))
    quantiles = {
        key: float(np.quantile(sample, TAIL_SHARE, method="lower")) for key, sample in lengths.items() if sample
    }
    least = (span / required for (_, required), span in quantiles.items())
    return int(np.clip(round(max(min(least, default=1.0), 1e-3) ** -2), MIN_VISUAL_TOKENS, MAX_VISUAL_TOKENS))


def _neighbor_distances(boxes: Sequence[Sequence[float]]) -> list[float]:
    """From the centre of each box to the nearest other one, in the boxes' unit; infinite where there is none."""
    centers = np.array([((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]).reshape(-1, 2)
    distances = np.linalg.norm(centers[:, None] - centers, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return [float(gap) for gap in distances.min(1, initial=np.inf)]


def _smallest_instance(row: Mapping[str, Any], processor: NanoProcessor) -> tuple[float, str]:
    """Visual tokens on the shorter side of the narrowest box of an example, and the query that it answers."""
    scale, _, _ = processor.image_processor.letterbox_transform(row["width"], row["height"])
    candidates = [
        (shorter_side(box) * scale / TOKEN_STRIDE, query)
        for query, boxes in zip(row["queries"], row["boxes"], strict=True)
        for box in boxes
    ]
    return min(candidates, default=(float("inf"), ""))


def count_examples(synth: Path) -> int:
    """How many examples the dataset in `synth` has. Raises `DataError` where it has none."""
    return sum(pq.read_metadata(shard).num_rows for shard in _find_shards(synth))


def _find_shards(synth: Path) -> list[str]:
    shards = sorted(str(path) for path in (synth / "data").glob("*.parquet"))
    if not shards:
        raise DataError(Problem("LC402", "no examples here.", str(synth), advice="Make them with `logicls synth`."))
    return shards


def _load_rows(synth: Path, cache: Path, max_examples: int | None) -> datasets.Dataset:
    datasets.disable_progress_bars()
    loaded: datasets.Dataset = datasets.load_dataset(
        "parquet", data_files=_find_shards(synth), split="train", cache_dir=str(cache / "arrow")
    )
    selected = loaded if max_examples is None else loaded.select(range(min(max_examples, len(loaded))))
    return selected.cast_column("image", datasets.Image(decode=False))


def _cache_pixels(
    rows: datasets.Dataset, processor: NanoProcessor, cache: Path, on_progress: Callable[[int], None]
) -> np.ndarray:
    """All photos in the model's size, made once and kept on disk. Raises `DataError` for one that cannot be read."""
    height, width = processor.image_processor.shape
    key = hashlib.sha256(json.dumps([rows._fingerprint, height, width]).encode()).hexdigest()[:12]
    path = cache / f"pixels-{key}.npy"
    if path.exists():
        on_progress(len(rows))
        return np.asanyarray(np.load(path, mmap_mode="r"))
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), height, width, 3)}
    # Not a memory map, which a full disk ends with a signal that nobody can catch.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for number, image in enumerate(rows["image"]):
            file.write(processor.image_processor.letterbox(decode_image(image["bytes"], number)).tobytes())
            on_progress(1)
    return np.asanyarray(np.load(path, mmap_mode="r"))


def select_epoch_batch(step: int, count: int, batch: int, seed: int) -> list[int]:
    """Numbers of the examples of a step: every example once before any comes again, each time in another order.

    It depends on the step's number and the seed alone, so that a resumed run goes on the same.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = {int(r): np.random.default_rng([seed, int(r)]).permutation(count) for r in set(positions // count)}
    return [int(epochs[int(i // count)][i % count]) for i in positions]
