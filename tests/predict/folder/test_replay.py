"""Replay of results, and their differences."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from logicls.errors import DataError, PhotoError
from logicls.io.jsonl import Appender
from logicls.predict.folder.replay import compare_verdicts, find_origin, find_result, replay
from logicls.predict.folder.runner import predict_folder
from logicls.predict.serialization import read_verdicts, result_id, verdict_to_json
from logicls.records import Box


@pytest.fixture(scope="module")
def predicted(bundle, photos, tmp_path_factory):
    """Write photos in two folders, and predict them in one batch."""
    folder = tmp_path_factory.mktemp("predicted")
    for number, photo in enumerate(photos):
        path = folder / "photos" / ("line 2" if number else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    (folder / "photos" / "torn.png").write_bytes(b"torn")
    predict_folder(bundle, folder / "photos", folder / "verdicts", batch=8)
    return folder


@pytest.fixture(scope="module")
def verdicts(predicted):
    """Return photo → verdict."""
    return {v.photo: v for v in read_verdicts(predicted / "verdicts" / "verdicts.jsonl")}


@pytest.mark.parametrize("photo", ["0.png", "line 2/2.png", "torn.png"])
def test_replay_has_the_same_result(bundle, predicted, verdicts, photo):
    """Alone as in a batch; an unreadable photo is still unreadable."""
    again = replay(verdicts[photo], bundle, predicted / "photos")

    assert compare_verdicts(verdicts[photo], again) == ()
    assert result_id(again) == result_id(verdicts[photo])


def test_every_difference_is_listed(verdicts):
    """Outcome, scores, answers, boxes and confidences; differences within the tolerance are not."""
    before = verdicts["0.png"]
    answer = replace(before.answers[0], values=("red",), boxes=(Box(1.0, 2.0, 3.0, 4.0),), confidence=0.5)
    other = replace(before.answers[1], query="locate:moon")
    near = replace(before, score=before.score + 0.004, seconds=9.0)
    now = replace(before, outcome="pass", score=0.25, stated=None, answers=(answer, other))

    lines = compare_verdicts(replace(before, score=0.75, stated=()), now)

    assert compare_verdicts(before, near) == ()
    assert [line for line in lines if line.startswith(("outcome", "stated", "score:"))] == [
        f"outcome: was {before.outcome}, is pass", "stated: was none, is unreadable", "score: was 0.7500, is 0.2500",
    ]  # fmt: skip
    name = before.answers[0].query
    assert any(line.startswith(f"{name}: was ") and line.endswith(", is red") for line in lines)
    assert any(line.startswith(f"{name}: the boxes were ") and line.endswith("are [1 2 3 4]") for line in lines)
    assert any(line.startswith(f"{name}: the confidence was ") and line.endswith("is 0.5000") for line in lines)
    assert f"{before.answers[1].query}: is no query any more" in lines
    assert "locate:moon: was not a query" in lines


def test_changed_photo_is_an_error(bundle, predicted, verdicts, tmp_path):
    """The SHA-256 is compared first; a missing photo is an error, too."""
    with pytest.raises(PhotoError, match="LC301"):
        replay(verdicts["0.png"], bundle, tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "0.png")

    with pytest.raises(DataError, match=r"LC641 has changed since: its SHA-256 was \w{16}…, and is \w{16}…\."):
        replay(verdicts["0.png"], bundle, tmp_path)


def test_another_bundle_is_an_error(bundle, predicted, verdicts):
    """The message names both bundles."""
    with pytest.raises(DataError, match=f"LC642 the verdict is of bundle other, and this is {bundle.id}"):
        replay(replace(verdicts["0.png"], bundle="other"), bundle, predicted / "photos")


def test_result_is_found_by_a_unique_prefix(predicted, verdicts):
    """Otherwise the most similar id is suggested."""
    name = result_id(verdicts["line 2/1.png"])

    assert find_result(name, predicted / "verdicts").photo == "line 2/1.png"
    assert find_result(name[:8].upper(), predicted / "verdicts").photo == "line 2/1.png"
    with pytest.raises(DataError, match=f'LC640 there is no result "{name[:-1]}z". Did you mean "{name}"'):
        find_result(name[:-1] + "z", predicted / "verdicts")
    with pytest.raises(DataError, match='LC640 there is no result ""'):
        find_result("", predicted / "verdicts")


def test_ambiguous_prefix_is_an_error(verdicts, tmp_path):
    """The full id is unique; photos with equal bytes have a result each."""
    base = verdicts["0.png"]
    several = [replace(base, photo=f"{n}.png", sha256=f"{n:064x}") for n in range(40)]
    copy = replace(several[0], photo="copy.png")
    several.append(copy)
    with Appender(tmp_path / "verdicts.jsonl") as file:
        for verdict in several:
            file.append(verdict_to_json(verdict))
    names = [result_id(verdict) for verdict in several]
    shared = next(name[0] for name in names if sum(other[0] == name[0] for other in names) > 1)
    many = sum(name[0] == shared for name in names)

    assert find_result(names[0], tmp_path).photo == "0.png"
    assert find_result(result_id(copy), tmp_path).photo == "copy.png"
    with pytest.raises(DataError, match=f'LC640 {many} results begin with "{shared}"'):
        find_result(shared, tmp_path)


def test_origin_is_read_from_the_manifest(bundle, predicted, tmp_path):
    """Unless other folders are given; missing ones are an error that names the options."""
    origin = find_origin(predicted / "verdicts")

    assert (origin.bundle, origin.photos) == (bundle.path.resolve(), (predicted / "photos").resolve())
    assert find_origin(predicted / "verdicts", photos=tmp_path).photos == tmp_path
    with pytest.raises(DataError, match=r"LC643 .* Give them with --photos"):
        find_origin(tmp_path, bundle=bundle.path)
