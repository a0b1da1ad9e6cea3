"""What people see when something cannot be plugged in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from logicls.extras.by_name import found

TRIGGERS: dict[str, Callable[[], object]] = {
    "LC700": lambda: found("expert", "patch"),
}


@pytest.mark.parametrize("code", TRIGGERS)
@pytest.mark.usefixtures("desk")
def test_what_is_shown(look_right, code):
    """The text that people see, word for word."""
    look_right(code, TRIGGERS[code])
