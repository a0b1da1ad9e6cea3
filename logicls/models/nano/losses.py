"""What nano learns from: words of the answers, lights where things are, the sides of their boxes; each by question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from logicls.models.nano.detection_head import Pointer, Things, box_losses, glowing, light_losses

IGNORED = -100
"""Label of a position that is not learned."""
LIT = 0.5
"""Chance from which on a light counts as a thing."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A batch's hidden states and what is to be learned from them."""

    words: Float[Tensor, "batch new width"]
    answering: Bool[Tensor, "batch new"]
    """Positions after which an answer begins: the last of each question."""
    branches: Int[Tensor, "batch new"]
    labels: Int[Tensor, "batch new"]
    weights: Float[Tensor, "batch questions"]
    things: Things
    located: Bool[Tensor, "batch questions"]
    photo: Float[Tensor, "batch 3 height across"] | None = None
    """In all its pixels, where things are looked at closely."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Of a batch."""

    total: Tensor
    each: Float[Tensor, "batch questions"]
    """nan where an example has fewer questions."""
    right: Bool[Tensor, "batch questions"]


def learned(
    told: Learned, chart: Float[Tensor, "batch depth rows columns"], head: Callable[[Tensor], Tensor], pointer: Pointer
) -> Losses:
    """The losses of all questions, and their mean by weight."""
    questions = told.located.shape[1]
    said, right = _said(told, head)
    asked = last_words(told.words, told.answering, told.branches, questions)
    lights = pointer.lights(chart, asked)
    shown = light_losses(lights, told.things, told.located)
    drawn = _drawn(told.things, chart, asked, pointer)
    read, read_right = _read(told, chart, asked, pointer, head)
    each = said + shown + drawn + read
    present = torch.zeros_like(told.located)
    row, position = told.answering.nonzero(as_tuple=True)
    present[row, told.branches[row, position] - 1] = True
    share = told.weights * present
    total = (each * share).sum() / share.sum().clamp(min=1e-6)
    pointed = glowing(lights.detach(), LIT).sum((-1, -2))
    right = right & read_right & ((pointed == count(told.things, told.things.sought, questions)) | ~told.located)
    return Losses(total, each.detach().masked_fill(~present, torch.nan), right & present)


def last_words(
    words: Float[Tensor, "batch new width"],
    answering: Bool[Tensor, "batch new"],
    branches: Int[Tensor, "batch new"],
    questions: int,
) -> Float[Tensor, "batch questions width"]:
    """The last word of each question, after which its answer begins; zeros where an example has fewer questions."""
    found = words.new_zeros(len(words), questions, words.shape[-1])
    row, position = answering.nonzero(as_tuple=True)
    found[row, branches[row, position] - 1] = words[row, position]
    return found


def _said(told: Learned, head: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of each answer's words [batch questions], and whether each word is the likeliest."""
    row, position = (told.labels != IGNORED).nonzero(as_tuple=True)
    target = told.labels[row, position]
    logits = head(told.words[row, position]).float()
    at = row * told.located.shape[1] + told.branches[row, position] - 1
    size = told.located.numel()
    sums = logits.new_zeros(size).index_add(0, at, F.cross_entropy(logits, target, reduction="none"))
    count = logits.new_zeros(size).index_add(0, at, torch.ones_like(target, dtype=logits.dtype))
    wrong = logits.new_zeros(size).index_add(0, at, (logits.argmax(-1) != target).to(logits.dtype))
    # The root, not the number: long lists neither drown the one-word answers nor are drowned.
    return (sums / count.clamp(min=1).sqrt()).view_as(told.located), (wrong == 0).view_as(told.located)


def _drawn(things: Things, chart: Tensor, asking: Tensor, pointer: Pointer) -> Float[Tensor, "batch questions"]:
    """Mean loss of each question's boxes, read where they are known to be."""
    rows, columns = (v.clamp(max=side - 1) for v, side in zip(things.centres, chart.shape[2:], strict=True))
    boxes = pointer.boxes(chart, _of(asking, things), rows, columns)
    return _mean(box_losses(*boxes, things), things, things.sought, asking.shape[1])


def _read(
    told: Learned, chart: Tensor, asking: Tensor, pointer: Pointer, head: Callable[[Tensor], Tensor]
) -> tuple[Float[Tensor, "batch questions"], Bool[Tensor, "batch questions"]]:
    """Mean cross-entropy of the words read off each question's things, and whether each word is the likeliest."""
    things, questions, known = told.things, asking.shape[1], told.things.value >= 0
    if not bool(known.any()):
        return asking.new_zeros(asking.shape[:2]), torch.ones(asking.shape[:2], dtype=torch.bool, device=asking.device)
    logits = head(pointer.values(chart, _of(asking, things), things.boxes, told.photo)).float()
    target = things.value.clamp(min=0)
    losses = F.cross_entropy(logits.transpose(1, 2), target, reduction="none") * known
    wrong = ((logits.argmax(-1) != target) & known).to(losses.dtype)
    return _mean(losses, things, known, questions), _mean(wrong, things, known, questions) == 0


def _of(asking: Float[Tensor, "batch questions width"], things: Things) -> Float[Tensor, "batch most width"]:
    """The question of each thing."""
    each = torch.arange(len(asking), device=asking.device)[:, None]
    return asking[each, things.question.clamp(min=0)]


def _mean(values: Float[Tensor, "batch most"], things: Things, of: Tensor, questions: int) -> Tensor:
    """Mean over each question's things, [batch questions]; 0 where it has none."""
    batch = len(values)
    at = (torch.arange(batch, device=values.device)[:, None] * questions + things.question.clamp(min=0)).flatten()
    sums = values.new_zeros(batch * questions).index_add(0, at, (values * of).flatten())
    return sums.view(batch, questions) / count(things, of, questions).clamp(min=1)


def count(things: Things, of: Bool[Tensor, "batch most"], questions: int) -> Int[Tensor, "batch questions"]:
    """How many of those things answer each question."""
    numbers = torch.arange(questions, device=things.question.device)
    return ((things.question[:, :, None] == numbers) & of[:, :, None]).sum(1)
