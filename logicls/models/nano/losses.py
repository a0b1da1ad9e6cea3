"""What nano learns from: words of the answers, lights where things are, the sides of their boxes; each by question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from logicls.models.nano.detection_head import (
    DetectionHead,
    TargetBoxes,
    compute_box_losses,
    local_maxima,
    compute_centre_losses,
)

IGNORE_INDEX = -100
"""Label of a position that is not learned."""
DETECTION_THRESHOLD = 0.5
"""Chance from which on a light counts as a thing."""


@dataclass(frozen=True, slots=True)
class LossInputs:
    """A batch's hidden states and what is to be learned from them."""

    hidden: Float[Tensor, "batch new width"]
    answer_starts: Bool[Tensor, "batch new"]
    """Positions after which an answer begins: the last of each question."""
    branches: Int[Tensor, "batch new"]
    labels: Int[Tensor, "batch new"]
    weights: Float[Tensor, "batch questions"]
    targets: TargetBoxes
    located: Bool[Tensor, "batch questions"]
    fine_pixels: Float[Tensor, "batch 3 height across"] | None = None
    """In all its pixels, where things are looked at closely."""


@dataclass(frozen=True, slots=True)
class QuestionLosses:
    """Of a batch."""

    total: Tensor
    per_question: Float[Tensor, "batch questions"]
    """nan where an example has fewer questions."""
    correct: Bool[Tensor, "batch questions"]


def compute_losses(
    inputs: LossInputs,
    feature_map: Float[Tensor, "batch depth rows columns"],
    head: Callable[[Tensor], Tensor],
    detection_head: DetectionHead,
) -> QuestionLosses:
    """The losses of all questions, and their mean by weight."""
    questions = inputs.located.shape[1]
    said, right = _said(inputs, head)
    asked = gather_queries(inputs.hidden, inputs.answer_starts, inputs.branches, questions)
    lights = detection_head.score_centres(feature_map, asked)
    shown = compute_centre_losses(lights, inputs.targets, inputs.located)
    drawn = _drawn(inputs.targets, feature_map, asked, detection_head)
    read, read_right = _read(inputs, feature_map, asked, detection_head, head)
    each = said + shown + drawn + read
    present = torch.zeros_like(inputs.located)
    row, position = inputs.answer_starts.nonzero(as_tuple=True)
    present[row, inputs.branches[row, position] - 1] = True
    share = inputs.weights * present
    total = (each * share).sum() / share.sum().clamp(min=1e-6)
    pointed = local_maxima(lights.detach(), DETECTION_THRESHOLD).sum((-1, -2))
    right = (
        right
        & read_right
        & ((pointed == count_boxes(inputs.targets, inputs.targets.location_mask, questions)) | ~inputs.located)
    )
    return QuestionLosses(total, each.detach().masked_fill(~present, torch.nan), right & present)


def gather_queries(
    hidden: Float[Tensor, "batch new width"],
    answer_starts: Bool[Tensor, "batch new"],
    branches: Int[Tensor, "batch new"],
    questions: int,
) -> Float[Tensor, "batch questions width"]:
    """The last word of each question, after which its answer begins; zeros where an example has fewer questions."""
    found = hidden.new_zeros(len(hidden), questions, hidden.shape[-1])
    row, position = answer_starts.nonzero(as_tuple=True)
    found[row, branches[row, position] - 1] = hidden[row, position]
    return found


def _said(told: LossInputs, head: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of each answer's words [batch questions], and whether each word is the likeliest."""
    row, position = (told.labels != IGNORE_INDEX).nonzero(as_tuple=True)
    target = told.labels[row, position]
    logits = head(told.hidden[row, position]).float()
    at = row * told.located.shape[1] + told.branches[row, position] - 1
    size = told.located.numel()
    sums = logits.new_zeros(size).index_add(0, at, F.cross_entropy(logits, target, reduction="none"))
    count = logits.new_zeros(size).index_add(0, at, torch.ones_like(target, dtype=logits.dtype))
    wrong = logits.new_zeros(size).index_add(0, at, (logits.argmax(-1) != target).to(logits.dtype))
    # The root, not the number: long lists neither drown the one-word answers nor are drowned.
    return (sums / count.clamp(min=1).sqrt()).view_as(told.located), (wrong == 0).view_as(told.located)


def _drawn(
    things: TargetBoxes, chart: Tensor, asking: Tensor, pointer: DetectionHead
) -> Float[Tensor, "batch questions"]:
    """Mean loss of each question's boxes, read where they are known to be."""
    rows, columns = (v.clamp(max=side - 1) for v, side in zip(things.centre_cells, chart.shape[2:], strict=True))
    boxes = pointer.regress_boxes(chart, _of(asking, things), rows, columns)
    return _mean(compute_box_losses(*boxes, things), things, things.location_mask, asking.shape[1])


def _read(
    told: LossInputs, chart: Tensor, asking: Tensor, pointer: DetectionHead, head: Callable[[Tensor], Tensor]
) -> tuple[Float[Tensor, "batch questions"], Bool[Tensor, "batch questions"]]:
    """Mean cross-entropy of the words read off each question's things, and whether each word is the likeliest."""
    things, questions, known = told.targets, asking.shape[1], told.targets.value >= 0
    if not bool(known.any()):
        return asking.new_zeros(asking.shape[:2]), torch.ones(asking.shape[:2], dtype=torch.bool, device=asking.device)
    logits = head(pointer.read_attributes(chart, _of(asking, things), things.boxes, told.fine_pixels)).float()
    target = things.value.clamp(min=0)
    losses = F.cross_entropy(logits.transpose(1, 2), target, reduction="none") * known
    wrong = ((logits.argmax(-1) != target) & known).to(losses.dtype)
    return _mean(losses, things, known, questions), _mean(wrong, things, known, questions) == 0


def _of(asking: Float[Tensor, "batch questions width"], things: TargetBoxes) -> Float[Tensor, "batch most width"]:
    """The question of each thing."""
    each = torch.arange(len(asking), device=asking.device)[:, None]
    return asking[each, things.question.clamp(min=0)]


def _mean(values: Float[Tensor, "batch most"], things: TargetBoxes, of: Tensor, questions: int) -> Tensor:
    """Mean over each question's things, [batch questions]; 0 where it has none."""
    batch = len(values)
    at = (torch.arange(batch, device=values.device)[:, None] * questions + things.question.clamp(min=0)).flatten()
    sums = values.new_zeros(batch * questions).index_add(0, at, (values * of).flatten())
    return sums.view(batch, questions) / count_boxes(things, of, questions).clamp(min=1)


def count_boxes(
    targets: TargetBoxes, mask: Bool[Tensor, "batch most"], questions: int
) -> Int[Tensor, "batch questions"]:
    """How many of those things answer each question."""
    numbers = torch.arange(questions, device=targets.question.device)
    return ((targets.question[:, :, None] == numbers) & mask[:, :, None]).sum(1)
