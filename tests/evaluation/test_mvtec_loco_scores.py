"""Verdicts on a LOCO test set against figures that were worked out by hand."""

from dataclasses import replace

import pytest

from logicls.cli.report import compare_with_truth
from logicls.errors import DataError
from logicls.evaluation.mvtec_loco import read_loco
from logicls.evaluation.mvtec_loco_scores import match_verdicts, rule_truth, compute_loco_metrics
from logicls.io.jsonl import Appender
from logicls.predict.serialization import verdict_to_json
from logicls.records import Box


def scored(loco, verdicts, left_out=0):
    """The figures of the verdicts on the folder."""
    product = read_loco(loco)
    return compute_loco_metrics(product, match_verdicts(verdicts, product)[0], ignored_verdicts=left_out)


def test_logical_and_structural_anomalies_are_apart(loco, verdicts):
    """Logical ones score above both good photos; the dent above one of two, and it passed."""
    logical, structural = scored(loco, verdicts).splits

    assert (logical.name, logical.n, logical.auroc) == ("logical", 2, 1)
    assert (logical.fail_rate.count, logical.escape_rate.count) == (2, 0)
    assert (structural.name, structural.n, structural.auroc) == ("structural", 1, 0.5)
    assert (structural.fail_rate.count, structural.escape_rate.count) == (0, 1)
    assert scored(loco, verdicts).mean_auroc == 0.75


def test_each_defect_has_its_own_figures(loco, verdicts):
    """missing_pin is on two photos and named on one; no rule knows a dent."""
    extra, missing, dent = scored(loco, verdicts).defects

    assert (extra.name, extra.n, extra.recall.count, extra.auroc) == ("extra_pin", 1, 1, 1)
    assert (missing.name, missing.n, missing.recall.count, missing.recall.total) == ("missing_pin", 2, 1, 2)
    assert missing.fail_rate.count == 2
    assert (dent.name, dent.split, dent.recall, dent.auroc) == ("dent", "structural", None, 0.5)


def test_spro_of_the_evidence_worked_out_by_hand(loco, verdicts):
    """Five of ten pixels, none of two, four of four: (0.5 + 0 + 1) / 3 without a false pixel; then straight to 1."""
    logical = scored(loco, verdicts).splits[0]

    assert dict(logical.spro) == pytest.approx({0.05: 0.5 + 0.5 * 0.05 / 2, 0.3: 0.5 + 0.5 * 0.3 / 2})


def test_a_map_without_evidence_is_chance(loco, verdicts):
    """The dent was not seen: half the limit."""
    assert dict(scored(loco, verdicts).splits[1].spro) == pytest.approx({0.05: 0.025, 0.3: 0.15})


def test_boxes_of_a_photo_of_another_size_are_scaled(loco, verdicts, told):
    """The same verdict on a photo twice as large finds the same."""
    large = told("logical_anomalies/000.png", "missing_pin", score=0.9, boxes=[Box(0, 0, 10, 2)], size=20)

    assert scored(loco, [*verdicts[:2], large, *verdicts[3:]]) == scored(loco, verdicts)


def test_the_surest_of_two_boxes_counts_and_rules_that_hold_show_nothing(loco, verdicts, told):
    """What holds is no evidence of an anomaly, however large its boxes."""
    quiet = replace(told("good/000.png", score=0.1, boxes=[Box(0, 0, 10, 10)]))

    assert scored(loco, [quiet, *verdicts[1:]]) == scored(loco, verdicts)


@pytest.mark.parametrize("base", ["", "test/", "pin_box/test/"])
def test_verdicts_of_any_folder_above_are_found(loco, verdicts, base, told):
    """`test`, the product, or what it lies in may have been predicted; photos of other sets count nowhere."""
    renamed = [replace(verdict, photo=base + verdict.photo) for verdict in verdicts]
    other = told(f"{base.removesuffix('test/')}validation/good/000.png")
    product = read_loco(loco)

    placed, others = match_verdicts([*renamed, other], product)

    assert list(placed) == [photo.name for photo in product.photos]
    assert others == (other,)
    assert rule_truth(product, placed) == {
        f"{base}good/000.png": (),
        f"{base}good/001.png": (),
        f"{base}logical_anomalies/000.png": ("missing_pin",),
        f"{base}logical_anomalies/001.png": ("extra_pin", "missing_pin"),
    }


def test_photos_without_a_verdict_are_named(loco, verdicts):
    """The message names them, what the verdicts are of, and the folder to predict."""
    with pytest.raises(DataError) as caught:
        match_verdicts(
            [replace(verdict, photo=verdict.photo.rpartition("/")[2]) for verdict in verdicts[:1]], read_loco(loco)
        )

    (problem,) = caught.value.problems
    assert problem.code == "LC654"
    assert "5 of 5 test photos have no verdict: good/000.png, good/001.png, logical" in problem.message
    assert 'The first verdict is of "000.png". Predict the folder' in problem.advice


def test_the_json_has_every_figure(loco, verdicts):
    """Splits with their defects, the mean, and what was not counted."""
    board = scored(loco, verdicts, left_out=3).to_json()

    assert set(board) == {"logical", "structural", "mean", "left_out"}
    assert board["mean"] == {"auroc": 0.75, "spro": pytest.approx({"0.05": 0.26875, "0.3": 0.3625})}
    assert board["logical"]["defects"]["missing_pin"]["recall"] == 0.5
    assert board["structural"]["defects"]["dent"]["recall"] is None
    assert board["left_out"] == 3


def test_a_report_holds_verdicts_against_the_folder(loco, verdicts, tmp_path):
    """Photos that break rules have the names of their defects as their truth; dents are not about rules."""
    with Appender(tmp_path / "out" / "verdicts.jsonl") as file:
        for verdict in verdicts:
            file.append(verdict_to_json(verdict))

    held = compare_with_truth(tmp_path / "out", loco)

    assert held.truth["logical_anomalies/000.png"] == ("missing_pin",)
    assert held.truth["good/000.png"] == ()
    assert "structural_anomalies/000.png" not in held.truth
    assert held.board.n == len(held.truth) == 4
