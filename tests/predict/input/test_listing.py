"""Photos are listed lazily, sorted, each once; patterns select among them; arriving photos are found when complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from logicls.errors import DataError
from logicls.predict.input.listing import ArrivalTracker, escape_name, list_photos, no_photos_error, spool_names


def touch(root: Path, *names: str) -> Path:
    """Create empty files and their folders; returns the root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_photos_in_all_folders_are_sorted(tmp_path):
    """Suffixes match in any case, hidden files are skipped, and the order is that of the paths' parts."""
    touch(tmp_path, "b.JPG", "a.png", "b/c.tiff", "b/notes.txt", ".hidden.png", ".git/d.png", "b-1/x.webp", "film.gif")

    found = list(list_photos(tmp_path))

    assert found == ["a.png", "b/c.tiff", "b-1/x.webp", "b.JPG", "film.gif"]
    assert found == sorted(found, key=lambda name: name.split("/"))


def test_unusual_names(tmp_path):
    """Names may contain spaces, line breaks, quotes, other alphabets, and bytes that are not UTF-8."""
    names = sorted(["a b.png", "a\nb.png", "größe/写真.jpg", 'it\'s "one".png', os.fsdecode(b"\xff.png")])
    touch(tmp_path, *names)

    found = list(list_photos(tmp_path))

    assert sorted(found) == names
    assert [escape_name(name) for name in names] == [*names[:-1], "\\xff.png"]
    with spool_names(found) as spool:
        assert (spool.count, list(spool), list(spool)) == (5, found, found)


def test_a_long_list_is_spooled_completely(tmp_path):
    """Names that cross the boundaries of read blocks are not changed."""
    names = [f"line {number % 7}/é{'x' * (number % 90)}{number}.png" for number in range(5000)]

    with spool_names(iter(names)) as spool:
        assert spool.count == 5000
        assert list(spool) == names


def test_linked_photos_are_listed_and_linked_folders_are_entered_once(tmp_path):
    """Circular, upward and broken links end; a folder is listed by its own name and not by a link to it."""
    root, outside = touch(tmp_path / "root", "z/one.png", ".cache/two.png"), touch(tmp_path / "outside", "three.png")
    (root / "a-link").symlink_to(root / "z")
    (root / "z" / "round").symlink_to(root)
    (root / "z" / "up").symlink_to(tmp_path)
    (root / "self.png").symlink_to(root / "self.png")
    (root / "nowhere.png").symlink_to(root / "absent.png")
    (root / "photo.png").symlink_to(root / "z" / "one.png")
    (root / "out1").symlink_to(outside)
    (root / "out2").symlink_to(outside)
    (root / "seen").symlink_to(root / ".cache")

    found = list(list_photos(root))

    assert found == [
        "nowhere.png", "out1/three.png", "photo.png", "seen/two.png", "self.png", "z/one.png",
    ]  # fmt: skip


def test_the_root_may_be_a_link(tmp_path):
    """Disks that are mounted elsewhere are often linked."""
    touch(tmp_path / "there", "sub/a.png")
    (tmp_path / "here").symlink_to(tmp_path / "there")

    assert list(list_photos(tmp_path / "here")) == ["sub/a.png"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*.png"], ["a.png"]),
        (["**/*.png"], ["a.png", "line3/b.png", "line3/day 1/c.png"]),
        (["line3/**/*.png"], ["line3/b.png", "line3/day 1/c.png"]),
        (["line3/**"], ["line3/b.png", "line3/day 1/c.png", "line3/day 1/d.jpg"]),
        (["line3/*"], ["line3/b.png"]),
        (["line?/day*/[c-d].*"], ["line3/day 1/c.png", "line3/day 1/d.jpg", "line4/day 1/c.jpg"]),
        (["line4/**", "a.*"], ["a.png", "line4/day 1/c.jpg"]),
        (["**/day 1/**/c.*"], ["line3/day 1/c.png", "line4/day 1/c.jpg"]),
        (["*.PNG"], []),
    ],
)
def test_patterns_select_photos(tmp_path, patterns, found):
    """`*` matches within a name and `**` any folders; a photo must match one of the patterns."""
    touch(tmp_path, "a.png", "line3/b.png", "line3/day 1/c.png", "line3/day 1/d.jpg", "line4/day 1/c.jpg")

    assert list(list_photos(tmp_path, patterns=patterns)) == found


def test_folders_without_possible_matches_are_not_entered(tmp_path):
    """A slow disk beside the selected folder costs nothing."""
    touch(tmp_path, "line3/b.png", "archive/x/y.png")
    listed = []
    scan, os.scandir = os.scandir, lambda path: (listed.append(os.path.relpath(path, tmp_path)), scan(path))[1]
    try:
        assert list(list_photos(tmp_path, patterns=["line3/**/*.png"])) == ["line3/b.png"]
    finally:
        os.scandir = scan

    assert listed == [".", "line3"]


def test_the_output_folder_is_excluded(tmp_path):
    """The output folder may lie among the photos, and may be given by a link."""
    touch(tmp_path, "a.png", "verdicts/report/card.png")
    (tmp_path / "v").symlink_to(tmp_path / "verdicts")

    assert list(list_photos(tmp_path, exclude=tmp_path / "v")) == ["a.png"]


def test_listing_is_lazy(tmp_path):
    """The first name is yielded before the last folder is listed."""
    touch(tmp_path, "a/1.png", "b/2.png")

    names = list_photos(tmp_path)
    first = next(names)
    (tmp_path / "b" / "2.png").unlink()

    assert (first, list(names)) == ("a/1.png", [])


def test_a_run_without_photos_is_an_error(tmp_path):
    """A missing folder, no photos and no matches are errors, because a run over nothing would look like success."""
    with pytest.raises(DataError, match='LC311 "absent" is not a folder'):
        list_photos(tmp_path / "absent")
    assert [problem.code for problem in no_photos_error(tmp_path).problems] == ["LC312"]
    assert [problem.code for problem in no_photos_error(tmp_path, ["*.png"]).problems] == ["LC603"]


@pytest.fixture
def tracker(tmp_path) -> ArrivalTracker:
    """A tracker that settles after one second and retries after ten."""
    return ArrivalTracker(tmp_path, {"old.png"}, settle_seconds=1.0, retry_seconds=10.0)


def test_a_photo_is_complete_when_it_no_longer_changes(tmp_path, tracker):
    """A growing file starts over; a processed one is not returned again."""
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    (tmp_path / "old.png").touch()

    assert tracker.find_complete(["a.png", "old.png"], 0.0) == []
    path.write_bytes(b"12")
    assert tracker.find_complete(["a.png"], 1.5) == []
    assert tracker.find_complete(["a.png"], 2.0) == []
    assert tracker.find_complete(["a.png"], 2.5) == ["a.png"]
    assert tracker.pending_count == 1
    tracker.mark_processed("a.png")
    assert tracker.find_complete(["a.png"], 9.0) == []
    assert tracker.pending_count == 0


def test_a_new_modification_time_is_a_change(tmp_path, tracker):
    """Some programs create a file in its final size, and fill it afterwards."""
    path = tmp_path / "a.png"
    path.write_bytes(b"00")
    tracker.find_complete(["a.png"], 0.0)
    os.utime(path, (1, 1))

    assert tracker.find_complete(["a.png"], 1.0) == []
    assert tracker.find_complete(["a.png"], 2.0) == ["a.png"]


def test_an_unreadable_photo_is_tried_again(tmp_path, tracker):
    """A writer may pause: the failure is final after the retry time; a file that grows starts over."""
    path = tmp_path / "a.png"
    path.write_bytes(b"half")
    tracker.find_complete(["a.png"], 0.0)

    assert tracker.find_complete(["a.png"], 1.0) == ["a.png"]
    assert not tracker.is_final_failure("a.png")
    assert tracker.find_complete(["a.png"], 5.0) == []
    path.write_bytes(b"half and more")
    assert tracker.find_complete(["a.png"], 9.0) == []
    assert tracker.find_complete(["a.png"], 10.0) == ["a.png"]
    assert not tracker.is_final_failure("a.png")
    assert tracker.find_complete(["a.png"], 18.9) == []
    assert tracker.find_complete(["a.png"], 19.0) == ["a.png"]
    assert tracker.is_final_failure("a.png")


def test_a_renamed_file_is_tracked_by_its_new_name(tmp_path, tracker):
    """Temporary names during writing come and go."""
    path = tmp_path / "a.part.png"
    path.touch()
    tracker.find_complete(["a.part.png"], 0.0)
    path.rename(tmp_path / "a.png")

    assert tracker.find_complete(["a.part.png", "a.png"], 1.0) == []
    assert tracker.find_complete(["a.png"], 2.0) == ["a.png"]


def test_the_number_of_pending_photos_is_limited(tmp_path, monkeypatch):
    """Photos beyond the limit are found once others are processed."""
    monkeypatch.setattr("logicls.predict.input.listing.MAX_PENDING", 2)
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        (tmp_path / name).touch()
    tracker = ArrivalTracker(tmp_path, set(), settle_seconds=1.0)

    tracker.find_complete(names, 0.0)
    first = tracker.find_complete(names, 1.0)
    for name in first:
        tracker.mark_processed(name)
    tracker.find_complete(names, 2.0)

    assert first == ["a.png", "b.png"]
    assert tracker.find_complete(names, 3.0) == ["c.png"]
