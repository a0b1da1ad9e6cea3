"""The p-chart: limits, order, and what it is about."""

import math
from dataclasses import replace
from itertools import count

import pytest
from PIL import Image

from logicls.report.p_chart import OutcomeSeries, format_time, build_p_chart, read_capture_time

from .cases import FAILED, PASSED, TORN


def shot(path, moment, fraction=""):
    """A photo that was taken then."""
    image, exif = Image.new("RGB", (8, 8)), Image.Exif()
    facts = exif.get_ifd(0x8769)
    facts[0x9003] = moment
    if fraction:
        facts[0x9291] = fraction
    image.save(path, exif=exif)
    return path


def test_limits_are_three_deviations_of_a_share():
    """Around the mean of all photos, cut off at 0; a group beyond them is out."""
    codes = bytes([0] * 90 + [1] * 10)

    chart = build_p_chart("fail", codes, [])

    spread = 3 * math.sqrt(0.1 * 0.9 / 10)
    assert [(g.first, g.last, g.count, g.share) for g in chart.groups[-2:]] == [(81, 90, 0, 0.0), (91, 100, 10, 1.0)]
    assert chart.mean == pytest.approx(0.1)
    assert chart.groups[0].low == 0.0
    assert chart.groups[0].high == pytest.approx(0.1 + spread)
    assert [g.first for g in chart.out_of_control] == [91]
    assert chart.axis_top == 1.0


def test_groups_take_up_every_photo_once():
    """At most 40 groups, whose sizes differ by one."""
    chart = build_p_chart("review", bytes(1003), [])

    assert [b.first - a.last for a, b in zip(chart.groups, chart.groups[1:], strict=False)] == [1] * 39
    assert {g.size for g in chart.groups} == {25, 26}
    assert chart.groups[-1].last == 1003


def test_photos_that_tell_their_time_are_put_in_its_order(tmp_path):
    """By EXIF, to fractions of a second; one that could not be read has no place there, and is counted."""
    course = OutcomeSeries(tmp_path)
    for minute, verdict in zip(count(), [FAILED] * 10 + [PASSED] * 10, strict=False):
        name = shot(tmp_path / f"{minute:02}.jpg", f"2026:03:01 10:{59 - minute:02}:00").name
        course.add(replace(verdict, photo=name))
    course.add(TORN)

    fails, reviews = course.build_charts()

    assert (course.is_by_time, course.untimed) == (True, 1)
    assert [(g.count, g.start_time) for g in fails.groups] == [(0, "2026-03-01 10:40"), (10, "2026-03-01 10:50")]
    assert [g.count for g in reviews.groups] == [0, 0]


def test_one_photo_without_a_time_puts_all_in_the_order_of_verdicts(tmp_path):
    """Half an order by time would be none."""
    shot(tmp_path / "a.jpg", "2026:03:01 10:00:00")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg")
    course = OutcomeSeries(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        course.add(replace(FAILED, photo=name))
    for _ in range(18):
        course.add(PASSED)

    fails, _ = course.build_charts()

    assert (course.is_by_time, course.untimed) == (False, 0)
    assert [(g.count, g.start_time) for g in fails.groups] == [(2, ""), (0, "")]


def test_few_photos_make_no_chart(tmp_path):
    """Nineteen are fewer than two groups."""
    course = OutcomeSeries(tmp_path)
    for _ in range(19):
        course.add(FAILED)

    assert course.build_charts() == ()


def test_the_camera_s_clock_is_read_as_it_is(tmp_path):
    """With its fraction; nonsense, and what is no photo, is no time."""
    photo = shot(tmp_path / "a.jpg", "2026:03:01 10:20:30", "25")
    (tmp_path / "b.jpg").write_bytes(b"no photo")

    assert read_capture_time(photo) % 60 == 30.25
    assert format_time(read_capture_time(photo)) == "2026-03-01 10:20"
    assert read_capture_time(shot(tmp_path / "c.jpg", "0000:00:00 00:00:00")) is None
    assert read_capture_time(tmp_path / "b.jpg") is None
