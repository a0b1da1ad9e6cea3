"""Every photo is read as upright RGB; other files are errors with a reason."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from logicls.data.image_io import file_sha256, load_photo, read_header, read_photo, read_size
from logicls.errors import PhotoError


def write_noise(path: Path) -> bytes:
    """Write an image of some kilobytes and return its bytes."""
    Image.effect_noise((64, 64), 50).save(path)
    return path.read_bytes()


def encode_chunk(kind: bytes, data: bytes) -> bytes:
    """Encode a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif_with(orientation: int) -> Image.Exif:
    """EXIF data with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_header(width: int, height: int) -> bytes:
    """A PNG with this size in its header and hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + encode_chunk(b"IHDR", header)
        + encode_chunk(b"IDAT", zlib.compress(b"\0"))
        + encode_chunk(b"IEND", b"")
    )


def error_of(path: Path, **limits: int) -> str:
    """The error of reading the photo, without the folder."""
    with pytest.raises(PhotoError) as error:
        read_photo(path, **limits)
    return str(error.value).removeprefix(f"{path.parent}/")


@pytest.mark.parametrize(
    ("name", "image", "pixel"),
    [
        ("grey.png", Image.new("L", (5, 3), 7), (7, 7, 7)),
        ("bits.png", Image.new("1", (5, 3), 1), (255, 255, 255)),
        ("deep.png", Image.fromarray(np.full((3, 5), 40_000, np.uint16)), (156, 156, 156)),
        ("deep.tif", Image.fromarray(np.full((3, 5), 65_535, np.uint16)), (255, 255, 255)),
        ("clear.png", Image.new("RGBA", (5, 3), (255, 0, 0, 0)), (255, 255, 255)),
        ("half.png", Image.new("LA", (5, 3), (0, 128)), (127, 127, 127)),
        ("solid.bmp", Image.new("RGB", (5, 3), (1, 2, 3)), (1, 2, 3)),
        ("print.jpg", Image.new("CMYK", (5, 3), (0, 255, 255, 0)), (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, name: str, image: Image.Image, pixel: tuple[int, int, int]) -> None:
    """16 bits, CMYK, greyscale and transparency (on white) are converted to 8-bit RGB."""
    image.save(tmp_path / name)

    photo = read_photo(tmp_path / name)

    assert photo.shape == (3, 5, 3)
    assert photo.dtype == np.uint8
    assert tuple(photo[0, 0]) == pixel


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    """Colours come from the palette; its transparent entry is white."""
    image = Image.new("P", (5, 3), 0)
    image.putpalette([9, 8, 7] + [0] * 765)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=0)

    assert tuple(read_photo(tmp_path / "plain.png")[0, 0]) == (9, 8, 7)
    assert tuple(read_photo(tmp_path / "clear.png")[0, 0]) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    """The bright corner is where the EXIF standard puts it, and the size is that of the upright photo."""
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif)

    photo = read_photo(path)

    corners = {"tl": photo[4, 4, 0], "tr": photo[4, -5, 0], "br": photo[-5, -5, 0], "bl": photo[-5, 4, 0]}
    bright = ["tl", "tr", "br", "bl", "tl", "tr", "br", "bl"][orientation - 1]
    assert {corner for corner, value in corners.items() if value > 128} == {bright}
    assert read_size(path) == (photo.shape[1], photo.shape[0]) == ((48, 32) if orientation < 5 else (32, 48))


def test_orientation_after_the_pixels_of_a_png(tmp_path: Path) -> None:
    """Some tools append EXIF data to a PNG: size and pixels still agree."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "late.png"
    Image.new("RGB", (5, 3)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-12] + encode_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:])

    assert read_photo(path).shape == (5, 3, 3)
    assert read_size(path) == (3, 5)


def test_first_image_of_a_phone_file(tmp_path: Path) -> None:
    """A JPEG with a second image (MPO) is read as its first."""
    path = tmp_path / "phone.jpg"
    Image.new("RGB", (8, 8), "red").save(path, format="MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])

    assert read_photo(path)[0, 0, 0] > 250


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_animations_are_errors(tmp_path: Path, suffix: str) -> None:
    """It is not clear which frame to inspect."""
    path = tmp_path / f"film.{suffix}"
    frames = [Image.new("RGB", (5, 3), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])

    name = f"film.{suffix}"
    assert error_of(path) == f'{name} LC305 "{name}" has 2 frames. Save the frame to inspect as a separate file.'


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    """Truncated, empty, not an image, a folder, missing: each with its reason."""
    jpeg, png = write_noise(tmp_path / "a.jpg"), write_noise(tmp_path / "a.png")
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"<html>")
    (tmp_path / "folder.jpg").mkdir()
    Image.new("F", (5, 3)).save(tmp_path / "float.tif")

    names = ["cut.jpg", "cut.png", "empty.jpg", "text.jpg", "folder.jpg", "absent.jpg", "float.tif"]
    errors = [error_of(tmp_path / name) for name in names]

    assert errors[0].startswith('cut.jpg LC306 "cut.jpg" is damaged or truncated: image file is truncated')
    assert errors[1].startswith('cut.png LC306 "cut.png" is damaged or truncated: image file is truncated')
    assert errors[2:] == [
        'empty.jpg LC302 "empty.jpg" is empty: 0 bytes. Copy it again.',
        'text.jpg LC303 "text.jpg" is not an image that can be read. Use one of JPEG, PNG, BMP, TIFF, WEBP.',
        'folder.jpg LC301 "folder.jpg" cannot be opened: Is a directory.',
        'absent.jpg LC301 "absent.jpg" cannot be opened: No such file or directory.',
        'float.tif LC307 "float.tif" has pixels of 32 bits (mode "F"). Save it with 8 or 16 bits per channel.',
    ]


def test_truncated_files_of_every_length(tmp_path: Path) -> None:
    """No exception of a decoder gets through."""
    for suffix in ("jpg", "png", "bmp", "tif", "webp"):
        data = write_noise(tmp_path / f"a.{suffix}")
        path = tmp_path / f"cut.{suffix}"
        for size in range(0, len(data) - 16, len(data) // 12):
            path.write_bytes(data[:size])
            assert error_of(path).startswith(f"cut.{suffix} LC30")


def test_decompression_bombs_are_errors(tmp_path: Path) -> None:
    """The size is checked before a pixel is decoded."""
    (tmp_path / "big.png").write_bytes(png_header(11_000, 11_000))
    (tmp_path / "huge.png").write_bytes(png_header(50_000, 50_000))
    write_noise(tmp_path / "a.png")

    assert [
        error_of(tmp_path / "big.png"),
        error_of(tmp_path / "huge.png"),
        error_of(tmp_path / "a.png", max_pixels=9),
    ] == [
        'big.png LC304 "big.png" has 11000 x 11000 pixels, more than the limit of 100000000. '
        "Reduce its size, or raise the limit.",
        'huge.png LC304 "huge.png" has far too many pixels. Check that it is a photo.',
        'a.png LC304 "a.png" has 64 x 64 pixels, more than the limit of 9. Reduce its size, or raise the limit.',
    ]


def test_sha256_of_the_bytes(tmp_path: Path) -> None:
    """The hash is that of the file's bytes."""
    (tmp_path / "a.jpg").write_bytes(b"abc")

    assert file_sha256(tmp_path / "a.jpg") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(PhotoError, match="LC301"):
        file_sha256(tmp_path / "b.jpg")


def test_pipe_is_not_opened(tmp_path: Path) -> None:
    """Opening it would block until another process writes to it."""
    os.mkfifo(tmp_path / "pipe.jpg")

    assert error_of(tmp_path / "pipe.jpg") == 'pipe.jpg LC301 "pipe.jpg" cannot be opened: it is not a regular file.'


def test_hash_and_pixels_are_of_the_same_file(tmp_path: Path) -> None:
    """The file is opened once."""
    data = write_noise(tmp_path / "a.png")

    photo = load_photo(tmp_path / "a.png")

    assert photo.sha256 == hashlib.sha256(data).hexdigest()
    assert photo.storage_issues == ()
    assert np.array_equal(photo.pixels, read_photo(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("name", "image", "options", "issues"),
    [
        ("plain.jpg", Image.new("RGB", (6, 4)), {}, ()),
        ("grey.tif", Image.new("L", (6, 4)), {}, ()),
        ("turned.jpg", Image.new("RGB", (6, 4)), {"exif": exif_with(6)}, ("turned",)),
        ("turned.tif", Image.new("RGB", (6, 4)), {"exif": exif_with(3)}, ("turned",)),
        ("turned.png", Image.new("RGB", (6, 4)), {"exif": exif_with(8)}, ("turned",)),
        ("upright.jpg", Image.new("RGB", (6, 4)), {"exif": exif_with(1)}, ()),
        ("deep.png", Image.fromarray(np.zeros((4, 6), np.uint16)), {}, ("16-bit",)),
        ("deep.tif", Image.fromarray(np.zeros((4, 6), np.uint16)), {}, ("16-bit",)),
        ("bits.png", Image.new("1", (6, 4)), {}, ("1-bit",)),
        ("print.jpg", Image.new("CMYK", (6, 4)), {}, ("CMYK",)),
        ("web.png", Image.new("P", (6, 4)), {}, ("palette",)),
        ("web.gif", Image.new("P", (6, 4)), {}, ("palette",)),
        ("holes.png", Image.new("P", (6, 4)), {"transparency": 0}, ("palette", "alpha")),
        ("clear.png", Image.new("RGBA", (6, 4)), {}, ("alpha",)),
        ("clear.webp", Image.new("RGBA", (6, 4), (0, 0, 0, 9)), {}, ("alpha",)),
        ("lab.tif", Image.new("LAB", (6, 4)), {}, ("colours",)),
    ],
)  # fmt: skip
def test_storage_issues(tmp_path, name, image, options, issues) -> None:
    """Header and photo report the same."""
    image.save(tmp_path / name, **options)

    assert load_photo(tmp_path / name).storage_issues == issues
    assert read_header(tmp_path / name).storage_issues == issues


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour_is_a_storage_issue(tmp_path: Path, suffix: str) -> None:
    """Pillow converts it to 8 bits without notice."""
    cv2.imwrite(str(tmp_path / f"deep.{suffix}"), np.full((4, 6, 3), 40_000, np.uint16))

    photo = load_photo(tmp_path / f"deep.{suffix}")

    assert photo.storage_issues == ("16-bit",)
    assert tuple(photo.pixels[0, 0]) == (156, 156, 156)
