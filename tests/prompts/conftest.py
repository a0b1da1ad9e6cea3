"""The sample product's rules, for the tests of prompt templates."""

from __future__ import annotations

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.io.resources import share


@pytest.fixture(scope="session")
def spec() -> Spec:
    """The rules of the dosing kit."""
    return load_spec(share("constraints/dosing_kit.yaml"))
