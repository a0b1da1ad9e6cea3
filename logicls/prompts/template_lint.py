"""Linter of the prompt templates `synth/*.j2`: each case has enough phrasings, and none can be read as an answer."""

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
from logicls.errors import Problem, count_text, relative_path
from logicls.prompts.templates import (
    TemplateVariables,
    create_environment,
    question_variables,
    reasoning_variables,
    split_phrasings,
    verdict_variables,
)
from logicls.records import Answer, Box, Finding, Scene, Status, Subquery

TEMPLATE_NAMES = ("questions", "reasoning", "verdicts")
MIN_PHRASINGS = 5
"""Fewest phrasings of each case."""
MAX_LENGTH = 300
"""Most characters of a phrasing with short names in it."""
MAX_SCENES = 50
"""Most photos whose findings are rendered."""
PROBE = (Answer("locate:part", boxes=(Box(1, 2, 30, 40),)), Answer("verdict"))
"""Answers around which each phrasing is placed; it must not change how they are parsed."""


class TemplateCase(NamedTuple):
    """Variables that a template is rendered with."""

    template: str
    name: str
    """Description of the case in plain English, for messages."""
    variables: TemplateVariables
    is_sample: bool = True
    """True for generic short names, with which the length of a phrasing is measured."""


def lint_templates(folder: Path, spec: Spec | None = None, scenes: Sequence[Scene] = ()) -> list[Problem]:
    """Find the problems of the templates in a folder: with generic names, then with those of a spec and of photos.

    The quality of the English is not checked.
    """
    cases = [*_list_sample_cases(), *(_list_spec_cases(spec, scenes) if spec else ())]
    return [
        p
        for name in TEMPLATE_NAMES
        for p in _lint_template(folder / f"{name}.j2", [c for c in cases if c.template == name])
    ]


def _lint_template(path: Path, cases: Sequence[TemplateCase]) -> Iterator[Problem]:
    """Yield the problems of one template file, each once."""
    file = relative_path(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = "is not UTF-8." if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}."
        yield Problem("LC420", message, file, advice="Start from the file that ships with LogiCls.")
        return
    yield from _check_characters(text, file)
    try:
        template = create_environment().from_string(text)
    except jinja2.TemplateSyntaxError as error:
        yield Problem("LC421", f"invalid Jinja template: {_to_sentence(error)}", file, error.lineno, 1)
        return
    reported: set[tuple[str, int]] = set()
    for case in cases:
        # A mistake shows in many cases: report it once, and for a spec only if its names cause it.
        for problem in _check_case(template, case, text, file):
            is_new = (problem.code, problem.line) not in reported or not problem.line
            if is_new if case.is_sample else problem.code not in {code for code, _ in reported}:
                yield problem
            reported.add((problem.code, problem.line))


def _check_characters(text: str, file: str) -> Iterator[Problem]:
    """Yield each line with a non-ASCII character."""
    for number, line in enumerate(text.split("\n"), 1):
        position = next((i for i, c in enumerate(line) if not " " <= c <= "~" and c not in "\t\r"), None)
        if position is not None:
            message = f"character {line[position]!a} is not ASCII."
            yield Problem(
                "LC428",
                message,
                file,
                number,
                position + 1,
                "Replace it: many models do not know such characters.",
            )


def _check_case(template: jinja2.Template, case: TemplateCase, text: str, file: str) -> Iterator[Problem]:
    """Yield the problems of a template rendered for one case."""
    try:
        lines = split_phrasings(template.render(**case.variables))
    except Exception as error:  # a template may do anything that an expression can
        number = _find_template_line(error)
        yield Problem(_choose_code(error), f"{case.name}: {_to_sentence(error)}", file, number, 1 if number else 0)
        return
    if len(lines) < MIN_PHRASINGS:
        message = f"{case.name}: {count_text(len(lines), 'phrasing')}, at least {MIN_PHRASINGS} required."
        yield Problem("LC425", message, file, advice="Write one phrasing per line.")
    for line, times in Counter(lines).items():
        source_line = _find_source_line(line, text)
        if times > 1:
            yield Problem("LC426", f'{case.name}: phrasing "{line}" appears {times} times.', file, source_line, 1)
        if not _is_prose(line):
            message = f'{case.name}: phrasing "{line}" would be parsed as an answer.'
            advice = f'Do not start a phrasing with "{answer_format.PREFIX}".'
            yield Problem("LC427", message, file, source_line, 1, advice)
        if case.is_sample and len(line) > MAX_LENGTH:
            message = f'{case.name}: phrasing "{line[:40]}..." has {len(line)} characters, more than {MAX_LENGTH}.'
            yield Problem("LC429", message, file, source_line, 1)


def _choose_code(error: Exception) -> str:
    match error:
        case jinja2.exceptions.SecurityError():
            return "LC423"
        case jinja2.UndefinedError():
            return "LC422"
        case _:
            return "LC424"


def _to_sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _find_template_line(error: Exception) -> int:
    """Line of the template at which rendering failed, from the traceback that Jinja annotates; 0 if unknown."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == "<template>"), 0)


def _find_source_line(line: str, text: str) -> int:
    """Line of the template that a phrasing comes from: of the matching ones, that with the most literal characters."""
    best_length, best_line = 0, 1
    for number, source in enumerate(text.split("\n"), 1):
        literals = re.split(r"\{\{.*?\}\}|\{%.*?%\}", source.strip())
        if sum(map(len, literals)) > best_length and re.fullmatch(".*".join(map(re.escape, literals)), line):
            best_length, best_line = sum(map(len, literals)), number
    return best_line


def _is_prose(line: str) -> bool:
    """Check that a response parses to the same answers with the line before or after it."""
    before = answer_format.format_answers(PROBE)
    return (
        answer_format.parse_answers("\n".join([before, line]))
        == answer_format.parse_answers("\n".join([line, before]))
        == answer_format.parse_answers(before)
    )


def _list_sample_cases() -> Iterator[TemplateCase]:
    """Every case with generic names."""
    queries = {
        "question that locates a component": Subquery("locate:part", "locate", "part"),
        "question about an attribute": Subquery("attribute:part.colour", "attribute", "part", "colour"),
        "question about an orientation": Subquery("orientation:part", "orientation", "part"),
        "question about the verdict": Subquery("verdict", "verdict"),
    }
    for name, query in queries.items():
        yield TemplateCase("questions", name, question_variables(query, "product"))
    for status, name in _STATUSES.items():
        broken = ("wrong_part",) if status == "broken" else ()
        finding = Finding("rule", status, broken, "2 parts", "1 part")
        yield TemplateCase("reasoning", name, reasoning_variables(finding))
        # The reason is free text of the spec: it must not be parsed as an answer.
        yield TemplateCase("reasoning", f"{name} with a reason", reasoning_variables(finding, "@ verdict = none"))
    for names in ([], ["wrong_part"], ["wrong_part", "missing_part"]):
        name = {0: "good product", 1: "product with one violation"}.get(len(names), "product with two violations")
        yield TemplateCase("verdicts", name, verdict_variables(names, "product"))


_STATUSES: dict[Status, str] = {
    "holds": "rule that holds",
    "broken": "broken rule",
    "not_applicable": "rule that does not apply",
    "unknown": "rule that cannot be checked",
}  # fmt: skip


def _list_spec_cases(spec: Spec, scenes: Iterable[Scene]) -> Iterator[TemplateCase]:
    """Every question, rule and violation of a spec; for photos also what each rule finds on them."""
    product = spec.product.name
    for query in decompose(spec):
        yield TemplateCase("questions", f"'{query.id}'", question_variables(query, product), is_sample=False)
    reasons = {constraint.id: constraint.why for constraint in spec.constraints}
    observed = [finding for scene in list(scenes)[:MAX_SCENES] for finding in _evaluate_scene(spec, scene)]
    for finding in [*_list_possible_findings(spec), *observed]:
        variables = reasoning_variables(finding, reasons[finding.constraint])
        yield TemplateCase(
            "reasoning", f"'{finding.constraint}' ({_STATUSES[finding.status]})", variables, is_sample=False
        )
    yield TemplateCase("verdicts", f"good {product}", verdict_variables([], product), is_sample=False)
    for name in spec.violations:
        yield TemplateCase("verdicts", f"'{name}'", verdict_variables([name], product), is_sample=False)


def _list_possible_findings(spec: Spec) -> Iterator[Finding]:
    """Each rule in each status it can have, independent of photos."""
    for constraint in spec.constraints:
        for status in _STATUSES:
            violations = (
                tuple(constraint.violation_name(mode) for mode in constraint.failure_modes)
                if status == "broken"
                else ()
            )
            if violations or status != "broken":  # some rules cannot be broken
                yield Finding(constraint.id, status, violations[:1], constraint.text, constraint.text)


def _evaluate_scene(spec: Spec, scene: Scene) -> tuple[Finding, ...]:
    return evaluate(spec, index_answers(compute_answers(spec, scene)), scene.width, scene.height)
