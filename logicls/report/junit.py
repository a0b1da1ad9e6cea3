"""Verdicts as JUnit XML, the form in which build servers take test results: a test case a photo.

A photo that fails is a failure, with the broken rules and where they were looked for. So is one that a person has to
look at, of type `review`: build servers hide what is skipped, and an error would say that nothing is known.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from logicls.diagnostics.formats import in_xml
from logicls.io import jsonl
from logicls.predict.serialization import result_id
from logicls.records import Answer, Finding, Verdict
from logicls.report.card_view import Words


def write_junit(read: Callable[[], Iterable[Verdict]], path: Path, words: Words) -> None:
    """Write one test case a verdict, in the order given.

    Args:
        read: Gives the verdicts from the first on; called twice, because the counts come first in the file.
        path: The XML file; it is replaced as a whole.
        words: What rules and questions are called.

    Raises:
        DataError: The file cannot be written (LC253).
    """
    tests = failures = 0
    seconds = 0.0
    for verdict in read():
        tests += 1
        failures += verdict.outcome != "pass"
        seconds += verdict.seconds
    counts = f'tests="{tests}" failures="{failures}" errors="0" skipped="0" time="{seconds:.3f}"'
    with jsonl.replacing(path) as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(f"<testsuites {counts}>\n<testsuite name={quoteattr(in_xml(words.title))} {counts}>\n")
        for verdict in read():
            file.write(ET.tostring(_case(verdict, words), encoding="unicode") + "\n")
        file.write("</testsuite>\n</testsuites>\n")


def _case(verdict: Verdict, words: Words) -> ET.Element:
    """The photo's folder stands for a class, its name for a test."""
    folder, _, name = verdict.photo.rpartition("/")
    facts = {"classname": folder.replace("/", ".") or words.title, "name": name, "file": verdict.photo}
    case = ET.Element("testcase", _safe(facts) | {"time": f"{verdict.seconds:.3f}"})
    origin = {"result": result_id(verdict), "sha256": verdict.sha256, "bundle": verdict.bundle}
    origin |= {"thresholds": verdict.thresholds, "spec": verdict.spec, "spec version": verdict.version}
    properties = ET.SubElement(case, "properties")
    for key, value in origin.items():
        if value:
            ET.SubElement(properties, "property", _safe({"name": key, "value": value}))
    if verdict.outcome != "pass":
        message = "; ".join(verdict.reasons) or ", ".join(verdict.violations)
        failure = ET.SubElement(case, "failure", _safe({"type": verdict.outcome, "message": message}))
        failure.text = in_xml("\n".join(_told(verdict, words)))
    return case


def _told(verdict: Verdict, words: Words) -> list[str]:
    """Why it does not pass, a line each, with the evidence below."""
    answers = {answer.query: answer for answer in verdict.answers}
    lines = [f"for a person to decide: {reason}" for reason in verdict.reasons]
    for finding in verdict.findings:
        if finding.status in ("broken", "unknown"):
            lines += _evidence(finding, words, [answers[q] for q in finding.queries if q in answers])
    return lines


def _evidence(finding: Finding, words: Words, answers: Sequence[Answer]) -> list[str]:
    names = [f"{name} ({words.worst([name])})" for name in finding.violations] or ["could not be checked"]
    lines = [f"{', '.join(names)}: {words.rules.get(finding.constraint, finding.constraint)}"]
    if finding.expected or finding.found:
        lines.append(f"  expected {finding.expected or '-'}, found {finding.found or '-'}")
    return lines + [f"  {_answered(answer, words.questions)}" for answer in answers]


def _answered(answer: Answer, questions: Mapping[str, str]) -> str:
    said = ", ".join(answer.values) or ("none" if not answer.boxes else f"{len(answer.boxes)} found")
    where = "".join(f" [{b.x1:.0f} {b.y1:.0f} {b.x2:.0f} {b.y2:.0f}]" for b in answer.boxes)
    told = said if answer.readable else "could not be read"
    return f"{questions.get(answer.query, answer.query)} {told}{where}, sure to {answer.confidence:.0%}"


def _safe(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: in_xml(value) for key, value in facts.items()}
