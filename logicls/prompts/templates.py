"""Answers → text: questions, reasoning and verdicts in several wordings, from sandboxed Jinja templates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache

import jinja2
import numpy as np
from jinja2.sandbox import SandboxedEnvironment

from logicls import answer_format
from logicls.constraints.checker.evaluation import evaluate, index_answers
from logicls.constraints.families.context import name_to_text
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Answer, Finding, Subquery

Rng = np.random.Generator
TemplateVariables = Mapping[str, Hashable]
"""What a template may name, and what it stands for."""


def create_environment() -> SandboxedEnvironment:
    """How templates are read: nothing but the facts is within reach, and a name that is none of them is an error."""
    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip


@lru_cache
def _load_template(name: str) -> jinja2.Template:
    return create_environment().from_string(resource_path(f"synth/{name}.j2").read_text(encoding="utf-8"))


def split_phrasings(text: str) -> list[str]:
    """The wordings in what a template came to: one a line, empty lines left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@lru_cache(maxsize=4096)  # most sentences come again and again
def _render_phrasings(name: str, **variables: Hashable) -> tuple[str, ...]:
    return tuple(split_phrasings(_load_template(name).render(**variables)))


def question_variables(query: Subquery, product: str) -> TemplateVariables:
    """What `questions.j2` may say."""
    return {
        "kind": query.kind,
        "component": name_to_text(query.component),
        "attribute": name_to_text(query.attribute),
        "product": name_to_text(product),
    }


def reasoning_variables(finding: Finding, why: str = "") -> TemplateVariables:
    """What `reasoning.j2` may say. `why`: the rule's reason; it is brought on one line, and loses its full stop."""
    return {
        "status": finding.status,
        "rule": finding.expected,
        "found": finding.found,
        "violation": name_to_text(" and ".join(finding.violations)),
        "why": " ".join(why.split()).rstrip(" ."),
    }


def verdict_variables(violations: Sequence[str], product: str) -> TemplateVariables:
    """What `verdicts.j2` may say."""
    return {"product": name_to_text(product), "violations": tuple(name_to_text(name) for name in violations)}


def question_phrasings(query: Subquery, spec: Spec) -> tuple[str, ...]:
    """Every way to ask a subquery; the first is the one that prediction uses."""
    return product_question_phrasings(query, spec.product.name)


def product_question_phrasings(query: Subquery, product: str) -> tuple[str, ...]:
    """Every way to ask a subquery about a product of that name."""
    return _render_phrasings("questions", **question_variables(query, product))


def canonical_question(query: Subquery, spec: Spec) -> str:
    """The wording that prediction uses."""
    return question_phrasings(query, spec)[0]


def sample_reasoning(finding: Finding, rng: Rng, why: str = "") -> str:
    """What a rule came to, in words; where it is broken, some styles say `why` there is such a rule."""
    return _draw(_render_phrasings("reasoning", **reasoning_variables(finding, why)), rng)


def build_response(spec: Spec, answers: tuple[Answer, ...], size: tuple[int, int], rng: Rng) -> str:
    """The grounded chain of thought: canonical answers, then each rule in words, then the verdict in words.

    `size` is (width, height) of the photo. `trail.read` finds the same answers in it.
    """
    findings = evaluate(spec, index_answers(answers), *size)
    why = {constraint.id: constraint.why for constraint in spec.constraints}
    lines = [
        answer_format.format_answers(answers),
        *(sample_reasoning(finding, rng, why[finding.constraint]) for finding in findings),
    ]
    verdicts = _render_phrasings("verdicts", **verdict_variables(answers[-1].values, spec.product.name))
    return "\n".join([*lines, _draw(verdicts, rng)])


def _draw(lines: Sequence[str], rng: Rng) -> str:
    return lines[int(rng.integers(len(lines)))]
