"""What is to be made, and how often; see `synth/balance.yaml`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.load import validate
from logicls.constraints.quantity import Quantity
from logicls.constraints.reading import Side
from logicls.constraints.room import MAX_STEPS
from logicls.constraints.spec import Constraint, Spec
from logicls.constraints.violate import Aim, aims
from logicls.constraints.yaml_tree import read_yaml

Share = Annotated[float, Field(ge=0, le=1)]


class Shares(BaseModel):
    """What becomes of photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    untouched: Share
    twin: Share
    broken: Share
    broken_twice: Share

    @model_validator(mode="after")
    def _complete(self) -> Self:
        total = self.good + self.bad
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:.3g}, not to 1")
        return self

    @property
    def good(self) -> float:
        """Of examples that no edit breaks."""
        return self.untouched + self.twin

    @property
    def bad(self) -> float:
        """Of examples that are broken on purpose."""
        return self.broken + self.broken_twice


class Balance(BaseModel):
    """The targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shares: Shares
    pairs: Share
    twin_besides: Share
    real: Share
    kinds: Share
    floor: Share
    farther: Share
    rare: Annotated[float, Field(ge=1)]
    near: Annotated[float, Field(ge=1)]
    tries: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        most = 2 * min(self.shares.good, self.shares.bad)
        if self.pairs > most + 1e-6:
            raise ValueError(
                f"pairs: half of them are good and half broken, so {most:.3g} is the most with these shares"
            )
        return self


def read_balance(path: Path) -> Balance:
    """The settings file. Raises `SpecError`."""
    return validate(Balance, read_yaml(path), str(path))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make a violation."""

    aim: Aim
    weight: float
    """How often it is taken, beside the others of the same violation."""


def wanted(spec: Spec, balance: Balance) -> dict[str, float]:
    """Violation → its share of all that are made on purpose; they add up to 1.

    Between an even split over violations and one over kinds of rules, but nowhere below the floor.
    """
    kind: dict[str, str] = {}
    for aim in aims(spec):
        kind.setdefault(aim.violation, aim.constraint.family)
    if not kind:
        return {}
    sizes, even = Counter(kind.values()), 1 / len(kind)
    mixed = {
        name: (1 - balance.kinds) * even + balance.kinds / (len(sizes) * sizes[family]) for name, family in kind.items()
    }
    return _floored(mixed, balance.floor * even)


def _floored(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """The shares, none below the floor; those above it make room in proportion to what they have beyond it."""
    lifted = {name: max(share, floor) for name, share in shares.items()}
    surplus = sum(lifted.values()) - 1
    spare = sum(share - floor for share in lifted.values())
    if spare <= 0:
        return lifted
    return {name: share - surplus * (share - floor) / spare for name, share in lifted.items()}


def ways(spec: Spec, balance: Balance) -> dict[str, list[Way]]:
    """Violation → the ways to make it: counts that are off by more are rarer, down to those that need many edits."""
    found: dict[str, list[Way]] = {}
    for aim in aims(spec):
        for step, amount in enumerate(_amounts(aim.constraint, aim.side)):
            way = Way(Aim(aim.constraint, Side(aim.side.kind, amount)), balance.farther**step)
            found.setdefault(aim.violation, []).append(way)
    return {name: [way for way in some if way.weight > 0] for name, some in found.items()}


def _amounts(constraint: Constraint, side: Side) -> list[int]:
    """By how many a count can be off and still be the same violation, from the least."""
    rule = constraint.rule
    if not isinstance(rule, Quantity):
        return [side.amount]
    most = min(rule.limits[0], MAX_STEPS) if side.kind == "below" else MAX_STEPS
    name = constraint.violation_on(side)
    more = (n for n in range(side.amount + 1, most + 1) if constraint.violation_on(Side(side.kind, n)) == name)
    return [side.amount, *more]
