"""Things looked at closely: each in a square of its own, cut from the photo in more pixels than the input has.

The map has a cell for 8 x 8 pixels of the input, so that the pips of a die 15 pixels wide are lost in it. Where a
recipe asks for it the photo comes finer, and what a thing is like is told from its square as well as from the map (Ba
et al. 2015, "Multiple Object Recognition with Visual Attention", with places that are pointed out, not learned).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from logicls.models.nano.blocks import NORM_GROUPS

CROP_SIDE = 32
"""Pixels of a square on a side."""
CROP_MARGIN = 1.25
"""A square's side, in those of the thing's longer one."""
SHIFT_STD, SCALE_STD, ROTATION_STD = 0.08, 0.14, 0.09
"""Standard deviations, while learning, of where a square lies (of its side), how large it is (of its logarithm), and
how it is turned (radians) where things do not lie any way round."""
MAX_HIGHLIGHTS, HIGHLIGHT_PROBABILITY = 2, 0.35
"""Glints that a square may get while learning, and how often it gets each."""
PIXEL_MEAN, PIXEL_STD = 127.5, 64.0
"""What `normed` takes off pixels, and by what it divides the rest."""
NORMALIZED_WHITE = (255 - PIXEL_MEAN) / PIXEL_STD
"""As `normed` leaves it."""
TEST_TIME_ORIENTATIONS = tuple((quarter * math.pi / 2, mirror) for quarter in range(4) for mirror in (1.0, -1.0))
"""Turns (radians) and mirrors in which a thing that may lie any way is looked at to tell what it is like."""
UPRIGHT = (0.0, 1.0)
BACKBONE_FILE = "look.safetensors"
"""File of the base weights with what was learned of made marks (`logicls.pretraining.crop_encoder_training`)."""


class CropEncoder(nn.Module):
    """What is added, in the space of the words, to what the map says of each thing."""

    def __init__(self, depth: int, width: int, *, orientation_invariant: bool) -> None:
        """`any_way`: a thing is the same however it is turned, and in a mirror."""
        super().__init__()
        self.orientation_invariant = orientation_invariant
        self.backbone = CropBackbone(width)
        self.projection = nn.Sequential(nn.Linear(width + depth, width), nn.GELU(), nn.Linear(width, width))

    def initialize(self) -> None:
        """Weights to begin with, where those of all layers are not right: what the map says is not changed."""
        nn.init.kaiming_uniform_(next(self.projection[0].parameters()), a=math.sqrt(5))
        for weight in self.projection[-1].parameters():
            nn.init.zeros_(weight)

    def forward(
        self,
        photo: Float[Tensor, "batch 3 height across"],
        boxes: Float[Tensor, "batch most 4"],
        queries: Float[Tensor, "batch most depth"],
    ) -> Float[Tensor, "batch most width"]:
        """Of things in these boxes: x1, y1, x2, y2 as shares of the photo's width and height.

        `photo` is as `normed` leaves it, `asked` what is asked of each thing.
        """
        ways = TEST_TIME_ORIENTATIONS if self.orientation_invariant and not self.training else (UPRIGHT,)
        return torch.stack([self._encode(photo, boxes, queries, *way) for way in ways]).mean(0)

    def _encode(
        self, photo: Tensor, boxes: Tensor, asked: Tensor, turn: float, mirror: float
    ) -> Float[Tensor, "batch most width"]:
        batch, most = boxes.shape[:2]
        cut = extract_crops(
            photo, boxes, turn, mirror, augment=self.training, orientation_invariant=self.orientation_invariant
        )
        cut = add_highlights(cut) if self.training else cut
        seen = self.backbone(cut.transpose(1, 2).flatten(0, 1)).view(batch, most, -1)
        out: Tensor = self.projection(torch.cat([seen, asked], -1))
        return out


class CropBackbone(nn.Sequential):
    """From a square's pixels to what is on it: [squares 3 SIDE SIDE] to [squares width]."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        for before, after in ((3, 24), (24, 48), (48, 64)):
            layers += [*_conv_layers(before, after), ResidualBlock(*_conv_layers(after, after)), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(64 * (CROP_SIDE // 8) ** 2, width), nn.ReLU(True))
        self.width = width


class ResidualBlock(nn.Sequential):
    """Layers to whose result what they were given is added (He et al. 2016, "Deep Residual Learning", equation 1)."""

    def forward(self, x: Float[Tensor, "squares channels side side"]) -> Float[Tensor, "squares channels side side"]:
        """The sum of both."""
        changed = x
        for layer in self:
            changed = layer(changed)
        return x + changed


def _conv_layers(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, 1, 1, bias=False), nn.GroupNorm(NORM_GROUPS, after), nn.ReLU(True)


def extract_crops(
    photo: Float[Tensor, "batch 3 height across"],
    boxes: Float[Tensor, "batch most 4"],
    rotation: float = 0.0,
    mirror: float = 1.0,
    *,
    augment: bool,
    orientation_invariant: bool,
) -> Float[Tensor, "batch 3 most side side"]:
    """The square of each box (shares of the photo's width and height), turned by so many radians; -1 mirrors it.

    `shaken`, for learning: a little beside it, and turned by chance, with a mirror where things lie `any_way`.
    """
    size = boxes.new_tensor([photo.shape[3], photo.shape[2]])
    corners = boxes.unflatten(-1, (2, 2)) * size
    middle, span = corners.mean(-2), (corners[..., 1, :] - corners[..., 0, :]).amax(-1).clamp(min=1.0) * CROP_MARGIN
    angle, side = torch.full_like(span, rotation), torch.full_like(span, mirror)
    if augment:
        middle = middle + torch.randn_like(middle) * SHIFT_STD * span[..., None]
        span = span * (torch.randn_like(span) * SCALE_STD).exp()
        angle = torch.rand_like(span) * 2 * math.pi if orientation_invariant else torch.randn_like(span) * ROTATION_STD
        side = torch.rand_like(span).sub(0.5).sign() if orientation_invariant else side
    down, across = _crop_grid(boxes.device)
    cos, sin = (angle.cos() * span)[..., None, None], (angle.sin() * span)[..., None, None]
    x = (cos * across - sin * down) * side[..., None, None]
    places = torch.stack([x, sin * across + cos * down], -1) + middle[..., None, None, :]
    grid = (places / size * 2 - 1).flatten(1, 2)
    seen: Tensor = F.grid_sample(photo, grid, padding_mode="border", align_corners=False)
    return seen.view(*seen.shape[:2], boxes.shape[1], CROP_SIDE, CROP_SIDE)


def _crop_grid(device: torch.device) -> tuple[Float[Tensor, "side side"], ...]:
    """How far down and across a square's pixels lie from its middle, as shares of its side."""
    step = (torch.arange(CROP_SIDE, device=device) + 0.5) / CROP_SIDE - 0.5
    return torch.meshgrid(step, step, indexing="ij")


def add_highlights(crops: Float[Tensor, "batch 3 most side side"]) -> Float[Tensor, "batch 3 most side side"]:
    """Normed squares with glints on some of them: spots and streaks of light, straight or bent, as on shiny things.

    So that a glint is not read as a part of what is on a thing: a streak across the pips of a die as one pip more.
    """
    shape = crops.shape[0], crops.shape[2], 1, 1

    def between(low: float, high: float) -> Tensor:
        return torch.rand(shape, device=crops.device) * (high - low) + low

    down, across = _crop_grid(crops.device)
    for _ in range(MAX_HIGHLIGHTS):
        x, y, angle = across - between(-0.35, 0.35), down - between(-0.35, 0.35), between(0.0, math.pi)
        along, aside = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        aside = aside + between(-2.0, 2.0) * along.square()
        light = (-(along / between(0.04, 0.5)).pow(4) - (aside / between(0.016, 0.16)).square()).exp()
        light = light * between(0.4, 1.2).clamp(max=1.0) * (between(0.0, 1.0) < HIGHLIGHT_PROBABILITY)
        crops = crops + (NORMALIZED_WHITE - crops) * light[:, None].to(crops.dtype)
    return crops


def normalize(pixels: Float[Tensor, "batch 3 height across"]) -> Float[Tensor, "batch 3 height across"]:
    """Pixels from 0 to 255 as networks like them."""
    return normalize_(pixels.clone())


def normalize_(pixels: Float[Tensor, "batch 3 height across"]) -> Float[Tensor, "batch 3 height across"]:
    """The same in the pixels' own memory: to ask for more for so many takes longer than the sums."""
    return pixels.sub_(PIXEL_MEAN).div_(PIXEL_STD)
