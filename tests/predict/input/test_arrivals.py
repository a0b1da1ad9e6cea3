"""A photo is handed out once it is complete, and only once."""

from __future__ import annotations

import os

import pytest

from logicls.predict.input.listing import ArrivalTracker


@pytest.fixture
def arrivals(tmp_path) -> ArrivalTracker:
    """A folder, looked at with one second to settle and ten of patience."""
    return ArrivalTracker(tmp_path, {"old.png"}, settle_seconds=1.0, retry_seconds=10.0)


def test_a_photo_is_complete_when_it_does_not_change(tmp_path, arrivals):
    """While it grows its time begins anew; when it is finished it is never news again."""
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    (tmp_path / "old.png").touch()

    assert arrivals.complete(["a.png", "old.png"], 0.0) == []
    path.write_bytes(b"12")
    assert arrivals.complete(["a.png"], 1.5) == []
    assert arrivals.complete(["a.png"], 2.0) == []
    assert arrivals.complete(["a.png"], 2.5) == ["a.png"]
    assert arrivals.waiting == 1
    arrivals.finished("a.png")
    assert arrivals.complete(["a.png"], 9.0) == []
    assert arrivals.waiting == 0


def test_a_change_that_keeps_the_size_is_a_change(tmp_path, arrivals):
    """Some programs make a file in its whole size first, and fill it then."""
    path = tmp_path / "a.png"
    path.write_bytes(b"00")
    arrivals.complete(["a.png"], 0.0)
    os.utime(path, (1, 1))

    assert arrivals.complete(["a.png"], 1.0) == []
    assert arrivals.complete(["a.png"], 2.0) == ["a.png"]


def test_one_that_cannot_be_read_is_waited_for(tmp_path, arrivals):
    """A writer may pause in the middle: only after patience is it broken; if it grows, all begins anew."""
    path = tmp_path / "a.png"
    path.write_bytes(b"half")
    arrivals.complete(["a.png"], 0.0)

    assert arrivals.complete(["a.png"], 1.0) == ["a.png"]
    assert not arrivals.is_broken("a.png")
    assert arrivals.complete(["a.png"], 5.0) == []
    path.write_bytes(b"half and more")
    assert arrivals.complete(["a.png"], 9.0) == []
    assert arrivals.complete(["a.png"], 10.0) == ["a.png"]
    assert not arrivals.is_broken("a.png")
    assert arrivals.complete(["a.png"], 18.9) == []
    assert arrivals.complete(["a.png"], 19.0) == ["a.png"]
    assert arrivals.is_broken("a.png")


def test_a_name_that_is_gone_is_forgotten(tmp_path, arrivals):
    """Names that are only for the time of writing come and go."""
    path = tmp_path / "a.part.png"
    path.touch()
    arrivals.complete(["a.part.png"], 0.0)
    path.rename(tmp_path / "a.png")

    assert arrivals.complete(["a.part.png", "a.png"], 1.0) == []
    assert arrivals.complete(["a.png"], 2.0) == ["a.png"]


def test_a_folder_with_very_many_is_met_in_rounds(tmp_path, monkeypatch):
    """No more are waited for than fit in memory; the rest have their turn when those are finished."""
    monkeypatch.setattr("logicls.predict.input.listing.MOST", 2)
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        (tmp_path / name).touch()
    arrivals = ArrivalTracker(tmp_path, set(), settle_seconds=1.0)

    arrivals.find_complete(names, 0.0)
    first = arrivals.find_complete(names, 1.0)
    for name in first:
        arrivals.mark_processed(name)
    arrivals.find_complete(names, 2.0)

    assert first == ["a.png", "b.png"]
    assert arrivals.find_complete(names, 3.0) == ["c.png"]
