"""Before the first step of a hub model: every example through its processor, and one through the model both ways.

How much memory a run needs, said before it starts.
"""

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
from logicls.models.hub.loading import conventions_for, count_overview_tokens
from logicls.models.hub.shared_prefix import SharedPrefix, move_inputs, append_text
from logicls.records import Box
from logicls.train.hub_dataset import Examples, Row, Turn, joined
from logicls.train.hub_module import answered

BETWEEN = 34
"""Bytes a token, layer and unit of width that are kept for the way back, at two bytes a number.

Source: Korthikanti et al. 2022 (arXiv 2205.05198), section 4.1, without the attention matrix, which is not kept.
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the same time, at most."""

    weights: int
    """Of the model, as it is loaded."""
    trained: int
    """The adapter's gradients and the optimiser's two means, 32 bits each."""
    between: int
    """What lies between the layers until the way back."""
    logits: int
    """Of the answers' tokens, with their gradients."""

    @property
    def total(self) -> int:
        """Bytes."""
        return self.weights + self.trained + self.between + self.logits


def memory_of(model: Any, *, rows: int, tokens: int, told: int, gradient_checkpointing: bool) -> Memory:
    """The memory for a part of a batch: so many `rows` of `tokens`, of which `told` are an answer's."""
    config = model.config.get_text_config(decoder=True)
    size = torch.finfo(model.dtype).bits // 8
    layer = rows * tokens * config.hidden_size * BETWEEN * size // 2
    kept = rows * tokens * config.hidden_size * size
    layers = config.num_hidden_layers
    between = layer + kept * layers if gradient_checkpointing else layer * layers
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return Memory(weights, trained * 12, between, rows * told * config.vocab_size * 12)


def memory_here() -> int:
    """Bytes that the GPU has, or the machine where there is none."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gigabytes(count: int) -> str:
    """As people say it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


SMALL = 1.0
"""Visual tokens below which a component may not be seen apart from what is around it."""
SHAPES = 8
"""So many kinds of pictures, by what the processor makes of them, are shown to the model itself."""
NAMED = 5
"""Examples that an error lists."""
APART = 0.05
"""How far logits may be apart, in standard deviations, with numbers of 32 bits; six times as far with 16."""


@dataclass(frozen=True, slots=True)
class HubFlight:
    """What preflight found."""

    count: int
    lengths: tuple[int, ...]
    """Tokens of the longest question of each example, with photo and answer, sorted."""
    visual: tuple[int, int]
    """Fewest and most visual tokens of a photo."""
    told: int
    """Tokens of the longest answer."""
    limit: int
    """Tokens that the model can read."""
    smallest: tuple[str, float, int]
    """Component whose box covers the fewest visual tokens, how many, and the number of the example."""
    boxes: int
    """Most boxes or values in one answer."""
    longest: int
    """Number of the example with the most tokens."""

    @property
    def report(self) -> list[str]:
        """Plain lines for the terminal."""
        name, tokens, number = self.smallest
        fewest, most = self.visual
        visual = f"{most}" if fewest == most else f"{fewest} to {most}"
        nearly_all = self.lengths[int(0.95 * (len(self.lengths) - 1))]
        lines = [
            f"{self.count} examples of at most {self.lengths[-1]} tokens, 95 % of at most {nearly_all}; "
            f"{visual} of them visual; the model reads {self.limit}",
            f"smallest component: {name}, {tokens:.1f} visual tokens (example {number})",
        ]
        if tokens < SMALL:
            lines.append(f"warning: {name} may be too small to be read; crop the photos, or let the processor make "
                         "larger pictures (hub.processor in the recipe)")  # fmt: skip
        return lines


@dataclass(slots=True)
class _Tally:
    """What the examples came to so far."""

    lengths: list[int]
    visual: list[int]
    told: int = 1
    smallest: tuple[str, float, int] = ("nothing", float("inf"), -1)
    boxes: int = 0

    def add(self, number: int, row: Row, inputs: Mapping[str, Tensor], turns: Sequence[Turn], image: int) -> None:
        """One more example. `image`: the token that stands for a visual one."""
        before = int(inputs["input_ids"].shape[1])
        self.lengths.append(before + max(len(turn.asked) + len(turn.told) for turn in turns))
        self.visual.append(int((inputs["input_ids"] == image).sum()))
        self.told = max(self.told, *(len(turn.told) for turn in turns))
        self.boxes = max(self.boxes, *map(len, row["boxes"]), *map(len, row["values"]))

    def measure(self, number: int, row: Row, shown: int) -> None:
        """The smallest component of an example whose photo is shown by so many visual tokens."""
        share = shown / (row["width"] * row["height"])
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            for box in boxes:
                tokens = Box(*box).area * share
                if tokens < self.smallest[1]:
                    self.smallest = query.removeprefix("locate:"), tokens, number


def preflight_hub(
    examples: Examples, model: Any, name: str, *, done: Callable[[int], None] = lambda _: None
) -> HubFlight:
    """Look at every example. `done` is told how many more it has seen.

    Raises:
        DataError: An example is too long for the model (LC433), its photo does not go through the processor and the
            model as it should (LC432), or has no readable picture (LC403).
    """
    config = model.config
    limits = config.get_text_config(decoder=True).max_position_embeddings, examples.processor.tokenizer.model_max_length
    overview = count_overview_tokens(conventions_for(config.model_type), examples.processor)
    tally, seen = _Tally([], []), set[tuple[object, ...]]()
    for number, row in enumerate(examples.rows):
        inputs, turns = _processed(examples, number, name), list(examples.turns(row))
        tally.add(number, row, inputs, turns, image_token(config))
        visual = tally.visual[-1]
        tally.measure(number, row, visual - overview if visual > overview else visual)
        shape = (visual, *(tuple(value.shape) for value in inputs.values()))
        if shape not in seen and len(seen) < SHAPES:
            seen.add(shape)
            _looked_at(model, inputs, number, name)
        done(1)
    _refuse_long(tally.lengths, min(limits), name)
    longest = int(np.argmax(tally.lengths))
    return HubFlight(
        len(tally.lengths), tuple(sorted(tally.lengths)), (min(tally.visual), max(tally.visual)), tally.told,
        min(limits), tally.smallest, tally.boxes, longest,
    )  # fmt: skip


def image_token(config: Any) -> int:
    """The token that stands for a visual one; families have it under one of two names."""
    return int(config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index)


def _processed(examples: Examples, number: int, name: str) -> dict[str, Tensor]:
    picture = examples.picture(number)
    try:
        return make_inputs(examples.processor, examples.codec.chat_format, [picture])
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise _astray(name, number, f"its processor does not take the photo: {error}") from error


@torch.inference_mode()
def _looked_at(model: Any, inputs: Mapping[str, Tensor], number: int, name: str) -> None:
    """The model itself holds the placeholders against what it sees of the photo."""
    try:
        model(**move_inputs(model, inputs), use_cache=False, logits_to_keep=1)
    except (ValueError, RuntimeError, IndexError) as error:
        raise _astray(name, number, f"placeholders and visual tokens differ: {error}") from error


def _astray(name: str, number: int, message: str) -> DataError:
    text = message.strip().splitlines()[0].rstrip(".")
    return DataError(Problem("LC432", f"example {number}: {text}.", name, advice="Check the model's processor files."))


def _refuse_long(lengths: Sequence[int], limit: int, name: str) -> None:
    long = [number for number, length in enumerate(lengths) if length > limit]
    if long:
        told = ", ".join(map(str, long[:NAMED])) + (f" and {len(long) - NAMED} more" if len(long) > NAMED else "")
        message = f"example {told}: up to {max(lengths)} tokens, and the model reads {limit}; nothing is cut off."
        advice = "Let the processor make smaller pictures (hub.processor in the recipe)."
        raise DataError(Problem("LC433", message, name, advice=advice))


@torch.inference_mode()
def rehearse(examples: Examples, model: Any, name: str) -> None:
    """One photo's questions side by side, as prediction reads them, against each of them read from the beginning.

    Raises:
        DataError: They differ: what was computed of the photo cannot be shared among questions (LC434).
    """
    inputs, turns = _processed(examples, 0, name), list(examples.turns(examples.rows[0]))[:4]
    rows = [[*turn.asked, *turn.told] for turn in turns]
    apart = APART if model.dtype == torch.float32 else 6 * APART
    try:
        side_by_side = SharedPrefix(model, inputs).branch(len(rows)).step(rows)[:, -1]
    except (ValueError, RuntimeError, TypeError, IndexError, AttributeError, NotImplementedError) as error:
        raise _unshared(name, f"it fails: {str(error).strip().splitlines()[0]}") from error
    for row, found in zip(rows, side_by_side, strict=True):
        alone = (
            model(**move_inputs(model, append_text(inputs, row)), use_cache=False, logits_to_keep=1)
            .logits[0, -1]
            .float()
        )
        off = float((found - alone).abs().max() / alone.std())
        if off > apart:
            raise _unshared(name, f"its answers are {off:.2f} standard deviations apart")


def _unshared(name: str, message: str) -> DataError:
    text = f"questions cannot be answered side by side with this model: {message}."
    return DataError(Problem("LC434", text, name, advice="Choose a model of another family."))


def seconds_of(examples: Examples, model: Any, flight: HubFlight, rows: int) -> float:
    """How long a part of a batch takes, forth and back, with the longest example in all its rows; changes nothing."""
    turns = list(examples.turns(examples.rows[flight.longest]))
    turn = max(turns, key=lambda turn: len(turn.asked) + len(turn.told))
    picture = examples.picture(flight.longest)
    inputs = make_inputs(examples.processor, examples.codec.chat_format, [picture] * rows)
    batch = joined(inputs, [turn] * rows, examples.processor.tokenizer)
    with torch.random.fork_rng():
        for _ in range(2):  # the first time things are set up
            began = time.perf_counter()
            answered(model, batch)[0].mean().backward()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            took = time.perf_counter() - began
            model.zero_grad(set_to_none=True)
    return took
