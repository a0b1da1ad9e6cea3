"""Preflight for a model of the hub: check every example and the model itself, and estimate memory and time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from logicls.errors import DataError, Problem
from logicls.models.hub.chat_template import make_inputs
from logicls.models.hub.loading import CallableHubModel, conventions_for, count_overview_tokens
from logicls.models.hub.shared_prefix import SharedPrefix, append_text, move_inputs
from logicls.records import Box
from logicls.train.hub_dataset import EncodedTurn, HubExamples, Row, collate_turns, score_answers

ACTIVATION_BYTES = 34
"""Bytes of activations per token, layer and unit of width, at two bytes per number.

Source: Korthikanti et al. 2022 (arXiv 2205.05198), section 4.1, without the attention matrix, which is not stored.
"""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak memory in bytes."""

    weights: int
    """The model's weights, as loaded."""
    optimizer: int
    """Gradients of the adapter and the optimizer's two moments, 32 bits each."""
    activations: int
    """Activations that the backward pass needs."""
    logits: int
    """Logits of the answers' tokens, and their gradients."""

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return self.weights + self.optimizer + self.activations + self.logits


def estimate_memory(
    model: CallableHubModel, *, rows: int, tokens: int, answer_tokens: int, gradient_checkpointing: bool
) -> MemoryEstimate:
    """Estimate the memory of a part of a batch: `rows` of `tokens`, of which `answer_tokens` are an answer's."""
    config = model.config.get_text_config(decoder=True)
    size = torch.finfo(model.dtype).bits // 8
    layer = rows * tokens * config.hidden_size * ACTIVATION_BYTES * size // 2
    checkpointed = rows * tokens * config.hidden_size * size
    layers = config.num_hidden_layers
    activations = layer + checkpointed * layers if gradient_checkpointing else layer * layers
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return MemoryEstimate(weights, trainable * 12, activations, rows * answer_tokens * config.vocab_size * 12)


def read_available_memory() -> int:
    """Return the bytes of the GPU's memory, or of the machine's where there is no GPU."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def format_bytes(count: int) -> str:
    """Format a number of bytes as MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


MIN_VISUAL_TOKENS = 1.0
"""Visual tokens below which a component may not be distinguished from its surroundings."""
MAX_SHAPES = 8
"""Distinct input shapes that are run through the model itself."""
MAX_LISTED = 5
"""Examples that an error message lists."""
LOGIT_TOLERANCE = 0.05
"""Allowed difference of logits in their standard deviations, with 32-bit numbers; six times as much with 16 bits."""


@dataclass(frozen=True, slots=True)
class HubPreflightResult:
    """Facts about the examples, as the model's processor encodes them."""

    count: int
    lengths: tuple[int, ...]
    """Tokens of each example's longest question, photo and answer included, sorted."""
    visual_tokens: tuple[int, int]
    """Fewest and most visual tokens of a photo."""
    answer_tokens: int
    """Tokens of the longest answer."""
    max_tokens: int
    """Context length of the model."""
    smallest_component: tuple[str, float, int]
    """Component whose box covers the fewest visual tokens, their number, and the number of the example."""
    max_boxes: int
    """Largest number of boxes or values in an answer."""
    longest_example: int
    """Number of the example with the most tokens."""

    @property
    def report(self) -> list[str]:
        """Lines of text for the terminal."""
        name, tokens, number = self.smallest_component
        fewest, most = self.visual_tokens
        visual = f"{most}" if fewest == most else f"{fewest} to {most}"
        nearly_all = self.lengths[int(0.95 * (len(self.lengths) - 1))]
        lines = [
            f"{self.count} examples of at most {self.lengths[-1]} tokens, 95 % of at most {nearly_all}; "
            f"{visual} of them visual; the context length is {self.max_tokens}",
            f"smallest component: {name}, {tokens:.1f} visual tokens (example {number})",
        ]
        if tokens < MIN_VISUAL_TOKENS:
            lines.append(f"warning: {name} may be too small; crop the photos, or let the processor make "
                         "larger pictures (hub.processor in the recipe)")  # fmt: skip
        return lines


@dataclass(slots=True)
class _TokenStatistics:
    """Token counts over the examples so far."""

    lengths: list[int]
    visual_tokens: list[int]
    answer_tokens: int = 1
    smallest_component: tuple[str, float, int] = ("nothing", float("inf"), -1)
    max_boxes: int = 0

    def add(
        self, number: int, row: Row, inputs: Mapping[str, Tensor], turns: Sequence[EncodedTurn], image_token: int
    ) -> None:
        """Add an example; `image_token` is the placeholder of a visual token."""
        prompt_tokens = int(inputs["input_ids"].shape[1])
        self.lengths.append(prompt_tokens + max(len(turn.question) + len(turn.answer) for turn in turns))
        self.visual_tokens.append(int((inputs["input_ids"] == image_token).sum()))
        self.answer_tokens = max(self.answer_tokens, *(len(turn.answer) for turn in turns))
        self.max_boxes = max(self.max_boxes, *map(len, row["boxes"]), *map(len, row["values"]))

    def measure_components(self, number: int, row: Row, visual_tokens: int) -> None:
        """Update the smallest component with those of an example, whose photo has that many visual tokens."""
        share = visual_tokens / (row["width"] * row["height"])
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            for box in boxes:
                tokens = Box(*box).area * share
                if tokens < self.smallest_component[1]:
                    self.smallest_component = query.removeprefix("locate:"), tokens, number


def preflight_hub(
    examples: HubExamples, model: CallableHubModel, name: str, *, on_progress: Callable[[int], None] = lambda _: None
) -> HubPreflightResult:
    """Check every example with the model's processor, and some with the model itself.

    Args:
        examples: Rows with processor and codec.
        model: The model.
        name: Its name, for error messages.
        on_progress: Takes the number of examples checked since its last call.

    Raises:
        DataError: An example is too long for the model (LC433), its photo is not processed as it should be (LC432),
            or cannot be decoded (LC403).
    """
    config = model.config
    limits = config.get_text_config(decoder=True).max_position_embeddings, examples.processor.tokenizer.model_max_length
    overview = count_overview_tokens(conventions_for(config.model_type), examples.processor)
    statistics, shapes = _TokenStatistics([], []), set[tuple[object, ...]]()
    for number, row in enumerate(examples.rows):
        inputs, turns = _process(examples, number, name), list(examples.encode_turns(row))
        statistics.add(number, row, inputs, turns, read_image_token(config))
        visual = statistics.visual_tokens[-1]
        statistics.measure_components(number, row, visual - overview if visual > overview else visual)
        shape = (visual, *(tuple(value.shape) for value in inputs.values()))
        if shape not in shapes and len(shapes) < MAX_SHAPES:
            shapes.add(shape)
            _check_placeholders(model, inputs, number, name)
        on_progress(1)
    _check_lengths(statistics.lengths, min(limits), name)
    longest = int(np.argmax(statistics.lengths))
    return HubPreflightResult(
        count=len(statistics.lengths),
        lengths=tuple(sorted(statistics.lengths)),
        visual_tokens=(min(statistics.visual_tokens), max(statistics.visual_tokens)),
        answer_tokens=statistics.answer_tokens,
        max_tokens=min(limits),
        smallest_component=statistics.smallest_component,
        max_boxes=statistics.max_boxes,
        longest_example=longest,
    )


def read_image_token(config: Any) -> int:
    """Read the placeholder token of visual tokens, which has one of two names in a model's configuration."""
    return int(config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index)


def _process(examples: HubExamples, number: int, name: str) -> dict[str, Tensor]:
    """Process the photo of an example. Raises `DataError` (LC432)."""
    image = examples.load_image(number)
    try:
        return make_inputs(examples.processor, examples.codec.chat_format, [image])
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise _make_processor_error(name, number, f"the processor refuses the photo: {error}") from error


@torch.inference_mode()
def _check_placeholders(model: CallableHubModel, inputs: Mapping[str, Tensor], number: int, name: str) -> None:
    """Run a photo through the model, which compares placeholders with visual tokens. Raises `DataError` (LC432)."""
    try:
        model(**move_inputs(model, inputs), use_cache=False, logits_to_keep=1)
    except (ValueError, RuntimeError, IndexError) as error:
        raise _make_processor_error(name, number, f"placeholders and visual tokens differ: {error}") from error


def _make_processor_error(name: str, number: int, message: str) -> DataError:
    """Make the error for an example that the processor or model refuses."""
    text = message.strip().splitlines()[0].rstrip(".")
    return DataError(Problem("LC432", f"example {number}: {text}.", name, advice="Check the model's processor files."))


def _check_lengths(lengths: Sequence[int], limit: int, name: str) -> None:
    """Raise `DataError` (LC433) for examples with more tokens than the model's context."""
    long = [number for number, length in enumerate(lengths) if length > limit]
    if long:
        listed = ", ".join(map(str, long[:MAX_LISTED])) + (
            f" and {len(long) - MAX_LISTED} more" if len(long) > MAX_LISTED else ""
        )
        message = f"example {listed}: up to {max(lengths)} tokens, more than the context length of {limit}."
        advice = "Let the processor make smaller pictures (hub.processor in the recipe)."
        raise DataError(Problem("LC433", message, name, advice=advice))


@torch.inference_mode()
def check_shared_prefix(examples: HubExamples, model: CallableHubModel, name: str) -> None:
    """Compare questions answered from a shared photo prefix, as in prediction, with each answered from the beginning.

    Raises:
        DataError: They differ: the model's photo prefix cannot be shared between questions (LC434).
    """
    inputs, turns = _process(examples, 0, name), list(examples.encode_turns(examples.rows[0]))[:4]
    rows = [[*turn.question, *turn.answer] for turn in turns]
    tolerance = LOGIT_TOLERANCE if model.dtype == torch.float32 else 6 * LOGIT_TOLERANCE
    try:
        side_by_side = SharedPrefix(model, inputs).branch(len(rows)).step(rows)[:, -1]
    except (ValueError, RuntimeError, TypeError, IndexError, AttributeError, NotImplementedError) as error:
        raise _make_shared_prefix_error(name, f"it fails: {str(error).strip().splitlines()[0]}") from error
    for row, shared in zip(rows, side_by_side, strict=True):
        alone = (
            model(**move_inputs(model, append_text(inputs, row)), use_cache=False, logits_to_keep=1)
            .logits[0, -1]
            .float()
        )
        distance = float((shared - alone).abs().max() / alone.std())
        if distance > tolerance:
            raise _make_shared_prefix_error(name, f"its answers are {distance:.2f} standard deviations apart")


def _make_shared_prefix_error(name: str, message: str) -> DataError:
    """Make the error for a model whose photo prefix cannot be shared."""
    text = f"questions cannot share a photo prefix with this model: {message}."
    return DataError(Problem("LC434", text, name, advice="Choose a model of another family."))


def measure_part_time(
    examples: HubExamples, model: CallableHubModel, preflight_result: HubPreflightResult, rows: int
) -> float:
    """Measure a part's forward and backward pass in seconds, with the longest example in all rows; changes nothing."""
    turns = list(examples.encode_turns(examples.rows[preflight_result.longest_example]))
    turn = max(turns, key=lambda turn: len(turn.question) + len(turn.answer))
    image = examples.load_image(preflight_result.longest_example)
    inputs = make_inputs(examples.processor, examples.codec.chat_format, [image] * rows)
    batch = collate_turns(inputs, [turn] * rows, examples.processor.tokenizer)
    with torch.random.fork_rng():
        for _ in range(2):  # the first time things are set up
            started = time.perf_counter()
            score_answers(model, batch)[0].mean().backward()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
            model.zero_grad(set_to_none=True)
    return seconds
