"""What other programs are told of a check: valid documents, nothing beside them, and the exit code."""

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
from logicls.cli import app as cli
from logicls.diagnostics.codes import LEVELS, catalogue
from logicls.diagnostics.formats import Format, format_problems, collect_problems
from logicls.errors import Problem, SpecError

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}, tray: {}}
constraints:
  - {id: pins, quantity: {of: pin, exactly: 4}}
"""
FOUND = [
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
    """Where a log is not what SARIF 2.1.0 asks for, of the parts that are used here."""
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
    """True for a reportingDescriptor (§3.49): an identifier for a name, texts, and a level."""
    texts = [rule["shortDescription"]["text"], rule["fullDescription"]["text"], rule["help"]["text"]]
    named = re.fullmatch(r"[A-Z][A-Za-z0-9]*", rule["name"]) is not None
    return named and all(texts) and rule["defaultConfiguration"]["level"] in LEVELS and "markdown" in rule["help"]


def is_result(result: Any, rules: Any) -> bool:
    """True for a result (§3.27) of the rule that it points at, at a place that can be."""
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
    """Calls `logicls check` on a spec of that text; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(text, *words):
        Path("box.yaml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["logicls", "check", "box.yaml", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


def test_json_has_a_row_a_problem():
    """Each with its level; what is about no place in a file is about the file that was checked."""
    rows = json.loads(format_problems(Format.json, FOUND, "specs/my box.yaml"))

    assert rows[0] == {
        "code": "LC021", "level": "error", "message": 'unknown key "exacly".', "file": "specs/my box.yaml",
        "line": 6, "column": 25, "advice": 'Did you mean "exactly"?',
    }  # fmt: skip
    assert [(row["code"], row["level"], row["file"], row["line"]) for row in rows[1:]] == [
        ("LC040", "warning", "specs/my box.yaml", 0),
        ("LC047", "note", "specs/my box.yaml", 6),
    ]


def test_sarif_names_the_rules_and_where_they_were_broken():
    """The whole catalogue as rules; each result points at its rule, its file and its place."""
    log = json.loads(format_problems(Format.sarif, FOUND, "/srv/box.yaml"))

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


def test_a_log_that_is_not_sarif_is_seen():
    """The check above can fail: a wrong index, a place before the first line, a rule without a text."""
    log = json.loads(format_problems(Format.sarif, FOUND, "box.yaml"))
    log["runs"][0]["results"][0]["ruleIndex"] += 1
    log["runs"][0]["results"][2]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    log["runs"][0]["tool"]["driver"]["rules"][3]["help"]["text"] = ""

    assert sarif_faults(log) == ["rule LC004", "result 0", "result 2"]


def test_fingerprints_stay_when_lines_move():
    """The same problem further down is the same one; two alike are two."""
    above = [Problem("LC040", "x.", "a.yaml", 3, 1), Problem("LC040", "x.", "a.yaml", 5, 1)]
    below = [Problem("LC040", "x.", "a.yaml", 4, 2), Problem("LC040", "x.", "a.yaml", 9, 2)]

    marks = [
        [
            result["partialFingerprints"]
            for result in json.loads(format_problems(Format.sarif, found, ""))["runs"][0]["results"]
        ]
        for found in (above, below)
    ]
    assert marks[0] == marks[1]
    assert marks[0][0] != marks[0][1]


def test_junit_has_a_case_a_problem():
    """Failures with code and message, notes as output; characters that XML cannot hold are replaced."""
    suites = ET.fromstring(format_problems(Format.junit, FOUND, "box.yaml"))

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


def test_junit_of_nothing_passes():
    """A build server takes a suite without cases for a mistake."""
    (suite,) = ET.fromstring(format_problems(Format.junit, [], "box.yaml"))

    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert [(case.get("name"), len(case)) for case in suite] == [("no problems", 0)]


@given(PROBLEMS)
def test_whatever_was_found_can_be_read_back(found):
    """Texts with anything in them give documents of as many problems."""
    rows, log, suites = (format_problems(form, found, "box.yaml") for form in (Format.json, Format.sarif, Format.junit))

    assert [row["message"] for row in json.loads(rows)] == [problem.message for problem in found]
    assert sarif_faults(json.loads(log)) == []
    assert len(json.loads(log)["runs"][0]["results"]) == len(found)
    assert len(ET.fromstring(suites)[0]) == max(len(found), 1)
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
def test_the_document_is_all_that_is_printed(check, text, code, exit_code):
    """Nothing, a warning, and errors that stop the check: all come out in the format, with the exit code."""
    codes = set()
    for form in ("json", "sarif", "junit"):
        stopped, out, err = check(text, "--format", form)
        assert (stopped, err) == (exit_code, "")
        if form == "json":
            codes = {row["code"] for row in json.loads(out)}
        elif form == "sarif":
            assert {result["ruleId"] for result in json.loads(out)["runs"][0]["results"]} == codes
        else:
            assert {case.get("type") for case in ET.fromstring(out).iter("failure")} == codes

    assert code in codes or (code is None and codes == set())


def test_json_is_a_short_form(check):
    """`--json` is `--format json`."""
    assert check(SPEC, "--json") == check(SPEC, "--format", "json")


def test_data_that_cannot_be_read_is_in_the_document(check):
    """What was found in the rules before the data failed is not lost."""
    stopped, out, err = check(SPEC, "--data", "nowhere", "--json")

    assert (stopped, err) == (2, "")
    assert [(row["code"], row["file"]) for row in json.loads(out)] == [
        ("LC040", "box.yaml"),
        ("LC101", "nowhere/annotations.json"),
    ]


def test_text_leaves_errors_to_the_command_line():
    """There they are shown with their lines."""
    with pytest.raises(SpecError), collect_problems(Format.text, "box.yaml"):
        raise SpecError(FOUND[0])


def test_only_notes_end_well(capsys):
    """A note is in the document; the exit code does not mind it."""
    with collect_problems(Format.json, "box.yaml") as found:
        found.append(FOUND[2])

    assert [row["level"] for row in json.loads(capsys.readouterr().out)] == ["note"]
