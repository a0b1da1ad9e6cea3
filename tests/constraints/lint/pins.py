"""Rules about pins on a tray, and the spec of a box of pins with such rules."""

from __future__ import annotations

from typing import Any

from logicls.constraints.spec.models import Spec

Body = dict[str, Any]
PINS = {"quantity": {"of": "pin", "exactly": 2}, "violation": {"below": "few", "above": "many"}}
TOP = {"layout": {"subject": "pin", "relation": "above", "object": "tray"}, "violation": "low"}
ON = {"quantity": {"of": "pin", "at_least": 1, "in": "tray"}, "violation": "off"}
LEFT = {"quantity": {"of": "pin", "at_least": 1, "in": "left"}, "violation": "right"}
RED = {"attribute": {"of": "pin.colour", "is": "red"}, "violation": "blue"}


def spec(*constraints: Body, **more: Any) -> Spec:
    """Spec of a box of pins on a tray with constraints c0, c1, ..."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "box"},
            "components": {"pin": {"attributes": {"colour": ["red", "blue"], "size": ["s"]}}, "tray": {}},
            "regions": {"left": {"box": [0, 0, 0.5, 1]}},
            "constraints": [{"id": f"c{number}", **body} for number, body in enumerate(constraints)],
            **more,
        }
    )
