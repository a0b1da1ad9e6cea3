"""Sample product, its annotated photos, and the shipped settings."""

from __future__ import annotations

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.data.coco import read_dataset
from logicls.io.resources import resource_path
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import (
    AugmentationSettings,
    BalanceSettings,
    load_augmentation_settings,
    load_balance_settings,
)


@pytest.fixture(scope="session")
def spec() -> Spec:
    """Rules of the dosing kit."""
    return load_spec(resource_path("constraints/dosing_kit.yaml"))


@pytest.fixture(scope="session")
def bank() -> InstanceBank:
    """Instances of the good photos of the dosing kit."""
    return InstanceBank(read_dataset(resource_path("data/dosing_kit")))


@pytest.fixture(scope="session")
def augmentation() -> AugmentationSettings:
    """Shipped augmentation settings."""
    return load_augmentation_settings(resource_path("synth/augment.yaml"))


@pytest.fixture(scope="session")
def balance() -> BalanceSettings:
    """Shipped balance settings."""
    return load_balance_settings(resource_path("synth/balance.yaml"))
