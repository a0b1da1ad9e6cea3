"""Reads photos: whatever the file's mode, what comes out is upright RGB, 8 bits a channel.

Nothing is decoded before the header's size was checked, and only formats that a camera or an annotation tool writes are
opened at all. Nothing but a file is opened: a pipe that is called photo.jpg would be waited for.

How a photo is stored: most cameras write 8 bits a channel, upright, grey or RGB; anything else has a name here.

Photos of every kind here become RGB in a way that is fixed (`logicls.data.image_io`), but they may look another way
than the same thing stored plainly: 16 bits lose half of them, CMYK has colours of its own, what is transparent is laid
on white.

A photo in the size of a model's input: proportions kept, the rest grey. Needs no torch.
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
STORAGE_ISSUES: tuple[StorageIssue, ...] = get_args(StorageIssue)
_SAID: dict[StorageIssue, str] = {
    "turned": "stored turned (EXIF orientation)",
    "16-bit": "stored with 16 bits a channel",
    "1-bit": "stored in black and white alone",
    "CMYK": "stored in CMYK",
    "palette": "stored with a palette",
    "alpha": "stored with an alpha channel",
    "colours": "stored in another colour space",
}


def find_storage_issues(image: Image.Image) -> tuple[StorageIssue, ...]:
    """What is unusual about an image whose header was read and whose pixels were not; empty for most.

    Whether it is turned is not looked at: that may stand behind the pixels.
    """
    deep = image.mode.startswith("I;16") or (
        image.format in ("PNG", "TIFF") and ";16" in str(getattr(image, "tile", ""))
    )
    found = {
        "turned": False,
        "16-bit": deep,
        "1-bit": image.mode == "1",
        "CMYK": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        "alpha": image.has_transparency_data,
        "colours": image.mode in ("LAB", "HSV", "YCbCr"),
    }
    return tuple(kind for kind in STORAGE_ISSUES if found[kind])


def storage_issue_to_text(issue: StorageIssue) -> str:
    """The kind in words."""
    return _SAID[issue]


FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 100_000_000
# Pillow warns of large and of slightly damaged photos; sizes are checked here, by the caller's limit. Said once and for
# all, since threads that decode share the list of filters: each with its own for a while would put back the others'.
warnings.filterwarnings("ignore", module=r"PIL\.")

_ORIENTATION_TAG = 0x0112
_TURNS = {
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
    """The photo's pixels, upright by its EXIF orientation.

    16-bit greys lose their lower eight bits; transparent pixels are laid on white. Pillow's own limit of 178,956,970
    pixels holds in any case.

    Raises:
        PhotoError: LC301 to LC307.
    """
    return load_photo(path, max_pixels=max_pixels).pixels


class Photo(NamedTuple):
    """A photo in memory, and what its file tells."""

    pixels: UInt8[np.ndarray, "height width 3"]
    storage_issues: tuple[StorageIssue, ...]
    """What is unusual about how it is stored."""
    sha256: str
    """Of the very bytes that were decoded, also where the file is replaced meanwhile."""


def load_photo(path: Path, *, max_pixels: int = MAX_PIXELS, data: bytes | None = None) -> Photo:
    """The same as `read_photo`, with what is known of the file. Raises `PhotoError`, LC301 to LC307.

    `data` are the file's bytes where they are in memory; then `path` is no more than its name.
    """
    with _opened(path, max_pixels, data) as (image, stream):
        # Before the pixels are read: Pillow forgets how they were stored, and turns a TIFF by itself.
        stored, turned = find_storage_issues(image), image.format == "TIFF" and _orientation(image) in _TURNS
        image.load()
        turn, rgb = _TURNS.get(_orientation(image)), _to_rgb(image, path)
        pixels = np.array(rgb.transpose(turn) if turn is not None else rgb, dtype=np.uint8)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Photo(pixels, _with_turn(stored, turned=turned or turn is not None), digest)


class PhotoHeader(NamedTuple):
    """What a photo's header tells."""

    width: int
    """Pixels of the upright photo."""
    height: int
    orientation: int
    """EXIF orientation, 1 to 8, by which the stored pixels are turned to stand upright."""
    storage_issues: tuple[StorageIssue, ...] = ()
    """What is unusual about how it is stored."""


def read_header(path: Path, *, max_pixels: int = MAX_PIXELS) -> PhotoHeader:
    """Size and orientation, from the header alone where that is possible.

    Raises:
        PhotoError: LC301 to LC306.
    """
    with _opened(path, max_pixels) as (image, _):
        stored = find_storage_issues(image)
        # A PNG's metadata may follow its pixels, and Pillow turns a TIFF's size already in the header.
        if image.format == "PNG" and _has_late_metadata(path):
            image.load()
        orientation = _orientation(image)
        swapped = image.format != "TIFF" and orientation in _SWAPS_SIDES
        width, height = reversed(image.size) if swapped else image.size
        return PhotoHeader(width, height, orientation, _with_turn(stored, turned=orientation in _TURNS))


def read_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the upright photo.

    Raises:
        PhotoError: LC301 to LC306.
    """
    header = read_header(path)
    return header.width, header.height


def file_sha256(path: Path) -> str:
    """The hash of the file's bytes, 64 hexadecimal digits.

    Raises:
        PhotoError: The file cannot be opened (LC301).
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _cannot_open(path, error) from error


@contextmanager
def _opened(
    path: Path, max_pixels: int, data: bytes | None = None
) -> Iterator[tuple[Image.Image, BufferedReader | BytesIO]]:
    """The image with its header read and found usable; whatever its decoder raises leaves as a PhotoError."""
    try:
        with _bytes_of(path) if data is None else BytesIO(data) as stream:
            yield _checked(stream, path, max_pixels), stream
    except PhotoError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise _cannot_open(path, error) from error
        raise _damaged(path, error) from error
    except Image.DecompressionBombError as error:
        raise _refusal(path, "LC304", "has far too many pixels", "Check that it is a photo.") from error
    except Exception as error:  # Decoders raise anything from struct.error to KeyError on damaged data.
        raise _damaged(path, error) from error


def _bytes_of(path: Path) -> BufferedReader:
    kind = path.stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise _refusal(path, "LC301", "cannot be opened: it is no file", "")
    return path.open("rb")


def _checked(stream: BinaryIO, path: Path, max_pixels: int) -> Image.Image:
    """Open the stream and look at no more than the header."""
    if not stream.read(1):
        raise _refusal(path, "LC302", "is empty: 0 bytes", "Copy it again.")
    stream.seek(0)
    try:
        image = Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError as error:
        advice = f"Use one of {', '.join(FORMATS[:-1])}."
        raise _refusal(path, "LC303", "is not an image that can be read", advice) from error
    pixels = image.width * image.height
    if pixels > max_pixels:
        message = f"has {image.width} x {image.height} pixels, more than the {max_pixels} allowed"
        raise _refusal(path, "LC304", message, "Make it smaller, or raise the limit.")
    frames = getattr(image, "n_frames", 1)
    # A phone's JPEG may carry a preview or a depth map as a second frame (MPO): the first one is the photo.
    if frames > 1 and image.format != "MPO":
        raise _refusal(path, "LC305", f"has {frames} frames", "Save the one to inspect as a file of its own.")
    return image


def _with_turn(stored: tuple[StorageIssue, ...], *, turned: bool) -> tuple[StorageIssue, ...]:
    return ("turned", *stored) if turned else stored


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Not `image.getexif()`: for a PNG that would decode the pixels."""
    return int(Image.Image.getexif(image).get(_ORIENTATION_TAG, 1))


def _has_late_metadata(path: Path) -> bool:
    """True if a PNG has text or EXIF chunks after its pixels."""
    with path.open("rb") as stream:
        stream.seek(8)
        pixels_seen = False
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels_seen and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            pixels_seen = pixels_seen or kind == b"IDAT"
            stream.seek(length + 4, os.SEEK_CUR)
    return False


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """The loaded image in RGB."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        message = f'has pixels of 32 bits (mode "{image.mode}")'
        raise _refusal(path, "LC307", message, "Save it with 8 or 16 bits a channel.")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return image.convert("RGB")


def _cannot_open(path: Path, error: OSError) -> PhotoError:
    return _refusal(path, "LC301", f"cannot be opened: {error.strerror or error}", "")


def _damaged(path: Path, error: Exception) -> PhotoError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return _refusal(path, "LC306", f"is damaged or cut short: {reason}", "Copy it again.")


def _refusal(path: Path, code: str, what: str, advice: str) -> PhotoError:
    return PhotoError(Problem(code, f'"{path.name}" {what}.', relative_path(path), advice=advice))


LETTERBOX_GREY = 96
"""Brightness of the border where a photo does not have the input's proportions."""


def letterbox_transform(size: Sequence[int], width: int, height: int) -> tuple[float, float, float]:
    """(scale, left, top) that take a point of a width x height photo to the input: x * scale + left.

    `size` is (height, width) of the input.
    """
    scale = min(size[0] / height, size[1] / width)
    return scale, (size[1] - width * scale) / 2, (size[0] - height * scale) / 2


def letterbox(size: Sequence[int], photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """The photo in that size (height, width), RGB."""
    scale, left, top = letterbox_transform(size, photo.shape[1], photo.shape[0])
    width, height = max(round(photo.shape[1] * scale), 1), max(round(photo.shape[0] * scale), 1)
    smaller = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.full((size[0], size[1], 3), LETTERBOX_GREY, np.uint8)
    y, x = round(top), round(left)
    canvas[y : y + height, x : x + width] = smaller[: size[0] - y, : size[1] - x]
    return canvas
