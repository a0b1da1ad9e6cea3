"""Verdicts as JUnit XML."""

import xml.etree.ElementTree as ET
from dataclasses import replace

from logicls.predict.serialization import result_id
from logicls.report.junit import write_junit

from .cases import FAILED, LABELS, PASSED, REVIEW, UNREADABLE


def write_and_parse(tmp_path, *verdicts):
    """Write verdicts and return the root of the XML."""
    write_junit(lambda: iter(verdicts), tmp_path / "j.xml", LABELS)
    return ET.parse(tmp_path / "j.xml").getroot()


def test_each_photo_is_a_test_case(tmp_path):
    """The counts are attributes; photos that pass have no failure; folders are class names."""
    root = write_and_parse(tmp_path, FAILED, replace(PASSED, photo="line 2/a/good.jpg"), REVIEW, UNREADABLE)

    (suite,) = root
    attributes = {"tests": "4", "failures": "3", "errors": "0", "skipped": "0", "time": "0.060"}
    assert root.attrib == attributes
    assert suite.attrib == {"name": "lid box", **attributes}
    assert [(case.get("classname"), case.get("name"), case.get("time")) for case in suite] == [
        ("lid box", "bad.jpg", "0.020"), ("line 2.a", "good.jpg", "0.020"), ("lid box", "unsure.jpg", "0.020"),
        ("lid box", "truncated.jpg", "0.000"),
    ]  # fmt: skip
    assert [case.find("failure") is not None for case in suite] == [True, False, True, True]


def test_a_failure_lists_its_evidence(tmp_path):
    """It has the rule, expected and found values, and the questions with answers, boxes and confidences."""
    finding = replace(FAILED.findings[0], queries=("locate:lid", "locate:pin"))
    ((case,),) = write_and_parse(tmp_path, replace(FAILED, findings=(finding, *FAILED.findings[1:])))

    failure = case.find("failure")
    assert failure.attrib == {"type": "fail", "message": "gone"}
    assert failure.text.splitlines() == [
        "gone (critical): exactly 1 lid",
        "  expected 1 lid, found 0 lids",
        "  where is every lid? none, confidence 100%",
        "  where is every pin? 1 found [10 10 60 50], confidence 80%",
    ]
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties["result"] == result_id(FAILED)
    assert properties["thresholds"] == "t1"


def test_review_is_a_separate_type_of_failure(tmp_path):
    """Reviews are not skipped tests, which build servers hide; the message is the reason."""
    ((review, unreadable),) = write_and_parse(tmp_path, REVIEW, UNREADABLE)

    assert review.find("failure").attrib == {"type": "review", "message": "the answers differ"}
    assert unreadable.find("failure").text == "needs review: the file is truncated"


def test_any_photo_name_gives_valid_xml(tmp_path):
    """Markup is escaped, and characters that XML does not allow are replaced."""
    name = 'a"<&>\x01.jpg'

    ((case,),) = write_and_parse(tmp_path, replace(UNREADABLE, photo=name))

    assert case.get("name") == 'a"<&>\N{REPLACEMENT CHARACTER}.jpg'
