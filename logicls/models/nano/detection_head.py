"""How nano points at things: a map in which the answer lights up, a box and a value at each light.

A question's last word becomes a pattern that every cell of a map (one cell for 8 x 8 pixels) is compared with: where
the two agree lies the centre of a thing that was asked for (Zhou et al. 2019, "Objects as Points", with the pattern in
the place of a class). From the cell's content and the question come the box's four sides, roughly; each side is then
looked for around that place, as the mean of the places where it is seen (Sun et al. 2018, "Integral Human Pose
Regression", equation 3, with sides in the place of joints). What a thing is like is read from nine places in its box.
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
"""Pixels of the model's input that a cell of the map covers, on each axis."""
SAMPLE_POINTS = tuple((x, y) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8))
"""Where in a box it is looked at to tell what a thing is like, as shares of its width and height."""
EDGE_CHANNELS = 48
"""Width in which a side of a thing is compared with what cells hold."""
INITIAL_LOGIT = -4.0
"""Where a light's logit begins: hardly any cell is a centre."""


@dataclass(frozen=True, slots=True)
class TargetBoxes:
    """Things on the photos of a batch, padded to the most on one photo."""

    boxes: Float[Tensor, "batch most 4"]
    """x1, y1, x2, y2 in cells of the map."""
    question: Int[Tensor, "batch most"]
    """Number of the question that each belongs to, from 0; -1 for padding."""
    value: Int[Tensor, "batch most"]
    """The word that is to be read of it; below 0 where the question is where it is."""

    @property
    def location_mask(self) -> Bool[Tensor, "batch most"]:
        """Things whose place is asked for."""
        return (self.question >= 0) & (self.value < 0)

    @property
    def centre_cells(self) -> tuple[Int[Tensor, "batch most"], Int[Tensor, "batch most"]]:
        """Row and column of the cell in which each box's centre lies."""
        x, y = (self.boxes[..., :2] + self.boxes[..., 2:]).div(2).floor().long().clamp(min=0).unbind(-1)
        return y, x


class DetectionHead(nn.Module):
    """The map and what is read off it."""

    def __init__(
        self, stem_width: int, width: int, depth: int, *, use_crops: bool = False, orientation_invariant: bool = False
    ) -> None:
        """`closely`: what things are like is read from the photo's own pixels as well; `any_way`, however they lie."""
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
        self.attribute_mlp = nn.Sequential(
            nn.Linear((len(SAMPLE_POINTS) + 1) * depth, width), nn.GELU(), nn.Linear(width, width)
        )
        self.crop_encoder = (
            CropEncoder(depth, width, orientation_invariant=orientation_invariant) if use_crops else None
        )

    def initialize(self) -> None:
        """Weights to begin with, where those of all linear layers are not right: no light anywhere."""
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
        """The map: fine detail from the stem, meaning from the visual tokens."""
        meaning = self.coarse_projection(coarse.movedim(1, -1)).movedim(-1, 1)
        both = self.fine_projection(fine) + F.interpolate(
            meaning, size=fine.shape[-2:], mode="bilinear", align_corners=False
        )
        out: Tensor = both + self.mix(both)
        return out

    def score_centres(
        self, feature_map: Float[Tensor, "batch depth rows columns"], queries: Float[Tensor, "batch questions width"]
    ) -> Float[Tensor, "batch questions rows columns"]:
        """Logit of each cell that a thing asked for has its centre there."""
        pattern = self.centre_filter(queries)
        seen = torch.einsum("bdrc,bqd->bqrc", feature_map, pattern[..., :-1]) / math.sqrt(self.depth)
        lights: Tensor = seen + pattern[..., -1, None, None]
        return lights

    def regress_boxes(
        self,
        feature_map: Float[Tensor, "batch depth rows columns"],
        queries: Float[Tensor, "batch most width"],
        rows: Int[Tensor, "batch most"],
        columns: Int[Tensor, "batch most"],
    ) -> tuple[Float[Tensor, "batch most 4"], Float[Tensor, "batch most 4"]]:
        """Boxes, in cells, whose centres lie in the given cells: roughly, and as found where their sides are seen.

        `questions` are those that the things answer.
        """
        each = torch.arange(len(feature_map), device=feature_map.device)[:, None]
        asked = self.query_projection(queries)
        here = feature_map[each, :, rows, columns] + asked
        sides = F.softplus(self.side_distances(here) + 1.0) * 2
        middle = torch.stack([columns, rows], -1) + 0.5
        box = torch.cat([middle - sides[..., :2], middle + sides[..., 2:]], -1)
        return box, self._refine_sides(feature_map, here, box.detach())

    def read_attributes(
        self,
        feature_map: Float[Tensor, "batch depth rows columns"],
        queries: Float[Tensor, "batch most width"],
        boxes: Float[Tensor, "batch most 4"],
        fine_pixels: Float[Tensor, "batch 3 height across"] | None = None,
    ) -> Float[Tensor, "batch most width"]:
        """What the things in these boxes are like, in the space of the words. `questions` ask for it.

        `photo`: in all its pixels, normed, where things are looked at closely.
        """
        size = feature_map.new_tensor([feature_map.shape[3], feature_map.shape[2]])
        span = boxes[..., 2:] - boxes[..., :2]
        points = (boxes[..., None, :2] + span[..., None, :] * feature_map.new_tensor(SAMPLE_POINTS)) / size * 2 - 1
        seen = F.grid_sample(feature_map, points, mode="bilinear", padding_mode="border", align_corners=False)
        asked = self.query_projection(queries)
        out: Tensor = self.attribute_mlp(torch.cat([asked, seen.permute(0, 2, 3, 1).flatten(2)], -1))
        if self.crop_encoder is not None and fine_pixels is not None:
            out = out + self.crop_encoder(fine_pixels, boxes / torch.cat([size, size]), asked)
        return out

    def _refine_sides(self, chart: Tensor, here: Tensor, box: Tensor) -> Tensor:
        """The sides where they are seen: each is looked for around where the first reading has it.

        How far a cell is from there is told by its row and its column apart: sums of the two are the map's.
        """
        rows, columns = chart.shape[2:]
        held = self.edge_keys(chart.flatten(2).transpose(1, 2))
        keys, shift = held[..., :EDGE_CHANNELS], held[..., EDGE_CHANNELS:]
        wanted = self.edge_queries(here).unflatten(-1, (4, EDGE_CHANNELS)) / math.sqrt(EDGE_CHANNELS)
        match = torch.einsum("bmse,bce->bmsc", wanted, keys).unflatten(-1, (rows, columns))
        x, y = torch.arange(columns, device=chart.device) + 0.5, torch.arange(rows, device=chart.device) + 0.5
        span = (box[..., 2:] - box[..., :2]).clamp(min=0.1)
        middle = (box[..., 2:] + box[..., :2]) / 2
        upright = torch.tensor([True, False, True, False], device=chart.device)  # left and right; top and bottom
        sharp, broad = box.new_tensor([0.25, 0.35, 0.25, 0.35]), box.new_tensor([0.35, 0.25, 0.35, 0.25])
        across = (x - torch.where(upright, box, middle[..., :1])[..., None]) / (sharp * span[..., :1] + 0.6)[..., None]
        down = (y - torch.where(upright, middle[..., 1:], box)[..., None]) / (broad * span[..., 1:] + 0.6)[..., None]
        near = match - (down.square() / 2)[..., None] - (across.square() / 2)[..., None, :]
        places = torch.stack([x.repeat(rows), y.repeat_interleave(columns)] * 2)
        sides: Tensor = torch.einsum("bmsc,bsc->bms", near.flatten(-2).softmax(-1), places + shift.transpose(1, 2))
        return sides


def compute_centre_losses(
    lights: Float[Tensor, "batch questions rows columns"],
    targets: TargetBoxes,
    located: Bool[Tensor, "batch questions"],
) -> Float[Tensor, "batch questions"]:
    """Focal loss of the lights (Law and Deng 2018, equation 1, alpha 2 and beta 4), by question; 0 where none asks.

    A centre's cell is to be lit; cells around it are punished less, by a Gaussian that grows with the thing.
    """
    lights = lights.float()
    target = torch.zeros_like(lights)
    rows, columns = lights.shape[2:]
    y, x = torch.arange(rows, device=lights.device), torch.arange(columns, device=lights.device)
    photo, slot = targets.location_mask.nonzero(as_tuple=True)
    box, question = targets.boxes[photo, slot], targets.question[photo, slot]
    middle, span = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).clamp(min=0.5)
    spread = (span / 6).clamp(min=0.35, max=2.5)
    across = ((x[None] + 0.5 - middle[:, :1]) / spread[:, :1]).square()
    down = ((y[None] + 0.5 - middle[:, 1:]) / spread[:, 1:]).square()
    hills = torch.exp(-(down[:, :, None] + across[:, None, :]) / 2)
    at = photo * lights.shape[1] + question
    flat = target.view(-1, rows, columns)
    flat.scatter_reduce_(0, at[:, None, None].expand_as(hills), hills, "amax")
    row, column = (v[photo, slot] for v in targets.centre_cells)
    centre = torch.zeros_like(flat, dtype=torch.bool)
    centre[at, row.clamp(max=rows - 1), column.clamp(max=columns - 1)] = True
    centre = centre.view_as(lights)
    chance = lights.sigmoid()
    lit = -(1 - chance).square() * F.logsigmoid(lights)
    dark = -(1 - target).pow(4) * chance.square() * F.logsigmoid(-lights)
    total = torch.where(centre, lit, dark).sum((-1, -2))
    count = centre.sum((-1, -2)).clamp(min=1)
    return total / count * located


def compute_box_losses(
    coarse: Float[Tensor, "batch most 4"], refined: Float[Tensor, "batch most 4"], targets: TargetBoxes
) -> Float[Tensor, "batch most"]:
    """How far each box is off, by box; 0 where no place is asked for.

    The rough reading is measured against the box's size, the final one in cells, so that an error of a pixel counts
    the same whether the thing is large or small; its logarithm goes on pulling when little is left.
    """
    span = (targets.boxes[..., 2:] - targets.boxes[..., :2]).clamp(min=0.5)
    share = torch.cat([span, span], -1) + 1
    rough = (coarse - targets.boxes).abs() / share
    off = (refined - targets.boxes).abs()
    fine = torch.log1p(off / 0.1) * 0.2 + 0.4 * off / (1 + 0.1 * share)
    return (rough + fine).mean(-1) * targets.location_mask


def local_maxima(
    logits: Float[Tensor, "*photos rows columns"], threshold: float
) -> Bool[Tensor, "*photos rows columns"]:
    """Cells no darker than the four beside them, and a centre with a chance above `least`.

    Cells that touch at a corner may both glow: so lie the centres of small things side by side.
    """
    flat = logits.flatten(0, -3)[:, None]
    along, down = F.max_pool2d(flat, (1, 3), 1, (0, 1)), F.max_pool2d(flat, (3, 1), 1, (1, 0))
    return ((flat == torch.maximum(along, down)) & (flat.sigmoid() > threshold)).view_as(logits)
