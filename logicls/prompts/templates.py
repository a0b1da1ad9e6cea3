"""Text from answers: questions, reasoning and verdicts in several phrasings, from sandboxed Jinja templates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache

import jinja2
import numpy as np
from jinja2.sandbox import SandboxedEnvironment

from logicls import answer_format
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import evaluate, index_answers
from logicls.constraints.families.context import name_to_text
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Answer, Finding, Subquery

Rng = np.random.Generator
TemplateVariables = Mapping[str, Hashable]
"""Name → value, for a template."""


def create_environment() -> SandboxedEnvironment:
    """Create the Jinja environment: sandboxed, and an unknown name is an error."""
    return SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip


@lru_cache
def _load_template(name: str) -> jinja2.Template:
    return create_environment().from_string(resource_path(f"synth/{name}.j2").read_text(encoding="utf-8"))


def split_phrasings(text: str) -> list[str]:
    """Split a rendered template into phrasings: one a line, without empty lines."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@lru_cache(maxsize=4096)  # most sentences repeat
def _render_phrasings(name: str, **variables: Hashable) -> tuple[str, ...]:
    return tuple(split_phrasings(_load_template(name).render(**variables)))


def question_variables(query: Subquery, product: str) -> TemplateVariables:
    """Variables of `questions.j2`."""
    return {
        "kind": query.kind,
        "component": name_to_text(query.component),
        "attribute": name_to_text(query.attribute),
        "product": name_to_text(product),
    }


def reasoning_variables(finding: Finding, why: str = "") -> TemplateVariables:
    """Variables of `reasoning.j2`. `why`, the reason of the rule, is joined to one line without a full stop."""
    return {
        "status": finding.status,
        "rule": finding.expected,
        "found": finding.found,
        "violation": name_to_text(" and ".join(finding.violations)),
        "why": " ".join(why.split()).rstrip(" ."),
    }


def verdict_variables(violations: Sequence[str], product: str) -> TemplateVariables:
    """Variables of `verdicts.j2`."""
    return {"product": name_to_text(product), "violations": tuple(name_to_text(name) for name in violations)}


def question_phrasings(query: Subquery, spec: Spec) -> tuple[str, ...]:
    """All phrasings of a question; the first is the one that prediction uses."""
    return product_question_phrasings(query, spec.product.name)


def product_question_phrasings(query: Subquery, product: str) -> tuple[str, ...]:
    """All phrasings of a question about a product of that name."""
    return _render_phrasings("questions", **question_variables(query, product))


def canonical_question(query: Subquery, spec: Spec) -> str:
    """Phrasing of a question that prediction uses."""
    return question_phrasings(query, spec)[0]


def sample_reasoning(finding: Finding, rng: Rng, why: str = "") -> str:
    """Draw a sentence about the finding of a rule; some phrasings of a broken rule give the reason `why` it exists."""
    return _draw(_render_phrasings("reasoning", **reasoning_variables(finding, why)), rng)


def build_response(spec: Spec, answers: tuple[Answer, ...], size: tuple[int, int], rng: Rng) -> str:
    """Build the grounded chain of thought: canonical answers, then a sentence for each rule, then the verdict in words.

    Args:
        spec: Rules of the product.
        answers: Answers to all queries; the verdict is last. Those to questions for a model are written, no sentence
            about rules that need other answers: nothing in the text would support it.
        size: Width and height of the photo.
        rng: Draws the phrasings.

    `answer_format` parses the same answers from it.
    """
    findings = evaluate(spec, index_answers(answers), *size)
    reasons = {constraint.id: constraint.why for constraint in spec.constraints if not constraint.is_compared}
    questions = {query.id for query in decompose(spec)}
    lines = [
        answer_format.format_answers(answer for answer in answers if answer.query in questions),
        *(sample_reasoning(f, rng, reasons[f.constraint]) for f in findings if f.constraint in reasons),
    ]
    verdicts = _render_phrasings("verdicts", **verdict_variables(answers[-1].values, spec.product.name))
    return "\n".join([*lines, _draw(verdicts, rng)])


def _draw(lines: Sequence[str], rng: Rng) -> str:
    return lines[int(rng.integers(len(lines)))]
