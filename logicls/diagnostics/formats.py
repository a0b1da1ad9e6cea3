"""What a check found, for other programs: JSON, SARIF 2.1.0 for code hosts and editors, JUnit XML for build servers.

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
    """How a check says what it found."""

    text = "text"
    json = "json"
    sarif = "sarif"
    junit = "junit"


@contextmanager
def collect_problems(output_format: Format, subject: str) -> Iterator[list[Problem]]:
    """A list for what a check finds; in a format other than text it is printed as one document when the block ends.

    There, an error of the user's making is part of the document, and ends the program with exit code 2.

    Args:
        form: Text is left to the caller, errors included.
        subject: The file that was checked; what is not about a place in another file is about this one.
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
    """The problems in one of the formats; ASCII but for text, so that no terminal's encoding can spoil it."""
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
    """A list of objects; `line` and `column` count from 1, and are 0 where the place is not known."""
    rows = [
        {
            "code": p.code, "level": level_of(p), "message": p.message, "file": p.file, "line": p.line,
            "column": p.column, "advice": p.advice,
        }
        for p in problems
    ]  # fmt: skip
    return json.dumps(rows, indent=1)


def to_sarif(problems: Sequence[Problem]) -> str:
    """A log with one run; its rules are the whole catalogue."""
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
    """A reportingDescriptor (§3.49)."""
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
    """A result (§3.27). Its fingerprint leaves out the line, so that it stays the same when lines are added above."""
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
    """An artifactLocation (§3.4): relative to where the command ran, absolute where the file lies elsewhere."""
    path = PurePath(file)
    return {"uri": path.as_uri()} if path.is_absolute() else {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}


def to_junit(problems: Sequence[Problem], subject: str) -> str:
    """One suite, a test case a problem; one that passes where there is none. A note is told, and does not fail."""
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
    """The text without the characters that XML 1.0 cannot hold."""
    return _INVALID_XML.sub("\N{REPLACEMENT CHARACTER}", text)
