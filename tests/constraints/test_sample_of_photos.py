"""Whether a rule can be broken is tried on photos from the whole dataset."""

from __future__ import annotations

from logicls.constraints.lint.data_audit import MAX_PHOTOS_EDITED, audit_photos
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene

SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "tray"},
        "components": {"pin": {}},
        "constraints": [{"id": "pins", "quantity": {"of": "pin", "between": [2, 20]}, "violation": {"below": "few"}}],
    }
)


def tray(pins: int) -> Scene:
    """A photo of so many pins in a row."""
    return Scene(
        "a.png", 400, 40, tuple(Instance(n, "pin", Box(19 * n, 9, 19 * n + 9, 19)) for n in range(1, pins + 1))
    )


def test_the_first_photos_do_not_stand_for_all() -> None:
    """After a row of photos that are too full for one direction come some that are not: nothing is complained about."""
    full, sparse = [tray(20)] * MAX_PHOTOS_EDITED, [tray(3)] * MAX_PHOTOS_EDITED

    assert [fault.code for fault in audit_photos(SPEC, full)] == ["LC048"]
    assert audit_photos(SPEC, [*full, *sparse]) == []


def test_photos_that_break_a_rule_are_no_ground_for_breaking_one() -> None:
    """They are named themselves; they do not take the places of good ones."""
    codes = [fault.code for fault in audit_photos(SPEC, [tray(0)] * 15 + [tray(3), tray(20)])]

    assert codes == ["LC050"] * 15
