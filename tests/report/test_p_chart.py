"""p-chart: control limits, ordering, subgroups."""

import math
from dataclasses import replace
from itertools import count

import pytest
from PIL import Image

from logicls.report.p_chart import OutcomeSeries, build_p_chart, format_time, read_capture_time

from .cases import FAILED, PASSED, UNREADABLE


def make_photo(path, moment, fraction=""):
    """Write a photo with a capture time; return its path."""
    image, exif = Image.new("RGB", (8, 8)), Image.Exif()
    tags = exif.get_ifd(0x8769)
    tags[0x9003] = moment
    if fraction:
        tags[0x9291] = fraction
    image.save(path, exif=exif)
    return path


def test_limits_are_three_standard_deviations():
    """The limits are around the overall mean and clipped at 0; subgroups outside are out of control."""
    codes = bytes([0] * 90 + [1] * 10)

    chart = build_p_chart("fail", codes, [])

    margin = 3 * math.sqrt(0.1 * 0.9 / 10)
    assert [(g.first, g.last, g.count, g.share) for g in chart.groups[-2:]] == [(81, 90, 0, 0.0), (91, 100, 10, 1.0)]
    assert chart.mean == pytest.approx(0.1)
    assert chart.groups[0].low == 0.0
    assert chart.groups[0].high == pytest.approx(0.1 + margin)
    assert [g.first for g in chart.out_of_control] == [91]
    assert chart.axis_top == 1.0


def test_subgroups_partition_the_photos():
    """There are at most 40 subgroups, whose sizes differ by at most one."""
    chart = build_p_chart("review", bytes(1003), [])

    assert [b.first - a.last for a, b in zip(chart.groups, chart.groups[1:], strict=False)] == [1] * 39
    assert {g.size for g in chart.groups} == {25, 26}
    assert chart.groups[-1].last == 1003


def test_photos_with_capture_times_are_sorted(tmp_path):
    """Photos are sorted by EXIF capture time; unreadable photos are left out and counted."""
    series = OutcomeSeries(tmp_path)
    for minute, verdict in zip(count(), [FAILED] * 10 + [PASSED] * 10, strict=False):
        name = make_photo(tmp_path / f"{minute:02}.jpg", f"2026:03:01 10:{59 - minute:02}:00").name
        series.add(replace(verdict, photo=name))
    series.add(UNREADABLE)

    fails, reviews = series.build_charts()

    assert (series.is_by_time, series.untimed) == (True, 1)
    assert [(g.count, g.start_time) for g in fails.groups] == [(0, "2026-03-01 10:40"), (10, "2026-03-01 10:50")]
    assert [g.count for g in reviews.groups] == [0, 0]


def test_one_photo_without_a_time_keeps_the_order_of_verdicts(tmp_path):
    """Photos are sorted by time only if every readable photo has one."""
    make_photo(tmp_path / "a.jpg", "2026:03:01 10:00:00")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg")
    series = OutcomeSeries(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        series.add(replace(FAILED, photo=name))
    for _ in range(18):
        series.add(PASSED)

    fails, _ = series.build_charts()

    assert (series.is_by_time, series.untimed) == (False, 0)
    assert [(g.count, g.start_time) for g in fails.groups] == [(2, ""), (0, "")]


def test_too_few_photos_give_no_chart(tmp_path):
    """19 photos are fewer than two subgroups."""
    series = OutcomeSeries(tmp_path)
    for _ in range(19):
        series.add(FAILED)

    assert series.build_charts() == ()


def test_capture_time_is_read_with_its_fraction(tmp_path):
    """Invalid times and files that are not photos have no capture time."""
    photo = make_photo(tmp_path / "a.jpg", "2026:03:01 10:20:30", "25")
    (tmp_path / "b.jpg").write_bytes(b"no photo")

    assert read_capture_time(photo) % 60 == 30.25
    assert format_time(read_capture_time(photo)) == "2026-03-01 10:20"
    assert read_capture_time(make_photo(tmp_path / "c.jpg", "0000:00:00 00:00:00")) is None
    assert read_capture_time(tmp_path / "b.jpg") is None
