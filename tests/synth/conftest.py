"""The sample product: its rules, its annotated photos, and how much they may vary."""

from __future__ import annotations

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.data.coco import read_dataset
from logicls.io.resources import share
from logicls.synth.augmentation import AugmentationSettings, load_augmentation_settings
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.sampling_plan import BalanceSettings, load_balance_settings


@pytest.fixture(scope="session")
def spec() -> Spec:
    """The rules of the dosing kit."""
    return load_spec(share("constraints/dosing_kit.yaml"))


@pytest.fixture(scope="session")
def bank() -> InstanceBank:
    """The good photos of the dosing kit."""
    return InstanceBank(read_dataset(share("data/dosing_kit")))


@pytest.fixture(scope="session")
def strength() -> AugmentationSettings:
    """The strengths that ship."""
    return load_augmentation_settings(share("synth/augment.yaml"))


@pytest.fixture(scope="session")
def balance() -> BalanceSettings:
    """The targets that ship."""
    return load_balance_settings(share("synth/balance.yaml"))
