"""Metrics of a LOCO test set and sPRO against values calculated by hand, and sPRO against its definition."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.cli.report import compare_with_truth
from logicls.errors import DataError
from logicls.evaluation.mvtec_loco import read_loco
from logicls.evaluation.mvtec_loco_scores import (
    SproCurve,
    compute_histograms,
    compute_loco_metrics,
    compute_spro_curve,
    match_verdicts,
    rule_truth,
)
from logicls.io.jsonl import Appender
from logicls.predict.serialization import verdict_to_json
from logicls.records import Box


def measure(loco, verdicts, ignored=0):
    """Return the metrics of the verdicts."""
    product = read_loco(loco)
    return compute_loco_metrics(product, match_verdicts(verdicts, product)[0], ignored_verdicts=ignored)


def test_metrics_of_each_kind_of_anomaly(loco, verdicts):
    """Logical ones score above both good photos; the dent above one of two, and it passed."""
    logical, structural = measure(loco, verdicts).splits

    assert (logical.name, logical.n, logical.auroc) == ("logical", 2, 1)
    assert (logical.fail_rate.count, logical.escape_rate.count) == (2, 0)
    assert (structural.name, structural.n, structural.auroc) == ("structural", 1, 0.5)
    assert (structural.fail_rate.count, structural.escape_rate.count) == (0, 1)
    assert measure(loco, verdicts).mean_auroc == 0.75


def test_metrics_of_each_defect(loco, verdicts):
    """missing_pin is on two photos and found on one; no rule has the name dent."""
    extra, missing, dent = measure(loco, verdicts).defects

    assert (extra.name, extra.n, extra.recall.count, extra.auroc) == ("extra_pin", 1, 1, 1)
    assert (missing.name, missing.n, missing.recall.count, missing.recall.total) == ("missing_pin", 2, 1, 2)
    assert missing.fail_rate.count == 2
    assert (dent.name, dent.split, dent.recall, dent.auroc) == ("dent", "structural", None, 0.5)


def test_spro_of_evidence_boxes(loco, verdicts):
    """Five of ten pixels, none of two, four of four: (0.5 + 0 + 1) / 3 without a false pixel; then linear to 1."""
    logical = measure(loco, verdicts).splits[0]

    assert dict(logical.spro) == pytest.approx({0.05: 0.5 + 0.5 * 0.05 / 2, 0.3: 0.5 + 0.5 * 0.3 / 2})


def test_empty_map_has_half_the_limit(loco, verdicts):
    """The dent has no evidence box."""
    assert dict(measure(loco, verdicts).splits[1].spro) == pytest.approx({0.05: 0.025, 0.3: 0.15})


def test_boxes_are_scaled_to_the_mask(loco, verdicts, make_verdict):
    """The verdict of a photo of twice the size has the same metrics."""
    large = make_verdict("logical_anomalies/000.png", "missing_pin", score=0.9, boxes=[Box(0, 0, 10, 2)], size=20)

    assert measure(loco, [*verdicts[:2], large, *verdicts[3:]]) == measure(loco, verdicts)


def test_satisfied_rules_are_not_in_the_map(loco, verdicts, make_verdict):
    """Their boxes are no evidence of an anomaly."""
    satisfied = replace(make_verdict("good/000.png", score=0.1, boxes=[Box(0, 0, 10, 10)]))

    assert measure(loco, [satisfied, *verdicts[1:]]) == measure(loco, verdicts)


@pytest.mark.parametrize("base", ["", "test/", "pin_box/test/"])
def test_verdicts_are_matched_below_any_parent_folder(loco, verdicts, base, make_verdict):
    """`test`, the product, or its parent may have been predicted; photos of other sets are ignored."""
    renamed = [replace(verdict, photo=base + verdict.photo) for verdict in verdicts]
    other = make_verdict(f"{base.removesuffix('test/')}validation/good/000.png")
    product = read_loco(loco)

    matched, others = match_verdicts([*renamed, other], product)

    assert list(matched) == [photo.name for photo in product.photos]
    assert others == (other,)
    assert rule_truth(product, matched) == {
        f"{base}good/000.png": (),
        f"{base}good/001.png": (),
        f"{base}logical_anomalies/000.png": ("missing_pin",),
        f"{base}logical_anomalies/001.png": ("extra_pin", "missing_pin"),
    }


def test_missing_verdicts_are_an_error(loco, verdicts):
    """The message names the photos, the first verdict, and the folder to predict."""
    with pytest.raises(DataError) as caught:
        match_verdicts(
            [replace(verdict, photo=verdict.photo.rpartition("/")[2]) for verdict in verdicts[:1]], read_loco(loco)
        )

    (problem,) = caught.value.problems
    assert problem.code == "LC654"
    assert "5 of 5 test photos have no verdict: good/000.png, good/001.png, logical" in problem.message
    assert 'The first verdict is of "000.png". Predict the whole folder' in problem.advice


def test_json_has_every_metric(loco, verdicts):
    """Splits with their defects, the mean, and the number of ignored verdicts."""
    board = measure(loco, verdicts, ignored=3).to_json()

    assert set(board) == {"logical", "structural", "mean", "left_out"}
    assert board["mean"] == {"auroc": 0.75, "spro": pytest.approx({"0.05": 0.26875, "0.3": 0.3625})}
    assert board["logical"]["defects"]["missing_pin"]["recall"] == 0.5
    assert board["structural"]["defects"]["dent"]["recall"] is None
    assert board["left_out"] == 3


def test_report_compares_with_the_dataset(loco, verdicts, tmp_path):
    """Logical anomalies have their defects as truth; structural ones are not about rules."""
    with Appender(tmp_path / "out" / "verdicts.jsonl") as file:
        for verdict in verdicts:
            file.append(verdict_to_json(verdict))

    comparison = compare_with_truth(tmp_path / "out", loco)

    assert comparison.truth["logical_anomalies/000.png"] == ("missing_pin",)
    assert comparison.truth["good/000.png"] == ()
    assert "structural_anomalies/000.png" not in comparison.truth
    assert comparison.board.n == len(comparison.truth) == 4


def draw_map(*parts):
    """Draw a map of 10 x 10 pixels: rows, columns and value of each part."""
    out = np.zeros((10, 10), np.float32)
    for rows, columns, value in parts:
        out[rows, columns] = value
    return out


def photos():
    """Return a region of 20 pixels with saturation 10, 5 of them at 0.9 and 5 at 0.6, and 15 and 9 false pixels."""
    region = draw_map((slice(0, 2), slice(None), 1)) > 0
    bad = draw_map((slice(0, 5), slice(5, 10), 0.6), (slice(0, 1), slice(0, 5), 0.9))
    good = draw_map((slice(0, 3), slice(0, 3), 0.3))
    return [compute_histograms(bad, [(region, 10)]), compute_histograms(good, [])]


def test_spro_curve():
    """Half is found without a false pixel; the rest costs 15 of 180; nine more add nothing; finally every pixel."""
    curve = compute_spro_curve(photos())

    assert curve.rates == pytest.approx((0, 0, 15 / 180, 24 / 180, 1))
    assert curve.spros == pytest.approx((0, 0.5, 1, 1, 1))


def test_areas_under_the_spro_curve():
    """Up to 0.05 the curve rises from 0.5 to 0.8; up to 0.3 it reaches 1 at 1/12 and stays there."""
    curve = compute_spro_curve(photos())

    assert curve.area(0.05) == pytest.approx(0.65)
    assert curve.area(0.3) == pytest.approx((0.75 / 12 + 0.3 - 1 / 12) / 0.3)
    assert curve.area(1) == pytest.approx(1 - 0.25 / 12)


def test_regions_have_equal_weight():
    """A small region that is found and a large one that is not give one half."""
    small, large = draw_map((0, 0, 1)) > 0, draw_map((slice(5, 10), slice(None), 1)) > 0

    curve = compute_spro_curve([compute_histograms(draw_map((0, 0, 0.9)), [(small, 1), (large, 50)])])

    assert curve.spros[:2] == (0.0, 0.5)


def test_constant_map_has_half_the_limit():
    """A map of one value is a straight line from (0, 0) to (1, 1)."""
    region = draw_map((0, 0, 1)) > 0

    curve = compute_spro_curve([compute_histograms(draw_map(), [(region, 1)])])

    assert curve == SproCurve((0.0, 1.0), (0.0, 1.0))
    assert curve.area(0.05) == pytest.approx(0.025)


def test_no_curve_without_regions():
    """Good photos have no region."""
    assert compute_spro_curve([compute_histograms(draw_map(), [])]) is None


@given(seed=st.integers(0, 10_000), limit=st.sampled_from([0.05, 0.3, 1.0]))
def test_area_matches_the_definition(seed, limit):
    """On random maps: the overlap and the false pixels of the set of pixels at each threshold."""
    rng = np.random.default_rng(seed)
    maps = rng.choice([0, 0.2, 0.5, 0.7, 1], (3, 10, 10)).astype(np.float32)
    regions = [[(rng.random((10, 10)) < 0.2, int(rng.integers(1, 9))) for _ in range(n)] for n in (2, 1, 0)]
    clean = [~np.any([np.zeros((10, 10), bool), *(mask for mask, _ in pairs)], axis=0) for pairs in regions]
    points = [(0.0, 0.0)]
    for threshold in (1, 0.7, 0.5, 0.2, 0):
        predicted = [anomaly >= np.float32(threshold) for anomaly in maps]
        false_rate = sum((c & free).sum() for c, free in zip(predicted, clean, strict=True)) / sum(map(np.sum, clean))
        overlaps = [min((c & p).sum() / s, 1) for c, pairs in zip(predicted, regions, strict=True) for p, s in pairs]
        points.append((false_rate, np.mean(overlaps)))
    xs, ys = map(np.array, zip(*points, strict=True))
    fine = np.linspace(0, limit, 20001)
    expected = np.trapezoid(np.interp(fine, xs, ys), fine) / limit

    curve = compute_spro_curve([compute_histograms(m, pairs) for m, pairs in zip(maps, regions, strict=True)])

    assert curve.area(limit) == pytest.approx(expected, abs=1e-3)
