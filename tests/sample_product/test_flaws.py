"""Surface flaws on the sample product."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from logicls.sample_product.flaws import FLAWS, STRUCTURAL, main, write_damaged_photos
from logicls.sample_product.render import LOGICAL_VIOLATIONS, create_good_kit, render


@pytest.mark.parametrize("kind", FLAWS)
def test_flaw_is_inside_its_box(kind: str) -> None:
    """Photos with and without the flaw differ inside the flaw's box and hardly anywhere else."""
    for seed in range(3):
        add_flaw = partial(FLAWS[kind], rng=np.random.default_rng(seed))
        good, scene = render(create_good_kit(np.random.default_rng(seed)), np.random.default_rng(seed))
        flawed, after = render(create_good_kit(np.random.default_rng(seed)), np.random.default_rng(seed), "", add_flaw)

        assert after.instances[:-1] == scene.instances
        box = after.instances[-1].box
        change = np.abs(flawed.astype(int) - good).max(-1)
        rows, columns = np.nonzero(change > 25)
        inside = (rows > box.y1 - 8) & (rows < box.y2 + 8) & (columns > box.x1 - 8) & (columns < box.x2 + 8)
        assert len(rows) > 5
        assert inside.mean() > 0.95


def test_ground_truth_of_flaws(tmp_path: Path) -> None:
    """truth.csv names flaws and violations, flaws.csv each flaw's kind and box; a seed determines all files."""
    for name in ("one", "two"):
        write_damaged_photos(tmp_path / name, per_flaw=2, good=3, seed=5)

    truth, flaws = (
        list(csv.DictReader((tmp_path / "one" / name).read_text(encoding="utf-8").splitlines()))
        for name in ("truth.csv", "flaws.csv")
    )
    violations = [set(row["violations"].split(";")) - {""} for row in truth]
    assert [STRUCTURAL in names for names in violations] == [False] * 3 + [True] * 10
    assert set().union(*violations) - {STRUCTURAL} <= {*LOGICAL_VIOLATIONS, "damaged_tablet"}
    assert any(names & set(LOGICAL_VIOLATIONS) for names in violations)
    assert [row["flaw"] for row in flaws] == [kind for kind in FLAWS for _ in range(2)]
    files = [sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in ("one", "two")]
    assert len(files[0]) == 15
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_a_flaw_on_a_tablet_breaks_its_rule(tmp_path: Path) -> None:
    """truth.csv says damaged_tablet for the photos whose flaw lies on a tablet, and for no other."""
    write_damaged_photos(tmp_path, per_flaw=4, good=0, seed=1)

    truth = list(csv.DictReader((tmp_path / "truth.csv").read_text(encoding="utf-8").splitlines()))
    damaged = {row["image"] for row in truth if "damaged_tablet" in row["violations"]}
    flaws = list(csv.DictReader((tmp_path / "flaws.csv").read_text(encoding="utf-8").splitlines()))
    beside = {row["image"] for row in flaws if float(row["x1"]) > 170 or float(row["x2"]) < 115}
    assert len(damaged) > 2
    assert len(beside) > 2
    assert damaged & beside == set()


def test_command(tmp_path: Path) -> None:
    """The module writes as many photos as its options request."""
    main([str(tmp_path / "out"), "--per-flaw", "1", "--good", "1", "--seed", "2"])

    assert len(list((tmp_path / "out" / "images").iterdir())) == 6
