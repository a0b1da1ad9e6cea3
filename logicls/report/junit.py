"""Verdicts as JUnit XML for build servers: one test case per photo.

A photo with the outcome `fail` is a failure with the violated rules and their evidence. A photo with the outcome
`review` is a failure of type `review`: build servers hide skipped tests, and an error would mean a fault of the test.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from logicls.diagnostics.formats import sanitize_xml
from logicls.io import atomic
from logicls.predict.serialization import result_id
from logicls.records import Answer, Finding, Verdict
from logicls.report.card_view import Labels


def write_junit(read_verdicts: Callable[[], Iterable[Verdict]], path: Path, labels: Labels) -> None:
    """Write one test case per verdict, in the given order.

    Args:
        read_verdicts: Returns an iterator over all verdicts; called twice, because the counts precede the test cases.
        path: XML file, replaced atomically.
        labels: Texts of rules and questions.

    Raises:
        DataError: The file cannot be written (LC253).
    """
    tests = failures = 0
    seconds = 0.0
    for verdict in read_verdicts():
        tests += 1
        failures += verdict.outcome != "pass"
        seconds += verdict.seconds
    counts = f'tests="{tests}" failures="{failures}" errors="0" skipped="0" time="{seconds:.3f}"'
    with atomic.open_atomic(path) as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(f"<testsuites {counts}>\n<testsuite name={quoteattr(sanitize_xml(labels.title))} {counts}>\n")
        for verdict in read_verdicts():
            file.write(ET.tostring(_test_case(verdict, labels), encoding="unicode") + "\n")
        file.write("</testsuite>\n</testsuites>\n")


def _test_case(verdict: Verdict, labels: Labels) -> ET.Element:
    """Return the test case of a photo; its folder is the class name."""
    folder, _, name = verdict.photo.rpartition("/")
    attributes = {"classname": folder.replace("/", ".") or labels.title, "name": name, "file": verdict.photo}
    case = ET.Element("testcase", _sanitize(attributes) | {"time": f"{verdict.seconds:.3f}"})
    provenance = {"result": result_id(verdict), "sha256": verdict.sha256, "bundle": verdict.bundle}
    provenance |= {"thresholds": verdict.thresholds, "spec": verdict.spec, "spec version": verdict.version}
    properties = ET.SubElement(case, "properties")
    for key, value in provenance.items():
        if value:
            ET.SubElement(properties, "property", _sanitize({"name": key, "value": value}))
    if verdict.outcome != "pass":
        message = "; ".join(verdict.reasons) or ", ".join(verdict.violations)
        failure = ET.SubElement(case, "failure", _sanitize({"type": verdict.outcome, "message": message}))
        failure.text = sanitize_xml("\n".join(_failure_lines(verdict, labels)))
    return case


def _failure_lines(verdict: Verdict, labels: Labels) -> list[str]:
    """Return the reasons why a photo does not pass, each followed by its evidence."""
    answers = {answer.query: answer for answer in verdict.answers}
    lines = [f"needs review: {reason}" for reason in verdict.reasons]
    for finding in verdict.findings:
        if finding.status in ("broken", "unknown"):
            lines += _finding_lines(finding, labels, [answers[q] for q in finding.queries if q in answers])
    return lines


def _finding_lines(finding: Finding, labels: Labels, answers: Sequence[Answer]) -> list[str]:
    names = [f"{name} ({labels.worst_severity([name])})" for name in finding.violations] or ["not evaluated"]
    lines = [f"{', '.join(names)}: {labels.rules.get(finding.constraint, finding.constraint)}"]
    if finding.expected or finding.found:
        lines.append(f"  expected {finding.expected or '-'}, found {finding.found or '-'}")
    return lines + [f"  {_answer_line(answer, labels.questions)}" for answer in answers]


def _answer_line(answer: Answer, questions: Mapping[str, str]) -> str:
    values = ", ".join(answer.values) or ("none" if not answer.boxes else f"{len(answer.boxes)} found")
    boxes = "".join(f" [{b.x1:.0f} {b.y1:.0f} {b.x2:.0f} {b.y2:.0f}]" for b in answer.boxes)
    text = values if answer.readable else "could not be read"
    return f"{questions.get(answer.query, answer.query)} {text}{boxes}, confidence {answer.confidence:.0%}"


def _sanitize(attributes: Mapping[str, str]) -> dict[str, str]:
    return {key: sanitize_xml(value) for key, value in attributes.items()}
