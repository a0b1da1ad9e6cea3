"""Detection head: a heatmap of instance centres for each query, and a box and attributes for each detection.

The last token of a question becomes a filter that is compared with every cell of the feature map (one cell for 8 x 8
pixels of the input): where they match lies the centre of a queried instance (Zhou et al. 2019, "Objects as Points",
with the query's filter in the place of a class). The cell's content and the query give a coarse box; each side is then
refined as the expected position over the cells around it (Sun et al. 2018, "Integral Human Pose Regression",
equation 3, with sides in the place of joints). Attributes are read from nine points of the box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from logicls.models.nano.crop_encoder import CropEncoder

CELL_PIXELS = 8
"""Pixels of the model's input that a cell of the feature map covers, on each axis."""
SAMPLE_POINTS = tuple((x, y) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8))
"""Points of a box from which attributes are read, as shares of its width and height."""
EDGE_CHANNELS = 48
"""Channels of the queries and keys with which sides are refined."""
INITIAL_LOGIT = -4.0
"""Initial logit of a centre: hardly any cell is one."""


@dataclass(frozen=True, slots=True)
class TargetBoxes:
    """Boxes on the photos of a batch, padded to the largest number on one photo."""

    boxes: Float[Tensor, "batch most 4"]
    """x1, y1, x2, y2 in cells of the feature map."""
    question: Int[Tensor, "batch most"]
    """Number of the question that each box belongs to, from 0; -1 for padding."""
    value: Int[Tensor, "batch most"]
    """Token of the box's attribute value; negative where the question asks for the location."""
    next_value: Int[Tensor, "batch most"] | None = None
    """Token of the following value where the true one lies between two, as an angle does; negative elsewhere."""
    next_share: Float[Tensor, "batch most"] | None = None
    """How far the true value lies from `value` to `next_value`, 0 to 1."""

    @property
    def location_mask(self) -> Bool[Tensor, "batch most"]:
        """Mask of the boxes whose question asks for the location."""
        return (self.question >= 0) & (self.value < 0)

    @property
    def centre_cells(self) -> tuple[Int[Tensor, "batch most"], Int[Tensor, "batch most"]]:
        """Row and column of the cell that contains each box's centre."""
        x, y = (self.boxes[..., :2] + self.boxes[..., 2:]).div(2).floor().long().clamp(min=0).unbind(-1)
        return y, x


class DetectionHead(nn.Module):
    """Feature map, centre heatmaps, box regression and attributes of instances."""

    def __init__(
        self,
        stem_width: int,
        width: int,
        depth: int,
        *,
        use_crops: bool = False,
        orientation_invariant: bool = False,
        along_diagonals: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            stem_width: Channels of the stem's feature map of stride 8.
            width: Channels of the transformer.
            depth: Channels of the head's own feature map.
            use_crops: Read attributes from crops of the photo as well.
            orientation_invariant: See `CropEncoder`.
            along_diagonals: See `CropEncoder`.
        """
        super().__init__()
        self.depth = depth
        self.fine_projection, self.coarse_projection = nn.Conv2d(stem_width, depth, 1), nn.Linear(width, depth)
        self.mix = nn.Sequential(
            nn.GELU(), nn.Conv2d(depth, depth, 3, 1, 1), nn.GELU(), nn.Conv2d(depth, depth, 3, 1, 1)
        )
        self.centre_filter = nn.Linear(width, depth + 1)
        self.query_projection = nn.Linear(width, depth)
        self.side_distances = nn.Sequential(nn.Linear(depth, depth), nn.GELU(), nn.Linear(depth, 4))
        self.edge_queries = nn.Linear(depth, 4 * EDGE_CHANNELS)
        self.edge_keys = nn.Linear(depth, EDGE_CHANNELS + 4)
        sampled = (len(SAMPLE_POINTS) + 1) * depth
        self.attribute_mlp = nn.Sequential(nn.Linear(sampled, width), nn.GELU(), nn.Linear(width, width))
        self.crop_encoder = (
            CropEncoder(depth, width, orientation_invariant=orientation_invariant, along_diagonals=along_diagonals)
            if use_crops
            else None
        )

    def initialize(self) -> None:
        """Set the initial weights that differ from those of other linear layers: no detection anywhere."""
        nn.init.zeros_(self.centre_filter.bias)
        with torch.no_grad():
            self.centre_filter.bias[-1] = INITIAL_LOGIT
        if self.crop_encoder is not None:
            self.crop_encoder.initialize()

    def make_feature_map(
        self,
        fine: Float[Tensor, "batch channels rows columns"],
        coarse: Float[Tensor, "batch width half_rows half_columns"],
    ) -> Float[Tensor, "batch depth rows columns"]:
        """Fuse the stem's feature map (detail) with the visual tokens (semantics)."""
        semantics = self.coarse_projection(coarse.movedim(1, -1)).movedim(-1, 1)
        upsampled = F.interpolate(semantics, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        both = self.fine_projection(fine) + upsampled
        out: Tensor = both + self.mix(both)
        return out

    def score_centres(
        self, feature_map: Float[Tensor, "batch depth rows columns"], queries: Float[Tensor, "batch queries width"]
    ) -> Float[Tensor, "batch queries rows columns"]:
        """Compute the heatmap of each query: the logit that a cell contains the centre of a queried instance."""
        filters = self.centre_filter(queries)
        matches = torch.einsum("bdrc,bqd->bqrc", feature_map, filters[..., :-1]) / math.sqrt(self.depth)
        logits: Tensor = matches + filters[..., -1, None, None]
        return logits

    def regress_boxes(
        self,
        feature_map: Float[Tensor, "batch depth rows columns"],
        queries: Float[Tensor, "batch most width"],
        rows: Int[Tensor, "batch most"],
        columns: Int[Tensor, "batch most"],
    ) -> tuple[Float[Tensor, "batch most 4"], Float[Tensor, "batch most 4"]]:
        """Regress the boxes whose centres lie in the given cells. Returns coarse and refined boxes, in cells.

        `queries`: the query of each box.
        """
        each = torch.arange(len(feature_map), device=feature_map.device)[:, None]
        centres = feature_map[each, :, rows, columns] + self.query_projection(queries)
        distances = F.softplus(self.side_distances(centres) + 1.0) * 2
        middle = torch.stack([columns, rows], -1) + 0.5
        box = torch.cat([middle - distances[..., :2], middle + distances[..., 2:]], -1)
        return box, self._refine_sides(feature_map, centres, box.detach())

    def read_attributes(
        self,
        feature_map: Float[Tensor, "batch depth rows columns"],
        queries: Float[Tensor, "batch most width"],
        boxes: Float[Tensor, "batch most 4"],
        fine_pixels: Float[Tensor, "batch 3 height across"] | None = None,
        mask: Bool[Tensor, "batch most"] | None = None,
    ) -> Float[Tensor, "batch most width"]:
        """Compute the attribute of each instance in the space of token embeddings.

        Args:
            feature_map: Of `make_feature_map`.
            queries: The query for the attribute, of each box.
            boxes: x1, y1, x2, y2 in cells.
            fine_pixels: Normalized photo at full resolution, for the crop encoder.
            mask: Boxes whose attribute is used; the crops of others are not encoded. By default all.
        """
        size = feature_map.new_tensor([feature_map.shape[3], feature_map.shape[2]])
        span = boxes[..., 2:] - boxes[..., :2]
        points = (boxes[..., None, :2] + span[..., None, :] * feature_map.new_tensor(SAMPLE_POINTS)) / size * 2 - 1
        samples = F.grid_sample(feature_map, points, mode="bilinear", padding_mode="border", align_corners=False)
        projected = self.query_projection(queries)
        out: Tensor = self.attribute_mlp(torch.cat([projected, samples.permute(0, 2, 3, 1).flatten(2)], -1))
        if self.crop_encoder is not None and fine_pixels is not None:
            out = out + self.crop_encoder(fine_pixels, boxes / torch.cat([size, size]), projected, mask)
        return out

    def _refine_sides(self, feature_map: Tensor, centres: Tensor, box: Tensor) -> Tensor:
        """Refine each side as the expected position over the cells around its coarse position.

        The Gaussian prior around the coarse position is separable: a term of the row plus a term of the column.
        """
        rows, columns = feature_map.shape[2:]
        device = feature_map.device
        keys_and_offsets = self.edge_keys(feature_map.flatten(2).transpose(1, 2))
        keys, offsets = keys_and_offsets[..., :EDGE_CHANNELS], keys_and_offsets[..., EDGE_CHANNELS:]
        queries = self.edge_queries(centres).unflatten(-1, (4, EDGE_CHANNELS)) / math.sqrt(EDGE_CHANNELS)
        match = torch.einsum("bmse,bce->bmsc", queries, keys).unflatten(-1, (rows, columns))
        x, y = torch.arange(columns, device=device) + 0.5, torch.arange(rows, device=device) + 0.5
        span = (box[..., 2:] - box[..., :2]).clamp(min=0.1)
        middle = (box[..., 2:] + box[..., :2]) / 2
        is_vertical = torch.tensor([True, False, True, False], device=device)  # left and right; top and bottom
        sharp, broad = box.new_tensor([0.25, 0.35, 0.25, 0.35]), box.new_tensor([0.35, 0.25, 0.35, 0.25])
        x0 = torch.where(is_vertical, box, middle[..., :1])
        y0 = torch.where(is_vertical, middle[..., 1:], box)
        across = (x - x0[..., None]) / (sharp * span[..., :1] + 0.6)[..., None]
        down = (y - y0[..., None]) / (broad * span[..., 1:] + 0.6)[..., None]
        logits = match - (down.square() / 2)[..., None] - (across.square() / 2)[..., None, :]
        positions = torch.stack([x.repeat(rows), y.repeat_interleave(columns)] * 2)
        weights = logits.flatten(-2).softmax(-1)
        sides: Tensor = torch.einsum("bmsc,bsc->bms", weights, positions + offsets.transpose(1, 2))
        return sides


def compute_centre_losses(
    logits: Float[Tensor, "batch questions rows columns"],
    targets: TargetBoxes,
    located: Bool[Tensor, "batch questions"],
) -> Float[Tensor, "batch questions"]:
    """Compute the focal loss of the heatmaps (Law and Deng 2018, equation 1, alpha 2 and beta 4), by question.

    The target is 1 at the cell of each centre and falls off as a Gaussian whose width grows with the box. Questions
    that do not ask for a location (`located`) have a loss of 0.
    """
    logits = logits.float()
    heatmap, is_centre = _centre_targets(logits, targets)
    probability = logits.sigmoid()
    positive = -(1 - probability).square() * F.logsigmoid(logits)
    negative = -(1 - heatmap).pow(4) * probability.square() * F.logsigmoid(-logits)
    total = torch.where(is_centre, positive, negative).sum((-1, -2))
    count = is_centre.sum((-1, -2)).clamp(min=1)
    return total / count * located


def _centre_targets(logits: Tensor, targets: TargetBoxes) -> tuple[Tensor, Tensor]:
    """Return target heatmaps and masks of centre cells, both [batch questions rows columns]."""
    heatmap = torch.zeros_like(logits)
    rows, columns = logits.shape[2:]
    y, x = torch.arange(rows, device=logits.device), torch.arange(columns, device=logits.device)
    photo, slot = targets.location_mask.nonzero(as_tuple=True)
    box, question = targets.boxes[photo, slot], targets.question[photo, slot]
    middle, span = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).clamp(min=0.5)
    deviation = (span / 6).clamp(min=0.35, max=2.5)
    across = ((x[None] + 0.5 - middle[:, :1]) / deviation[:, :1]).square()
    down = ((y[None] + 0.5 - middle[:, 1:]) / deviation[:, 1:]).square()
    gaussians = torch.exp(-(down[:, :, None] + across[:, None, :]) / 2)
    at = photo * logits.shape[1] + question
    flat = heatmap.view(-1, rows, columns)
    flat.scatter_reduce_(0, at[:, None, None].expand_as(gaussians), gaussians, "amax")
    row, column = (v[photo, slot] for v in targets.centre_cells)
    is_centre = torch.zeros_like(flat, dtype=torch.bool)
    is_centre[at, row.clamp(max=rows - 1), column.clamp(max=columns - 1)] = True
    return heatmap, is_centre.view_as(logits)


def compute_box_losses(
    coarse: Float[Tensor, "batch most 4"], refined: Float[Tensor, "batch most 4"], targets: TargetBoxes
) -> Float[Tensor, "batch most"]:
    """Compute the regression loss of each box; 0 where its question does not ask for the location.

    The error of the coarse box is relative to the box's size. That of the refined box is in cells, so that an error of
    one pixel counts the same for large and small instances; its logarithmic term keeps a gradient at small errors.
    """
    span = (targets.boxes[..., 2:] - targets.boxes[..., :2]).clamp(min=0.5)
    share = torch.cat([span, span], -1) + 1
    coarse_error = (coarse - targets.boxes).abs() / share
    error = (refined - targets.boxes).abs()
    refined_error = torch.log1p(error / 0.1) * 0.2 + 0.4 * error / (1 + 0.1 * share)
    return (coarse_error + refined_error).mean(-1) * targets.location_mask


def local_maxima(
    logits: Float[Tensor, "*photos rows columns"], threshold: float
) -> Bool[Tensor, "*photos rows columns"]:
    """Mask the cells that are no lower than their four neighbours and whose probability is above `threshold`.

    Diagonal neighbours may both be maxima, as the centres of small adjacent instances are.
    """
    flat = logits.flatten(0, -3)[:, None]
    along, down = F.max_pool2d(flat, (1, 3), 1, (0, 1)), F.max_pool2d(flat, (3, 1), 1, (1, 0))
    return ((flat == torch.maximum(along, down)) & (flat.sigmoid() > threshold)).view_as(logits)
