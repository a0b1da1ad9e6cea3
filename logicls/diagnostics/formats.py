"""Machine-readable output of checks: JSON, SARIF 2.1.0 for code hosts and editors, JUnit XML for build servers.

SARIF: OASIS Standard, "Static Analysis Results Interchange Format Version 2.1.0"; sections are given as §.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any, assert_never
from urllib.parse import quote

from logicls import __version__
from logicls.diagnostics.codes import Code, catalogue, level_of
from logicls.diagnostics.console import EXIT_FAILURE
from logicls.errors import LogiClsError, Problem

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Format(StrEnum):
    """Output format of a check."""

    text = "text"
    json = "json"
    sarif = "sarif"
    junit = "junit"


@contextmanager
def collect_problems(output_format: Format, subject: str) -> Iterator[list[Problem]]:
    """Collect the problems of a check, and print them as one document when the block ends, unless the format is text.

    A `LogiClsError` becomes part of the document, and ends the program with exit code 2.

    Args:
        output_format: Format of the document. For `text`, the caller prints the problems and handles errors.
        subject: Path of the checked file; problems without a file are assigned to it.
    """
    problems: list[Problem] = []
    try:
        yield problems
    except LogiClsError as error:
        if output_format is Format.text:
            raise
        print(format_problems(output_format, [*problems, *error.problems], subject))
        sys.exit(EXIT_FAILURE)
    if output_format is not Format.text:
        print(format_problems(output_format, problems, subject))


def format_problems(output_format: Format, problems: Sequence[Problem], subject: str) -> str:
    """Return the problems in a format; all formats but text are ASCII, so that no terminal encoding can damage them."""
    located = [problem if problem.file else replace(problem, file=subject) for problem in problems]
    match output_format:
        case Format.text:
            return "\n".join(str(problem) for problem in problems)
        case Format.json:
            return to_json(located)
        case Format.sarif:
            return to_sarif(located)
        case Format.junit:
            return to_junit(located, subject)
        case _:
            assert_never(output_format)


def to_json(problems: Sequence[Problem]) -> str:
    """Return a JSON array of objects; `line` and `column` are 1-based, and 0 if the position is unknown."""
    rows = [
        {
            "code": p.code, "level": level_of(p), "message": p.message, "file": p.file, "line": p.line,
            "column": p.column, "advice": p.advice,
        }
        for p in problems
    ]  # fmt: skip
    return json.dumps(rows, indent=1)


def to_sarif(problems: Sequence[Problem]) -> str:
    """Return a SARIF log with one run, whose rules are the complete catalogue."""
    indices = {code: index for index, code in enumerate(catalogue())}
    occurrences: Counter[str] = Counter()
    driver = {
        "name": "logicls",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_sarif_rule(code) for code in catalogue().values()],
    }
    results = [_sarif_result(problem, indices, occurrences) for problem in problems]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _sarif_rule(code: Code) -> dict[str, Any]:
    """Return a reportingDescriptor (§3.49)."""
    parts = [f"{code.meaning}\n\nFor example:\n\n", code.example.rstrip("\n"), f"\n\n{code.fix}"]
    return {
        "id": code.code,
        "name": "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", code.title)),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.meaning},
        "help": {"text": "".join(parts), "markdown": f"{parts[0]}```\n{parts[1]}\n```{parts[2]}"},
        "defaultConfiguration": {"level": code.level},
    }


def _sarif_result(problem: Problem, indices: Mapping[str, int], occurrences: Counter[str]) -> dict[str, Any]:
    """Return a result (§3.27). The fingerprint does not depend on the line, so it survives lines added above."""
    identity = f"{problem.code} {problem.file} {problem.message}"
    fingerprint = hashlib.sha256(f"{identity} {occurrences[identity]}".encode(errors="replace")).hexdigest()
    occurrences[identity] += 1
    location: dict[str, Any] = {"artifactLocation": _artifact(problem.file)}
    if problem.line:
        location["region"] = {"startLine": problem.line, "startColumn": max(problem.column, 1)}
    return {
        "ruleId": problem.code,
        "ruleIndex": indices.get(problem.code, -1),
        "level": level_of(problem),
        "message": {"text": f"{problem.message} {problem.advice}".rstrip()},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"logiclsProblem/v1": fingerprint},
    }


def _artifact(file: str) -> dict[str, str]:
    """Return an artifactLocation (§3.4): relative to the working directory, absolute for files outside it."""
    path = PurePath(file)
    return {"uri": path.as_uri()} if path.is_absolute() else {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}


def to_junit(problems: Sequence[Problem], subject: str) -> str:
    """Return a test suite with one test case per problem, or one passing case without problems. Notes do not fail."""
    failures = sum(level_of(problem) != "note" for problem in problems)
    counts = {"tests": str(max(len(problems), 1)), "failures": str(failures), "errors": "0", "skipped": "0"}
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": "logicls check", **counts})
    if not problems:
        ET.SubElement(
            suite,
            "testcase",
            {"classname": sanitize_xml(subject), "name": "no problems", "file": sanitize_xml(subject)},
        )
    for problem in problems:
        _junit_case(suite, problem)
    ET.indent(suites, " ")
    document: bytes = ET.tostring(suites, encoding="us-ascii", xml_declaration=True)
    return document.decode()


def _junit_case(suite: ET.Element, problem: Problem) -> None:
    file, message = sanitize_xml(problem.file), sanitize_xml(problem.message)
    facts = {"classname": file, "name": f"{problem.code} {message}", "file": file}
    case = ET.SubElement(suite, "testcase", facts | ({"line": str(problem.line)} if problem.line else {}))
    if level_of(problem) == "note":
        ET.SubElement(case, "system-out").text = sanitize_xml(str(problem))
    else:
        ET.SubElement(case, "failure", {"type": problem.code, "message": message}).text = sanitize_xml(str(problem))


def sanitize_xml(text: str) -> str:
    """Replace the characters that XML 1.0 does not allow."""
    return _INVALID_XML.sub("\N{REPLACEMENT CHARACTER}", text)
