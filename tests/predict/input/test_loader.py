"""Photos come in order, decoded by processes or threads alike; one that ends a process is one photo's trouble."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from PIL import Image

from logicls.data.image_io import fitted
from logicls.errors import DataError
from logicls.predict.input.loader import LoadedPhoto, PhotoLoader, decode_photo, make_loader

CRASH = "__import__('os')._exit(1)"


def one(name: str) -> str:
    """What `eval` makes a loaded photo of, in the process that decodes."""
    return f"Loaded({name!r}, None)"


@pytest.fixture
def folder(tmp_path, photos):
    """Photos of different sizes, one of them damaged."""
    for number, pixels in enumerate(photos * 5):
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n no photo")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_photos_come_in_order_in_the_inputs_size(folder, photos, workers):
    """Pixels are those that bringing the whole photo to that size gives, wherever it was decoded."""
    names = sorted(path.name for path in folder.iterdir())

    with make_loader(folder, (64, 64), workers) as some:
        found = list(some.stream(names))

    assert [photo.name for photo in found] == names
    for number, photo in enumerate(found):
        if photo.name == "07.png":
            assert (photo.pixels, photo.error[:8], len(photo.sha256)) == (None, '"07.png"', 64)
            continue
        whole = photos[number % len(photos)]
        assert photo.size == (whole.shape[1], whole.shape[0])
        assert np.array_equal(photo.pixels, fitted((64, 64), whole))
        assert photo.seconds > 0
    assert multiprocessing.active_children() == []


def test_a_photo_in_its_own_size(folder, photos):
    """Where the model takes photos as they are, they come as they are."""
    assert np.array_equal(decode_photo(folder, None, "03.png").pixels, photos[3])


def test_a_photo_that_is_gone_is_a_trouble(tmp_path):
    """Between listing and loading, files are moved away."""
    gone = decode_photo(tmp_path, (64, 64), "gone.png")

    assert (gone.pixels, gone.error) == (None, '"gone.png" cannot be opened: No such file or directory.')


def test_no_more_is_asked_for_than_fits(tmp_path):
    """However many names there are, few are taken ahead of whoever takes the photos."""
    taken = []

    def names():
        for number in range(10_000):
            taken.append(number)
            yield f"{number}.png"

    with make_loader(tmp_path, (64, 64), 0) as some:
        stream = some.stream(names())
        for _ in range(10):
            next(stream)

    assert len(taken) < 60


def test_a_photo_that_ends_its_process_is_that_photos_trouble():
    """A decoder's crash costs one photo; those before and after it are loaded, in order."""
    names = [one("a"), CRASH, *(one(str(number)) for number in range(20)), CRASH, one("z")]

    with PhotoLoader(eval, 1) as some:
        found = list(some.stream(names))

    assert [photo.name for photo in found] == ["a", CRASH, *map(str, range(20)), CRASH, "z"]
    assert {photo.error for photo in found if photo.name == CRASH} == {
        "the process that decoded it died: a damaged file, or too little memory"
    }
    assert {photo.error for photo in found if photo.name != CRASH} == {""}


def test_processes_that_always_die_are_an_error():
    """Nobody wants a hundred thousand photos to go to review because memory is short."""
    with PhotoLoader(eval, 1) as some, pytest.raises(DataError, match="LC607"):
        list(some.stream([one("a"), one("b"), one("c"), one("d"), CRASH, CRASH, CRASH, CRASH]))


def test_a_loaded_photo_says_nothing_that_it_does_not_know():
    """One that could not be read has no size, no hash and no kind."""
    assert LoadedPhoto("a.png", None) == LoadedPhoto("a.png", None, (0, 0), (), "", "", 0.0)
