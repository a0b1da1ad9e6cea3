"""The dataset on disk: complete after an interruption, reproducible, and never mixed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.io.resources import resource_path
from logicls.io.run_manifest import read_manifest
from logicls.synth import pipeline as module
from logicls.synth.dataset import build_row
from logicls.synth.dataset_card import load_coverage, measure_coverage
from logicls.synth.pipeline import SynthesisRequest, build_dataset, generate_preview, load_source


@pytest.fixture
def request_of_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SynthesisRequest:
    """Ten examples, four per shard."""
    monkeypatch.setattr(module, "SHARD_SIZE", 4)
    return SynthesisRequest(
        resource_path("constraints/dosing_kit.yaml"), resource_path("data/dosing_kit"), tmp_path / "set", 10, 5
    )


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of every file."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_run_resumes(request_of_ten: SynthesisRequest) -> None:
    """Missing shards are generated again with the same bytes; existing ones are not touched."""
    assert build_dataset(request_of_ten, workers=1) == 10
    files = content(request_of_ten.out)
    first_shard = request_of_ten.out / "data" / "train-00000-of-00003.parquet"
    modified = first_shard.stat().st_mtime_ns
    (request_of_ten.out / "data" / "train-00001-of-00003.parquet").unlink()

    assert build_dataset(request_of_ten, workers=1) == 10

    assert content(request_of_ten.out) == files
    assert first_shard.stat().st_mtime_ns == modified
    assert sorted(files) == [
        "README.md",
        *(f"data/train-0000{number}-of-00003.parquet" for number in range(3)),
        "distribution.png",
        "spec.yaml",
        "synth.json",
    ]


def test_other_settings_are_an_error(request_of_ten: SynthesisRequest) -> None:
    """A folder holds one dataset: the message says what differs, and nothing in the folder changes."""
    build_dataset(request_of_ten, workers=1)
    files = content(request_of_ten.out)

    with pytest.raises(DataError) as caught:
        build_dataset(replace(request_of_ten, seed=6, count=12), workers=1)

    message = "the folder was started with other settings: count is 12, was 10; seed is 6, was 5."
    assert [(p.code, p.message, p.advice) for p in caught.value.problems] == [
        ("LC401", message, "Choose another --out, or delete the folder.")
    ]
    assert content(request_of_ten.out) == files


def test_hugging_face_loads_the_dataset(request_of_ten: SynthesisRequest, tmp_path: Path) -> None:
    """`load_dataset` reads the folder: images, questions and answers, row by row."""
    build_dataset(request_of_ten, workers=1)

    rows = datasets.load_dataset(str(request_of_ten.out), cache_dir=str(tmp_path / "cache"))["train"]

    assert rows["seed"][:] == list(range(10))
    row = rows[0]
    assert row["image"].size == (row["width"], row["height"])
    assert len(row["queries"]) == len(row["questions"]) == len(row["values"]) == len(row["boxes"])
    assert row["queries"][-1] == "verdict"
    assert row["values"][-1] == row["violations"]
    assert {(number, pair) for number, pair in enumerate(rows["pair"]) if pair >= 0} == {
        (number, number // 2) for number, pair in enumerate(rows["pair"]) if pair >= 0
    }
    assert load_coverage(request_of_ten.out) == measure_coverage(generate_preview(request_of_ten, 10))


def test_phrasings_differ_between_seeds(request_of_ten: SynthesisRequest) -> None:
    """The same example has other phrasings in another set, and the same ones in the same set."""
    generator = load_source(request_of_ten).create_generator()
    example = generator.generate(request_of_ten.seed, 0)

    questions = {seed: build_row(generator.spec, example, seed)["questions"] for seed in range(6)}

    assert len({tuple(questions) for questions in questions.values()}) == 6
    assert build_row(generator.spec, example, 3)["questions"] == questions[3]


def test_storage_properties_are_recorded(request_of_ten: SynthesisRequest, tmp_path: Path) -> None:
    """Unusual storage of some photos is recorded for the bundle that is trained on the dataset."""
    data = shutil.copytree(request_of_ten.data, tmp_path / "data")
    cmyk_photo = sorted((data / "images").glob("*.jpg"))[0]
    Image.open(cmyk_photo).convert("CMYK").save(cmyk_photo)

    for folder in (request_of_ten.data, data):
        build_dataset(replace(request_of_ten, data=folder, out=tmp_path / folder.name, count=1), workers=1)

    modified = [
        read_manifest(tmp_path / folder.name / "synth.json")["stored"] for folder in (request_of_ten.data, data)
    ]
    assert modified == [[], ["CMYK"]]
