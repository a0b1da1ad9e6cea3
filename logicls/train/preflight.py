"""Preflight: read, check and encode every example before the first step, so that errors come before the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float

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
from logicls.synth.dataset import OLD_COLUMNS
from logicls.synth.invariances import is_orientation_free
from logicls.train.encoding import LOCATE_PREFIX, EncodedExample, ExampleEncoder, decode_image, find_angle_queries
from logicls.train.resolution_check import ResolutionCheck, check_resolution, shorter_side

MIN_TOKENS_ACROSS = 1.0
"""Visual tokens on an instance's shorter side for telling it from its neighbours: two feature-map cells."""
MIN_TOKENS_APART = 1.25
"""Visual tokens between the centres of neighbours for detecting both: 2.5 feature-map cells."""
MIN_VISUAL_TOKENS, MAX_VISUAL_TOKENS = 128, 640
"""Range of visual tokens per photo, where the recipe leaves them to preflight."""
MAX_SHARED_IOU = 0.3
"""Intersection over union of annotated boxes of two components up to which they are never at the same place."""
TAIL_SHARE = 0.05
"""Share of a component's boxes that may be smaller, or closer, than the visual tokens are chosen for."""
ENCODED_COLUMNS = ["width", "height", "queries", "questions", "values", "boxes"]
"""Columns of a row that are encoded."""


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """Checked dataset: processor and encoded examples, with the facts that preflight reports."""

    spec: Spec
    processor: NanoProcessor
    examples: tuple[EncodedExample, ...]
    pixels: np.ndarray
    """uint8 [examples height width 3], memory-mapped."""
    max_text_tokens: int
    """Text tokens of the longest example, all questions together."""
    smallest_component: tuple[str, float, int]
    """Component with the narrowest box, visual tokens on the box's shorter side, and number of the example."""
    max_boxes: int
    """Largest number of boxes in an answer."""
    resolution: ResolutionCheck
    """Check whether attributes can be read at the input's resolution."""
    exclusive_components: tuple[tuple[str, str], ...] = ()
    """Pairs of components of which two instances are never at the same place."""

    @property
    def report(self) -> list[str]:
        """Lines of text for the terminal."""
        name, tokens, number = self.smallest_component
        height, width = self.processor.image_processor.size
        lines = [
            f"{len(self.examples)} examples, {self.processor.image_tokens} visual tokens, "
            f"at most {self.max_text_tokens} text tokens; input {height} x {width} pixels",
            f"smallest component: {name}, {tokens:.1f} visual tokens across (example {number})",
        ]
        if tokens < MIN_TOKENS_ACROSS:
            required = round(self.processor.image_tokens * (MIN_TOKENS_ACROSS / tokens) ** 2)
            lines.append(
                f"warning: {name} is small: neighbours may be detected as one, and boxes are inaccurate; "
                f"crop the photos, or raise visual_tokens (to {required})"
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
    """Read, check and encode the dataset in `synth`; its photos are resized once and cached on disk.

    Args:
        synth: Folder that `logicls synth` wrote.
        cache: Folder for resized photos.
        visual_tokens: Size of the input in tokens. None: so many, between 128 and 640, that 95 % of each
            component's boxes have a token on their shorter side, and 1.25 between their centre and the nearest one of
            the same component.
        detail: Resolution of crops relative to the input. None: 1 if `visual_tokens` is given, else so much that
            unreadable attributes get 32 pixels, as far as photos have them (`resolution_check`). 1: no crops.
        base: Folder of base weights, whose vocabulary is extended; None: a new vocabulary.
        verdict_weight: Loss weight of the stated verdict.
        max_examples: Read only so many examples, from the first on.
        on_progress: Takes the number of examples read since its last call.

    Raises:
        DataError: There are no examples (LC402), or a photo cannot be decoded (LC403).
    """
    spec = load_spec(synth / "spec.yaml")
    rows = _load_rows(synth, cache, max_examples)
    aspect = float(np.median([h / w for h, w in zip(rows["height"], rows["width"], strict=True)]))
    tokens = visual_tokens or _choose_visual_tokens(rows)
    coarse = NanoImageProcessor(choose_input_size(aspect, tokens))
    may_follow_parts = detail != 1 and is_orientation_free(spec)
    resolution = check_resolution(rows, coarse, orientation_invariant=may_follow_parts)
    detail = detail or (resolution.required_detail if visual_tokens is None else 1)
    processor = make_processor(spec, coarse.size, base, detail)
    encoder, examples = ExampleEncoder(NanoAnswerCodec(processor), verdict_weight, find_angle_queries(spec)), []
    smallest_component, max_boxes = ("nothing", float("inf"), -1), 0
    for number, row in enumerate(rows.select_columns(ENCODED_COLUMNS)):
        examples.append(encoder.encode(row))
        across, query = _find_smallest_instance(row, processor)
        if across < smallest_component[1]:
            smallest_component = query.removeprefix("locate:"), across, number
        max_boxes = max(max_boxes, *map(len, row["boxes"]))
    max_text_tokens = max(sum(map(len, (*e.prompts, *e.answers))) for e in examples)
    pixels = _cache_pixels(rows, processor, cache, on_progress)
    return PreflightResult(
        spec, processor, tuple(examples), pixels, max_text_tokens, smallest_component, max_boxes, resolution,
        find_exclusive_components(_select_categories(rows)),
    )  # fmt: skip


def make_processor(spec: Spec, size: Sequence[int], base: Path | None, detail: int) -> NanoProcessor:
    """Make the processor for an input of `size` (height, width); its vocabulary extends that of `base`, or is new."""
    queries = decompose(spec)
    if base is not None:
        return expand_processor(base, collect_values(queries), size, detail)
    texts = [text for query in queries for text in question_phrasings(query, spec)]
    return NanoProcessor(NanoImageProcessor(size, detail), train_tokenizer(texts, collect_values(queries)))


def _choose_visual_tokens(rows: datasets.Dataset) -> int:
    """Choose the visual tokens by which nearly all boxes keep to `MIN_TOKENS_ACROSS` and `MIN_TOKENS_APART`."""
    lengths: dict[tuple[str, float], list[float]] = {}
    for row in rows.select_columns(["width", "height", "queries", "boxes"]):
        scale = (row["width"] * row["height"]) ** -0.5
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            lengths.setdefault((query, MIN_TOKENS_ACROSS), []).extend(shorter_side(box) * scale for box in boxes)
            lengths.setdefault((query, MIN_TOKENS_APART), []).extend(
                gap * scale for gap in _compute_neighbor_distances(boxes)
            )
    quantiles = {
        key: float(np.quantile(sample, TAIL_SHARE, method="lower")) for key, sample in lengths.items() if sample
    }
    least = (span / required for (_, required), span in quantiles.items())
    return int(np.clip(round(max(min(least, default=1.0), 1e-3) ** -2), MIN_VISUAL_TOKENS, MAX_VISUAL_TOKENS))


def _compute_neighbor_distances(boxes: Sequence[Sequence[float]]) -> list[float]:
    """Compute the distance from each box's centre to the nearest other one, in the boxes' unit; inf for one box."""
    centers = np.array([((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]).reshape(-1, 2)
    distances = np.linalg.norm(centers[:, None] - centers, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return [float(gap) for gap in distances.min(1, initial=np.inf)]


def find_exclusive_components(rows: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Find the pairs of components of which no two instances are ever at the same place.

    A bottle and its label, or its content, have boxes that overlap; a long and a medium screw do not. Edits can put
    one thing upon another, so only unedited examples count, but for components that these do not show.

    Args:
        rows: Rows of the dataset; `category`, `queries` and `boxes` are read.
    """
    largest: dict[bool, dict[tuple[str, str], float]] = {True: {}, False: {}}
    visible: dict[bool, set[str]] = {True: set(), False: set()}
    for row in rows:
        boxes = {
            query.removeprefix(LOCATE_PREFIX): np.array(found, np.float64).reshape(-1, 4)
            for query, found in zip(row["queries"], row["boxes"], strict=True)
            if query.startswith(LOCATE_PREFIX)
        }
        is_unedited = row["category"] == "untouched"
        visible[is_unedited] |= {name for name, found in boxes.items() if len(found)}
        overlaps = largest[is_unedited]
        for pair in combinations(sorted(boxes), 2):
            overlaps[pair] = max(overlaps.get(pair, 0.0), compute_max_iou(*(boxes[name] for name in pair)))
    edited, unedited = largest[False], largest[True]
    return tuple(
        pair
        for pair in sorted({*edited, *unedited})
        if max(unedited.get(pair, 0.0), 0.0 if visible[True].issuperset(pair) else edited.get(pair, 0.0))
        <= MAX_SHARED_IOU
    )


def _select_categories(rows: datasets.Dataset) -> datasets.Dataset:
    """Select what `find_exclusive_components` reads, also from a dataset of an earlier version."""
    if "category" not in rows.column_names:
        rows = rows.rename_column(OLD_COLUMNS["category"], "category")
    return rows.select_columns(["category", "queries", "boxes"])


def compute_max_iou(first: Float[np.ndarray, "first 4"], second: Float[np.ndarray, "second 4"]) -> float:
    """Compute the largest intersection over union of a box of one set with one of the other; 0 without any.

    >>> compute_max_iou(np.array([[0.0, 0, 2, 2]]), np.array([[5.0, 5, 6, 6], [0, 1, 2, 2]]))
    0.5
    """
    shared = np.minimum(first[:, None, 2:], second[:, 2:]) - np.maximum(first[:, None, :2], second[:, :2])
    intersection = np.clip(shared, 0, None).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - intersection
    return float((intersection / np.maximum(union, 1e-9)).max(initial=0.0))


def _find_smallest_instance(row: Mapping[str, Any], processor: NanoProcessor) -> tuple[float, str]:
    """Find the narrowest box of an example: visual tokens on its shorter side, and the query that it answers."""
    scale, _, _ = processor.image_processor.letterbox_transform(row["width"], row["height"])
    candidates = [
        (shorter_side(box) * scale / TOKEN_STRIDE, query)
        for query, boxes in zip(row["queries"], row["boxes"], strict=True)
        for box in boxes
    ]
    return min(candidates, default=(float("inf"), ""))


def count_examples(synth: Path) -> int:
    """Count the examples of the dataset in `synth`. Raises `DataError` (LC402) where it has none."""
    return sum(pq.read_metadata(shard).num_rows for shard in _find_shards(synth))


def _find_shards(synth: Path) -> list[str]:
    """List the parquet files of a dataset. Raises `DataError` (LC402) without any."""
    shards = sorted(str(path) for path in (synth / "data").glob("*.parquet"))
    if not shards:
        raise DataError(Problem("LC402", "contains no examples.", str(synth), advice="Make them with `logicls synth`."))
    return shards


def _load_rows(synth: Path, cache: Path, max_examples: int | None) -> datasets.Dataset:
    """Load the dataset with undecoded images."""
    datasets.disable_progress_bars()
    loaded: datasets.Dataset = datasets.load_dataset(
        "parquet", data_files=_find_shards(synth), split="train", cache_dir=str(cache / "arrow")
    )
    selected = loaded if max_examples is None else loaded.select(range(min(max_examples, len(loaded))))
    return selected.cast_column("image", datasets.Image(decode=False))


def _cache_pixels(
    rows: datasets.Dataset, processor: NanoProcessor, cache: Path, on_progress: Callable[[int], None]
) -> np.ndarray:
    """Letterbox all photos to the model's input, or map those of an earlier run. Raises `DataError` (LC403)."""
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
    """Select the examples of a step: sampling without replacement, with another permutation in each epoch.

    The selection depends on the step's number and the seed alone, so that a resumed run repeats it.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = {int(r): np.random.default_rng([seed, int(r)]).permutation(count) for r in set(positions // count)}
    return [int(epochs[int(i // count)][i % count]) for i in positions]
