"""Machine-readable output of `logicls check`: valid documents, nothing else on standard output, exit codes."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logicls
from logicls.cli.app import main
from logicls.diagnostics.codes import LEVELS, catalogue
from logicls.diagnostics.formats import Format, collect_problems, format_problems
from logicls.errors import Problem, SpecError

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}, tray: {}}
constraints:
  - {id: pins, quantity: {of: pin, exactly: 4}}
"""
EXAMPLES = [
    Problem("LC021", 'unknown key "exacly".', "specs/my box.yaml", 6, 25, 'Did you mean "exactly"?'),
    Problem("LC040", "no rule speaks <of> \x07 é.", advice="Remove it."),
    Problem("LC047", "no example breaks it.", "specs/my box.yaml", 6, 3),
]
PLACES = st.sampled_from(["", "box.yaml", "a b/ü.yaml", "/tmp/x.yaml"])
PROBLEMS = st.lists(
    st.builds(
        Problem,
        st.sampled_from(sorted(catalogue())),
        st.text(min_size=1).filter(str.strip),
        PLACES,
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=4,
)


def sarif_faults(log: Any) -> list[str]:
    """Return the parts of a log that do not comply with SARIF 2.1.0."""
    faults = [] if (log.get("version"), set(log)) == ("2.1.0", {"$schema", "version", "runs"}) else ["log"]
    for run in log["runs"]:
        driver, results = run["tool"]["driver"], run["results"]
        rules = driver["rules"]
        faults += [] if re.fullmatch(r"\d+\.\d+\.\d+", driver["semanticVersion"]) else ["semanticVersion"]
        faults += ["two rules with one id"] if len({rule["id"] for rule in rules}) < len(rules) else []
        faults += [f"rule {rule.get('id')}" for rule in rules if not is_descriptor(rule)]
        faults += [f"result {number}" for number, result in enumerate(results) if not is_result(result, rules)]
    return faults


def is_descriptor(rule: Any) -> bool:
    """Return whether a rule is a valid reportingDescriptor (§3.49): name, texts and level."""
    texts = [rule["shortDescription"]["text"], rule["fullDescription"]["text"], rule["help"]["text"]]
    named = re.fullmatch(r"[A-Z][A-Za-z0-9]*", rule["name"]) is not None
    return named and all(texts) and rule["defaultConfiguration"]["level"] in LEVELS and "markdown" in rule["help"]


def is_result(result: Any, rules: Any) -> bool:
    """Return whether a result (§3.27) has a valid rule and location."""
    places = [location["physicalLocation"] for location in result["locations"]]
    uris = [place["artifactLocation"]["uri"] for place in places]
    numbers = [n for place in places for n in place.get("region", {"startLine": 1}).values()]
    return (
        rules[result["ruleIndex"]]["id"] == result["ruleId"]
        and rules[result["ruleIndex"]]["defaultConfiguration"]["level"] == result["level"]
        and bool(result["message"]["text"])
        and len(places) == 1
        and all(re.fullmatch(r"[A-Za-z0-9%._~/:-]+", uri) for uri in uris)
        and all(isinstance(n, int) and n >= 1 for n in numbers)
        and all(re.fullmatch(r"[0-9a-f]{64}", mark) for mark in result["partialFingerprints"].values())
    )


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Function that runs `logicls check` on a spec and returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(text, *words):
        Path("box.yaml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["logicls", "check", "box.yaml", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


def test_json_has_an_object_per_problem():
    """Each has its level; problems without a file are assigned to the checked file."""
    rows = json.loads(format_problems(Format.json, EXAMPLES, "specs/my box.yaml"))

    assert rows[0] == {
        "code": "LC021", "level": "error", "message": 'unknown key "exacly".', "file": "specs/my box.yaml",
        "line": 6, "column": 25, "advice": 'Did you mean "exactly"?',
    }  # fmt: skip
    assert [(row["code"], row["level"], row["file"], row["line"]) for row in rows[1:]] == [
        ("LC040", "warning", "specs/my box.yaml", 0),
        ("LC047", "note", "specs/my box.yaml", 6),
    ]


def test_sarif_has_rules_and_locations():
    """The rules are the complete catalogue; each result refers to its rule, file and position."""
    log = json.loads(format_problems(Format.sarif, EXAMPLES, "/srv/box.yaml"))

    (run,) = log["runs"]
    driver, (first, second, third) = run["tool"]["driver"], run["results"]
    assert sarif_faults(log) == []
    assert (driver["name"], driver["version"]) == ("logicls", logicls.__version__)
    assert [rule["id"] for rule in driver["rules"]] == list(catalogue())
    assert driver["rules"][first["ruleIndex"]]["name"] == "UnknownKey"
    assert first["message"]["text"] == 'unknown key "exacly". Did you mean "exactly"?'
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "specs/my%20box.yaml", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 6, "startColumn": 25},
            }
        }
    ]
    assert second["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "file:///srv/box.yaml"}}}]
    assert [result["level"] for result in (first, second, third)] == ["error", "warning", "note"]


def test_an_invalid_log_is_detected():
    """The check above can fail: a wrong index, line 0 and a rule without a text are noticed."""
    log = json.loads(format_problems(Format.sarif, EXAMPLES, "box.yaml"))
    log["runs"][0]["results"][0]["ruleIndex"] += 1
    log["runs"][0]["results"][2]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    log["runs"][0]["tool"]["driver"]["rules"][3]["help"]["text"] = ""

    assert sarif_faults(log) == ["rule LC004", "result 0", "result 2"]


def test_fingerprints_do_not_depend_on_lines():
    """A problem that moved keeps its fingerprint; equal problems have different ones."""
    above = [Problem("LC040", "x.", "a.yaml", 3, 1), Problem("LC040", "x.", "a.yaml", 5, 1)]
    below = [Problem("LC040", "x.", "a.yaml", 4, 2), Problem("LC040", "x.", "a.yaml", 9, 2)]

    fingerprints = [
        [
            result["partialFingerprints"]
            for result in json.loads(format_problems(Format.sarif, problems, ""))["runs"][0]["results"]
        ]
        for problems in (above, below)
    ]
    assert fingerprints[0] == fingerprints[1]
    assert fingerprints[0][0] != fingerprints[0][1]


def test_junit_has_a_test_case_per_problem():
    """Failures have code and message, notes are output; invalid XML characters are replaced."""
    suites = ET.fromstring(format_problems(Format.junit, EXAMPLES, "box.yaml"))

    (suite,) = suites
    assert (suites.tag, suite.attrib) == (
        "testsuites",
        {"name": "logicls check", "tests": "3", "failures": "2", "errors": "0", "skipped": "0"},
    )
    assert [(case.get("classname"), case.get("line")) for case in suite] == [
        ("specs/my box.yaml", "6"), ("box.yaml", None), ("specs/my box.yaml", "6"),
    ]  # fmt: skip
    assert [(case[0].tag, case[0].get("type"), case[0].get("message")) for case in suite] == [
        ("failure", "LC021", 'unknown key "exacly".'),
        ("failure", "LC040", "no rule speaks <of> \ufffd é."),
        ("system-out", None, None),
    ]
    assert suite[0][0].text == 'specs/my box.yaml:6:25 LC021 unknown key "exacly". Did you mean "exactly"?'


def test_junit_without_problems_has_a_passing_case():
    """Build servers report an empty suite as an error."""
    (suite,) = ET.fromstring(format_problems(Format.junit, [], "box.yaml"))

    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert [(case.get("name"), len(case)) for case in suite] == [("no problems", 0)]


@given(PROBLEMS)
def test_documents_can_be_parsed(problems):
    """Problems with arbitrary texts give valid documents with the same number of problems."""
    rows, log, suites = (
        format_problems(name, problems, "box.yaml") for name in (Format.json, Format.sarif, Format.junit)
    )

    assert [row["message"] for row in json.loads(rows)] == [problem.message for problem in problems]
    assert sarif_faults(json.loads(log)) == []
    assert len(json.loads(log)["runs"][0]["results"]) == len(problems)
    assert len(ET.fromstring(suites)[0]) == max(len(problems), 1)
    assert all(text.isascii() for text in (rows, log, suites))


@pytest.mark.parametrize(
    ("text", "code", "exit_code"),
    [
        (SPEC.replace(", tray: {}", ""), None, 0),
        (SPEC, "LC040", 1),
        (SPEC.replace("exactly", "exacly"), "LC021", 2),
        ("", "LC020", 2),
    ],
)
def test_standard_output_has_only_the_document(check, text, code, exit_code):
    """No problem, a warning, and errors that stop the check are in the document; the exit code matches."""
    codes = set()
    for output_format in ("json", "sarif", "junit"):
        stopped, out, err = check(text, "--format", output_format)
        assert (stopped, err) == (exit_code, "")
        if output_format == "json":
            codes = {row["code"] for row in json.loads(out)}
        elif output_format == "sarif":
            assert {result["ruleId"] for result in json.loads(out)["runs"][0]["results"]} == codes
        else:
            assert {case.get("type") for case in ET.fromstring(out).iter("failure")} == codes

    assert code in codes or (code is None and codes == set())


def test_json_is_a_short_option(check):
    """`--json` equals `--format json`."""
    assert check(SPEC, "--json") == check(SPEC, "--format", "json")


def test_unreadable_data_is_in_the_document(check):
    """Problems of the rules that were found before the error are included."""
    stopped, out, err = check(SPEC, "--data", "nowhere", "--json")

    assert (stopped, err) == (2, "")
    assert [(row["code"], row["file"]) for row in json.loads(out)] == [
        ("LC040", "box.yaml"),
        ("LC101", "nowhere/annotations.json"),
    ]


def test_text_format_raises_errors():
    """The command line prints them with their source lines."""
    with pytest.raises(SpecError), collect_problems(Format.text, "box.yaml"):
        raise SpecError(EXAMPLES[0])


def test_notes_do_not_change_the_exit_code(capsys):
    """A note is in the document, and the command succeeds."""
    with collect_problems(Format.json, "box.yaml") as problems:
        problems.append(EXAMPLES[2])

    assert [row["level"] for row in json.loads(capsys.readouterr().out)] == ["note"]
