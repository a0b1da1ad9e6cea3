"""Prediction of a folder: every photo has one verdict, whatever its format and however a run ended."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.predict.decision import decide
from logicls.predict.folder.runner import predict_folder
from logicls.predict.readers.nano import NanoReader
from logicls.predict.readers.protocol import predict_arrays
from logicls.predict.serialization import read_verdicts

EXIF = Image.Exif()
EXIF[0x0112] = 6
STORED = {
    "deep.png": "stored with 16 bits per channel",
    "grey-deep.tif": "stored with 16 bits per channel",
    "print.jpg": "stored in CMYK",
    "web.png": "stored with a palette",
    "clear.png": "stored with an alpha channel",
    "turned.jpg": "stored with an EXIF rotation",
    "bits.png": "stored with 1 bit per pixel",
}
REFUSED = {
    "empty.jpg": '"empty.jpg" is empty: 0 bytes.',
    "cut.jpg": '"cut.jpg" is damaged or truncated: image file is truncated',
    "text.jpg": '"text.jpg" is not an image that can be read.',
    "bomb.png": '"bomb.png" has 20000 x 6000 pixels, more than the limit of 100000000.',
    "film.gif": '"film.gif" has 2 frames.',
    "film.png": '"film.png" has 2 frames.',
    "pages.tif": '"pages.tif" has 2 frames.',
    "film.webp": '"film.webp" has 2 frames.',
    "gone.jpg": '"gone.jpg" cannot be opened: No such file or directory.',
    "phone.heic": '"phone.heic" is not an image that can be read.',
}


def save_odd_photos(folder: Path, pixels: np.ndarray) -> None:
    """Write a file of every unusual or invalid kind."""
    plain = Image.fromarray(pixels)
    plain.save(folder / "plain.png")
    cv2.imwrite(str(folder / "deep.png"), pixels[:, :, ::-1].astype(np.uint16) * 257)
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(folder / "grey-deep.tif")
    plain.convert("CMYK").save(folder / "print.jpg")
    plain.convert("P").save(folder / "web.png")
    plain.convert("RGBA").save(folder / "clear.png")
    plain.save(folder / "turned.jpg", exif=EXIF)
    plain.convert("1").save(folder / "bits.png")
    (folder / "empty.jpg").touch()
    plain.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-300])
    (folder / "text.jpg").write_text("<html>")
    Image.new("1", (20_000, 6_000)).save(folder / "bomb.png")
    frames = {"save_all": True, "append_images": [Image.new("RGB", plain.size, "red")]}
    for name in ("film.gif", "film.png", "pages.tif", "film.webp"):
        plain.save(folder / name, **frames)
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")


def predict(bundle, photos: Path, out: Path, **options):
    """Return the verdicts of a folder by photo, without their times."""
    predict_folder(bundle, photos, out, workers=0, **options)
    return {v.photo: replace(v, seconds=0.0) for v in read_verdicts(out / "verdicts.jsonl")}


@pytest.fixture
def folder(tmp_path, photos) -> Path:
    """Write photos of equal names in two folders."""
    for name in ("day 1", "day 2"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, pixels in enumerate(photos):
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_unusual_and_invalid_photos_go_to_review(bundle, photos, tmp_path):
    """Each has a row with its reason; unusual ones are read in a defined way and never pass."""
    (tmp_path / "photos").mkdir()
    save_odd_photos(tmp_path / "photos", photos[3])

    found = predict(bundle, tmp_path / "photos", tmp_path / "out")

    assert set(found) == {"plain.png", *STORED, *REFUSED}
    assert {name for name, v in found.items() if v.outcome == "review"} >= {*STORED, *REFUSED}
    assert {name: found[name].reasons[0] for name in STORED} == {
        name: f"{kind}, unlike the training photos" for name, kind in STORED.items()
    }
    for name, reason in REFUSED.items():
        assert found[name].reasons[0].startswith(reason)
        assert (found[name].width, found[name].answers) == (0, ())
    assert not any("stored" in reason for reason in found["plain.png"].reasons)
    assert (found["turned.jpg"].width, found["turned.jpg"].height) == photos[3].shape[:2]
    with (tmp_path / "out" / "verdicts.csv").open(newline="") as file:
        outcomes = {row["photo"]: row["outcome"] for row in csv.DictReader(file)}
    assert outcomes == {name: v.outcome for name, v in found.items()}


def test_formats_of_the_training_photos_are_accepted(bundle, photos, tmp_path):
    """A bundle that was trained on 16 bits and alpha accepts such photos."""
    (tmp_path / "photos").mkdir()
    save_odd_photos(tmp_path / "photos", photos[3])
    shutil.copytree(bundle.path, tmp_path / "bundle")
    (tmp_path / "bundle" / "probe" / "stored.json").write_text(json.dumps(["16-bit", "alpha"]))

    found = predict(replace(bundle, path=tmp_path / "bundle"), tmp_path / "photos", tmp_path / "out")

    assert found["deep.png"].reasons == found["clear.png"].reasons == found["plain.png"].reasons
    assert found["deep.png"].answers == found["plain.png"].answers
    assert found["print.jpg"].reasons[0].startswith("stored in CMYK")


def test_verdicts_do_not_depend_on_decoding(bundle, folder, tmp_path, photos):
    """Neither letterboxing in another process nor the batch changes a verdict."""
    sizes = [(photo.shape[1], photo.shape[0]) for photo in photos]
    expected_verdicts = [
        decide(bundle.spec, prediction, "", size)
        for prediction, size in zip(predict_arrays(NanoReader(bundle), photos), sizes, strict=True)
    ]

    local = predict(bundle, folder, tmp_path / "here", batch=4)
    predict_folder(bundle, folder, tmp_path / "there", batch=4, workers=1)
    decoded = list(read_verdicts(tmp_path / "there" / "verdicts.jsonl"))

    assert list(local) == [f"day {day}/{number}.png" for day in (1, 2) for number in range(4)]
    assert [replace(v, seconds=0.0) for v in decoded] == list(local.values())
    assert all(v.seconds > 0 for v in decoded)
    for number, verdict in enumerate(local.values()):
        expected = expected_verdicts[number % 4]
        assert (verdict.answers, verdict.outcome, verdict.reasons) == (
            expected.answers, expected.outcome, expected.reasons,
        )  # fmt: skip


def test_interrupted_run_continues(bundle, folder, tmp_path):
    """An incomplete last line is removed and its photo predicted again, the others are not."""
    first = predict(bundle, folder, tmp_path / "out")
    lines = tmp_path / "out" / "verdicts.jsonl"
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:5])[:-40])
    progress = []

    def start(total):
        progress.append(("of", total))
        return progress.append

    again = predict(bundle, folder, tmp_path / "out", batch=2, on_start=start)

    assert {name: (v.outcome, v.violations) for name, v in again.items()} == {
        name: (v.outcome, v.violations) for name, v in first.items()
    }
    assert progress == [("of", 8), 4, 2, 2]
    assert [json.loads(line)["photo"] for line in lines.read_text().splitlines()] == list(first)


def test_unusual_names(bundle, photos, tmp_path):
    """Line ends, quotes, other alphabets, bytes that are not UTF-8: one row each, and no duplicate in a second run."""
    (tmp_path / "photos").mkdir()
    names = ["a b.png", 'say "x",\n.png', "größe 写真.png", "\\.png", os.fsdecode(b"\xff.png"), "=1+1.png"]
    for name in names:
        Image.fromarray(photos[1]).save(tmp_path / "photos" / name)

    first = predict(bundle, tmp_path / "photos", tmp_path / "out")
    again = predict(bundle, tmp_path / "photos", tmp_path / "out")

    assert set(first) == {*names[:4], "\\xff.png", names[5]}
    assert len((tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()) == len(names)
    assert again == first
    assert {v.width for v in first.values()} == {64}


def test_folder_of_photos_is_not_modified(bundle, folder):
    """A folder of verdicts among the photos is left out of the next run; the photos' own folder is refused."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    first = predict(bundle, folder, folder / "verdicts")
    Image.new("RGB", (9, 9)).save(folder / "verdicts" / "card.png")
    again = predict(bundle, folder, folder / "verdicts")

    assert first == again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(path.name for path in folder.iterdir()) == ["day 1", "day 2", "verdicts"]
    with pytest.raises(DataError, match="LC605"):
        predict_folder(bundle, folder, folder)


def test_globs(bundle, folder, tmp_path):
    """Photos that match no glob are not predicted; without any photo nothing is written."""
    found = predict(bundle, folder, tmp_path / "out", only=["day 2/*", "**/0.png"])

    assert list(found) == ["day 1/0.png", *(f"day 2/{number}.png" for number in range(4))]
    with pytest.raises(DataError, match="LC603"):
        predict_folder(bundle, folder, tmp_path / "none", only=["*.png"])
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_memory_is_constant(bundle, photos, tmp_path):
    """Between 500 and 3,000 photos the memory of all processes does not grow."""
    Image.fromarray(photos[1]).save(tmp_path / "one.png")
    (tmp_path / "photos").mkdir()
    for number in range(3000):
        (tmp_path / "photos" / f"{number:06d}.png").symlink_to(tmp_path / "one.png")
    process, counts, resident = psutil.Process(), [0], {}

    def record_memory(count: int) -> None:
        counts.append(counts[-1] + count)
        if counts[-1] in (500, 3000):
            resident[counts[-1]] = [one.memory_info().rss for one in (process, *process.children())]

    predict_folder(
        bundle, tmp_path / "photos", tmp_path / "out", batch=20, workers=1, on_start=lambda total: record_memory
    )

    assert counts[-1] == 3000
    assert [len(sizes) for sizes in resident.values()] == [3, 3]  # spawn keeps a process that tracks resources
    verdicts, pixels = (tmp_path / "out" / "verdicts.jsonl").stat().st_size, 3000 * 64 * 64 * 3
    assert min(verdicts, pixels) > 5 * 2**20  # what would be added if either were kept
    assert sum(resident[3000]) - sum(resident[500]) < 4 * 2**20
