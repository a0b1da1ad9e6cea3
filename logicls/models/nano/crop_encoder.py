"""Crop encoder: reads each instance from a crop of the photo at a higher resolution than that of the input.

A cell of the feature map covers 8 x 8 pixels of the input, too coarse for the pips of a die 15 pixels wide. Where
the recipe asks for it, the photo comes at a higher resolution, and attributes are read from the crop of each instance
as well as from the feature map (Ba et al. 2015, "Multiple Object Recognition with Visual Attention", with detected
locations instead of learned ones).

A square crop is the box with a margin. Thin parts at any angle, such as loose screws, fill a small share of it, and a
network learns few angles from few photos. Their crops are elongated and lie along the diagonals of the box: along one
of the two lies the part, always in the same direction; the larger of the features of both is what is read.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from logicls.models.nano.blocks import NORM_GROUPS

CROP_SIDE = 32
"""Side of a crop in pixels."""
CROP_CELLS = CROP_SIDE // 8
"""Cells per side of the backbone's last feature map."""
CROP_MARGIN = 1.25
"""Side of a crop, as a multiple of the longer side of the instance's box."""
DIAGONAL_CROP_SHAPE = (32, 64)
"""Rows and columns of a crop along a diagonal, in pixels."""
DIAGONAL_CROP_MARGIN = 1.2
"""Length of a crop along a diagonal, as a multiple of the diagonal."""
DIAGONAL_SHIFT_STD, DIAGONAL_SCALE_STD, DIAGONAL_ROTATION_STD = 0.05, 0.1, 0.12
"""Standard deviations of the augmentation of crops along diagonals: shift as a share of the length, logarithm of the
scale, rotation in radians, as the diagonal of a box that is not tight differs from the part's axis."""
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
TEST_TIME_DIRECTIONS = tuple((half * math.pi, mirror) for half in range(2) for mirror in (1.0, -1.0))
"""Rotations (radians) and mirrors over which features of crops along diagonals are averaged."""
UPRIGHT = (0.0, 1.0)
BACKBONE_FILE = "look.safetensors"
"""File of the pretrained backbone beside the base weights (`logicls.pretraining.base_training`)."""


class CropEncoder(nn.Module):
    """Computes features of crops, which are added to those of the feature map in the space of token embeddings."""

    def __init__(self, depth: int, width: int, *, orientation_invariant: bool, along_diagonals: bool = False) -> None:
        """Build the layers.

        Args:
            depth: Channels of the projected queries.
            width: Channels of the token embeddings.
            orientation_invariant: An instance keeps its attributes when it is rotated or mirrored.
            along_diagonals: Crop along the diagonals of the boxes; the instance may then be rotated and mirrored.
        """
        super().__init__()
        self.orientation_invariant, self.along_diagonals = orientation_invariant, along_diagonals
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
        mask: Bool[Tensor, "batch most"] | None = None,
    ) -> Float[Tensor, "batch most width"]:
        """Compute the features of instances.

        Args:
            photo: Normalized pixels (`normalize`).
            boxes: x1, y1, x2, y2 as shares of the photo's width and height.
            queries: Projected query of each instance.
            mask: Instances whose crops are encoded; by default all.
        """
        invariant = TEST_TIME_DIRECTIONS if self.along_diagonals else TEST_TIME_ORIENTATIONS
        averaged = (self.orientation_invariant or self.along_diagonals) and not self.training
        orientations = invariant if averaged else (UPRIGHT,)
        return torch.stack([self._encode(photo, boxes, queries, mask, *one) for one in orientations]).mean(0)

    def _encode(
        self, photo: Tensor, boxes: Tensor, queries: Tensor, mask: Tensor | None, rotation: float, mirror: float
    ) -> Float[Tensor, "batch most width"]:
        features = encode_instances(
            self.backbone, photo, boxes, rotation, mirror, mask=mask, augment=self.training,
            orientation_invariant=self.orientation_invariant, along_diagonals=self.along_diagonals,
        )  # fmt: skip
        out: Tensor = self.projection(torch.cat([features, queries], -1))
        return out


class CropBackbone(nn.Sequential):
    """Convolutional network from crops [crops 3 rows columns] to features [crops width].

    Crops of other shapes than `CROP_SIDE` x `CROP_SIDE` are pooled to as many cells before the linear layer, so that
    the weights fit all shapes.
    """

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 24), (24, 48), (48, 64)):
            layers += [*_conv_layers(inputs, outputs), ResidualBlock(*_conv_layers(outputs, outputs)), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(64 * CROP_CELLS**2, width), nn.ReLU(True))
        self.width = width

    def forward(self, crops: Float[Tensor, "crops 3 rows columns"]) -> Float[Tensor, "crops width"]:
        """Compute the features of crops."""
        *convolutions, flatten, linear, activation = self
        x = crops
        for layer in convolutions:
            x = layer(x)
        if x.shape[-2:] != (CROP_CELLS, CROP_CELLS):
            x = F.adaptive_max_pool2d(x, CROP_CELLS)
        out: Tensor = activation(linear(flatten(x)))
        return out


def encode_instances(
    backbone: CropBackbone,
    photo: Float[Tensor, "batch 3 height across"],
    boxes: Float[Tensor, "batch most 4"],
    rotation: float = 0.0,
    mirror: float = 1.0,
    *,
    mask: Bool[Tensor, "batch most"] | None = None,
    augment: bool,
    orientation_invariant: bool,
    along_diagonals: bool,
) -> Float[Tensor, "batch most width"]:
    """Crop instances and compute the backbone's features of them.

    Args:
        backbone: Network of the crops.
        photo: Normalized pixels.
        boxes: x1, y1, x2, y2 as shares of the photo's width and height.
        rotation: Rotation of the crops in radians.
        mirror: -1 mirrors the crops, 1 does not.
        mask: Instances that are encoded; the features of others are zeros. By default all.
        augment: Shift, scale and rotate the crops at random and add highlights, for training.
        orientation_invariant: See `CropEncoder`.
        along_diagonals: See `CropEncoder`.
    """
    if along_diagonals:
        crops = extract_diagonal_crops(photo, boxes, rotation, mirror, augment=augment)
    else:
        crops = extract_crops(
            photo, boxes, rotation, mirror, augment=augment, orientation_invariant=orientation_invariant
        )
    batch, most = len(crops), crops.shape[2]
    selected = crops.transpose(1, 2).flatten(0, 1)
    if mask is not None:
        mask = mask.repeat(1, most // mask.shape[1]).flatten()
        selected = selected[mask]
    selected = add_highlights(selected.transpose(0, 1)[None])[0].transpose(0, 1) if augment else selected
    encoded: Tensor = backbone(selected)
    if mask is not None:
        encoded = encoded.new_zeros(len(mask), encoded.shape[1]).masked_scatter(mask[:, None], encoded)
    features = encoded.view(batch, most, -1)
    return torch.maximum(*features.chunk(2, 1)) if along_diagonals else features


class ResidualBlock(nn.Sequential):
    """Layers with a shortcut connection (He et al. 2016, "Deep Residual Learning", equation 1)."""

    def forward(self, x: Float[Tensor, "crops channels rows columns"]) -> Float[Tensor, "crops channels rows columns"]:
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
    return _sample_points(photo, points, size)


def extract_diagonal_crops(
    photo: Float[Tensor, "batch 3 height across"],
    boxes: Float[Tensor, "batch most 4"],
    rotation: float = 0.0,
    mirror: float = 1.0,
    *,
    augment: bool,
) -> Float[Tensor, "batch 3 twice rows columns"]:
    """Sample two crops of each box, one along each diagonal: those of all boxes along one, then along the other.

    Args:
        photo: Normalized pixels.
        boxes: x1, y1, x2, y2 as shares of the photo's width and height.
        rotation: Rotation of the crops in radians.
        mirror: -1 mirrors the crops across their axis, 1 does not.
        augment: Shift, scale, rotate, turn round and mirror the crops at random, for training.
    """
    size = boxes.new_tensor([photo.shape[3], photo.shape[2]])
    corners = boxes.unflatten(-1, (2, 2)) * size
    sides = (corners[..., 1, :] - corners[..., 0, :]).clamp(min=1.0)
    slope = torch.atan2(sides[..., 1], sides[..., 0])
    angle = torch.cat([slope, -slope], 1) + rotation
    length = sides.norm(dim=-1).repeat(1, 2) * DIAGONAL_CROP_MARGIN
    centre, flip = corners.mean(-2).repeat(1, 2, 1), torch.full_like(angle, mirror)
    if augment:
        centre = centre + torch.randn_like(centre) * DIAGONAL_SHIFT_STD * length[..., None]
        length = length * (torch.randn_like(length) * DIAGONAL_SCALE_STD).exp()
        turned = (torch.rand_like(angle) < 0.5) * math.pi
        angle = angle + torch.randn_like(angle) * DIAGONAL_ROTATION_STD + turned
        flip = torch.rand_like(angle).sub(0.5).sign()
    rows, columns = DIAGONAL_CROP_SHAPE
    down, along = _crop_grid(boxes.device, DIAGONAL_CROP_SHAPE)
    across = down * (rows / columns) * flip[..., None, None]
    cos, sin = (angle.cos() * length)[..., None, None], (angle.sin() * length)[..., None, None]
    points = torch.stack([cos * along - sin * across, sin * along + cos * across], -1) + centre[..., None, None, :]
    return _sample_points(photo, points, size)


def _sample_points(
    photo: Float[Tensor, "batch 3 height across"],
    points: Float[Tensor, "batch crops rows columns 2"],
    size: Float[Tensor, " 2"],
) -> Float[Tensor, "batch 3 crops rows columns"]:
    """Sample a photo of `size` (width, height) at points (x, y), in pixels; beyond its edge it is continued."""
    grid = (points / size * 2 - 1).flatten(1, 2)
    crops: Tensor = F.grid_sample(photo, grid, padding_mode="border", align_corners=False)
    return crops.view(*crops.shape[:2], *points.shape[1:4])


def _crop_grid(
    device: torch.device, shape: tuple[int, int] = (CROP_SIDE, CROP_SIDE)
) -> tuple[Float[Tensor, "rows columns"], ...]:
    """Return vertical and horizontal offsets of a crop's pixels from its centre, as shares of its sides."""
    down, across = ((torch.arange(side, device=device) + 0.5) / side - 0.5 for side in shape)
    return torch.meshgrid(down, across, indexing="ij")


def add_highlights(
    crops: Float[Tensor, "batch 3 most rows columns"],
) -> Float[Tensor, "batch 3 most rows columns"]:
    """Add specular highlights to some of the normalized crops: spots and streaks, straight or curved.

    Training with them keeps the model from reading a highlight as part of the mark, a streak across the pips of a die
    as one more pip.
    """
    shape = crops.shape[0], crops.shape[2], 1, 1

    def between(low: float, high: float) -> Tensor:
        return torch.rand(shape, device=crops.device) * (high - low) + low

    down, across = _crop_grid(crops.device, (crops.shape[3], crops.shape[4]))
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
