"""Break a constraint on purpose, or go through the same motions and break nothing."""

from __future__ import annotations

from dataclasses import dataclass

from logicls.constraints.look import by_query, look
from logicls.constraints.plan import Plan, Rng
from logicls.constraints.reading import Absent, Reading, Side, Unreadable
from logicls.constraints.spec import Constraint, Spec
from logicls.records import Scene


@dataclass(frozen=True, slots=True)
class Aim:
    """One way to break one constraint."""

    constraint: Constraint
    side: Side

    @property
    def violation(self) -> str:
        """The defect that it makes."""
        return self.constraint.violation_on(self.side)


def aims(spec: Spec) -> tuple[Aim, ...]:
    """Every way in which the spec can be broken."""
    return tuple(Aim(constraint, side) for constraint in spec.constraints for side in constraint.rule.sides())


def violate(spec: Spec, aim: Aim, scene: Scene, rng: Rng, *, twin: bool = False) -> Plan | None:
    """A plan that breaks the aim's constraint on a scene where it holds; with `twin`, one that does not.

    None where this scene does not allow it. The caller looks again at what came out: a plan is an intention.
    """
    reading = Reading(by_query(look(spec, scene)), scene.width, scene.height, spec.areas)
    make = aim.constraint.rule.keep if twin else aim.constraint.rule.plans
    try:
        return make(scene, reading, aim.side, rng)
    except (Absent, Unreadable):
        return None
