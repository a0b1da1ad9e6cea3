"""Read photos as upright 8-bit RGB, whatever the file's mode, and letterbox them to the size of a model's input.

No pixel is decoded before the size in the header has been checked. Only formats that cameras and annotation tools write
are opened, and only regular files: opening a named pipe would block.

Most cameras write upright greyscale or RGB with 8 bits per channel. Other files are converted in a fixed way, but may
look different from the same photo saved normally: 16 bits lose the lower half, CMYK has other colours, transparent
pixels become white. `find_storage_issues` names these cases. This module does not need torch.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, get_args

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from logicls.errors import PhotoError, Problem, relative_path

StorageIssue = Literal["turned", "16-bit", "1-bit", "CMYK", "palette", "alpha", "colours"]
"""Unusual property of an image file. Bundles store these names."""
STORAGE_ISSUES: tuple[StorageIssue, ...] = get_args(StorageIssue)
_DESCRIPTIONS: dict[StorageIssue, str] = {
    "turned": "stored with an EXIF rotation",
    "16-bit": "stored with 16 bits per channel",
    "1-bit": "stored with 1 bit per pixel",
    "CMYK": "stored in CMYK",
    "palette": "stored with a palette",
    "alpha": "stored with an alpha channel",
    "colours": "stored in another colour space",
}


def find_storage_issues(image: Image.Image) -> tuple[StorageIssue, ...]:
    """Return the unusual properties of an image whose pixels are not decoded yet; empty for most images.

    The EXIF rotation is not checked: it may be stored after the pixels.
    """
    is_deep = image.mode.startswith("I;16") or (
        image.format in ("PNG", "TIFF") and ";16" in str(getattr(image, "tile", ""))
    )
    present = {
        "turned": False,
        "16-bit": is_deep,
        "1-bit": image.mode == "1",
        "CMYK": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "alpha": image.has_transparency_data,
        "colours": image.mode in ("LAB", "HSV", "YCbCr"),
    }
    return tuple(issue for issue in STORAGE_ISSUES if present[issue])


def storage_issue_to_text(issue: StorageIssue) -> str:
    """Describe a storage issue."""
    return _DESCRIPTIONS[issue]


FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 100_000_000
# Pillow warns about large and slightly damaged photos; sizes are checked here, with the caller's limit. The filter is
# global, since threads share the list of filters: temporary filters of several threads would restore each other's.
warnings.filterwarnings("ignore", module=r"PIL\.")

_ORIENTATION_TAG = 0x0112
_ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)


def read_photo(path: Path, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "height width 3"]:
    """Read a photo's pixels as RGB, rotated by its EXIF orientation.

    16-bit greyscale loses the lower eight bits; transparent pixels become white. Pillow's own limit of 178,956,970
    pixels applies in any case.

    Raises:
        PhotoError: The photo cannot be read (LC301 to LC307).
    """
    return load_photo(path, max_pixels=max_pixels).pixels


class Photo(NamedTuple):
    """A photo in memory with properties of its file."""

    pixels: UInt8[np.ndarray, "height width 3"]
    storage_issues: tuple[StorageIssue, ...]
    """Unusual properties of the file."""
    sha256: str
    """Hash of the decoded bytes, even if the file is replaced meanwhile."""


def load_photo(path: Path, *, max_pixels: int = MAX_PIXELS, data: bytes | None = None) -> Photo:
    """Read a photo with properties of its file. Raises as `read_photo` does.

    Args:
        path: The file; only its name is used if `data` is given.
        max_pixels: Maximum width times height.
        data: Content of the file, if it is in memory.
    """
    with _open_image(path, max_pixels, data) as (image, stream):
        # Before the pixels are read: Pillow then forgets how they were stored, and rotates a TIFF by itself.
        issues, is_rotated_tiff = (
            find_storage_issues(image),
            image.format == "TIFF" and _orientation(image) in _ROTATIONS,
        )
        image.load()
        rotation, rgb = _ROTATIONS.get(_orientation(image)), _to_rgb(image, path)
        pixels = np.array(rgb.transpose(rotation) if rotation is not None else rgb, dtype=np.uint8)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        is_rotated = is_rotated_tiff or rotation is not None
        return Photo(pixels, _add_rotation(issues, is_rotated=is_rotated), digest)


class PhotoHeader(NamedTuple):
    """Size, orientation and unusual properties of a photo, from its header."""

    width: int
    """Width of the upright photo, pixels."""
    height: int
    """Height of the upright photo, pixels."""
    orientation: int
    """EXIF orientation, 1 to 8: the rotation that makes the stored pixels upright."""
    storage_issues: tuple[StorageIssue, ...] = ()
    """Unusual properties of the file."""


def read_header(path: Path, *, max_pixels: int = MAX_PIXELS) -> PhotoHeader:
    """Read size and orientation, from the header alone if possible.

    Raises:
        PhotoError: The photo cannot be read (LC301 to LC306).
    """
    with _open_image(path, max_pixels) as (image, _):
        issues = find_storage_issues(image)
        # A PNG's metadata may follow its pixels, and Pillow rotates a TIFF's size already in the header.
        if image.format == "PNG" and _has_late_metadata(path):
            image.load()
        orientation = _orientation(image)
        is_swapped = image.format != "TIFF" and orientation in _SWAPS_SIDES
        width, height = reversed(image.size) if is_swapped else image.size
        return PhotoHeader(width, height, orientation, _add_rotation(issues, is_rotated=orientation in _ROTATIONS))


def read_size(path: Path) -> tuple[int, int]:
    """Read width and height of the upright photo, pixels.

    Raises:
        PhotoError: The photo cannot be read (LC301 to LC306).
    """
    header = read_header(path)
    return header.width, header.height


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 hash of a file, 64 hexadecimal digits.

    Raises:
        PhotoError: The file cannot be opened (LC301).
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _open_error(path, error) from error


@contextmanager
def _open_image(
    path: Path, max_pixels: int, data: bytes | None = None
) -> Iterator[tuple[Image.Image, BufferedReader | BytesIO]]:
    """Open an image and check its header; convert every exception of the decoder to a `PhotoError`."""
    try:
        with _open_file(path) if data is None else BytesIO(data) as stream:
            yield _check_header(stream, path, max_pixels), stream
    except PhotoError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise _open_error(path, error) from error
        raise _decoder_error(path, error) from error
    except Image.DecompressionBombError as error:
        raise _photo_error(path, "LC304", "has far too many pixels", "Check that it is a photo.") from error
    except Exception as error:  # Decoders raise anything from struct.error to KeyError on damaged data.
        raise _decoder_error(path, error) from error


def _open_file(path: Path) -> BufferedReader:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise _photo_error(path, "LC301", "cannot be opened: it is not a regular file", "")
    return path.open("rb")


def _check_header(stream: BinaryIO, path: Path, max_pixels: int) -> Image.Image:
    """Open the image and read only its header."""
    if not stream.read(1):
        raise _photo_error(path, "LC302", "is empty: 0 bytes", "Copy it again.")
    stream.seek(0)
    try:
        image = Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        advice = f"Use one of {', '.join(FORMATS[:-1])}."
        raise _photo_error(path, "LC303", "is not an image that can be read", advice) from error
    pixels = image.width * image.height
    if pixels > max_pixels:
        message = f"has {image.width} x {image.height} pixels, more than the limit of {max_pixels}"
        raise _photo_error(path, "LC304", message, "Reduce its size, or raise the limit.")
    frames = getattr(image, "n_frames", 1)
    # A phone's JPEG may carry a preview or a depth map as a second frame (MPO): the first one is the photo.
    if frames > 1 and image.format != "MPO":
        raise _photo_error(path, "LC305", f"has {frames} frames", "Save the frame to inspect as a separate file.")
    return image


def _add_rotation(issues: tuple[StorageIssue, ...], *, is_rotated: bool) -> tuple[StorageIssue, ...]:
    return ("turned", *issues) if is_rotated else issues


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8. For a PNG, `image.getexif()` would decode the pixels."""
    return int(Image.Image.getexif(image).get(_ORIENTATION_TAG, 1))


def _has_late_metadata(path: Path) -> bool:
    """Return True if a PNG has text or EXIF chunks after its pixels."""
    with path.open("rb") as stream:
        stream.seek(8)
        is_after_pixels = False
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if is_after_pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            is_after_pixels = is_after_pixels or kind == b"IDAT"
            stream.seek(length + 4, os.SEEK_CUR)
    return False


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Convert a decoded image to RGB."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        message = f'has pixels of 32 bits (mode "{image.mode}")'
        raise _photo_error(path, "LC307", message, "Save it with 8 or 16 bits per channel.")
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGBA", transparent.size, "white")
        return Image.alpha_composite(white, transparent).convert("RGB")
    return image.convert("RGB")


def _open_error(path: Path, error: OSError) -> PhotoError:
    return _photo_error(path, "LC301", f"cannot be opened: {error.strerror or error}", "")


def _decoder_error(path: Path, error: Exception) -> PhotoError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return _photo_error(path, "LC306", f"is damaged or truncated: {reason}", "Copy it again.")


def _photo_error(path: Path, code: str, message: str, advice: str) -> PhotoError:
    return PhotoError(Problem(code, f'"{path.name}" {message}.', relative_path(path), advice=advice))


LETTERBOX_GREY = 96
"""Grey level of the padding, 0 to 255."""


def letterbox_transform(size: Sequence[int], width: int, height: int) -> tuple[float, float, float]:
    """Return (scale, left, top), which map a point (x, y) of a photo to (x * scale + left, y * scale + top).

    Args:
        size: Height and width of the model's input.
        width: Width of the photo, pixels.
        height: Height of the photo, pixels.
    """
    scale = min(size[0] / height, size[1] / width)
    return scale, (size[1] - width * scale) / 2, (size[0] - height * scale) / 2


def letterbox(size: Sequence[int], photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Resize a photo to `size` (height, width) with its aspect ratio kept and the rest padded with grey."""
    scale, left, top = letterbox_transform(size, photo.shape[1], photo.shape[0])
    width, height = max(round(photo.shape[1] * scale), 1), max(round(photo.shape[0] * scale), 1)
    resized = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.full((size[0], size[1], 3), LETTERBOX_GREY, np.uint8)
    y, x = round(top), round(left)
    canvas[y : y + height, x : x + width] = resized[: size[0] - y, : size[1] - x]
    return canvas
