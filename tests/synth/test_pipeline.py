"""The dataset on disk: complete after a break, the same bytes, and never a mixture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.io.resources import share
from logicls.io.run_manifest import claimed
from logicls.synth import pipeline as module
from logicls.synth.dataset import build_row
from logicls.synth.dataset_card import load_coverage, measure_coverage
from logicls.synth.pipeline import SynthesisRequest, build_dataset, generate_preview, load_source


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SynthesisRequest:
    """Ten examples, four a shard."""
    monkeypatch.setattr(module, "SHARD", 4)
    return SynthesisRequest(share("constraints/dosing_kit.yaml"), share("data/dosing_kit"), tmp_path / "set", 10, 5)


def content(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_broken_run_goes_on(order: SynthesisRequest) -> None:
    """What is missing is made again with the same bytes; what is there is not touched."""
    assert build_dataset(order, workers=1) == 10
    whole = content(order.out)
    kept = order.out / "data" / "train-00000-of-00003.parquet"
    made = kept.stat().st_mtime_ns
    (order.out / "data" / "train-00001-of-00003.parquet").unlink()

    assert build_dataset(order, workers=1) == 10

    assert content(order.out) == whole
    assert kept.stat().st_mtime_ns == made
    assert sorted(whole) == [
        "README.md",
        *(f"data/train-0000{number}-of-00003.parquet" for number in range(3)),
        "distribution.png",
        "spec.yaml",
        "synth.json",
    ]


def test_other_settings_are_refused(order: SynthesisRequest) -> None:
    """A folder holds one set: the message says what differs, and nothing there changes."""
    build_dataset(order, workers=1)
    whole = content(order.out)

    with pytest.raises(DataError) as caught:
        build_dataset(replace(order, seed=6, count=12), workers=1)

    said = "the folder was begun with other settings: count 10 there, 12 now; seed 5 there, 6 now."
    assert [(p.code, p.message, p.advice) for p in caught.value.problems] == [
        ("LC401", said, "Choose another --out, or delete the folder.")
    ]
    assert content(order.out) == whole


def test_hugging_face_opens_it(order: SynthesisRequest, tmp_path: Path) -> None:
    """`load_dataset` reads the folder as it stands: pictures, questions and answers, row by row."""
    build_dataset(order, workers=1)

    rows = datasets.load_dataset(str(order.out), cache_dir=str(tmp_path / "cache"))["train"]

    assert rows["seed"][:] == list(range(10))
    row = rows[0]
    assert row["image"].size == (row["width"], row["height"])
    assert len(row["queries"]) == len(row["questions"]) == len(row["values"]) == len(row["boxes"])
    assert row["queries"][-1] == "verdict"
    assert row["values"][-1] == row["violations"]
    assert {(number, pair) for number, pair in enumerate(rows["pair"]) if pair >= 0} == {
        (number, number // 2) for number, pair in enumerate(rows["pair"]) if pair >= 0
    }
    assert load_coverage(order.out) == measure_coverage(generate_preview(order, 10))


def test_wordings_differ_between_seeds(order: SynthesisRequest) -> None:
    """The same example number of another set is asked otherwise; of the same set in the same way."""
    maker = load_source(order).create_generator()
    example = maker.generate(order.seed, 0)

    asked = {seed: build_row(maker, example, seed)["questions"] for seed in range(6)}

    assert len({tuple(questions) for questions in asked.values()}) == 6
    assert build_row(maker, example, 3)["questions"] == asked[3]


def test_how_photos_are_stored_is_written_down(order: SynthesisRequest, tmp_path: Path) -> None:
    """What is unusual about some of them is there for the bundle that learns from the set."""
    data = shutil.copytree(order.data, tmp_path / "data")
    printed = sorted((data / "images").glob("*.jpg"))[0]
    Image.open(printed).convert("CMYK").save(printed)

    for folder in (order.data, data):
        build_dataset(replace(order, data=folder, out=tmp_path / folder.name, count=1), workers=1)

    made = [claimed(tmp_path / folder.name / "synth.json")["stored"] for folder in (order.data, data)]
    assert made == [[], ["CMYK"]]
