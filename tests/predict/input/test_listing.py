"""Photos are listed lazily, in one order, each once; globs choose among them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from logicls.errors import DataError
from logicls.predict.input.listing import list_photos, no_photos_error, escape_name, spool_names


def touch(root: Path, *names: str) -> Path:
    """Empty files, with their folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_photos_are_found_in_every_folder_in_one_order(tmp_path):
    """Known suffixes in any case, no hidden files, in the order of the paths' parts."""
    touch(tmp_path, "b.JPG", "a.png", "b/c.tiff", "b/notes.txt", ".hidden.png", ".git/d.png", "b-1/x.webp", "film.gif")

    found = list(list_photos(tmp_path))

    assert found == ["a.png", "b/c.tiff", "b-1/x.webp", "b.JPG", "film.gif"]
    assert found == sorted(found, key=lambda name: name.split("/"))


def test_names_that_a_camera_would_not_give(tmp_path):
    """Spaces, line ends, quotes and other alphabets are names like any other; so are bytes that are no UTF-8."""
    names = sorted(["a b.png", "a\nb.png", "größe/写真.jpg", 'it\'s "one".png', os.fsdecode(b"\xff.png")])
    touch(tmp_path, *names)

    found = list(list_photos(tmp_path))

    assert sorted(found) == names
    assert [escape_name(name) for name in names] == [*names[:-1], "\\xff.png"]
    with spool_names(found) as spool:
        assert (spool.count, list(spool), list(spool)) == (5, found, found)


def test_a_long_list_is_spooled_whole(tmp_path):
    """Names that lie across the blocks in which they are read come out as they went in."""
    names = [f"line {number % 7}/é{'x' * (number % 90)}{number}.png" for number in range(5000)]

    with spool_names(iter(names)) as spool:
        assert spool.count == 5000
        assert list(spool) == names


def test_linked_photos_are_photos_and_linked_folders_are_entered_once(tmp_path):
    """Links that go round, up, to themselves or nowhere do not hang; a folder's own name comes before a link to it."""
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


def test_a_folder_of_photos_may_be_a_link_itself(tmp_path):
    """As disks that are mounted elsewhere are."""
    touch(tmp_path / "there", "sub/a.png")
    (tmp_path / "here").symlink_to(tmp_path / "there")

    assert list(list_photos(tmp_path / "here")) == ["sub/a.png"]


@pytest.mark.parametrize(
    ("globs", "found"),
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
def test_globs_choose(tmp_path, globs, found):
    """A star stays within a name, two stand for any folders; a photo needs to match one glob only."""
    touch(tmp_path, "a.png", "line3/b.png", "line3/day 1/c.png", "line3/day 1/d.jpg", "line4/day 1/c.jpg")

    assert list(list_photos(tmp_path, patterns=globs)) == found


def test_folders_that_no_glob_leads_to_are_not_entered(tmp_path):
    """A slow disk beside the wanted folder costs nothing."""
    touch(tmp_path, "line3/b.png", "archive/x/y.png")
    listed = []
    scan, os.scandir = os.scandir, lambda path: (listed.append(os.path.relpath(path, tmp_path)), scan(path))[1]
    try:
        assert list(list_photos(tmp_path, patterns=["line3/**/*.png"])) == ["line3/b.png"]
    finally:
        os.scandir = scan

    assert listed == [".", "line3"]


def test_what_the_run_writes_is_no_photo(tmp_path):
    """The folder of verdicts may lie among the photos, under whatever name it is given."""
    touch(tmp_path, "a.png", "verdicts/report/card.png")
    (tmp_path / "v").symlink_to(tmp_path / "verdicts")

    assert list(list_photos(tmp_path, exclude=tmp_path / "v")) == ["a.png"]


def test_listing_is_lazy(tmp_path):
    """The first name is there before the last folder was looked at."""
    touch(tmp_path, "a/1.png", "b/2.png")

    names = list_photos(tmp_path)
    first = next(names)
    (tmp_path / "b" / "2.png").unlink()

    assert (first, list(names)) == ("a/1.png", [])


def test_what_is_said_where_there_is_nothing(tmp_path):
    """No folder, no photo, no match: each is an error, for a run over nothing would look like success."""
    with pytest.raises(DataError, match='LC311 "absent" is not a folder'):
        list_photos(tmp_path / "absent")
    assert [problem.code for problem in no_photos_error(tmp_path).problems] == ["LC312"]
    assert [problem.code for problem in no_photos_error(tmp_path, ["*.png"]).problems] == ["LC603"]
