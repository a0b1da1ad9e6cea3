"""Verdicts as a build server reads them."""

import xml.etree.ElementTree as ET
from dataclasses import replace

from logicls.predict.serialization import result_id
from logicls.report.junit import write_junit

from .cases import FAILED, PASSED, TORN, UNSURE, WORDS


def written(tmp_path, *verdicts):
    """The root of the XML."""
    write_junit(lambda: iter(verdicts), tmp_path / "j.xml", WORDS)
    return ET.parse(tmp_path / "j.xml").getroot()


def test_a_test_case_a_photo(tmp_path):
    """Counts come first; what passes has no failure; folders are classes."""
    root = written(tmp_path, FAILED, replace(PASSED, photo="line 2/a/good.jpg"), UNSURE, TORN)

    (suite,) = root
    facts = {"tests": "4", "failures": "3", "errors": "0", "skipped": "0", "time": "0.060"}
    assert root.attrib == facts
    assert suite.attrib == {"name": "lid box", **facts}
    assert [(case.get("classname"), case.get("name"), case.get("time")) for case in suite] == [
        ("lid box", "bad.jpg", "0.020"), ("line 2.a", "good.jpg", "0.020"), ("lid box", "unsure.jpg", "0.020"),
        ("lid box", "torn.jpg", "0.000"),
    ]  # fmt: skip
    assert [case.find("failure") is not None for case in suite] == [True, False, True, True]


def test_a_failure_has_the_evidence(tmp_path):
    """The rule in words, expected against found, the questions with what was read and where."""
    moved = replace(FAILED.findings[0], queries=("locate:lid", "locate:pin"))
    ((case,),) = written(tmp_path, replace(FAILED, findings=(moved, *FAILED.findings[1:])))

    failure = case.find("failure")
    assert failure.attrib == {"type": "fail", "message": "gone"}
    assert failure.text.splitlines() == [
        "gone (critical): exactly 1 lid",
        "  expected 1 lid, found 0 lids",
        "  where is every lid? none, sure to 100%",
        "  where is every pin? 1 found [10 10 60 50], sure to 80%",
    ]
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties["result"] == result_id(FAILED)
    assert properties["thresholds"] == "t1"


def test_review_is_a_failure_of_its_own_type(tmp_path):
    """It is not skipped, which build servers hide; the message is why a person is asked."""
    ((unsure, torn),) = written(tmp_path, UNSURE, TORN)

    assert unsure.find("failure").attrib == {"type": "review", "message": "the answers differ"}
    assert torn.find("failure").text == "for a person to decide: the file is truncated"


def test_any_name_makes_sound_xml(tmp_path):
    """Markup is text, and characters that XML does not have are replaced."""
    name = 'a"<&>\x01.jpg'

    ((case,),) = written(tmp_path, replace(TORN, photo=name))

    assert case.get("name") == 'a"<&>\N{REPLACEMENT CHARACTER}.jpg'
