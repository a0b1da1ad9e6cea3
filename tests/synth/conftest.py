"""The sample product: its rules, its annotated photos, and how much they may vary."""

from __future__ import annotations

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.data.coco import read_dataset
from logicls.io.resources import share
from logicls.synth.augmentation import Strength, read_strength
from logicls.synth.instance_bank import Bank
from logicls.synth.sampling_plan import Balance, read_balance


@pytest.fixture(scope="session")
def spec() -> Spec:
    """The rules of the dosing kit."""
    return load_spec(share("constraints/dosing_kit.yaml"))


@pytest.fixture(scope="session")
def bank() -> Bank:
    """The good photos of the dosing kit."""
    return Bank(read_dataset(share("data/dosing_kit")))


@pytest.fixture(scope="session")
def strength() -> Strength:
    """The strengths that ship."""
    return read_strength(share("synth/augment.yaml"))


@pytest.fixture(scope="session")
def balance() -> Balance:
    """The targets that ship."""
    return read_balance(share("synth/balance.yaml"))
