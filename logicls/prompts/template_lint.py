"""The templates in `synth/*.j2` held against what they are for: every wording there, whole, and never an answer."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import jinja2.exceptions

from logicls import answer_format
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.checker.evaluation import compute_answers, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.errors import Problem, relative_path
from logicls.prompts.templates import (
    TemplateVariables,
    create_environment,
    split_phrasings,
    question_variables,
    reasoning_variables,
    verdict_variables,
)
from logicls.records import Answer, Box, Finding, Scene, Status, Subquery

TEMPLATE_NAMES = ("questions", "reasoning", "verdicts")
MIN_PHRASINGS = 5
"""Wordings in each case."""
MAX_LENGTH = 300
"""Characters of a wording with short names in it."""
MAX_SCENES = 50
"""Photos whose findings are put into the templates."""
PROBE = (Answer("locate:part", boxes=(Box(1, 2, 30, 40),)), Answer("verdict"))
"""A trail that each wording is put in between; it must be read as if the wording were not there."""


class TemplateCase(NamedTuple):
    """A case that a template is filled in for."""

    template: str
    name: str
    """In plain English, to stand after "for"."""
    variables: TemplateVariables
    is_sample: bool = True
    """True for made-up short names, by which the length of a wording is measured."""


def lint_templates(folder: Path, spec: Spec | None = None, scenes: Sequence[Scene] = ()) -> list[Problem]:
    """All that is wrong with the templates in a folder, by themselves; then with what they say of a spec and photos.

    No wording is ever found to be good English: that is for a person to read.
    """
    cases = [*_sample_cases(), *(_spec_cases(spec, scenes) if spec else ())]
    return [
        p
        for name in TEMPLATE_NAMES
        for p in _lint_template(folder / f"{name}.j2", [c for c in cases if c.template == name])
    ]


def _lint_template(path: Path, cases: Sequence[TemplateCase]) -> Iterator[Problem]:
    file = relative_path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = "is not UTF-8." if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}."
        yield Problem("LC420", told, file, advice="Take the file that ships with LogiCls.")
        return
    yield from _check_characters(text, file)
    try:
        template = create_environment().from_string(text)
    except jinja2.TemplateSyntaxError as error:
        yield Problem("LC421", f"is no Jinja template: {_to_sentence(error)}", file, error.lineno, 1)
        return
    seen: set[tuple[str, int]] = set()
    for case in cases:
        # One slip shows in many cases: it is told once, and of a spec only where it is the spec that brings it about.
        for problem in _check_case(template, case, text, file):
            new = (problem.code, problem.line) not in seen or not problem.line
            if new if case.is_sample else problem.code not in {code for code, _ in seen}:
                yield problem
            seen.add((problem.code, problem.line))


def _check_characters(text: str, file: str) -> Iterator[Problem]:
    for number, line in enumerate(text.split("\n"), 1):
        wrong = next((i for i, c in enumerate(line) if not " " <= c <= "~" and c not in "\t\r"), None)
        if wrong is not None:
            told = f"the character {line[wrong]!a} is not plain ASCII."
            yield Problem("LC428", told, file, number, wrong + 1, "Many models read such characters as unknown ones.")


def _check_case(template: jinja2.Template, case: TemplateCase, text: str, file: str) -> Iterator[Problem]:
    try:
        lines = split_phrasings(template.render(**case.variables))
    except Exception as error:  # a template may do anything that an expression can
        number = _template_line(error)
        yield Problem(_error_code(error), f"for {case.name}: {_to_sentence(error)}", file, number, 1 if number else 0)
        return
    if len(lines) < MIN_PHRASINGS:
        told = f"for {case.name} there are {len(lines)} wordings; at least {MIN_PHRASINGS} are needed."
        yield Problem("LC425", told, file, advice="Write one wording a line.")
    for line, times in Counter(lines).items():
        place = _find_source_line(line, text)
        if times > 1:
            yield Problem("LC426", f'for {case.name}: "{line}" is there {times} times.', file, place, 1)
        if not _is_prose(line):
            told = f'for {case.name}: "{line}" reads as an answer.'
            advice = f'Do not begin a wording with "{answer_format.PREFIX}".'
            yield Problem("LC427", told, file, place, 1, advice)
        if case.is_sample and len(line) > MAX_LENGTH:
            told = f'for {case.name}: "{line[:40]}..." has {len(line)} characters, more than {MAX_LENGTH}.'
            yield Problem("LC429", told, file, place, 1)


def _error_code(error: Exception) -> str:
    match error:
        case jinja2.exceptions.SecurityError():
            return "LC423"
        case jinja2.UndefinedError():
            return "LC422"
        case _:
            return "LC424"


def _to_sentence(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said if said.endswith((".", "?", "!")) else f"{said}."


def _template_line(error: Exception) -> int:
    """Where in the template it went wrong; Jinja puts the template's lines into the traceback. 0 where it did not."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == "<template>"), 0)


def _find_source_line(line: str, text: str) -> int:
    """The line of the template that a wording comes from: of those that fit, the one that leaves least open."""
    best, place = 0, 1
    for number, source in enumerate(text.split("\n"), 1):
        fixed = re.split(r"\{\{.*?\}\}|\{%.*?%\}", source.strip())
        if sum(map(len, fixed)) > best and re.fullmatch(".*".join(map(re.escape, fixed)), line):
            best, place = sum(map(len, fixed)), number
    return place


def _is_prose(line: str) -> bool:
    """Whether a trail is read as before when the line stands between its lines."""
    before = answer_format.format_answers(PROBE)
    return (
        answer_format.parse_answers("\n".join([before, line]))
        == answer_format.parse_answers("\n".join([line, before]))
        == answer_format.parse_answers(before)
    )


def _sample_cases() -> Iterator[TemplateCase]:
    """Every case with made-up names."""
    asked = {
        "the question where something is": Subquery("locate:part", "locate", "part"),
        "the question about an attribute": Subquery("attribute:part.colour", "attribute", "part", "colour"),
        "the question about the verdict": Subquery("verdict", "verdict"),
    }
    for name, query in asked.items():
        yield TemplateCase("questions", name, question_variables(query, "product"))
    for status, name in _STATUSES.items():
        broken = ("wrong_part",) if status == "broken" else ()
        finding = Finding("rule", status, broken, "2 part", "1 part")
        yield TemplateCase("reasoning", name, reasoning_variables(finding))
        # What people write as a reason must not be taken for an answer.
        yield TemplateCase("reasoning", f"{name} with a reason", reasoning_variables(finding, "@ verdict = none"))
    for names in ([], ["wrong_part"], ["wrong_part", "missing_part"]):
        told = {0: "a good product", 1: "a product with a defect"}.get(len(names), "a product with two defects")
        yield TemplateCase("verdicts", told, verdict_variables(names, "product"))


_STATUSES: dict[Status, str] = {
    "holds": "a rule that holds",
    "broken": "a broken rule",
    "not_applicable": "a rule that does not apply",
    "unknown": "a rule that cannot be checked",
}  # fmt: skip


def _spec_cases(spec: Spec, scenes: Iterable[Scene]) -> Iterator[TemplateCase]:
    """Every question, rule and defect of a spec; of photos what each rule comes to on them."""
    product = spec.product.name
    for query in decompose(spec):
        yield TemplateCase("questions", f"'{query.id}'", question_variables(query, product), is_sample=False)
    why = {constraint.id: constraint.why for constraint in spec.constraints}
    found = [finding for scene in list(scenes)[:MAX_SCENES] for finding in _evaluate_scene(spec, scene)]
    for finding in [*_possible_findings(spec), *found]:
        facts = reasoning_variables(finding, why[finding.constraint])
        yield TemplateCase("reasoning", f"'{finding.constraint}' ({_STATUSES[finding.status]})", facts, is_sample=False)
    yield TemplateCase("verdicts", f"a good {product}", verdict_variables([], product), is_sample=False)
    for name in spec.violations:
        yield TemplateCase("verdicts", f"'{name}'", verdict_variables([name], product), is_sample=False)


def _possible_findings(spec: Spec) -> Iterator[Finding]:
    """Each rule in each status, whatever was found."""
    for constraint in spec.constraints:
        for status in _STATUSES:
            broken = (
                tuple(constraint.violation_name(side) for side in constraint.failure_modes)
                if status == "broken"
                else ()
            )
            if broken or status != "broken":  # a rule that nothing can break is never said to be broken
                yield Finding(constraint.id, status, broken[:1], constraint.text, constraint.text)


def _evaluate_scene(spec: Spec, scene: Scene) -> tuple[Finding, ...]:
    return evaluate(spec, index_answers(compute_answers(spec, scene)), scene.width, scene.height)
