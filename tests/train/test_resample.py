"""Resampling while training: draws follow what was answered, and are told of in a table."""

from __future__ import annotations

import pytest
from PIL import Image

from logicls.train.fit import fit
from logicls.train.metrics_log import read_rows
from logicls.train.observer import SILENT
from logicls.train.recipe import Recipe

TINY = Recipe(
    steps=20, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=50
)


@pytest.fixture(scope="module")
def runs(synth, tmp_path_factory):
    """The folders of a run that resamples and of one that does not."""
    folders = []
    for name, difficulty in (("on", True), ("off", False)):
        folders.append(tmp_path_factory.mktemp(name))
        fit(synth, folders[-1], TINY.model_copy(update={"hard_example_mining": difficulty}), observer=SILENT)
    return folders


@pytest.mark.slow
def test_a_table_tells_of_each_kind(runs):
    """Every ten steps a row a kind, with its mean weight and what was drawn of it, and a picture of that."""
    on, off = runs

    rows = read_rows(on / "work" / "difficulty.csv")

    kinds = {row["kind"] for row in rows}
    assert "none" in kinds
    assert len(kinds) > 3
    assert [int(row["step"]) for row in rows] == [10] * len(kinds) + [20] * len(kinds)
    assert all(1 <= float(row["weight"]) <= 8 and 0 <= float(row["inexact"]) <= 1 for row in rows)
    assert sum(float(row["drawn"]) for row in rows if row["step"] == "10") >= 0.999
    with Image.open(on / "difficulty.png") as picture:
        assert picture.size[0] > 600
    assert not (off / "difficulty.png").exists()


@pytest.mark.slow
def test_it_changes_what_is_learned(runs):
    """Other examples come, so that other weights come out."""
    weights = [(folder / "model.safetensors").read_bytes() for folder in runs]

    assert weights[0] != weights[1]
