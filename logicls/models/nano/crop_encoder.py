"""Crop encoder: reads each instance from a crop of the photo at a higher resolution than that of the input.

A cell of the feature map covers 8 x 8 pixels of the input, too coarse for the pips of a die 15 pixels wide. Where
the recipe asks for it, the photo comes at a higher resolution, and attributes are read from the crop of each instance
as well as from the feature map (Ba et al. 2015, "Multiple Object Recognition with Visual Attention", with detected
locations instead of learned ones).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from logicls.models.nano.blocks import NORM_GROUPS

CROP_SIDE = 32
"""Side of a crop in pixels."""
CROP_MARGIN = 1.25
"""Side of a crop, as a multiple of the longer side of the instance's box."""
SHIFT_STD, SCALE_STD, ROTATION_STD = 0.08, 0.14, 0.09
"""Standard deviations of the augmentation of crops: shift as a share of the side, logarithm of the scale, rotation in
radians where the orientation matters."""
MAX_HIGHLIGHTS, HIGHLIGHT_PROBABILITY = 2, 0.35
"""Highlights that augmentation may add to a crop, and the probability of each."""
PIXEL_MEAN, PIXEL_STD = 127.5, 64.0
"""Constants of `normalize`: subtracted from pixels, and divisor of the difference."""
NORMALIZED_WHITE = (255 - PIXEL_MEAN) / PIXEL_STD
"""Value of a white pixel after `normalize`."""
TEST_TIME_ORIENTATIONS = tuple((quarter * math.pi / 2, mirror) for quarter in range(4) for mirror in (1.0, -1.0))
"""Rotations (radians) and mirrors over which features of an orientation-invariant instance are averaged."""
UPRIGHT = (0.0, 1.0)
BACKBONE_FILE = "look.safetensors"
"""File of the pretrained backbone beside the base weights (`logicls.pretraining.base_training`)."""


class CropEncoder(nn.Module):
    """Computes features of crops, which are added to those of the feature map in the space of token embeddings."""

    def __init__(self, depth: int, width: int, *, orientation_invariant: bool) -> None:
        """Set `orientation_invariant` where an instance keeps its attributes when it is rotated or mirrored."""
        super().__init__()
        self.orientation_invariant = orientation_invariant
        self.backbone = CropBackbone(width)
        self.projection = nn.Sequential(nn.Linear(width + depth, width), nn.GELU(), nn.Linear(width, width))

    def initialize(self) -> None:
        """Initialize the projection so that it adds zeros at first."""
        nn.init.kaiming_uniform_(next(self.projection[0].parameters()), a=math.sqrt(5))
        for weight in self.projection[-1].parameters():
            nn.init.zeros_(weight)

    def forward(
        self,
        photo: Float[Tensor, "batch 3 height across"],
        boxes: Float[Tensor, "batch most 4"],
        queries: Float[Tensor, "batch most depth"],
    ) -> Float[Tensor, "batch most width"]:
        """Compute the features of instances.

        Args:
            photo: Normalized pixels (`normalize`).
            boxes: x1, y1, x2, y2 as shares of the photo's width and height.
            queries: Projected query of each instance.
        """
        averaged = self.orientation_invariant and not self.training
        orientations = TEST_TIME_ORIENTATIONS if averaged else (UPRIGHT,)
        return torch.stack([self._encode(photo, boxes, queries, *one) for one in orientations]).mean(0)

    def _encode(
        self, photo: Tensor, boxes: Tensor, queries: Tensor, rotation: float, mirror: float
    ) -> Float[Tensor, "batch most width"]:
        batch, most = boxes.shape[:2]
        crops = extract_crops(
            photo, boxes, rotation, mirror, augment=self.training, orientation_invariant=self.orientation_invariant
        )
        crops = add_highlights(crops) if self.training else crops
        features = self.backbone(crops.transpose(1, 2).flatten(0, 1)).view(batch, most, -1)
        out: Tensor = self.projection(torch.cat([features, queries], -1))
        return out


class CropBackbone(nn.Sequential):
    """Convolutional network from crops [crops 3 CROP_SIDE CROP_SIDE] to features [crops width]."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 24), (24, 48), (48, 64)):
            layers += [*_conv_layers(inputs, outputs), ResidualBlock(*_conv_layers(outputs, outputs)), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(64 * (CROP_SIDE // 8) ** 2, width), nn.ReLU(True))
        self.width = width


class ResidualBlock(nn.Sequential):
    """Layers with a shortcut connection (He et al. 2016, "Deep Residual Learning", equation 1)."""

    def forward(self, x: Float[Tensor, "crops channels side side"]) -> Float[Tensor, "crops channels side side"]:
        """Add the output of the layers to the input."""
        residual = x
        for layer in self:
            residual = layer(residual)
        return x + residual


def _conv_layers(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(NORM_GROUPS, outputs), nn.ReLU(True)


def extract_crops(
    photo: Float[Tensor, "batch 3 height across"],
    boxes: Float[Tensor, "batch most 4"],
    rotation: float = 0.0,
    mirror: float = 1.0,
    *,
    augment: bool,
    orientation_invariant: bool,
) -> Float[Tensor, "batch 3 most side side"]:
    """Sample a square crop around each box.

    Args:
        photo: Normalized pixels.
        boxes: x1, y1, x2, y2 as shares of the photo's width and height.
        rotation: Rotation of the crops in radians.
        mirror: -1 mirrors the crops, 1 does not.
        augment: Shift, scale and rotate the crops at random, for training.
        orientation_invariant: Augment with any rotation and with mirroring.
    """
    size = boxes.new_tensor([photo.shape[3], photo.shape[2]])
    corners = boxes.unflatten(-1, (2, 2)) * size
    span = (corners[..., 1, :] - corners[..., 0, :]).amax(-1).clamp(min=1.0) * CROP_MARGIN
    centre = corners.mean(-2)
    angle, flip = torch.full_like(span, rotation), torch.full_like(span, mirror)
    if augment:
        centre = centre + torch.randn_like(centre) * SHIFT_STD * span[..., None]
        span = span * (torch.randn_like(span) * SCALE_STD).exp()
        any_angle = orientation_invariant
        angle = torch.rand_like(span) * 2 * math.pi if any_angle else torch.randn_like(span) * ROTATION_STD
        flip = torch.rand_like(span).sub(0.5).sign() if orientation_invariant else flip
    down, across = _crop_grid(boxes.device)
    cos, sin = (angle.cos() * span)[..., None, None], (angle.sin() * span)[..., None, None]
    x = (cos * across - sin * down) * flip[..., None, None]
    points = torch.stack([x, sin * across + cos * down], -1) + centre[..., None, None, :]
    grid = (points / size * 2 - 1).flatten(1, 2)
    crops: Tensor = F.grid_sample(photo, grid, padding_mode="border", align_corners=False)
    return crops.view(*crops.shape[:2], boxes.shape[1], CROP_SIDE, CROP_SIDE)


def _crop_grid(device: torch.device) -> tuple[Float[Tensor, "side side"], ...]:
    """Return vertical and horizontal offsets of a crop's pixels from its centre, as shares of its side."""
    step = (torch.arange(CROP_SIDE, device=device) + 0.5) / CROP_SIDE - 0.5
    return torch.meshgrid(step, step, indexing="ij")


def add_highlights(crops: Float[Tensor, "batch 3 most side side"]) -> Float[Tensor, "batch 3 most side side"]:
    """Add specular highlights to some of the normalized crops: spots and streaks, straight or curved.

    Training with them keeps the model from reading a highlight as part of the mark, a streak across the pips of a die
    as one more pip.
    """
    shape = crops.shape[0], crops.shape[2], 1, 1

    def between(low: float, high: float) -> Tensor:
        return torch.rand(shape, device=crops.device) * (high - low) + low

    down, across = _crop_grid(crops.device)
    for _ in range(MAX_HIGHLIGHTS):
        x, y, angle = across - between(-0.35, 0.35), down - between(-0.35, 0.35), between(0.0, math.pi)
        along, normal = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        normal = normal + between(-2.0, 2.0) * along.square()
        alpha = (-(along / between(0.04, 0.5)).pow(4) - (normal / between(0.016, 0.16)).square()).exp()
        alpha = alpha * between(0.4, 1.2).clamp(max=1.0) * (between(0.0, 1.0) < HIGHLIGHT_PROBABILITY)
        crops = crops + (NORMALIZED_WHITE - crops) * alpha[:, None].to(crops.dtype)
    return crops


def normalize(pixels: Float[Tensor, "batch 3 height across"]) -> Float[Tensor, "batch 3 height across"]:
    """Normalize pixels from 0 to 255 to about zero mean and unit variance."""
    return normalize_(pixels.clone())


def normalize_(pixels: Float[Tensor, "batch 3 height across"]) -> Float[Tensor, "batch 3 height across"]:
    """Normalize pixels in place: to allocate memory for them takes longer than the arithmetic."""
    return pixels.sub_(PIXEL_MEAN).div_(PIXEL_STD)
