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

from logicls.models.nano.crop_encoder import Glimpse

CELL = 8
"""Pixels of the model's input that a cell of the map covers, on each axis."""
STAR = tuple((x, y) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8))
"""Where in a box it is looked at to tell what a thing is like, as shares of its width and height."""
EDGE = 48
"""Width in which a side of a thing is compared with what cells hold."""
RARE = -4.0
"""Where a light's logit begins: hardly any cell is a centre."""


@dataclass(frozen=True, slots=True)
class Things:
    """Things on the photos of a batch, padded to the most on one photo."""

    boxes: Float[Tensor, "batch most 4"]
    """x1, y1, x2, y2 in cells of the map."""
    question: Int[Tensor, "batch most"]
    """Number of the question that each belongs to, from 0; -1 for padding."""
    value: Int[Tensor, "batch most"]
    """The word that is to be read of it; below 0 where the question is where it is."""

    @property
    def sought(self) -> Bool[Tensor, "batch most"]:
        """Things whose place is asked for."""
        return (self.question >= 0) & (self.value < 0)

    @property
    def centres(self) -> tuple[Int[Tensor, "batch most"], Int[Tensor, "batch most"]]:
        """Row and column of the cell in which each box's centre lies."""
        x, y = (self.boxes[..., :2] + self.boxes[..., 2:]).div(2).floor().long().clamp(min=0).unbind(-1)
        return y, x


class Pointer(nn.Module):
    """The map and what is read off it."""

    def __init__(self, near: int, width: int, depth: int, *, closely: bool = False, any_way: bool = False) -> None:
        """`closely`: what things are like is read from the photo's own pixels as well; `any_way`, however they lie."""
        super().__init__()
        self.depth = depth
        self.near, self.far = nn.Conv2d(near, depth, 1), nn.Linear(width, depth)
        self.mix = nn.Sequential(
            nn.GELU(), nn.Conv2d(depth, depth, 3, 1, 1), nn.GELU(), nn.Conv2d(depth, depth, 3, 1, 1)
        )
        self.pattern = nn.Linear(width, depth + 1)
        self.asked = nn.Linear(width, depth)
        self.sides = nn.Sequential(nn.Linear(depth, depth), nn.GELU(), nn.Linear(depth, 4))
        self.edges = nn.Linear(depth, 4 * EDGE)
        self.keys = nn.Linear(depth, EDGE + 4)
        self.seen = nn.Sequential(nn.Linear((len(STAR) + 1) * depth, width), nn.GELU(), nn.Linear(width, width))
        self.glimpse = Glimpse(depth, width, any_way=any_way) if closely else None

    def start(self) -> None:
        """Weights to begin with, where those of all linear layers are not right: no light anywhere."""
        nn.init.zeros_(self.pattern.bias)
        with torch.no_grad():
            self.pattern.bias[-1] = RARE
        if self.glimpse is not None:
            self.glimpse.start()

    def chart(
        self,
        near: Float[Tensor, "batch channels rows columns"],
        far: Float[Tensor, "batch width half_rows half_columns"],
    ) -> Float[Tensor, "batch depth rows columns"]:
        """The map: fine detail from the stem, meaning from the visual tokens."""
        meaning = self.far(far.movedim(1, -1)).movedim(-1, 1)
        both = self.near(near) + F.interpolate(meaning, size=near.shape[-2:], mode="bilinear", align_corners=False)
        out: Tensor = both + self.mix(both)
        return out

    def lights(
        self, chart: Float[Tensor, "batch depth rows columns"], questions: Float[Tensor, "batch questions width"]
    ) -> Float[Tensor, "batch questions rows columns"]:
        """Logit of each cell that a thing asked for has its centre there."""
        pattern = self.pattern(questions)
        seen = torch.einsum("bdrc,bqd->bqrc", chart, pattern[..., :-1]) / math.sqrt(self.depth)
        lights: Tensor = seen + pattern[..., -1, None, None]
        return lights

    def boxes(
        self,
        chart: Float[Tensor, "batch depth rows columns"],
        questions: Float[Tensor, "batch most width"],
        rows: Int[Tensor, "batch most"],
        columns: Int[Tensor, "batch most"],
    ) -> tuple[Float[Tensor, "batch most 4"], Float[Tensor, "batch most 4"]]:
        """Boxes, in cells, whose centres lie in the given cells: roughly, and as found where their sides are seen.

        `questions` are those that the things answer.
        """
        each = torch.arange(len(chart), device=chart.device)[:, None]
        asked = self.asked(questions)
        here = chart[each, :, rows, columns] + asked
        sides = F.softplus(self.sides(here) + 1.0) * 2
        middle = torch.stack([columns, rows], -1) + 0.5
        box = torch.cat([middle - sides[..., :2], middle + sides[..., 2:]], -1)
        return box, self._found(chart, here, box.detach())

    def values(
        self,
        chart: Float[Tensor, "batch depth rows columns"],
        questions: Float[Tensor, "batch most width"],
        boxes: Float[Tensor, "batch most 4"],
        photo: Float[Tensor, "batch 3 height across"] | None = None,
    ) -> Float[Tensor, "batch most width"]:
        """What the things in these boxes are like, in the space of the words. `questions` ask for it.

        `photo`: in all its pixels, normed, where things are looked at closely.
        """
        size = chart.new_tensor([chart.shape[3], chart.shape[2]])
        span = boxes[..., 2:] - boxes[..., :2]
        points = (boxes[..., None, :2] + span[..., None, :] * chart.new_tensor(STAR)) / size * 2 - 1
        seen = F.grid_sample(chart, points, mode="bilinear", padding_mode="border", align_corners=False)
        asked = self.asked(questions)
        out: Tensor = self.seen(torch.cat([asked, seen.permute(0, 2, 3, 1).flatten(2)], -1))
        if self.glimpse is not None and photo is not None:
            out = out + self.glimpse(photo, boxes / torch.cat([size, size]), asked)
        return out

    def _found(self, chart: Tensor, here: Tensor, box: Tensor) -> Tensor:
        """The sides where they are seen: each is looked for around where the first reading has it.

        How far a cell is from there is told by its row and its column apart: sums of the two are the map's.
        """
        rows, columns = chart.shape[2:]
        held = self.keys(chart.flatten(2).transpose(1, 2))
        keys, shift = held[..., :EDGE], held[..., EDGE:]
        wanted = self.edges(here).unflatten(-1, (4, EDGE)) / math.sqrt(EDGE)
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


def light_losses(
    lights: Float[Tensor, "batch questions rows columns"], things: Things, located: Bool[Tensor, "batch questions"]
) -> Float[Tensor, "batch questions"]:
    """Focal loss of the lights (Law and Deng 2018, equation 1, alpha 2 and beta 4), by question; 0 where none asks.

    A centre's cell is to be lit; cells around it are punished less, by a Gaussian that grows with the thing.
    """
    lights = lights.float()
    target = torch.zeros_like(lights)
    rows, columns = lights.shape[2:]
    y, x = torch.arange(rows, device=lights.device), torch.arange(columns, device=lights.device)
    photo, slot = things.sought.nonzero(as_tuple=True)
    box, question = things.boxes[photo, slot], things.question[photo, slot]
    middle, span = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).clamp(min=0.5)
    spread = (span / 6).clamp(min=0.35, max=2.5)
    across = ((x[None] + 0.5 - middle[:, :1]) / spread[:, :1]).square()
    down = ((y[None] + 0.5 - middle[:, 1:]) / spread[:, 1:]).square()
    hills = torch.exp(-(down[:, :, None] + across[:, None, :]) / 2)
    at = photo * lights.shape[1] + question
    flat = target.view(-1, rows, columns)
    flat.scatter_reduce_(0, at[:, None, None].expand_as(hills), hills, "amax")
    row, column = (v[photo, slot] for v in things.centres)
    centre = torch.zeros_like(flat, dtype=torch.bool)
    centre[at, row.clamp(max=rows - 1), column.clamp(max=columns - 1)] = True
    centre = centre.view_as(lights)
    chance = lights.sigmoid()
    lit = -(1 - chance).square() * F.logsigmoid(lights)
    dark = -(1 - target).pow(4) * chance.square() * F.logsigmoid(-lights)
    total = torch.where(centre, lit, dark).sum((-1, -2))
    count = centre.sum((-1, -2)).clamp(min=1)
    return total / count * located


def box_losses(
    roughly: Float[Tensor, "batch most 4"], found: Float[Tensor, "batch most 4"], things: Things
) -> Float[Tensor, "batch most"]:
    """How far each box is off, by box; 0 where no place is asked for.

    The rough reading is measured against the box's size, the final one in cells, so that an error of a pixel counts
    the same whether the thing is large or small; its logarithm goes on pulling when little is left.
    """
    span = (things.boxes[..., 2:] - things.boxes[..., :2]).clamp(min=0.5)
    share = torch.cat([span, span], -1) + 1
    rough = (roughly - things.boxes).abs() / share
    off = (found - things.boxes).abs()
    fine = torch.log1p(off / 0.1) * 0.2 + 0.4 * off / (1 + 0.1 * share)
    return (rough + fine).mean(-1) * things.sought


def glowing(lights: Float[Tensor, "*photos rows columns"], least: float) -> Bool[Tensor, "*photos rows columns"]:
    """Cells no darker than the four beside them, and a centre with a chance above `least`.

    Cells that touch at a corner may both glow: so lie the centres of small things side by side.
    """
    flat = lights.flatten(0, -3)[:, None]
    along, down = F.max_pool2d(flat, (1, 3), 1, (0, 1)), F.max_pool2d(flat, (3, 1), 1, (1, 0))
    return ((flat == torch.maximum(along, down)) & (flat.sigmoid() > least)).view_as(lights)
