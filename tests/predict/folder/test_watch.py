"""Watching of a folder that a camera writes to."""

from __future__ import annotations

import hashlib
import io
import signal
import threading
import time

import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.predict.folder.runner import predict_folder
from logicls.predict.folder.watch import WatchOptions, watch_folder
from logicls.predict.serialization import read_verdicts

OPTIONS = WatchOptions(idle=1.5, workers=0, settle_seconds=0.4, retry_seconds=2.5)


def encode_jpeg(pixels) -> bytes:
    """Encode a photo."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((320, 320)).save(file, "JPEG")
    return file.getvalue()


def test_photos_are_inspected_when_they_are_complete(bundle, photos, tmp_path):
    """A present photo, one that is written slowly with a pause, one that is renamed, one that stays damaged."""
    folder = tmp_path / "photos"
    (folder / "line").mkdir(parents=True)
    data = [encode_jpeg(pixels) for pixels in photos]
    (folder / "there.jpg").write_bytes(data[0])

    def camera() -> None:
        with (folder / "line" / "slow.jpg").open("wb", buffering=0) as file:
            for start in range(0, len(data[1]), len(data[1]) // 6 + 1):
                file.write(data[1][start : start + len(data[1]) // 6 + 1])
                time.sleep(1.2 if start else 0.1)  # longer than settle_seconds
        (folder / "part.tmp").write_bytes(data[2])
        (folder / "part.tmp").rename(folder / "renamed.jpg")
        (folder / "broken.jpg").write_bytes(data[3][:500])

    writer = threading.Thread(target=camera)
    writer.start()
    names, refreshes = [], []
    count = watch_folder(
        bundle,
        folder,
        tmp_path / "out",
        OPTIONS,
        on_verdict=lambda v: names.append(v.photo),
        on_refresh=lambda: refreshes.append(1),
    )
    writer.join()

    found = {verdict.photo: verdict for verdict in read_verdicts(tmp_path / "out" / "verdicts.jsonl")}
    assert names == ["there.jpg", "line/slow.jpg", "renamed.jpg", "broken.jpg"]
    assert (count, list(found), refreshes) == (4, names, [1])
    hashes = [hashlib.sha256(one).hexdigest() for one in (*data[:3], data[3][:500])]
    assert [verdict.sha256 for verdict in found.values()] == hashes
    assert [found[name].width for name in names] == [320, 320, 320, 0]
    assert found["broken.jpg"].outcome == "review"
    assert len((tmp_path / "out" / "verdicts.csv").read_text().splitlines()) == 5


def test_watching_and_predicting_continue_each_other(bundle, photos, tmp_path):
    """The same folder of verdicts without duplicates; Ctrl-C ends the watch, and the table is written."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encode_jpeg(photos[0]))
    predict_folder(bundle, folder, tmp_path / "out", workers=0)
    (folder / "b.jpg").write_bytes(encode_jpeg(photos[1]))

    count = watch_folder(
        bundle, folder, tmp_path / "out", WatchOptions(workers=0, settle_seconds=0.2),
        on_verdict=lambda verdict: signal.raise_signal(signal.SIGINT),
    )  # fmt: skip

    assert count == 0  # the run was ended before it counted the photo, whose verdict was written before
    assert predict_folder(bundle, folder, tmp_path / "out", workers=0) == 2
    lines = (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()
    assert [line[:17] for line in lines] == ['{"photo":"a.jpg",', '{"photo":"b.jpg",']
    assert len((tmp_path / "out" / "verdicts.csv").read_text().splitlines()) == 3


def test_time_limit(bundle, tmp_path):
    """An empty folder is no error, a missing one is."""
    (tmp_path / "photos").mkdir()
    start = time.monotonic()

    assert watch_folder(bundle, tmp_path / "photos", tmp_path / "out", WatchOptions(seconds=0.7, workers=0)) == 0
    assert 0.7 <= time.monotonic() - start < 5
    with pytest.raises(DataError, match="LC311"):
        watch_folder(bundle, tmp_path / "absent", tmp_path / "out", WatchOptions(seconds=1.0))


def test_unreachable_folder(bundle, photos, tmp_path, monkeypatch):
    """A network share may be unreachable for a while; after that it is an error."""
    folder = tmp_path / "photos"
    folder.mkdir()
    threading.Timer(0.3, folder.rename, [tmp_path / "away"]).start()
    threading.Timer(1.0, lambda: (tmp_path / "away").rename(folder)).start()
    threading.Timer(1.2, lambda: (folder / "a.jpg").write_bytes(encode_jpeg(photos[0]))).start()

    assert watch_folder(bundle, folder, tmp_path / "out", WatchOptions(idle=3.0, workers=0, settle_seconds=0.2)) == 1

    monkeypatch.setattr("logicls.predict.folder.watch.UNREACHABLE_SECONDS", 0.5)
    threading.Timer(0.3, folder.rename, [tmp_path / "gone"]).start()
    with pytest.raises(DataError, match="LC311"):
        watch_folder(bundle, folder, tmp_path / "out", WatchOptions(workers=0))
