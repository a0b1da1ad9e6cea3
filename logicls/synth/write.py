"""Answers → text: questions, reasoning and verdicts in several wordings, from sandboxed Jinja templates."""

from __future__ import annotations

from functools import lru_cache

import jinja2
import numpy as np
from jinja2.sandbox import SandboxedEnvironment

from logicls import trail
from logicls.assets import share
from logicls.constraints.judge import judge
from logicls.constraints.look import by_query
from logicls.constraints.reading import words
from logicls.constraints.spec import Spec
from logicls.records import Answer, Finding, Subquery

Rng = np.random.Generator


@lru_cache
def _template(name: str) -> jinja2.Template:
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(share(f"synth/{name}.j2").read_text(encoding="utf-8"))


def _wordings(name: str, **context: object) -> list[str]:
    return [line.strip() for line in _template(name).render(**context).splitlines() if line.strip()]


def wordings(query: Subquery, spec: Spec) -> list[str]:
    """Every way to ask a subquery; the first is the one that prediction uses."""
    return _wordings(
        "questions",
        kind=query.kind,
        component=words(query.component),
        attribute=words(query.attribute),
        product=words(spec.product.name),
    )


def question(query: Subquery, spec: Spec) -> str:
    """The wording that prediction uses."""
    return wordings(query, spec)[0]


def reasoning(finding: Finding, rng: Rng) -> str:
    """One sentence on what a rule came to."""
    lines = _wordings(
        "reasoning",
        status=finding.status,
        rule=finding.expected,
        found=finding.found,
        violation=words(" and ".join(finding.violations)),
    )
    return lines[int(rng.integers(len(lines)))]


def chain(spec: Spec, answers: tuple[Answer, ...], size: tuple[int, int], rng: Rng) -> str:
    """The grounded chain of thought: canonical answers, then each rule in words, then the verdict in words.

    `size` is (width, height) of the photo. `trail.read` finds the same answers in it.
    """
    findings = judge(spec, by_query(answers), *size)
    broken = [words(name) for name in answers[-1].values]
    verdicts = _wordings("verdicts", product=words(spec.product.name), violations=broken)
    lines = [trail.write(answers), *(reasoning(finding, rng) for finding in findings)]
    return "\n".join([*lines, verdicts[int(rng.integers(len(verdicts)))]])
