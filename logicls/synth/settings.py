"""Settings files of synthesis: `synth/augment.yaml` and `synth/balance.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.yaml_reader import read_yaml

Share = Annotated[float, Field(ge=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]


def accept_old_key(name: str, old: str) -> Any:
    """Field of a settings file that is also read by its key of earlier versions."""
    return Field(validation_alias=AliasChoices(name, old))


class AugmentationSettings(BaseModel):
    """Strength and probability of each transform; documented in `synth/augment.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    geometric: Share
    shift: Annotated[float, Field(ge=0, le=0.5)]
    scale: Annotated[float, Field(ge=0, le=0.5)]
    rotation: Annotated[float, Field(ge=0, le=10), accept_old_key("rotation", "turn")]
    perspective: Annotated[float, Field(ge=0, le=0.1)]
    flip: Annotated[list[Literal["x", "y"]], accept_old_key("flip", "mirror")]
    brightness: Share
    contrast: Share
    colour_cast: Annotated[float, Field(ge=0, le=64), accept_old_key("colour_cast", "cast")]
    hue: Annotated[int, Field(ge=0, le=90)]
    illumination: Annotated[Share, accept_old_key("illumination", "uneven")]
    gradient: Annotated[float, Field(ge=0, le=0.2)]
    vignette: Annotated[float, Field(ge=0, le=0.2)]
    blur: Share
    noise: Share
    jpeg_quality: Annotated[tuple[Quality, Quality], accept_old_key("jpeg_quality", "quality")]

    @model_validator(mode="after")
    def _check_quality_range(self) -> Self:
        if self.jpeg_quality[0] > self.jpeg_quality[1]:
            raise ValueError(f"jpeg_quality: {self.jpeg_quality[0]} is more than {self.jpeg_quality[1]}")
        return self


def load_augmentation_settings(path: Path) -> AugmentationSettings:
    """Load a settings file.

    Raises:
        SpecError: The file is not valid.
    """
    return validate_tree(AugmentationSettings, read_yaml(path), str(path))


class CategoryShares(BaseModel):
    """Shares of the example categories; they add up to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    untouched: Share
    control: Annotated[Share, accept_old_key("control", "twin")]
    broken: Share
    broken_twice: Share

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        total = self.good_total + self.broken_total
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:.3g}; they must add up to 1")
        return self

    @property
    def good_total(self) -> float:
        """Share of examples without a violation."""
        return self.untouched + self.control

    @property
    def broken_total(self) -> float:
        """Share of examples with a violation made on purpose."""
        return self.broken + self.broken_twice


class BalanceSettings(BaseModel):
    """Targets of the sampling plan; documented in `synth/balance.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shares: CategoryShares
    pairs: Share
    control_with_broken: Annotated[Share, accept_old_key("control_with_broken", "twin_besides")]
    real_defects: Annotated[Share, accept_old_key("real_defects", "real")]
    max_share_per_defect: Share
    family_balance: Annotated[Share, accept_old_key("family_balance", "kinds")]
    floor: Share
    count_decay: Annotated[Share, accept_old_key("count_decay", "farther")]
    max_photo_weight: Annotated[float, Field(ge=1), accept_old_key("max_photo_weight", "rare")]
    near_limit_weight: Annotated[float, Field(ge=1), accept_old_key("near_limit_weight", "near")]
    attempts: Annotated[int, Field(ge=1, le=1000), accept_old_key("attempts", "tries")]

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        limit = 2 * min(self.shares.good_total, self.shares.broken_total)
        if self.pairs > limit + 1e-6:
            raise ValueError(
                f"pairs: half of each pair is broken, so with these shares at most {limit:.3g} is possible"
            )
        return self


def load_balance_settings(path: Path) -> BalanceSettings:
    """Load a settings file.

    Raises:
        SpecError: The file is not valid.
    """
    return validate_tree(BalanceSettings, read_yaml(path), str(path))
