"""Registry of the built-in rule families: the single place where they are declared.

The spec model, its JSON schema and the loader build their keys from `BUILT_IN_FAMILIES`. Families from elsewhere are
registered with `logicls.constraints.spec.models.register_family`.
"""

from __future__ import annotations

from logicls.constraints.families.appearance import Appearance
from logicls.constraints.families.attribute import Attribute
from logicls.constraints.families.composition import Composition
from logicls.constraints.families.connection import Connection
from logicls.constraints.families.layout import Layout
from logicls.constraints.families.logical import AllOf, AnyOf, Not
from logicls.constraints.families.match import Match
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.orientation import Orientation
from logicls.constraints.families.protocol import Family
from logicls.constraints.families.quantity import Quantity

BUILT_IN_FAMILIES: tuple[type[Family], ...] = (
    Quantity,
    Layout,
    Composition,
    Match,
    Connection,
    Attribute,
    Measure,
    Orientation,
    Appearance,
    AllOf,
    AnyOf,
    Not,
)
"""Families in the order in which messages and the schema list them."""
