"""Metrics logs: a resumed run continues at its checkpoint."""

from __future__ import annotations

from PIL import Image

from logicls.train.metrics_log import MetricsLog, plot_by_class, read_metric, read_rows


def test_repeated_rows_are_dropped(tmp_path):
    """A torn last line is dropped too; the header is free."""
    path = tmp_path / "a.csv"
    with MetricsLog(path, 0, "step,class,weight") as curve:
        for step in (1, 2, 3):
            curve.add(step, "none", step / 3)
    with path.open("a") as file:
        file.write("4,no")

    with MetricsLog(path, 2, "step,class,weight") as curve:
        curve.add(3, "bent", 0.5)

    assert path.read_text() == "step,class,weight\n1,none,0.33333\n2,none,0.66667\n3,bent,0.50000\n"
    assert read_rows(path)[-1] == {"step": "3", "class": "bent", "weight": "0.50000"}
    assert read_metric(path, "weight") == [(1, 0.33333), (2, 0.66667), (3, 0.5)]


def test_classes_are_plotted_in_panels(tmp_path):
    """A panel per column."""
    with MetricsLog(tmp_path / "a.csv", 0, "step,class,weight,sampled_share") as curve:
        for step in (10, 20):
            curve.add(step, "none", 1.0, 0.9)
            curve.add(step, "bent", 2.0, 0.1)

    plot_by_class(tmp_path / "a.csv", tmp_path / "a.png", [("weight", "weights"), ("sampled_share", "samples")])

    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 800
