"""What something is like: the attribute family."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Rng, attribute_to_text, change_attribute, set_attribute
from logicls.constraints.families.match import AttributePath
from logicls.constraints.families.placement import find_instances, sample_instances
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Scene

Values = str | Annotated[list[str], Field(min_length=1)]


class Attribute(BaseModel):
    """An attribute has the value that it must have, on every instance."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    of: AttributePath
    """thing.attribute"""
    is_: Values | None = Field(None, alias="is")
    """The value, or the values, that are right."""
    is_not: Values | None = None
    """The value, or the values, that are wrong."""
    same: bool = False
    """All instances are alike, whatever they are."""

    @model_validator(mode="after")
    def _check_criterion(self) -> Self:
        if (self.is_ is not None) + (self.is_not is not None) + self.same != 1:
            raise ValueError("write exactly one of: is, is_not, same: true")
        return self

    @cached_property
    def listed_values(self) -> tuple[str, ...]:
        """The values that are written down."""
        values = self.is_ if self.is_ is not None else self.is_not
        return () if values is None else (values,) if isinstance(values, str) else tuple(values)

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        yield Reference(("of",), self.of, "attribute")

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def to_text(self) -> str:
        """The rule in plain English."""
        if self.same:
            return f"every {attribute_to_text(self.of)} is the same"
        values = join_names([name_to_text(value) for value in self.listed_values], "or")
        return f"{attribute_to_text(self.of)} is {'' if self.is_ is not None else 'not '}{values}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare each value. Raises `Absent`, `Unreadable`."""
        component, attribute = self.of.split(".")
        values = context.values(component, attribute)
        if len(values) < (2 if self.same else 1):
            raise NotApplicable(f"{len(values) or 'no'} {name_to_text(component)}")
        text = ", ".join(name_to_text(value) for value in values)
        return RuleResult("holds", text) if self._allows(values) else RuleResult("broken", text, (FailureMode(),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Replace one instance by one with a wrong value."""
        component, attribute = self.of.split(".")
        declared = context.vocabulary.values(component, attribute)
        wrong = list(declared) if self.same else [value for value in declared if not self._allows((value,))]
        for target in sample_instances(rng, find_instances(scene, context, component), 4):
            yield from change_attribute(target, attribute, wrong, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        component, attribute = self.of.split(".")
        return f"one {name_to_text(component)} replaced by one with {'another' if self.same else 'a wrong'} {name_to_text(attribute)}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: replaced by another instance of the same kind."""
        component, attribute = self.of.split(".")
        for target in sample_instances(rng, find_instances(scene, context, component), 1):
            yield (set_attribute(target, attribute, target.attribute(attribute) or ""),)

    def _allows(self, values: tuple[str, ...]) -> bool:
        if self.same:
            return len(set(values)) == 1
        return all((value in self.listed_values) == (self.is_ is not None) for value in values)
