"""Training losses of nano, by question: tokens of answers, centre heatmaps, boxes and attributes of instances."""

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
    compute_centre_losses,
    local_maxima,
)
from logicls.records import DETECTION_THRESHOLD

IGNORE_INDEX = -100
"""Label of a position without a loss."""


@dataclass(frozen=True, slots=True)
class LossInputs:
    """Hidden states of a batch, and its targets."""

    hidden: Float[Tensor, "batch new width"]
    answer_starts: Bool[Tensor, "batch new"]
    """Positions after which an answer begins: the last of each question."""
    branches: Int[Tensor, "batch new"]
    labels: Int[Tensor, "batch new"]
    weights: Float[Tensor, "batch questions"]
    targets: TargetBoxes
    located: Bool[Tensor, "batch questions"]
    fine_pixels: Float[Tensor, "batch 3 height across"] | None = None
    """Normalized photo at full resolution, for the crop encoder."""


@dataclass(frozen=True, slots=True)
class QuestionLosses:
    """Losses of a batch."""

    total: Tensor
    """Mean loss of the questions by weight."""
    per_question: Float[Tensor, "batch questions"]
    """nan where an example has fewer questions."""
    correct: Bool[Tensor, "batch questions"]
    """True where every token is the likeliest and the number of detections is that of the boxes."""


def compute_losses(
    inputs: LossInputs,
    feature_map: Float[Tensor, "batch depth rows columns"],
    head: Callable[[Tensor], Tensor],
    detection_head: DetectionHead,
) -> QuestionLosses:
    """Compute the losses of all questions. `head`: from hidden states to logits over the vocabulary."""
    questions, targets = inputs.located.shape[1], inputs.targets
    token_losses, tokens_correct = _token_losses(inputs, head)
    queries = gather_queries(inputs.hidden, inputs.answer_starts, inputs.branches, questions)
    heatmaps = detection_head.score_centres(feature_map, queries)
    centre_losses = compute_centre_losses(heatmaps, targets, inputs.located)
    box_losses = _box_losses(targets, feature_map, queries, detection_head)
    value_losses, values_correct = _value_losses(inputs, feature_map, queries, detection_head, head)
    each = token_losses + centre_losses + box_losses + value_losses
    present = torch.zeros_like(inputs.located)
    row, position = inputs.answer_starts.nonzero(as_tuple=True)
    present[row, inputs.branches[row, position] - 1] = True
    share = inputs.weights * present
    total = (each * share).sum() / share.sum().clamp(min=1e-6)
    detected = local_maxima(heatmaps.detach(), DETECTION_THRESHOLD).sum((-1, -2))
    count_correct = (detected == count_boxes(targets, targets.location_mask, questions)) | ~inputs.located
    correct = tokens_correct & values_correct & count_correct & present
    return QuestionLosses(total, each.detach().masked_fill(~present, torch.nan), correct)


def gather_queries(
    hidden: Float[Tensor, "batch new width"],
    answer_starts: Bool[Tensor, "batch new"],
    branches: Int[Tensor, "batch new"],
    questions: int,
) -> Float[Tensor, "batch questions width"]:
    """Gather the hidden state of each question's last token; zeros where an example has fewer questions."""
    queries = hidden.new_zeros(len(hidden), questions, hidden.shape[-1])
    row, position = answer_starts.nonzero(as_tuple=True)
    queries[row, branches[row, position] - 1] = hidden[row, position]
    return queries


def _token_losses(inputs: LossInputs, head: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of each answer's tokens, and True where all are the likeliest; [batch questions]."""
    row, position = (inputs.labels != IGNORE_INDEX).nonzero(as_tuple=True)
    target = inputs.labels[row, position]
    logits = head(inputs.hidden[row, position]).float()
    at = row * inputs.located.shape[1] + inputs.branches[row, position] - 1
    size = inputs.located.numel()
    sums = logits.new_zeros(size).index_add(0, at, F.cross_entropy(logits, target, reduction="none"))
    count = logits.new_zeros(size).index_add(0, at, torch.ones_like(target, dtype=logits.dtype))
    wrong = logits.new_zeros(size).index_add(0, at, (logits.argmax(-1) != target).to(logits.dtype))
    # Divided by the root of the length, so that long lists neither dominate one-token answers nor vanish beside them.
    return (sums / count.clamp(min=1).sqrt()).view_as(inputs.located), (wrong == 0).view_as(inputs.located)


def _box_losses(
    targets: TargetBoxes, feature_map: Tensor, queries: Tensor, detection_head: DetectionHead
) -> Float[Tensor, "batch questions"]:
    """Return the mean loss of each question's boxes, regressed from their true centre cells."""
    sides = zip(targets.centre_cells, feature_map.shape[2:], strict=True)
    rows, columns = (cells.clamp(max=side - 1) for cells, side in sides)
    boxes = detection_head.regress_boxes(feature_map, _queries_of_boxes(queries, targets), rows, columns)
    return _mean_by_question(compute_box_losses(*boxes, targets), targets, targets.location_mask, queries.shape[1])


def _value_losses(
    inputs: LossInputs,
    feature_map: Tensor,
    queries: Tensor,
    detection_head: DetectionHead,
    head: Callable[[Tensor], Tensor],
) -> tuple[Float[Tensor, "batch questions"], Bool[Tensor, "batch questions"]]:
    """Return the mean cross-entropy of each question's attribute values, and True where all are the likeliest.

    A value between two tokens has a soft target; either of the two may be the likeliest.
    """
    targets, questions, has_value = inputs.targets, queries.shape[1], inputs.targets.value >= 0
    if not bool(has_value.any()):
        shape, device = queries.shape[:2], queries.device
        return queries.new_zeros(shape), torch.ones(shape, dtype=torch.bool, device=device)
    own_queries = _queries_of_boxes(queries, targets)
    features = detection_head.read_attributes(
        feature_map, own_queries, targets.boxes, inputs.fine_pixels, has_value
    )  # fmt: skip
    logits = head(features).float()
    target = targets.value.clamp(min=0)
    losses, likeliest = F.cross_entropy(logits.transpose(1, 2), target, reduction="none"), logits.argmax(-1)
    is_wrong = likeliest != target
    if targets.next_value is not None and targets.next_share is not None:
        following, share = targets.next_value.clamp(min=0), targets.next_share.to(losses.dtype)
        following_losses = F.cross_entropy(logits.transpose(1, 2), following, reduction="none")
        losses = losses * (1 - share) + following_losses * share
        is_wrong = is_wrong & ((likeliest != following) | (share == 0))
    losses, wrong = losses * has_value, (is_wrong & has_value).to(losses.dtype)
    mean_wrong = _mean_by_question(wrong, targets, has_value, questions)
    return _mean_by_question(losses, targets, has_value, questions), mean_wrong == 0


def _queries_of_boxes(
    queries: Float[Tensor, "batch questions width"], targets: TargetBoxes
) -> Float[Tensor, "batch most width"]:
    """Return the query of each box."""
    each = torch.arange(len(queries), device=queries.device)[:, None]
    return queries[each, targets.question.clamp(min=0)]


def _mean_by_question(
    values: Float[Tensor, "batch most"], targets: TargetBoxes, mask: Tensor, questions: int
) -> Float[Tensor, "batch questions"]:
    """Return the mean over each question's boxes in the mask; 0 where it has none."""
    batch = len(values)
    rows = torch.arange(batch, device=values.device)[:, None]
    at = (rows * questions + targets.question.clamp(min=0)).flatten()
    sums = values.new_zeros(batch * questions).index_add(0, at, (values * mask).flatten())
    return sums.view(batch, questions) / count_boxes(targets, mask, questions).clamp(min=1)


def count_boxes(
    targets: TargetBoxes, mask: Bool[Tensor, "batch most"], questions: int
) -> Int[Tensor, "batch questions"]:
    """Count the boxes in the mask that belong to each question."""
    numbers = torch.arange(questions, device=targets.question.device)
    return ((targets.question[:, :, None] == numbers) & mask[:, :, None]).sum(1)
