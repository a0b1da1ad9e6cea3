"""Attribute family: the value of an attribute."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    Vocabulary,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Edits, Rng, attribute_to_text, change_attribute, set_attribute
from logicls.constraints.families.match import AttributePath
from logicls.constraints.families.placement import find_instances, sample_instances
from logicls.constraints.families.protocol import Comparison, Family, Fault, RuleModel, check_values, exactly_one_of
from logicls.constraints.families.queries import Reference
from logicls.records import Scene

Values = str | Annotated[list[str], Field(min_length=1)]


class Attribute(RuleModel):
    """An attribute has the right value on every instance."""

    key: ClassVar[str] = "attribute"
    summary: ClassVar[str] = "The value of an attribute."
    model_config = ConfigDict(json_schema_extra={"allOf": [exactly_one_of("is", "is_not", "same")]})

    of: AttributePath
    """component.attribute"""
    is_: Values | None = Field(None, alias="is")
    """The right value or values."""
    is_not: Values | None = None
    """The wrong value or values."""
    same: bool = False
    """True if all instances must have the same value."""

    @model_validator(mode="after")
    def _check_criterion(self) -> Self:
        if (self.is_ is not None) + (self.is_not is not None) + self.same != 1:
            raise ValueError("write exactly one of: is, is_not, same: true")
        return self

    @cached_property
    def listed_values(self) -> tuple[str, ...]:
        """The values of `is` or `is_not`."""
        values = self.is_ if self.is_ is not None else self.is_not
        return () if values is None else (values,) if isinstance(values, str) else tuple(values)

    def references(self) -> Iterator[Reference]:
        """Yield the attribute."""
        yield Reference(("of",), self.of, "attribute")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        if self.same:
            return f"every {attribute_to_text(self.of)} is the same"
        values = join_names([name_to_text(value) for value in self.listed_values], "or")
        return f"{attribute_to_text(self.of)} is {'' if self.is_ is not None else 'not '}{values}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare the value of every instance."""
        component, attribute = self.of.split(".")
        values = context.values(component, attribute)
        if len(values) < (2 if self.same else 1):
            raise NotApplicable(f"{len(values) or 'no'} {name_to_text(component)}")
        text = ", ".join(name_to_text(value) for value in values)
        return RuleResult("holds", text) if self._allows(values) else RuleResult("broken", text, (FailureMode(),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield replacements of one instance by one with a wrong value."""
        component, attribute = self.of.split(".")
        declared = context.vocabulary.values(component, attribute)
        wrong = list(declared) if self.same else [value for value in declared if not self._allows((value,))]
        for target in sample_instances(rng, find_instances(scene, context, component), 4):
            yield from change_attribute(target, attribute, wrong, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        component, attribute = (name_to_text(name) for name in self.of.split("."))
        return f"one {component} replaced by one with {'another' if self.same else 'a wrong'} {attribute}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield the replacement of an instance by another one with the same value."""
        component, attribute = self.of.split(".")
        for target in sample_instances(rng, find_instances(scene, context, component), 1):
            yield (set_attribute(target, attribute, target.attribute(attribute) or ""),)

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault for each listed value that the attribute cannot have."""
        key = "is" if self.is_ is not None else "is_not"
        yield from check_values(vocabulary, (key,), self.of, self.listed_values)

    def allows_everything(self, vocabulary: Vocabulary) -> bool:
        """Check if every declared value is right."""
        declared = set(vocabulary.values(*self.of.split(".")))
        return not self.same and self._allowed(declared) == declared

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the allowed values of two rules about the same attribute."""
        if not isinstance(other, Attribute) or self.of != other.of or self.same or other.same:
            return None
        declared = set(vocabulary.values(*self.of.split(".")))
        ours, theirs = self._allowed(declared), other._allowed(declared)
        if not ours & theirs:
            return Comparison("contradicts", f"{self.to_text()}; {other.to_text()}")
        if ours <= theirs:
            return Comparison("implies")
        return Comparison("implied_by") if theirs <= ours else None

    def _allowed(self, declared: set[str]) -> set[str]:
        listed = set(self.listed_values)
        return declared & listed if self.is_ is not None else declared - listed

    def _allows(self, values: tuple[str, ...]) -> bool:
        if self.same:
            return len(set(values)) == 1
        return all((value in self.listed_values) == (self.is_ is not None) for value in values)
