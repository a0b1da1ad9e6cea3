"""Photos are decoded in order, equally by processes and by threads; a crash of the decoder costs one photo."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from logicls.data.image_io import letterbox
from logicls.errors import DataError, InferenceError
from logicls.predict.input.loader import LoadedPhoto, PhotoLoader, decode_photo, make_loader

CRASH = "__import__('os')._exit(1)"


def expression(name: str) -> str:
    """Return Python code for a loaded photo, which `eval` runs in the worker."""
    return f"__import__('logicls.predict.input.loader', fromlist=['x']).LoadedPhoto({name!r}, None)"


@pytest.fixture
def folder(tmp_path, photos):
    """A folder of photos of different sizes, one of them damaged."""
    for number, pixels in enumerate(photos * 5):
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "07.png").write_bytes(b"\x89PNG\r\n\x1a\n no photo")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_photos_are_yielded_in_order_in_the_input_size(folder, photos, workers):
    """Pixels equal those of `letterbox`, wherever a photo was decoded."""
    names = sorted(path.name for path in folder.iterdir())

    with make_loader(folder, (64, 64), workers) as loader:
        found = list(loader.stream(names))

    assert [photo.name for photo in found] == names
    for number, photo in enumerate(found):
        if photo.name == "07.png":
            assert (photo.pixels, photo.error[:8], len(photo.sha256)) == (None, '"07.png"', 64)
            continue
        whole = photos[number % len(photos)]
        assert photo.size == (whole.shape[1], whole.shape[0])
        assert np.array_equal(photo.pixels, letterbox((64, 64), whole))
        assert photo.seconds > 0
    assert multiprocessing.active_children() == []


def test_a_photo_may_keep_its_own_size(folder, photos):
    """Without an input size photos are not letterboxed."""
    assert np.array_equal(decode_photo(folder, None, "03.png").pixels, photos[3])


def test_a_missing_photo_is_returned_with_an_error(tmp_path):
    """A file may be moved between listing and decoding."""
    gone = decode_photo(tmp_path, (64, 64), "gone.png")

    assert (gone.pixels, gone.error) == (None, '"gone.png" cannot be opened: No such file or directory.')


@pytest.mark.parametrize("workers", [0, 1])
def test_exhausted_memory_is_no_property_of_a_photo(workers):
    """It stops the run, in threads as in processes, and no photo goes to review."""
    with PhotoLoader(raise_memory_error, workers) as loader, pytest.raises(InferenceError, match="LC609 out of memory"):
        list(loader.stream(["a.png", "b.png"]))


def raise_memory_error(name: str) -> LoadedPhoto:
    """Decode a photo with a file reader that runs out of memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logicls.predict.input.loader.load_photo", exhaust_memory)
        return decode_photo(Path(), None, name)


def exhaust_memory(*_: object, **__: object) -> None:
    """Raise `MemoryError`."""
    raise MemoryError


def test_the_number_of_prefetched_photos_is_limited(tmp_path):
    """Few names are consumed ahead of the photos that are used."""
    consumed = []

    def names():
        for number in range(10_000):
            consumed.append(number)
            yield f"{number}.png"

    with make_loader(tmp_path, (64, 64), 0) as loader:
        stream = loader.stream(names())
        for _ in range(10):
            next(stream)

    assert len(consumed) < 60


def test_a_photo_that_crashes_the_decoder_is_returned_with_an_error():
    """A crash costs one photo; those before and after it are decoded in order."""
    names = [expression("a"), CRASH, *(expression(str(number)) for number in range(20)), CRASH, expression("z")]

    with PhotoLoader(eval, 1) as loader:
        found = list(loader.stream(names))

    assert [photo.name for photo in found] == ["a", CRASH, *map(str, range(20)), CRASH, "z"]
    assert {photo.error for photo in found if photo.name == CRASH} == {
        "the process that decoded it died: a damaged file, or too little memory"
    }
    assert {photo.error for photo in found if photo.name != CRASH} == {""}


def test_repeated_crashes_stop_the_run():
    """Too little memory must not send a hundred thousand photos to review."""
    with PhotoLoader(eval, 1) as loader, pytest.raises(DataError, match="LC607"):
        list(
            loader.stream(
                [expression("a"), expression("b"), expression("c"), expression("d"), CRASH, CRASH, CRASH, CRASH]
            )
        )


def test_the_defaults_of_a_loaded_photo_are_empty():
    """A photo that could not be decoded has no size, hash or storage issues."""
    assert LoadedPhoto("a.png", None) == LoadedPhoto("a.png", None, (0, 0), (), "", "", 0.0)
